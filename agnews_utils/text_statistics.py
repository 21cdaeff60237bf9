"""How many words there are: coverage, growth of the vocabulary, power laws (chapter 3).

Imported by chapter 3 through `agnews_utils.vocabulary`, which re-exports everything here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from agnews_utils.vocabulary import Vocab


def coverage(token_lists: Iterable[Sequence[str]], vocab: Vocab) -> float:
    """Return the share of running tokens that a vocabulary holds, 0 to 1 (chapter 3, "How large?").

    Raises
    ------
    ValueError
        If there is not a single token.
    """
    counts = Counter(token for tokens in token_lists for token in tokens)
    if not counts:
        raise ValueError("coverage needs at least one token, and these texts have none")
    return sum(count for token, count in counts.items() if token in vocab) / counts.total()


def vocabulary_growth(token_lists: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Count running tokens and distinct tokens after each text (chapter 3, "Zipf and Heaps").

    Returns
    -------
    (running, distinct) : arrays of int, shape (texts,)
    """
    seen: set[str] = set()
    distinct = np.empty(len(token_lists), dtype=np.int64)
    for position, tokens in enumerate(token_lists):
        seen.update(tokens)
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
