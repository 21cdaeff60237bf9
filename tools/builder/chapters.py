"""Chapters: the sources in ``chapters/``, their front matter, and where their notebooks stand.

A chapter is a script in jupytext's percent format that starts with a block of front matter, its
contract (see :class:`Contract`). Its number is its position among the sources, sorted by file name:
``03b_planted.py``, put between ``03_vocabulary.py`` and ``04_rnn.py``, is chapter 4, and the others
move up. :mod:`tools.builder.compose` turns a chapter into a notebook.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, fields
from pathlib import Path

import jupytext
import nbformat
import yaml
from nbformat import NotebookNode

from agnews_utils.files import write_text
from tools.builder.sections import Section, sections

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = ROOT / "chapters"
NOTEBOOKS = ROOT / "notebooks"
GENERATED = "generated"
"""Tag of the cells that the builder writes; they have no counterpart in the source."""

FENCE = "# ---"
FILE_NAME = re.compile(r"\d\d[a-z]?_(\w+)\.py")
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


@dataclass(frozen=True)
class Contract:
    """Front matter of a chapter: what a reader is promised."""

    title: str
    summary: str
    run: str  # name of the result files that the chapter writes: results/<run>.<data>.json
    goals: list[str]
    prerequisites: list[str]
    data: str
    accelerator: str


@dataclass(frozen=True)
class Chapter:
    """A chapter as it stands in its source file."""

    path: Path
    front_matter: str
    contract: Contract
    cells: list[NotebookNode]
    number: int  # from 1

    @property
    def name(self) -> str:
        """The name that notebook and page share, such as ``01_dataset_exploration``."""
        return f"{self.number:02d}_{self.topic}"

    @property
    def topic(self) -> str:
        """The name without a number, such as ``dataset_exploration``."""
        return self.path.stem.partition("_")[2]

    @property
    def notebook_path(self) -> Path:
        """Where the notebook of this chapter stands."""
        return NOTEBOOKS / f"{self.name}.ipynb"

    @property
    def sections(self) -> list[Section]:
        """All headings of the chapter, in order."""
        prose = (cell.source for cell in self.cells if cell.cell_type == "markdown")
        return sections(prose, self.number)


class ChapterError(ValueError):
    """A chapter's source breaks a rule; the message names file, place and rule."""


def chapter_paths(folder: Path | None = None) -> list[Path]:
    """Return the sources of all chapters, in order; those of the course without a folder."""
    paths = (CHAPTERS if folder is None else folder).glob("*.py")
    return sorted(path for path in paths if FILE_NAME.fullmatch(path.name))


def read_chapters() -> list[Chapter]:
    """Read all chapters, in order.

    Raises
    ------
    ChapterError
        If a chapter cannot be read, or two share a run name or the name of their file.
    """
    chapters = [read_chapter(path) for path in chapter_paths()]
    for what, names in (
        ("run", [chapter.contract.run for chapter in chapters]),
        ("file name", [chapter.topic for chapter in chapters]),
    ):
        for name in names:
            same = [c.path.name for c, other in zip(chapters, names, strict=True) if other == name]
            if len(same) > 1:
                raise ChapterError(f"{' and '.join(same)} share the {what} {name!r}")
    return chapters


def read_chapter(path: Path) -> Chapter:
    """Read a chapter's source; its number is its position among the sources in its folder.

    Raises
    ------
    ChapterError
        If the file has another name than a chapter's, or the front matter is missing, is not
        YAML, or lacks a field or has one too many.
    """
    siblings = chapter_paths(path.parent)
    if path not in siblings:
        raise ChapterError(f"{path.name}: expected a file with a name such as 04_rnn.py")
    lines = path.read_text(encoding="utf-8").split("\n")
    if lines[0] != FENCE or FENCE not in lines[1:]:
        raise ChapterError(f"{path.name}: expected front matter between two lines '{FENCE}'")
    end = lines.index(FENCE, 1)
    front_matter = "\n".join(lines[: end + 1])
    try:
        values = yaml.safe_load("\n".join(line.removeprefix("# ") for line in lines[1:end]))
    except yaml.YAMLError as error:
        raise ChapterError(f"{path.name}: the front matter is not YAML: {error}") from error
    expected = {field.name for field in fields(Contract)}
    if not isinstance(values, dict) or set(values) != expected:
        differing = sorted(expected ^ set(values if isinstance(values, dict) else ()))
        raise ChapterError(
            f"{path.name}: front matter fields missing or unknown: {', '.join(differing)}"
        )
    body = jupytext.reads("\n".join(lines[end + 1 :]).lstrip("\n"), fmt="py:percent")
    number = siblings.index(path) + 1
    return Chapter(path, front_matter, Contract(**values), _with_ids(body.cells), number)


def _with_ids(cells: list[NotebookNode]) -> list[NotebookNode]:
    """Give each cell an id that depends on its own source only, so that ids stay put."""
    seen: dict[str, int] = {}
    for cell in cells:
        digest = hashlib.sha1(f"{cell.cell_type}:{cell.source}".encode()).hexdigest()[:8]
        seen[digest] = seen.get(digest, 0) + 1
        cell.id = f"{digest}-{seen[digest]}"
    return cells


def read_notebook(path: Path) -> NotebookNode:
    """Read a stored notebook."""
    return nbformat.read(path, as_version=4)


def write_notebook(notebook: NotebookNode, path: Path) -> None:
    """Check a notebook and write it: a temporary file first, then a rename."""
    nbformat.validate(notebook)
    write_text(path, nbformat.writes(notebook).rstrip("\n") + "\n")
