"""Chapter 6, section "How sure are we?": intervals from drawing the test rows again and again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from agnews_utils.evaluation_checks import checked_flags, require_same_rows


def bootstrap_interval(
    statistic: Callable[..., float],
    *columns: ArrayLike,
    draws: int = 1_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile interval of any score (Efron 1979; chapter 6, "How sure are we?").

    Parameters
    ----------
    statistic : callable
        Computes the score of drawn rows: `statistic(*columns)`.
    *columns : arrays (rows, ...)
        What it is computed from, such as true and predicted labels. All are drawn together.
    draws : int
        Number of test sets drawn, each of as many rows as there are, with replacement.
    confidence : float
        Share of the drawn scores inside the interval.
    seed : int
        Of the draws.

    Returns
    -------
    tuple of float
        Lower and upper end, in the units of the score.

    Raises
    ------
    ValueError
        If there is no column or no row, the columns differ in length, or a setting is impossible.
    """
    _check_settings(draws, confidence)
    if not columns:
        raise ValueError("columns: give at least one array to draw rows from.")
    arrays = [np.asarray(column) for column in columns]
    rows = len(arrays[0])
    if rows == 0:
        raise ValueError("column 0 is empty: a score needs at least one row.")
    for number, array in enumerate(arrays):
        require_same_rows(arrays[0], array, f"column {number}")
    rng = np.random.default_rng(seed)
    scores = []
    for _ in range(draws):
        drawn = rng.integers(rows, size=rows)
        scores.append(statistic(*(array[drawn] for array in arrays)))
    return _middle(np.array(scores), confidence)


@dataclass(frozen=True)
class PairedDifference:
    """How far the accuracies of two models on the same rows are apart.

    Attributes
    ----------
    difference : float
        Accuracy of the first model minus that of the second, as a share.
    low, high : float
        Its interval.
    p_value : float
        Two-sided: how often a drawn difference lies on the other side of zero, twice.
    """

    difference: float
    low: float
    high: float
    p_value: float


def paired_bootstrap(
    right_a: ArrayLike,
    right_b: ArrayLike,
    draws: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> PairedDifference:
    """Compare two models by drawing test rows, the same rows for both.

    A drawn difference depends only on how many drawn rows the first model alone got right and how
    many the second alone. These counts follow a multinomial distribution, so they are drawn at
    once: the same distribution as drawing row by row, thousands of times faster (chapter 6, "How
    sure are we?").

    Parameters
    ----------
    right_a, right_b : array of bool (rows,)
        Whether each model is right on each row.
    draws, confidence, seed
        As in `bootstrap_interval`.

    Raises
    ------
    ValueError
        If the lengths differ, an entry is not True or False, or a setting is impossible.
    """
    _check_settings(draws, confidence)
    only_a, only_b, rows = disagreement(right_a, right_b)
    shares = [only_a / rows, only_b / rows, (rows - only_a - only_b) / rows]
    counts = np.random.default_rng(seed).multinomial(rows, shares, size=draws)
    drawn = (counts[:, 0] - counts[:, 1]) / rows
    low, high = _middle(drawn, confidence)
    p_value = min(1.0, 2 * min((drawn <= 0).mean(), (drawn >= 0).mean()))
    return PairedDifference((only_a - only_b) / rows, low, high, float(p_value))


def disagreement(right_a: ArrayLike, right_b: ArrayLike) -> tuple[int, int, int]:
    """Count the rows that only the first model got right, only the second, and all rows."""
    right_a, right_b = checked_flags(right_a, "right_a"), checked_flags(right_b, "right_b")
    require_same_rows(right_a, right_b, "right_b")
    return int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum()), len(right_a)


def _check_settings(draws: int, confidence: float) -> None:
    if draws < 1:
        raise ValueError(f"draws={draws}: expected 1 or more, better 1,000.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence}: expected a share between 0 and 1.")


def _middle(values: np.ndarray, confidence: float) -> tuple[float, float]:
    outside = 50 * (1 - confidence)  # percent on either side
    low, high = np.percentile(values, [outside, 100 - outside])
    return float(low), float(high)
