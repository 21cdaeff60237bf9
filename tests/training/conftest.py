"""What the tests of the training engine share."""

import pytest

from tests.training.small_run import make_loader, make_rows


@pytest.fixture(scope="module", autouse=True)
def _on_one_thread(one_thread):
    """Train all tests of this folder on one thread."""


@pytest.fixture(scope="module")
def rows():
    return make_rows(90)


@pytest.fixture(scope="module")
def valid():
    return make_loader(make_rows(30, seed=9), shuffle=False)
