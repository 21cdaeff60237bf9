"""The structure of the package: where names are defined, and what may import what."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import ROOT

PACKAGE = ROOT / "agnews_utils"
FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = [path for path in FILES if path.name == "__init__.py"]
LEAST_SHARE = 0.9
USERS = [
    path
    for folder in ("chapters", "tests", "checks", "tools", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "data").rglob("*.md"))]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (module, name) of each `from ... import ...`; magics of notebooks are no Python."""
    lines = path.read_text(encoding="utf-8").splitlines()
    code = "\n".join("" if line.startswith(("%", "!")) else line for line in lines)
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)


def defined(path: Path) -> set[str]:
    """Return the names that a module itself defines at its top level."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return names


DEFINED = {module_name(path): defined(path) for path in FILES}


def found_inside(module: str, name: str) -> bool:
    """Tell whether a name imported from a room is defined in that room, or is a module of it."""
    inside = [m for m in DEFINED if m == module or m.startswith(f"{module}.")]
    return f"{module}.{name}" in DEFINED or any(name in DEFINED[m] for m in inside)


def test_the_name_leads_to_the_file():
    pairs = {
        (module, name)
        for path in (ROOT / "chapters").glob("*.py")
        for module, name in imports(path)
        if module.split(".")[0] == "agnews_utils"
    }
    elsewhere = sorted(pair for pair in pairs if not found_inside(*pair))
    assert len(pairs) > 100
    assert len(elsewhere) <= (1 - LEAST_SHARE) * len(pairs), elsewhere


def test_a_name_of_another_room_is_noticed():
    assert found_inside("agnews_utils.data", "load_news")
    assert found_inside("agnews_utils.vocabulary", "Vocab")
    assert not found_inside("agnews_utils.data", "Vocab")


@pytest.mark.parametrize(
    "room", [path for path in FILES if path.name == "__init__.py"], ids=module_name
)
def test_a_room_shows_only_what_is_imported_through_it(room):
    """A chapter, a test, a tool or a documented use needs each name that a room re-exports."""
    name = module_name(room)
    shown = {imported for module, imported in imports(room) if module.startswith("agnews_utils.")}
    used = {found for path in USERS for module, found in imports(path) if module == name}
    text = "".join(path.read_text(encoding="utf-8") for path in [*USERS, *DOCUMENTS])
    as_text = rf"{room.parent.name}\.(\w+)|from {name} import (\w+)"  # also in generated cells
    used |= {found for pair in re.findall(as_text, text) for found in pair}
    assert shown <= used, shown - used


def test_imports_point_one_way_without_circles():
    command = [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
