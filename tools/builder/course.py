"""The course's command: ``python -m tools.builder build|run|record|refresh|publish|sync``.

The Makefile calls it; on a machine without make, call it yourself.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from nbformat import NotebookNode

from agnews_utils.files import write_text
from agnews_utils.runtime import say
from tools.builder import readme, sync
from tools.builder.chapters import (
    ROOT,
    Chapter,
    ChapterError,
    read_chapters,
    read_notebook,
    write_notebook,
)
from tools.builder.compose import compose
from tools.builder.execute import Outcome, execute
from tools.builder.results import ResultError, Results, read_results

RESULTS = ROOT / "results"
BUILD = ROOT / "build"
REPOSITORY_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+$")


def build(chapters: list[Chapter], data: str | None) -> list[Outcome]:
    """Execute chapters, store their results in ``results/`` and the notebooks with outputs.

    A chapter that fails leaves its stored notebook as it was.
    """
    everything = read_chapters()
    renumber(everything)
    outcomes = []
    for chapter in chapters:
        notebook = _without_results(chapter, everything)
        outcomes.append(execute(chapter, notebook, data, record=RESULTS))
        if outcomes[-1].error is None:
            filled = compose(chapter, read_results(RESULTS), everything)
            write_notebook(_take_outputs(filled, notebook), chapter.notebook_path)
    _refresh_others(chapters)
    return outcomes


def record(chapters: list[Chapter], data: str | None) -> list[Outcome]:
    """Execute chapters and store their results only; the notebooks stay as they are."""
    everything = read_chapters()
    outcomes = [execute(c, _without_results(c, everything), data, RESULTS) for c in chapters]
    refresh()
    return outcomes


def run(chapters: list[Chapter], data: str | None) -> list[Outcome]:
    """Execute chapters into ``build/``: notebooks, HTML pages and results of this run."""
    from tools.builder.page import html_page

    everything, outcomes = read_chapters(), []
    for chapter in chapters:
        notebook = compose(chapter, read_results(RESULTS), everything)
        outcomes.append(execute(chapter, notebook, data, record=BUILD / "results"))
        write_notebook(notebook, BUILD / "notebooks" / f"{chapter.name}.ipynb")
        page = html_page(notebook, f"{chapter.number} {chapter.contract.title}")
        write_text(BUILD / "html" / f"{chapter.name}.html", page)
    return outcomes


def refresh() -> None:
    """Fill the present results into notebooks and README; no code is executed.

    Outputs of code cells whose source has not changed are kept, the others are dropped (and a
    test then asks for an execution).
    """
    _refresh_others([])


def _refresh_others(done: list[Chapter]) -> None:
    chapters, results = read_chapters(), read_results(RESULTS)
    renumber(chapters)
    names = {chapter.name for chapter in done}
    for chapter in chapters:
        if chapter.notebook_path.exists() and (chapter.name not in names):
            stored = read_notebook(chapter.notebook_path)
            filled = compose(chapter, results, chapters)
            write_notebook(_take_outputs(filled, stored), chapter.notebook_path)
    readme.update(chapters, results)


def renumber(chapters: list[Chapter]) -> None:
    """Give the notebooks of chapters whose number has changed their new name, and say so.

    Where both the old and the new notebook stand, the old one is removed. Copies that somebody made
    under another number are left alone: their title does not have it.
    """
    for chapter in chapters:
        new = chapter.notebook_path
        for old in sorted(new.parent.glob(f"[0-9][0-9]_{chapter.topic}.ipynb")):
            if old == new or not _is_titled(old, int(old.name[:2])):
                continue
            if new.exists():
                old.unlink()
                print(f"{old.name} removed: the chapter is {new.name} now")
            else:
                old.rename(new)
                print(f"{old.name} renamed: the chapter is {new.name} now")


def _is_titled(path: Path, number: int) -> bool:
    """Tell whether a notebook's title has a number."""
    cells = read_notebook(path).cells
    return bool(cells) and cells[0].source.startswith(f"# Chapter {number}:")


def publish(address: str) -> None:
    """Set the repository's address and rewrite badges and setup cells; nothing is executed."""
    if address and not REPOSITORY_NAME.match(address):
        raise SystemExit(f"REPO={address!r}: expected owner/name, such as ada/agnews-from-scratch")
    path = ROOT / "pyproject.toml"
    text = path.read_text(encoding="utf-8")
    changed, found = re.subn(
        r'^repository = ".*"$', f'repository = "{address}"', text, flags=re.MULTILINE
    )
    if found != 1:
        raise SystemExit(f"{path.name}: expected one line 'repository = \"...\"', found {found}")
    write_text(path, changed)
    refresh()


def _without_results(chapter: Chapter, everything: list[Chapter]) -> NotebookNode:
    """Make a notebook to execute, its prose left unfilled: its own results are not there yet."""
    bare = replace(chapter, cells=[cell for cell in chapter.cells if cell.cell_type == "code"])
    return compose(bare, Results({}, {}), everything)


def _take_outputs(notebook: NotebookNode, executed: NotebookNode) -> NotebookNode:
    """Copy outputs and execution counts of the cells whose id and source agree."""
    by_id = {cell.id: cell for cell in executed.cells if cell.cell_type == "code"}
    for cell in notebook.cells:
        other = by_id.get(cell.id)
        # The setup cell changes with the repository's address, and its output does not.
        is_setup = cell.id == "generated-setup"
        if cell.cell_type == "code" and other and (is_setup or other.source == cell.source):
            cell.outputs, cell.execution_count = other.outputs, other.execution_count
    return notebook


def table(outcomes: list[Outcome], results: Path) -> str:
    """Return the closing table: chapter, cells, seconds, headline figure."""
    rows = [("chapter", "cells", "seconds", "headline")]
    for outcome in outcomes:
        headline = outcome.error or _headline(outcome.chapter, results)
        rows.append((outcome.chapter, str(outcome.cells), f"{outcome.seconds:.0f}", headline))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]}"
        for row in rows
    )


def _headline(name: str, results: Path) -> str:
    run_name = next(c.contract.run for c in read_chapters() if c.name == name)
    newest = sorted(results.glob(f"{run_name}.*.json"), key=lambda path: path.stat().st_mtime)
    if not newest:
        return ""
    content = json.loads(newest[-1].read_text(encoding="utf-8"))
    return f"{content['headline']} [{content['data']['description']}]"


def select(wanted: Sequence[str]) -> list[Chapter]:
    """Return the chapters whose number, run name or notebook is wanted; all without a wish."""
    chapters = read_chapters()
    if not wanted:
        return chapters
    called = [{str(c.number), c.contract.run, c.name} for c in chapters]
    if set(wanted) - set().union(*called):
        names = ", ".join(f"{c.number} ({c.contract.run})" for c in chapters)
        raise SystemExit(f"CHAPTER={' '.join(wanted)}: expected one of: {names}")
    return [c for c, names in zip(chapters, called, strict=True) if names & set(wanted)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.builder", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, action in (("build", build), ("run", run), ("record", record)):
        command = commands.add_parser(name, help=_first_line(action))
        command.add_argument("--data", help="ag_news, newsbriefs or a folder")
        command.add_argument("chapter", nargs="*", help="numbers or run names; all without")
    commands.add_parser("refresh", help=_first_line(refresh))
    commands.add_parser("publish", help=_first_line(publish)).add_argument("address")
    command = commands.add_parser("sync", help=_first_line(sync.sync))
    command.add_argument("chapter", nargs="*", help="numbers or run names; all without")
    options = parser.parse_args(arguments)
    try:
        return _run(options)
    except (ChapterError, ResultError) as error:
        raise SystemExit(str(error)) from None


def _first_line(action: Callable[..., object]) -> str:
    """Return the sentence that a command's help shows."""
    return (action.__doc__ or "").split("\n")[0]


def _run(options: argparse.Namespace) -> int:
    """Carry out a command; return the exit status."""
    if options.command == "refresh":
        refresh()
    elif options.command == "publish":
        publish(options.address)
    elif options.command == "sync":
        for chapter in select(options.chapter):
            print(sync.sync(chapter, read_results(RESULTS), read_chapters()))
    else:
        action = {"build": build, "run": run, "record": record}[options.command]
        outcomes = action(select(options.chapter), options.data)
        say(table(outcomes, BUILD / "results" if options.command == "run" else RESULTS))
        if options.command == "run":
            print(f"\nNotebooks and HTML pages: {BUILD.relative_to(ROOT)}/notebooks, "
                  f"{BUILD.relative_to(ROOT)}/html")  # fmt: skip
        return int(any(outcome.error for outcome in outcomes))
    return 0
