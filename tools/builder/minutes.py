"""How long a chapter takes in class: counted from its words and cells, not guessed.

Two careful readings of the first chapters found that a class needs about three minutes for a
section with much text and two for a code cell; an exercise takes five.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from tools.builder.chapters import Chapter
from tools.builder.sections import LEVEL, headings

A_SECTION, A_CELL, AN_EXERCISE = 3, 2, 5
MUCH_TEXT = 100
"""Words from which on a section counts."""

SKIPPABLE = re.compile(
    r"\*A short course may (skip this section|run these cells without talking about them)\.\*"
)
"""The line under a heading that leaves its section, or part of a section, out of a short course."""

EXERCISE = re.compile(r"^\d+\. ", re.MULTILINE)


@dataclass(frozen=True)
class Minutes:
    """Minutes in class, for the whole chapter and without what a short course skips."""

    whole: int
    short: int


@dataclass
class _Part:
    """What stands under one heading."""

    level: int
    title: str
    skipped: bool = False
    words: int = 0
    cells: int = 0
    exercises: int = 0

    @property
    def minutes(self) -> int:
        section = A_SECTION if self.words >= MUCH_TEXT else 0
        return section + A_CELL * self.cells + AN_EXERCISE * self.exercises


def class_minutes(chapter: Chapter) -> Minutes:
    """Return how long a chapter takes in class, rounded up to five minutes.

    Cells for authors (tag `author`) take no time: they are folded.
    """
    parts = [_Part(1, "")]
    for cell in chapter.cells:
        if cell.cell_type == "code":
            parts[-1].cells += "author" not in cell.metadata.get("tags", [])
            continue
        lines, starts = cell.source.split("\n"), list(headings(cell.source))
        edges = [0, *(position for position, _, _ in starts), len(lines)]
        for place, (start, end) in enumerate(pairwise(edges)):
            if place:
                _, level, title = starts[place - 1]
                parts.append(_Part(level, title))
            _read(parts[-1], "\n".join(lines[start:end]))
    _skip_what_is_below(parts)
    whole = sum(part.minutes for part in parts)
    short = sum(part.minutes for part in parts if not part.skipped)
    return Minutes(_rounded(whole), _rounded(short))


def _read(part: _Part, text: str) -> None:
    part.words += len(text.split())
    part.skipped |= bool(SKIPPABLE.search(text))
    if part.title == "Exercises":
        part.exercises += len(EXERCISE.findall(text))


def _skip_what_is_below(parts: list[_Part]) -> None:
    """With a section all parts under it are skipped."""
    skipped = False
    for part in parts:
        if part.level <= LEVEL:
            skipped = part.skipped
        part.skipped |= skipped


def _rounded(minutes: int) -> int:
    return -(-minutes // 5) * 5
