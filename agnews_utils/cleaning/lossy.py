"""Steps that throw information away: case, punctuation, numbers, stop words, endings (cleaning).

Textbooks list them as cleaning. They repair nothing, so they are not in the default pipeline;
chapter cleaning, "Does it help?", measures what each of them does to a classifier.
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
    """Make all letters small: `US` and `us` become one (cleaning, "Case, punctuation, numbers")."""
    return text.lower()


def strip_punctuation(text: str) -> str:
    """Replace everything but letters, digits and white space by a space (chapter cleaning).

    Examples
    --------
    >>> strip_punctuation("$50 in the U.S.").split()
    ['50', 'in', 'the', 'U', 'S']
    """
    return _PUNCTUATION.sub(" ", text)


def ascii_words_only(text: str) -> str:
    """Keep A-Z, a-z, 0-9 and white space only: the recipe of many tutorials (chapter cleaning)."""
    return _NOT_ASCII_WORD.sub(" ", text)


def replace_numbers(text: str) -> str:
    """Replace every number, thousands separators and decimals included, by `0` (chapter cleaning).

    Examples
    --------
    >>> replace_numbers("up 3.5 percent to $1,250")
    'up 0 percent to $0'
    """
    return _NUMBER.sub("0", text)


def remove_stop_words(text: str) -> str:
    """Remove the most frequent words of English, in any case (cleaning, "Stop words").

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
    """Return English stop words in lower case, and their source (cleaning, "Stop words").

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
    """Cut the endings of all words with Porter's rules (Porter 1980), in lower case (cleaning).

    Porter's stemmer applied to its own output cuts again (`universities`, `univers`, `univ`), so
    each word is stemmed until nothing changes.

    Examples
    --------
    >>> stem_words("Universities and universes")
    'univ and univ'
    """
    return _WORD.sub(lambda match: _stem(match[0]), text)


@lru_cache(maxsize=200_000)
def _stem(word: str) -> str:
    stemmer = _porter()
    seen = {word}
    while (shorter := stemmer.stem(word)) not in seen:
        seen.add(shorter)
        word = shorter
    return word


@lru_cache(maxsize=1)
def _porter() -> PorterStemmer:
    from nltk.stem import PorterStemmer

    return PorterStemmer()
