"""The examples in docstrings give what they show."""

import doctest
import importlib
import pkgutil

import pytest

import agnews_utils

MODULES = [
    module.name
    for module in pkgutil.walk_packages(agnews_utils.__path__, "agnews_utils.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples_and_a_wrong_one_is_found():
    modules = map(importlib.import_module, MODULES)
    assert sum(len(case.examples) for m in modules for case in doctest.DocTestFinder().find(m)) > 5
    (case,) = doctest.DocTestFinder().find(type("Wrong", (), {"__doc__": ">>> 1 + 1\n3\n"}))
    assert doctest.DocTestRunner(verbose=False).run(case, out=lambda _: None).failed == 1
