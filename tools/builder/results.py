"""Results: the files in ``results/``, and the places in the prose that they fill.

A Markdown cell writes ``{{ ag_news.linear_accuracy | percent }}``. The names that it can use:

- ``ag_news`` and ``newsbriefs``: the metrics of the chapter's own run on that data;
- ``results.<run>.<data>``: the metrics of any run; ``runs.<run>.<data>`` the whole file;
- ``published``: figures that others published, from ``results/published.json``;
- ``chapter``, ``chapters`` and ``section``: see :mod:`tools.builder.references`.

Filters: ``percent`` (0.923 -> 92.3%), ``points`` (0.0061 -> 0.61), ``count`` (80043 -> 80,043),
``fixed`` (1.234 -> 1.23).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

PUBLISHED = "published"
# A fence or inline code may show braces of Python or LaTeX; only these delimiters are templates.
_ENVIRONMENT = jinja2.Environment(
    undefined=jinja2.StrictUndefined,
    block_start_string="<%",
    block_end_string="%>",
    comment_start_string="<#",
    comment_end_string="#>",
    keep_trailing_newline=True,
    autoescape=False,
)
_FILTERS: dict[str, Callable[..., str]] = {
    "percent": lambda share, digits=1: f"{100 * share:.{digits}f}%",
    "points": lambda share, digits=2: f"{100 * share:.{digits}f}",
    "count": lambda number: f"{number:,.0f}",
    "fixed": lambda number, digits=2: f"{number:.{digits}f}",
}
_ENVIRONMENT.filters |= _FILTERS
EXPRESSION = re.compile(r"\{\{.*?\}\}", re.DOTALL)


class ResultError(ValueError):
    """A result file cannot be read, or the prose asks for something that is not there."""


class _Names(dict):
    """Names of runs or data sets; a name that is missing says so in the reader's terms."""

    def __missing__(self, key: str) -> Any:
        raise ResultError(f"no result file for {key!r}; there are: {', '.join(sorted(self))}")


@dataclass(frozen=True)
class Results:
    """All result files: ``runs[run][data]`` is the content of ``<run>.<data>.json``."""

    runs: dict[str, dict[str, dict[str, Any]]]
    published: dict[str, Any]

    def metrics(self, run: str, data: str) -> dict[str, Any] | None:
        """Return the metrics of a run on a data set, or None if it was not recorded."""
        content = self.runs.get(run, {}).get(data)
        return None if content is None else content["metrics"]


def read_results(folder: Path) -> Results:
    """Read every result file of a folder.

    Raises
    ------
    ResultError
        If a file is not JSON, or its content does not match its name.
    """
    runs: dict[str, dict[str, dict[str, Any]]] = {}
    published: dict[str, Any] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ResultError(f"{path.name} is not JSON: {error}; record the run again") from error
        if path.stem == PUBLISHED:
            published = content
            continue
        run, _, data = path.stem.partition(".")
        if content.get("run") != run or content.get("data", {}).get("name") != data:
            raise ResultError(
                f"{path.name} holds the run {content.get('run')!r} on "
                f"{content.get('data', {}).get('name')!r}: name and content must agree"
            )
        runs.setdefault(run, {})[data] = content
    return Results(runs, published)


def fill(
    template: str,
    results: Results,
    run: str,
    where: str,
    names: Mapping[str, Any] | None = None,
) -> str:
    """Fill results and references into a text.

    Parameters
    ----------
    template
        Text with ``{{ expressions }}``.
    results
        What they can name.
    run
        The chapter's own run, whose metrics ``ag_news`` and ``newsbriefs`` stand for.
    where
        File that the text is from, for the error message.
    names
        Further names for its expressions, such as those of chapters and sections.

    Raises
    ------
    ResultError
        If an expression cannot be filled; the message names file, cell, and what is missing.
    """
    if "{{" not in template:
        return template
    everything = _Names(
        {
            name: _Names({data: content["metrics"] for data, content in by_data.items()})
            for name, by_data in results.runs.items()
        }
    )
    own = everything.get(run, {})
    try:
        return _ENVIRONMENT.from_string(template).render(
            results=everything,
            runs=results.runs,
            published=results.published,
            **own,
            **(names or {}),
        )
    except (jinja2.TemplateError, ResultError, TypeError, ValueError) as error:
        first_line = template.strip().splitlines()[0]
        raise ResultError(f"{where}, cell '{first_line}': {error}") from error


def parts(template: str) -> Iterator[tuple[str, bool]]:
    """Split a text into (piece, is an expression) pairs, in order."""
    position = 0
    for match in EXPRESSION.finditer(template):
        yield template[position : match.start()], False
        yield match.group(), True
        position = match.end()
    yield template[position:], False
