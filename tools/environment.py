"""Write ``environment.yml``: the classroom environment for conda, with the versions of the lock."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCK = ROOT / "requirements" / "classroom.txt"
HEADER = """\
# The classroom environment for conda: `conda env create -f environment.yml`.
# Written by `python -m tools.environment` from pyproject.toml and requirements/classroom.txt.
# pip installs the packages, since conda channels do not carry torchtext with torch 2.3.1;
# the last two lines hold every other package at its tested version and add the course itself.
"""


def locked_versions(lock: Path = LOCK) -> dict[str, str]:
    """Return package -> version of a lock (the first line of a package, if markers split it)."""
    versions: dict[str, str] = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        match = re.match(r"^([A-Za-z0-9._-]+)==([^\s;]+)", line)
        if match:
            versions.setdefault(match[1].lower(), match[2])
    return versions


def direct_dependencies() -> list[str]:
    """Return the names of all packages that pyproject.toml asks for in the classroom."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = [
        *project["dependencies"],
        *extras["notebook"],
        *extras["classroom"],
        *extras["develop"],
    ]
    names = [re.match(r"^[A-Za-z0-9._-]+", requirement)[0].lower() for requirement in asked]
    return sorted(set(names))


def environment_yml() -> str:
    """Return the content of ``environment.yml``."""
    versions = locked_versions()
    pins = "".join(f"      - {name}=={versions[name]}\n" for name in direct_dependencies())
    return (
        f"{HEADER}name: agnews\nchannels:\n  - conda-forge\ndependencies:\n  - python=3.11\n"
        f"  - pip\n  - pip:\n{pins}"
        "      - --constraint requirements/classroom.txt\n      - --editable .\n"
    )


if __name__ == "__main__":
    (ROOT / "environment.yml").write_text(environment_yml(), encoding="utf-8", newline="\n")
