"""environment.yml, pyproject.toml and the two locks agree with one another."""

import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement

from tests.helpers import ROOT
from tools.lock import locked_versions

CARD = {
    "jupyterlab",
    "torch",
    "torchtext",
    "matplotlib",
    "seaborn",
    "pandas",
    "nltk",
    "spacy",
    "nbval",
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LANES = {"classroom": "classroom", "modern": "modern"}


def conda():
    return yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))


def pip_lines():
    (pip,) = [entry["pip"] for entry in conda()["dependencies"] if isinstance(entry, dict)]
    return pip


def lock_of(lane):
    return locked_versions(ROOT / "requirements" / f"{lane}.txt")


def test_environment_yml_names_python_the_courses_packages_and_the_lock():
    assert "python=3.11" in conda()["dependencies"]
    assert set(pip_lines()) >= CARD
    assert {"--requirement requirements/classroom.txt", "--editable ."} <= set(pip_lines())


def test_every_package_that_environment_yml_names_is_locked():
    named = {line for line in pip_lines() if not line.startswith("--")}
    assert named <= set(lock_of("classroom"))


def test_the_classroom_has_torchtexts_last_release_and_the_torch_that_it_needs():
    versions = lock_of("classroom")
    assert (versions["torch"], versions["torchtext"]) == ("2.3.1", "0.18.0")
    assert versions["transformers"].startswith("4.57")


@pytest.mark.parametrize(("lane", "extra"), LANES.items())
def test_each_lock_satisfies_pyproject(lane, extra):
    lock = lock_of(lane)
    extras = PROJECT["optional-dependencies"]
    for line in [*PROJECT["dependencies"], *extras["notebook"], *extras["develop"], *extras[extra]]:
        requirement = Requirement(line)
        version = lock.get(requirement.name.lower())
        assert version, f"{requirement.name} is missing in requirements/{lane}.txt"
        assert requirement.specifier.contains(version), f"{line}, but {lane} has {version}"


@pytest.mark.parametrize("lane", LANES)
def test_locks_pin_exactly_and_name_no_server(lane):
    for line in (ROOT / "requirements" / f"{lane}.txt").read_text(encoding="utf-8").splitlines():
        assert line.startswith("#") or re.match(r"^[a-z0-9._-]+==[0-9][^\s]*( ; .+)?$", line), line


def test_the_package_itself_pins_nothing():
    for line in PROJECT["dependencies"]:
        assert all(part.operator == ">=" for part in Requirement(line).specifier), line
