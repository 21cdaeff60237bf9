"""Sections: a source's headings bear no numbers, the builder counts them.

A heading of level two begins a section, ``## 4.9 When one machine is not enough`` in the notebook
of chapter 4. Those that every chapter has under the same name are told by name and not counted:
:data:`UNCOUNTED`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

UNCOUNTED = (
    "What could go wrong",
    "What you will read elsewhere",
    "Exercises",
    "Recap",
    "Further reading",
)
LEVEL = 2
"""Level of the headings that are counted; those below it are parts of a section."""

HEADING = re.compile(r"(#+) +(.+?) *")
NUMBERED = re.compile(rf"({'#' * LEVEL} +)\d+\.\d+ +")
FENCES = ("```", "~~~")


@dataclass(frozen=True)
class Section:
    """A heading of a chapter.

    Attributes
    ----------
    heading
        Its text.
    number
        Such as ``4.9``; a part of a section has the section's; None where nothing is counted.
    counted
        Whether the heading itself shows the number.
    """

    heading: str
    number: str | None
    counted: bool


def sections(sources: Iterable[str], chapter_number: int) -> list[Section]:
    """Return all headings of a chapter's Markdown cells, in order, with their numbers."""
    found: list[Section] = []
    count, number = 0, None
    for source in sources:
        for _, level, heading in headings(source):
            counted = _is_counted(level, heading)
            if counted:
                count += 1
                number = f"{chapter_number}.{count}"
            elif level <= LEVEL:
                number = None
            found.append(Section(heading, number, counted))
    return found


def with_numbers(source: str, numbers: Iterator[str | None]) -> str:
    """Write into a cell's headings the next numbers, one for each heading that is counted."""
    lines = source.split("\n")
    for position, level, heading in headings(source):
        if _is_counted(level, heading):
            lines[position] = f"{'#' * level} {next(numbers)} {heading}"
    return "\n".join(lines)


def without_numbers(source: str) -> str:
    """Take the numbers out of a cell's headings."""
    lines = source.split("\n")
    for position, _, _ in headings(source):
        lines[position] = NUMBERED.sub(r"\1", lines[position], count=1)
    return "\n".join(lines)


def _is_counted(level: int, heading: str) -> bool:
    return level == LEVEL and heading not in UNCOUNTED


def headings(source: str) -> Iterator[tuple[int, int, str]]:
    """Find the headings of a Markdown text: position of the line, level, text."""
    fenced = False
    for position, line in enumerate(source.split("\n")):
        if line.lstrip().startswith(FENCES):
            fenced = not fenced
        elif not fenced and (match := HEADING.fullmatch(line)):
            yield position, len(match[1]), match[2]
