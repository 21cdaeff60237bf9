"""Chapter cleaning: a pipeline of small named steps.

The steps of the default pipeline are repairs: safe on any text, and doing nothing when applied a
second time. Steps that throw information away, such as lower case, are lossy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd

from agnews_utils.cleaning.lossy import (
    ascii_words_only,
    lower_case,
    remove_stop_words,
    replace_numbers,
    stem_words,
    strip_punctuation,
)
from agnews_utils.cleaning.repairs import (
    backslashes_to_spaces,
    normalize_unicode,
    normalize_whitespace,
    remove_datelines,
    remove_tags_and_links,
    repair_entities,
)
from agnews_utils.data.exploration import require_columns

TextOrColumn = TypeVar("TextOrColumn", str, pd.Series)


@dataclass(frozen=True)
class Step:
    """One named step of a pipeline: what it does to a text, and why."""

    name: str
    function: Callable[[str], str]
    why: str


DEFAULT_STEPS = (
    Step("unicode", normalize_unicode, "one form for characters that look alike"),
    Step("entities", repair_entities, "codes such as #39; hide the characters they stand for"),
    Step("backslashes", backslashes_to_spaces, "a lost line break glues two words together"),
    Step("tags and links", remove_tags_and_links, "markup is not news"),
    Step("datelines", remove_datelines, "the agency is not the topic"),
    Step("white space", normalize_whitespace, "equal texts should be equal strings"),
)
"""The repairs, in the order that chapter cleaning, "Order matters", argues for."""

LOSSY_STEPS = (
    Step("lower case", lower_case, "one form for a word at the start of a sentence or inside it"),
    Step("punctuation", strip_punctuation, "only words are to be counted"),
    Step("numbers", replace_numbers, "most numbers are too rare to learn from"),
    Step("stop words", remove_stop_words, "the most frequent words stand in every text"),
    Step("stemming", stem_words, "one form for a word with different endings"),
    Step("A-Z, 0-9 only", ascii_words_only, "many tutorials do it"),
)
"""Steps that throw something away; none is in the default pipeline."""


class Cleaner:
    """A pipeline of steps, applied in order (cleaning, "A pipeline").

    Parameters
    ----------
    steps : sequence of Step
        Default: the repairs in `DEFAULT_STEPS`.

    Raises
    ------
    ValueError
        If two steps have the same name.
    """

    def __init__(self, steps: Sequence[Step] = DEFAULT_STEPS):
        self.steps = tuple(steps)
        names = self.names
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two steps are called {twice[0]!r}: give each step its own name.")

    def __repr__(self) -> str:
        return f"Cleaner({' -> '.join(self.names) or 'no steps'})"

    @property
    def names(self) -> list[str]:
        """Names of the steps, in order."""
        return [step.name for step in self.steps]

    def __call__(self, texts: TextOrColumn) -> TextOrColumn:
        """Clean one text, or a column of texts (the index is kept).

        Raises
        ------
        TypeError
            If it is, or holds, something that is no text; the message names the row.
        """
        if isinstance(texts, str):
            return self._clean([texts])[0]
        if not isinstance(texts, pd.Series):
            kind = type(texts).__name__
            raise TypeError(f"a Cleaner cleans a str or a pandas Series of them, not a {kind}.")
        cleaned = self._clean(_checked(texts))
        return pd.Series(cleaned, index=texts.index, name=texts.name, dtype=texts.dtype)

    def _clean(self, texts: list[str]) -> list[str]:
        for step in self.steps:
            texts = [step.function(text) for text in texts]
        return texts

    def without(self, name: str) -> Cleaner:
        """Return the pipeline without one of its steps.

        Raises
        ------
        KeyError
            If it has no such step.
        """
        if name not in self.names:
            raise KeyError(f"no step is called {name!r}; there are: {', '.join(self.names)}.")
        return Cleaner([step for step in self.steps if step.name != name])

    def plus(self, *steps: Step) -> Cleaner:
        """Return the pipeline with further steps at its end."""
        return Cleaner([*self.steps, *steps])

    def report(self, texts: Iterable[str]) -> pd.DataFrame:
        """Count what each step changes, with an example of each.

        Returns
        -------
        DataFrame
            One row a step, indexed by its name: `changed` (texts that the step changed, after the
            steps before it), `percent`, `before` and `after` (the first change, with some context;
            empty without a change), `why`.
        """
        current = _checked(texts)
        rows = []
        for step in self.steps:
            cleaned = [step.function(text) for text in current]
            pairs = [pair for pair in zip(current, cleaned, strict=True) if pair[0] != pair[1]]
            percent = 100 * len(pairs) / max(1, len(current))
            before, after = _difference(*pairs[0]) if pairs else ("", "")
            rows.append([step.name, len(pairs), percent, before, after, step.why])
            current = cleaned
        columns = ["step", "changed", "percent", "before", "after", "why"]
        return pd.DataFrame(rows, columns=columns).set_index("step")


def _checked(texts: Iterable[str]) -> list[str]:
    if isinstance(texts, str):
        raise TypeError("texts is one string: give a list or a column of texts.")
    labels = texts.index if isinstance(texts, pd.Series) else None
    texts = list(texts)
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            row = position if labels is None else labels[position]
            raise TypeError(f'row {row} holds {text!r}, not a text: fill missing texts with "".')
    return texts


def _difference(before: str, after: str, context: int = 18, longest: int = 48) -> tuple[str, str]:
    """Cut two texts to the place where they begin to differ."""
    same = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0)
    start = max(0, same - context)
    return before[start : start + longest], after[start : start + longest]


def repair_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Clean as `clean_frame` does, but leave datelines and agencies: what the encoders read.

    Who wrote an article says a little about its class in these data (exploration, "Does the source
    give it away?"). A model that competes with others which saw it must see it, too; one for other
    news had better not.
    """
    return clean_frame(frame, Cleaner().without("datelines"))


def clean_frame(frame: pd.DataFrame, cleaner: Cleaner | None = None) -> pd.DataFrame:
    """Clean title and description apart, and join them anew (cleaning, "A pipeline").

    Apart, because a dateline is known by its place at the start of the description, and an agency
    by its place at the end of the title.

    Returns
    -------
    DataFrame
        A copy with `title`, `description` and `text` cleaned, all else as it was; a missing value
        counts as "".

    Raises
    ------
    ValueError
        If the column `title` or `description` is missing.
    """
    require_columns(frame, "title", "description")
    cleaner = Cleaner() if cleaner is None else cleaner
    cleaned = frame.copy()
    for name in ("title", "description"):
        cleaned[name] = cleaner(frame[name].fillna(""))
    cleaned["text"] = (cleaned["title"] + " " + cleaned["description"]).str.strip()
    return cleaned
