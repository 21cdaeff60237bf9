"""Chapters: the sources in ``chapters/``, their front matter, and the notebooks made of them.

A chapter is a script in jupytext's percent format that starts with a block of front matter, its
contract (see :class:`Contract`). :func:`compose` turns it into a notebook: a generated title cell
and setup cell in front, a generated footer at the end, and the results filled into the prose.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

import jupytext
import nbformat
import yaml
from nbformat import NotebookNode

from tools.builder.results import Results, fill

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = ROOT / "chapters"
NOTEBOOKS = ROOT / "notebooks"
GENERATED = "generated"
"""Tag of the cells that the builder writes; they have no counterpart in the source."""

FENCE = "# ---"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


@dataclass(frozen=True)
class Contract:
    """Front matter of a chapter: what a reader is promised."""

    number: int
    title: str
    summary: str
    run: str  # name of the result files that the chapter writes: results/<run>.<data>.json
    goals: list[str]
    prerequisites: list[str]
    data: str
    accelerator: str
    teaching_minutes: int


@dataclass(frozen=True)
class Chapter:
    """A chapter as it stands in its source file."""

    path: Path
    front_matter: str
    contract: Contract
    cells: list[NotebookNode]

    @property
    def name(self) -> str:
        """The name that source, notebook and page share, such as ``01_dataset_exploration``."""
        return self.path.stem

    @property
    def notebook_path(self) -> Path:
        """Where the notebook of this chapter stands."""
        return NOTEBOOKS / f"{self.name}.ipynb"


class ChapterError(ValueError):
    """A chapter's source breaks a rule; the message names file, place and rule."""


def chapter_paths() -> list[Path]:
    """Return the sources of all chapters, in order."""
    return sorted(CHAPTERS.glob("[0-9][0-9]_*.py"))


def read_chapters() -> list[Chapter]:
    """Read all chapters, in order."""
    return [read_chapter(path) for path in chapter_paths()]


def read_chapter(path: Path) -> Chapter:
    """Read a chapter's source.

    Raises
    ------
    ChapterError
        If the front matter is missing, is not YAML, or lacks a field or has one too many.
    """
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
    return Chapter(path, front_matter, Contract(**values), _with_ids(body.cells))


def _with_ids(cells: list[NotebookNode]) -> list[NotebookNode]:
    """Give each cell an id that depends on its own source only, so that ids stay put."""
    seen: dict[str, int] = {}
    for cell in cells:
        digest = hashlib.sha1(f"{cell.cell_type}:{cell.source}".encode()).hexdigest()[:8]
        seen[digest] = seen.get(digest, 0) + 1
        cell.id = f"{digest}-{seen[digest]}"
    return cells


def repository() -> str:
    """Return the address of the repository as ``owner/name``; empty while there is none."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return settings["tool"]["agnews"]["repository"]


def compose(chapter: Chapter, results: Results, chapters: list[Chapter]) -> NotebookNode:
    """Make the notebook of a chapter, without outputs.

    Parameters
    ----------
    chapter
        The chapter.
    results
        Measured results; the prose takes its numbers from them.
    chapters
        All chapters, for the links to the neighbors.
    """
    from tools.builder import generated

    cells = [
        _generated(generated.title(chapter, results, chapters, repository()), "markdown", "title"),
        _generated(generated.setup(repository()), "code", "setup"),
    ]
    for source in chapter.cells:
        cell = nbformat.from_dict(source)
        if cell.cell_type == "markdown":
            cell.source = fill(cell.source, results, chapter.contract.run, chapter.path.name)
        else:
            cell.execution_count, cell.outputs = None, []
        cells.append(cell)
    footer = generated.footer(chapter, results, chapters)
    cells.append(_generated(footer, "markdown", "footer"))
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.update({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def _generated(source: str, cell_type: str, name: str) -> NotebookNode:
    make = nbformat.v4.new_markdown_cell if cell_type == "markdown" else nbformat.v4.new_code_cell
    return make(source, id=f"{GENERATED}-{name}", metadata={"tags": [GENERATED]})


def read_notebook(path: Path) -> NotebookNode:
    """Read a stored notebook."""
    return nbformat.read(path, as_version=4)


def write_notebook(notebook: NotebookNode, path: Path) -> None:
    """Check a notebook and write it: a temporary file first, then a rename."""
    from agnews_utils.files import write_text

    nbformat.validate(notebook)
    write_text(path, nbformat.writes(notebook).rstrip("\n") + "\n")
