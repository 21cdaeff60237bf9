"""Make a chapter's notebook: generated cells around its own, numbers and references filled in."""

from __future__ import annotations

import tomllib

import nbformat
from nbformat import NotebookNode

from tools.builder import generated
from tools.builder.chapters import GENERATED, KERNEL, ROOT, Chapter
from tools.builder.references import references
from tools.builder.results import Results, fill
from tools.builder.sections import with_numbers

AUTHOR = "author"
"""Tag of cells that serve whoever keeps the course, not whoever reads it: they are folded."""

FOLDED = {"source_hidden": True}


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
        All chapters, in order: the prose refers to them, and the neighbors are linked.

    Raises
    ------
    ResultError
        If the prose names a result, a chapter or a section that is not there.
    """
    names = references(chapters, chapter)
    numbers = iter([section.number for section in chapter.sections if section.counted])
    cells = [
        _generated(generated.title(chapter, results, chapters, repository()), "markdown", "title"),
        _generated(
            generated.setup(repository(), generated.takes_any_encoder(chapter)), "code", "setup"
        ),
    ]
    for source in chapter.cells:
        cell = nbformat.from_dict(source)
        if cell.cell_type == "markdown":
            text = with_numbers(cell.source, numbers)
            cell.source = fill(text, results, chapter.contract.run, chapter.path.name, names)
        else:
            cell.execution_count, cell.outputs = None, []
            if AUTHOR in cell.metadata.get("tags", []):
                cell.metadata["jupyter"] = FOLDED
        cells.append(cell)
    footer = generated.footer(chapter, results, chapters)
    cells.append(_generated(footer, "markdown", "footer"))
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.update({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def _generated(source: str, cell_type: str, name: str) -> NotebookNode:
    make = nbformat.v4.new_markdown_cell if cell_type == "markdown" else nbformat.v4.new_code_cell
    cell = make(source, id=f"{GENERATED}-{name}", metadata={"tags": [GENERATED]})
    if cell_type == "code":
        cell.metadata |= {"jupyter": FOLDED, "cellView": "form"}  # JupyterLab's way and Colab's
    return cell
