"""Steps that throw something away: case, punctuation, stop words, endings (cleaning_study).

Textbooks list them as cleaning. They repair nothing, so they are not in the default pipeline;
chapter cleaning_study measures what each of them does to a classifier.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nltk.stem import PorterStemmer

_PUNCTUATION = re.compile(r"[^\w\s]|_")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WORD = re.compile(r"\w+(?:'\w+)*")
_NOT_ASCII_WORD = re.compile(r"[^A-Za-z0-9\s]")


def lower_case(text: str) -> str:
    """Make all letters small: `US` and `us` become one (chapter cleaning_study)."""
    return text.lower()


def strip_punctuation(text: str) -> str:
    """Replace everything but letters, digits and white space by a space (chapter cleaning_study).

    Examples
    --------
    >>> strip_punctuation("$50 in the U.S.").split()
    ['50', 'in', 'the', 'U', 'S']
    """
    return _PUNCTUATION.sub(" ", text)


def ascii_words_only(text: str) -> str:
    """Keep A-Z, a-z, 0-9 and white space only, as many tutorials do (chapter cleaning_study)."""
    return _NOT_ASCII_WORD.sub(" ", text)


def replace_numbers(text: str) -> str:
    """Replace every number, with its separators and decimals, by `0` (chapter cleaning_study).

    Examples
    --------
    >>> replace_numbers("up 3.5 percent to $1,250")
    'up 0 percent to $0'
    """
    return _NUMBER.sub("0", text)


def remove_stop_words(text: str) -> str:
    """Remove the most frequent words of English, in any case (cleaning_study, "Stop words").

    White space is normalized on the way. Which list is used, `stop_words` says.

    Examples
    --------
    >>> remove_stop_words("The bank did not fail")
    'bank fail'
    """
    words, _ = stop_words()
    kept = _WORD.sub(lambda match: "" if match[0].lower() in words else match[0], text)
    return " ".join(kept.split())


@lru_cache(maxsize=1)
def stop_words() -> tuple[frozenset[str], str]:
    """Return English stop words in lower case, and their source (cleaning_study, "Stop words").

    Nothing is downloaded. The source is "NLTK" if its data set is on this machine (`NLTK_DATA`
    names the folder); else "spaCy", whose list comes with the library.
    """
    from nltk.corpus import stopwords

    try:
        return frozenset(stopwords.words("english")), "NLTK"
    except LookupError:
        from spacy.lang.en.stop_words import STOP_WORDS

        return frozenset(STOP_WORDS), "spaCy"


def stem_words(text: str) -> str:
    """Cut endings with Porter's rules (Porter 1980); the case stays (cleaning_study, "Stemming").

    Porter's stemmer applied to its own output cuts again (`universities`, `univers`, `univ`), so
    each word is stemmed until nothing changes. Lower case is a step of its own, so that the two
    can be told apart.

    Examples
    --------
    >>> stem_words("Universities and universes")
    'Univ and univ'
    """
    return _WORD.sub(lambda match: _stem_as_written(match[0]), text)


@lru_cache(maxsize=200_000)
def _stem_as_written(word: str) -> str:
    """Stem a word in lower case, then give the letters that stayed their case again."""
    lower = word.lower()
    stem = _stem(lower)
    if word == lower or len(word) != len(lower):
        return stem
    pairs = enumerate(zip(lower, stem, strict=False))
    same = next((i for i, (a, b) in pairs if a != b), min(len(lower), len(stem)))
    return word[:same] + stem[same:]


@lru_cache(maxsize=200_000)
def _stem(word: str) -> str:
    stemmer = _porter()
    seen = {word}
    while (shorter := stemmer.stem(word)) not in seen:
        seen.add(shorter)
        word = shorter
    return _stem(word.rstrip("'")) if word.endswith("'") else word


@lru_cache(maxsize=1)
def _porter() -> PorterStemmer:
    from nltk.stem import PorterStemmer

    return PorterStemmer()
