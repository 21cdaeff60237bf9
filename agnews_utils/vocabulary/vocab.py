"""Chapter vocabulary: cut texts into tokens, number the tokens, turn texts into ids.

Nothing here needs torch. Padding, masks and batches do: see `agnews_utils.vocabulary.batching`.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from agnews_utils.data.duplicates import list_of_texts
from agnews_utils.files import write_text

# ------------------------------------------------------------------------------------------ tokens

#: What counts as a token, the first alternative that fits (vocabulary, "One pattern").
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
    """Cut a text into lower-case tokens (vocabulary, "One pattern"), in linear time.

    No token is empty or holds white space; a blank text has none.

    Examples
    --------
    >>> tokenize("The U.S. giant's $1,234.50 didn't")
    ['the', 'u.s.', 'giant', "'s", '$1,234.50', "didn't"]
    """
    return TOKEN_PATTERN.findall(text.lower())


def tokenize_all(texts: Iterable[str]) -> list[list[str]]:
    """Return `[tokenize(text) for text in texts]` in about half of the time.

    Raises
    ------
    TypeError
        If `texts` is one string, or one of them is no text.
    """
    with _paused_garbage_collection():
        return list(map(_ChunkTokenizer(), list_of_texts(texts)))


class _ChunkTokenizer(dict[str, tuple[str, ...]]):
    """`tokenize`, remembering the tokens of each chunk between white space.

    No token crosses white space, and few different chunks make up most of a text.
    """

    def __call__(self, text: str) -> list[str]:
        return list(chain.from_iterable(map(self.__getitem__, text.lower().split())))

    def __missing__(self, chunk: str) -> tuple[str, ...]:
        self[chunk] = tokens = tuple(TOKEN_PATTERN.findall(chunk))
        return tokens


@contextmanager
def _paused_garbage_collection() -> Iterator[None]:
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
    """Return runs of `n` neighboring tokens, joined by a space (vocabulary, "Texts as vectors")."""
    tokens = _checked_tokens(tokens)
    return [" ".join(tokens[start : start + n]) for start in range(len(tokens) - n + 1)]


def _checked_token(token: str) -> str:
    if not isinstance(token, str):
        raise TypeError(f"a token is a str, got {token!r} of type {type(token).__name__}")
    return token


def _checked_tokens(tokens: Sequence[str]) -> Sequence[str]:
    if isinstance(tokens, str):
        raise TypeError(f"expected a list of tokens, got the text {tokens[:40]!r}; tokenize it")
    return tokens


# -------------------------------------------------------------------------------------- vocabulary

PAD, UNK = "<pad>", "<unk>"
PAD_INDEX, UNK_INDEX = 0, 1
_FORMAT = "agnews_utils vocabulary 1"


class VocabError(RuntimeError):
    """A vocabulary was asked for something that it does not hold; torchtext's is RuntimeError."""


class VocabFileError(ValueError):
    """A vocabulary file is missing parts, was changed, or is no vocabulary file."""


class Vocab:
    """Tokens and their indices, with the methods of torchtext's `Vocab` (vocabulary, "Vocab").

    Parameters
    ----------
    tokens : iterable of str
        The tokens, each once; the first has index 0.
    default_index : int, optional
        Index of any token that the vocabulary does not hold. Without it such a token is an error.

    Raises
    ------
    TypeError
        If a token is not a str.
    VocabError
        If a token occurs twice: `<pad>` and `<unk>` must not share an index, nor must any others.
    """

    def __init__(self, tokens: Iterable[str] = (), default_index: int | None = None) -> None:
        self._itos = [_checked_token(token) for token in tokens]
        self._stoi = _Indices({token: index for index, token in enumerate(self._itos)})
        self._stoi.default = default_index
        if len(self._stoi) < len(self._itos):
            twice, _ = Counter(self._itos).most_common(1)[0]
            raise VocabError(f"token {twice!r} occurs more than once: each needs its own index")

    def __len__(self) -> int:
        return len(self._itos)

    def __contains__(self, token: str) -> bool:
        return token in self._stoi

    def __getitem__(self, token: str) -> int:
        """Return the index of a token; see `lookup_indices`."""
        return self.lookup_indices([_checked_token(token)])[0]

    def __call__(self, tokens: Sequence[str]) -> list[int]:
        """Return the indices of tokens; see `lookup_indices`."""
        return self.lookup_indices(tokens)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocab):
            return NotImplemented
        return (self._itos, self._stoi.default) == (other._itos, other._stoi.default)

    __hash__ = None  # type: ignore[assignment]  # a vocabulary can grow

    def __repr__(self) -> str:
        return f"Vocab({len(self):,} tokens, default index {self._stoi.default})"

    def lookup_indices(self, tokens: Sequence[str]) -> list[int]:
        """Return the indices of tokens.

        Raises
        ------
        VocabError
            If a token is not in the vocabulary and no default index is set.
        TypeError
            If `tokens` is a single str: it would be looked up letter by letter.
        """
        return list(map(self._stoi.__getitem__, _checked_tokens(tokens)))

    def lookup_token(self, index: int) -> str:
        """Return the token at an index; VocabError if there is none."""
        if not 0 <= index < len(self):
            raise VocabError(f"index {index} is not one of the vocabulary's 0 to {len(self) - 1}")
        return self._itos[index]

    def lookup_tokens(self, indices: Sequence[int]) -> list[str]:
        """Return the tokens at indices; VocabError if one of them has none."""
        return [self.lookup_token(index) for index in indices]

    def get_stoi(self) -> dict[str, int]:
        """Return a copy of the mapping token -> index ("string to index")."""
        return dict(self._stoi)

    def get_itos(self) -> list[str]:
        """Return a copy of the list of tokens by index ("index to string")."""
        return list(self._itos)

    def set_default_index(self, index: int | None) -> None:
        """Set the index of any token that is not in the vocabulary; None: such a token is an error.

        As in torchtext the index need not belong to a token of the vocabulary.
        """
        self._stoi.default = index

    def get_default_index(self) -> int | None:
        """Return the index of any token that is not in the vocabulary, or None."""
        return self._stoi.default

    def append_token(self, token: str) -> None:
        """Add a token at the end; VocabError if the vocabulary holds it."""
        self.insert_token(token, len(self))

    def insert_token(self, token: str, index: int) -> None:
        """Add a token at an index; every later token moves up by one.

        Raises
        ------
        VocabError
            If the vocabulary holds the token, or if the index is not between 0 and its length.
        """
        if _checked_token(token) in self._stoi:
            raise VocabError(f"token {token!r} is there already, at index {self._stoi[token]}")
        if not 0 <= index <= len(self):
            raise VocabError(f"cannot insert at {index}: expected an index from 0 to {len(self)}")
        self._itos.insert(index, token)
        for position in range(index, len(self)):
            self._stoi[self._itos[position]] = position

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary as JSON with a checksum (vocabulary, "Save and load").

        The file is written beside its place first and then renamed: never half a vocabulary.
        """
        content = _file_content(self._itos, self._stoi.default)
        # One token a line: a reader can look at the file, and `diff` shows what changed.
        write_text(Path(path), json.dumps(content, indent=0) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Vocab:
        """Read a vocabulary that `save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        VocabFileError
            If the file is cut off, was changed, or is not a vocabulary file.
        """
        name = Path(path).name
        try:
            content = json.loads(Path(path).read_bytes())
        except (ValueError, RecursionError) as error:
            raise VocabFileError(
                f"{name} is cut off, or is no vocabulary file ({error}): save the vocabulary again"
            ) from None
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise VocabFileError(f"{name} is not a vocabulary file: expected 'format': {_FORMAT!r}")
        tokens, default_index = content.get("tokens"), content.get("default_index")
        tokens = tokens if isinstance(tokens, list) else []
        # Written again from its tokens, the file must come out as it is: that covers the checksum,
        # the size, and anything added.
        if content != _file_content(tokens, default_index):
            raise VocabFileError(
                f"{name} was changed after it was saved (its checksum does not match): a model "
                "trained with the old indices would read wrong words; restore it or build it again"
            )
        return cls(tokens, default_index)


class _Indices(dict[str, int]):
    """Token -> index; a token that is missing has the index `default`, or is an error."""

    default: int | None = None

    def __missing__(self, token: str) -> int:
        if self.default is not None:
            return self.default
        raise VocabError(
            f"token {token!r} is not in the vocabulary and no default index is set: "
            f"call set_default_index(vocab[{UNK!r}])"
        )


def _file_content(tokens: list[str], default_index: int | None) -> dict[str, Any]:
    checksum = hashlib.sha256(json.dumps([default_index, tokens]).encode()).hexdigest()
    return {
        "format": _FORMAT,
        "size": len(tokens),
        "default_index": default_index,
        "sha256": checksum,
        "tokens": tokens,
    }


def build_vocab(
    token_lists: Iterable[Sequence[str]],
    min_freq: int = 1,
    max_tokens: int | None = None,
    specials: Sequence[str] = (PAD, UNK),
    special_first: bool = True,
) -> Vocab:
    """Build a vocabulary, the most frequent token first (vocabulary, "Vocab").

    Order and selection are those of torchtext 0.18's `build_vocab_from_iterator`: equal counts are
    in alphabetical order, and a special token that the texts contain too still uses up one of the
    `max_tokens` places. What differs: if `<unk>` is among the specials, it is the default index.

    Parameters
    ----------
    token_lists : iterable of sequences of str
        One list of tokens per text: training rows only.
    min_freq : int
        Tokens that occur less often are left out.
    max_tokens : int, optional
        Size limit, the specials included.
    specials : sequence of str
        Tokens that do not come from the texts, in order.
    special_first : bool
        Whether the specials have the first or the last indices.

    Raises
    ------
    TypeError
        If a text was not tokenized, or a token is not a str.
    ValueError
        If `min_freq` is below 1, or `max_tokens` leaves no room beside the specials.
    VocabError
        If a special occurs twice.
    """
    if min_freq < 1:
        raise ValueError(f"min_freq={min_freq}: expected 1 or more")
    if max_tokens is not None and max_tokens <= len(specials):
        raise ValueError(
            f"max_tokens={max_tokens}: expected more than {len(specials)}, the specials"
        )
    counts = _token_counts(token_lists)
    for token in counts:
        _checked_token(token)
    # Two stable sorts: by token, then by falling count, so that ties stay in alphabetical order.
    order = sorted(sorted(counts), key=counts.__getitem__, reverse=True)
    if max_tokens is not None:
        order = order[: max_tokens - len(specials)]
    reserved = set(specials)
    words = [token for token in order if counts[token] >= min_freq and token not in reserved]
    vocab = Vocab([*specials, *words] if special_first else [*words, *specials])
    if UNK in reserved:
        vocab.set_default_index(vocab[UNK])
    return vocab


def _token_counts(token_lists: Iterable[Sequence[str]]) -> Counter[str]:
    if isinstance(token_lists, str):
        raise TypeError("token_lists is one string: give a list of tokenized texts.")
    return Counter(chain.from_iterable(map(_checked_tokens, token_lists)))


def encode(
    texts: Iterable[str | Sequence[str]],
    vocab: Vocab,
    tokenizer: Callable[[str], list[str]] = tokenize,
    max_length: int | None = None,
) -> list[list[int]]:
    """Turn texts into lists of indices, one list a text (vocabulary, "Numbers for the network").

    Parameters
    ----------
    texts : iterable of str, or of sequences of str
        Cleaned texts, or texts that are tokenized already.
    vocab : Vocab
        The vocabulary, built on training rows with the same tokenizer.
    tokenizer : callable
        Text -> tokens.
    max_length : int, optional
        Longer texts keep their first `max_length` tokens.

    Raises
    ------
    TypeError
        If `texts` is one string.
    """
    if isinstance(texts, str):
        raise TypeError("texts is one string: give a list or a column of texts.")
    cut = _ChunkTokenizer() if tokenizer is tokenize else tokenizer
    with _paused_garbage_collection():
        token_lists = (cut(text) if isinstance(text, str) else _token_list(text) for text in texts)
        return [vocab.lookup_indices(tokens[:max_length]) for tokens in token_lists]


def _token_list(tokens: Sequence[str]) -> Sequence[str]:
    if not hasattr(tokens, "__getitem__"):
        raise TypeError(
            f"a text is {tokens!r}, not a string or a list of tokens: fill missing texts with "
            '"" first.'
        )
    return tokens


# ------------------------------------------------------------------------ how many words there are


def coverage(token_lists: Iterable[Sequence[str]], vocab: Vocab) -> float:
    """Return the share of running tokens that a vocabulary holds (vocabulary, "What it covers").

    Raises
    ------
    ValueError
        If there is not a single token.
    """
    counts = _token_counts(token_lists)
    if not counts:
        raise ValueError("coverage needs at least one token, and these texts have none")
    return sum(count for token, count in counts.items() if token in vocab) / counts.total()


def vocabulary_growth(token_lists: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Count running tokens and distinct tokens after each text (vocabulary, "How many words").

    Returns
    -------
    (running, distinct) : arrays of int, shape (texts,)
    """
    if isinstance(token_lists, str):
        raise TypeError("token_lists is one string: give a list of tokenized texts.")
    seen: set[str] = set()
    distinct = np.empty(len(token_lists), dtype=np.int64)
    for position, tokens in enumerate(token_lists):
        seen.update(_checked_tokens(tokens))
        distinct[position] = len(seen)
    return np.cumsum([len(tokens) for tokens in token_lists], dtype=np.int64), distinct


def power_law(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Fit y = factor * x ** exponent by least squares on the logarithms.

    Parameters
    ----------
    x, y : arrays of positive numbers, shape (points,)

    Returns
    -------
    (exponent, factor) : float, float
    """
    exponent, log_factor = np.polyfit(np.log(x), np.log(y), 1)
    return float(exponent), float(np.exp(log_factor))
