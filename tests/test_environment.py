"""environment.yml, pyproject.toml and the two locks agree with one another."""

import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement

from tests.helpers import ROOT
from tools.environment import direct_dependencies, environment_yml, locked_versions

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


def pins():
    return dict(line.split("==") for line in pip_lines() if "==" in line)


def test_environment_yml_is_what_the_tool_writes():
    assert (ROOT / "environment.yml").read_text(encoding="utf-8") == environment_yml()


def test_environment_yml_names_python_and_the_courses_packages():
    assert "python=3.11" in conda()["dependencies"]
    assert set(pins()) >= CARD
    assert "--constraint requirements/classroom.txt" in pip_lines()
    assert "--editable ." in pip_lines()


def test_environment_yml_has_the_versions_of_the_lock():
    lock = locked_versions()
    assert {name: lock[name] for name in pins()} == pins()


def test_environment_yml_names_all_that_pyproject_asks_for():
    assert set(pins()) == set(direct_dependencies())


def test_the_classroom_has_the_versions_of_the_design():
    versions = pins()
    assert (versions["torch"], versions["torchtext"]) == ("2.3.1", "0.18.0")
    assert versions["transformers"].startswith("4.57")


@pytest.mark.parametrize(("lane", "extra"), LANES.items())
def test_each_lock_satisfies_pyproject(lane, extra):
    lock = locked_versions(ROOT / "requirements" / f"{lane}.txt")
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
