"""The course's tokenizer: lower-case tokens by one regular expression (chapter 3, "One pattern").

Imported by chapter 3 through `agnews_utils.vocabulary`, which re-exports everything here.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

#: What counts as a token, the first alternative that fits (chapter 3, "One pattern").
TOKEN_PATTERN = re.compile(
    r"""
      [a-z]+(?![\w.'’])                   # a plain word, as most are: nothing else need be tried
    | (?:[^\W\d_]\.){2,}                  # u.s.  d.c.  p.m.
    | [$£€]?\d+(?:[.,]\d+)*\w*            # $50  1,234.5  2004  4th  $1.2bn
    | ['’](?:s|d|m|ll|re|ve)\b            # the end of reuters's, it's, we'll
    | \w+(?:['’](?!(?:s|d|m|ll|re|ve)\b)\w+)*   # any other word: don't  o'neill  café
    | \.{2,} | -{2,}                      # ...  --
    | [^\w\s]                             # any other sign by itself: , % ( ! -
    """,
    re.VERBOSE,
)


def tokenize(text: str) -> list[str]:
    """Cut a text into lower-case tokens (chapter 3, "One pattern").

    Words, numbers with their separators and currency sign (`$50`, `1,234.5`), abbreviations with
    dots (`u.s.`), contractions with t (`don't`), the other contractions and the possessive in two
    (`it` `'s`), every other sign by itself; hyphenated words are cut at the hyphen. Takes time
    linear in the length of the text.

    Parameters
    ----------
    text : str
        Any text; clean it first (chapter 2), or entities such as `#39;` become tokens.

    Returns
    -------
    list of str
        The tokens in order; empty for a blank text. No token is empty or holds white space.
    """
    return TOKEN_PATTERN.findall(text.lower())


def tokenize_all(texts: Iterable[str]) -> list[list[str]]:
    """Tokenize many texts: `[tokenize(text) for text in texts]`, somewhat faster.

    Returns
    -------
    list of lists of str
        The tokens of each text, shape (texts,).
    """
    with paused_garbage_collection():
        return [tokenize(text) for text in texts]


@contextmanager
def paused_garbage_collection() -> Iterator[None]:
    """Keep Python from looking for garbage while many small lists are made.

    Each list that stays alive makes the collector look again through all lists so far, token by
    token. It would find nothing: a list of str is in no cycle.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def ngrams(tokens: Sequence[str], n: int) -> list[str]:
    """Return the runs of `n` neighboring tokens, joined by a space (chapter 3, "n-grams")."""
    return [" ".join(tokens[start : start + n]) for start in range(len(tokens) - n + 1)]
