"""References: prose calls chapters and sections by name, and the builder fills the numbers in.

| a Markdown cell of chapter 4 writes | and shows |
|---|---|
| ``{{ chapter.rnn }}`` | chapter 4 |
| ``{{ chapter.rnn.number }}``, ``{{ chapter.rnn.title }}`` | 4, Recurrent networks |
| ``{{ chapter.rnn.link }}`` | [chapter 4](04_rnn.ipynb) |
| ``{{ chapters("vocabulary", "rnn") }}`` | chapters 3 and 4 |
| ``{{ section("Optimizers") }}`` | section 4.5 |
| ``{{ section("Schedules") }}``, a part of it | section 4.5 (*Schedules*) |
| ``{{ section("Recap") }}``, which is not counted | section *Recap* |
| ``{{ section("Fine-tuning", "bert") }}`` | section 6.1 |

Chapters go by the name of their run, sections by their heading. At the beginning of a sentence
each word has its capital: ``{{ Chapter.rnn }}``, ``{{ Chapters(...) }}``, ``{{ Section(...) }}``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tools.builder.chapters import Chapter, ChapterError

NAMED = re.compile(r"\(chapter (\w+)")


@dataclass(frozen=True)
class ChapterReference:
    """What ``{{ chapter.<run> }}`` stands for: number, title, link; shown as *chapter 4*."""

    word: str
    number: int
    title: str
    target: str

    def __str__(self) -> str:
        return f"{self.word} {self.number}"

    @property
    def link(self) -> str:
        """The same words as a link to the notebook."""
        return f"[{self}]({self.target})"


class _ByRun:
    """The chapters, as ``chapter.<run>`` finds them: by subscript, so that no name is taken."""

    def __init__(self, find: Callable[[str], ChapterReference]):
        self._find = find

    def __getitem__(self, run: str) -> ChapterReference:
        return self._find(run)


def references(
    chapters: Sequence[Chapter], here: Chapter | None = None, folder: str = ""
) -> dict[str, Any]:
    """Return the names under which a template finds chapters and sections.

    Parameters
    ----------
    chapters
        All chapters, in order.
    here
        The chapter that the text is from; its sections need no run name.
    folder
        Path from the text's file to the notebooks, with its slash; empty in a notebook.
    """
    names: dict[str, Any] = {}
    for chapter_word, section_word in (("chapter", "section"), ("Chapter", "Section")):
        names |= _names(chapters, here, folder, chapter_word, section_word)
    return names


def _names(
    chapters: Sequence[Chapter], here: Chapter | None, folder: str, word: str, section_word: str
) -> dict[str, Any]:
    def one(run: str) -> ChapterReference:
        chapter = named(run, chapters)
        target = folder + chapter.notebook_path.name
        return ChapterReference(word, chapter.number, chapter.contract.title, target)

    def several(*runs: str) -> str:
        *first, last = map(str, sorted(named(run, chapters).number for run in runs))
        return f"{word}s {', '.join(first)} and {last}" if first else f"{word} {last}"

    def section(heading: str, run: str | None = None) -> str:
        if run is None:
            if here is None:
                raise ChapterError(f"section {heading!r} of which chapter? Give its run name, too")
            run = here.contract.run
        chapter = named(run, chapters)
        found = [one for one in chapter.sections if one.heading == heading]
        if len(found) != 1:
            wrong = "has no section" if not found else f"has {len(found)} sections"
            there = "; ".join(one.heading for one in chapter.sections)
            raise ChapterError(f"{chapter.path.name} {wrong} {heading!r}; there are: {there}")
        (only,) = found
        if only.counted:
            return f"{section_word} {only.number}"
        number = f"{only.number} (*{heading}*)" if only.number else f"*{heading}*"
        return f"{section_word} {number}"

    return {word: _ByRun(one), f"{word}s": several, section_word: section}


def named(run: str, chapters: Sequence[Chapter]) -> Chapter:
    """Return the chapter with a run name.

    Raises
    ------
    ChapterError
        If there is none; the message names those that there are.
    """
    for chapter in chapters:
        if chapter.contract.run == run:
            return chapter
    runs = ", ".join(chapter.contract.run for chapter in chapters)
    raise ChapterError(f"there is no chapter {run!r}; there are: {runs}")


def with_chapter_numbers(text: str, chapters: Sequence[Chapter]) -> str:
    """Replace ``(chapter rnn`` by ``(chapter 4``: recorded labels call chapters by run name."""
    return NAMED.sub(lambda match: f"(chapter {named(match[1], chapters).number}", text)
