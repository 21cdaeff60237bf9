"""Bring edits made in a notebook back into the chapter's source (``make sync``)."""

from __future__ import annotations

from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

from agnews_utils.files import write_text
from tools.builder.chapters import GENERATED, Chapter, ChapterError, read_notebook
from tools.builder.references import references
from tools.builder.results import Results, fill, parts
from tools.builder.sections import without_numbers


def sync(chapter: Chapter, results: Results, chapters: list[Chapter]) -> str:
    """Write a notebook's cells back into its source; numbers become templates again.

    Parameters
    ----------
    chapter
        The chapter as its source has it.
    results
        The results that were filled into the notebook's prose.
    chapters
        All chapters, to which it refers.

    Returns
    -------
    One line that says what was done.

    Raises
    ------
    ChapterError
        If an edited cell no longer shows a number or a reference that was filled in: the edit
        cannot be brought back without losing the link, so it is left to the editor.
    """
    if not chapter.notebook_path.exists():
        raise ChapterError(f"{chapter.notebook_path.name} is missing; run `make notebooks` first")
    notebook = read_notebook(chapter.notebook_path)
    text = source_text(chapter, notebook, results, chapters)
    if text == chapter.path.read_text(encoding="utf-8"):
        return f"{chapter.path.name}: nothing to bring back"
    write_text(chapter.path, text)
    return f"{chapter.path.name}: written from {chapter.notebook_path.name}"


def source_text(
    chapter: Chapter, notebook: NotebookNode, results: Results, chapters: list[Chapter]
) -> str:
    """Return the source that a notebook's cells stand for."""
    names = references(chapters, chapter)
    templates = {cell.id: cell for cell in chapter.cells if cell.cell_type == "markdown"}
    cells = []
    for cell in notebook.cells:
        if GENERATED in cell.metadata.get("tags", []):
            continue
        cell = nbformat.from_dict(cell)
        template = templates.get(cell.id)
        if cell.cell_type == "markdown":
            cell.source = without_numbers(cell.source)
            if template is not None and "{{" in template.source:
                cell.source = _restore(template.source, cell.source, results, chapter, names)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        cells.append(cell)
    bare = nbformat.v4.new_notebook(cells=cells)
    bare.metadata["jupytext"] = {"cell_markers": None, "notebook_metadata_filter": "-all",
                                 "cell_metadata_filter": "tags,-all"}  # fmt: skip
    body = jupytext.writes(bare, fmt="py:percent").strip("\n")
    return f"{chapter.front_matter}\n\n{body}\n"


def _restore(
    template: str, shown: str, results: Results, chapter: Chapter, names: dict[str, Any]
) -> str:
    """Put the template's expressions back where what they fill in stands."""
    run, where = chapter.contract.run, chapter.path.name
    if fill(template, results, run, where, names) == shown:
        return template
    restored, position = "", 0
    for piece, is_expression in parts(template):
        if not is_expression:
            continue
        value = fill(piece, results, run, where, names)
        found = shown.find(value, position)
        if found < 0:
            raise ChapterError(
                f"{chapter.notebook_path.name}, cell '{shown.strip().splitlines()[0]}': the edit "
                f"removed {value!r}, which {piece} fills in; edit {where} instead"
            )
        restored += shown[position:found] + piece
        position = found + len(value)
    return restored + shown[position:]
