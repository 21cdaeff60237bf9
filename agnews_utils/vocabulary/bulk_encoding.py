"""Chapter vocabulary, for many texts: tokenize, build the vocabulary and encode at once.

The same result as `tokenize_all`, `build_vocab` and `encode` one after the other, in less time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from agnews_utils.vocabulary.vocab import (
    TOKEN_PATTERN,
    Vocab,
    paused_garbage_collection,
    vocab_from_counts,
)


class _Numbers(dict):
    """Number keys in the order in which they first come."""

    def __missing__(self, key: str) -> int:
        self[key] = number = len(self)
        return number


def build_and_encode(
    train_texts: Sequence[str],
    *other_texts: Sequence[str],
    min_freq: int = 1,
    max_tokens: int | None = None,
) -> tuple[Vocab, list[list[list[int]]]]:
    """Build a vocabulary on training texts, and encode them and others (vocabulary, "All at once").

    No token crosses white space, and few chunks between white space make up most of a text. So each
    different chunk is cut and looked up once, and the texts are put together from the results.

    Parameters
    ----------
    train_texts : sequence of str
        Cleaned training texts; the vocabulary knows their tokens only.
    *other_texts : sequences of str
        Cleaned texts that are encoded only, such as validation texts.
    min_freq, max_tokens
        See `build_vocab`.

    Returns
    -------
    vocab : Vocab
        As `build_vocab(tokenize_all(train_texts), min_freq, max_tokens)` builds it.
    sequences : list
        For `train_texts` and each of `other_texts` the ids of its texts, as `encode` gives them.
    """
    parts = [train_texts, *other_texts]
    with paused_garbage_collection():
        numbers, in_text, chunks = _number_chunks(parts)
        in_training = np.bincount(
            chunks[: sum(in_text[: len(train_texts)])], minlength=len(numbers)
        ).tolist()
        pieces = [TOKEN_PATTERN.findall(chunk) for chunk in numbers]  # the tokens of each chunk
        counts: Counter[str] = Counter()
        for tokens, times in zip(pieces, in_training, strict=True):
            if times:
                for token in tokens:
                    counts[token] += times
        vocab = vocab_from_counts(counts, min_freq, max_tokens)
        flat, ends = _put_together(pieces, vocab, in_text, chunks)
        encoded = [flat[start:end] for start, end in pairwise([0, *ends])]
    borders = np.cumsum([0, *(len(texts) for texts in parts)])
    return vocab, [encoded[start:end] for start, end in pairwise(borders)]


def _number_chunks(parts: list[Sequence[str]]) -> tuple[_Numbers, list[int], np.ndarray]:
    """Return the number of each chunk, the chunks in each text, and the numbers of all chunks."""
    numbers = _Numbers()
    in_text: list[int] = []
    found: list[int] = []
    for texts in parts:
        for text in texts:
            chunks = text.lower().split()
            in_text.append(len(chunks))
            found += map(numbers.__getitem__, chunks)
    return numbers, in_text, np.array(found, dtype=np.int64)


def _put_together(
    pieces: list[list[str]], vocab: Vocab, in_text: list[int], chunks: np.ndarray
) -> tuple[list[int], list[int]]:
    """Return the ids of all texts in one list, and where each text ends in it."""
    ids = np.array(vocab([token for tokens in pieces for token in tokens]), dtype=np.int64)
    widths = np.array([len(tokens) for tokens in pieces], dtype=np.int64)
    starts = np.cumsum(widths) - widths  # where the ids of each different chunk begin
    chunk_widths = widths[chunks]
    chunk_ends = np.cumsum(chunk_widths)
    # Position p of the result lies in some chunk of the texts: it is as far behind the beginning of
    # that chunk as its id is behind the beginning of the chunk's ids.
    shift = starts[chunks] - (chunk_ends - chunk_widths)
    flat = ids[np.arange(chunk_widths.sum()) + np.repeat(shift, chunk_widths)]
    text_ends = np.concatenate([[0], chunk_ends])[np.cumsum(in_text, dtype=np.int64)]
    return flat.tolist(), text_ends.astype(np.int64).tolist()
