"""Chapter 6, sections "Who beats whom" and "What does it cost?": compare models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil, erfc, sqrt
from statistics import NormalDist

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from agnews_utils.bootstrap import disagreement


@dataclass(frozen=True)
class McNemar:
    """Outcome of McNemar's test.

    Attributes
    ----------
    only_a, only_b : int
        Rows that only the first, only the second model got right. All others tell nothing.
    p_value : float
        How often models of equal accuracy would differ at least that much on so many such rows.
    """

    only_a: int
    only_b: int
    p_value: float


def mcnemar(right_a: ArrayLike, right_b: ArrayLike, exact: bool = True) -> McNemar:
    """Test whether two models have the same accuracy, on the same rows (McNemar 1947).

    Parameters
    ----------
    right_a, right_b : array of bool (rows,)
        Whether each model is right on each row.
    exact : bool
        True: the two-sided binomial test of a fair coin. False: the chi-squared approximation with
        continuity correction (Edwards 1948), (|a - b| - 1)^2 / (a + b), never below 0.

    Raises
    ------
    ValueError
        If the lengths differ, or an entry is not True or False.
    """
    only_a, only_b, _ = disagreement(right_a, right_b)
    tosses = only_a + only_b
    if tosses == 0:
        return McNemar(0, 0, 1.0)
    if exact:
        # Whole numbers of any size, so that nothing is rounded before the one division.
        tail, ways = 0, 1  # ways: how many of the 2 ** tosses outcomes have so many heads
        for heads in range(min(only_a, only_b) + 1):
            tail += ways
            ways = ways * (tosses - heads) // (heads + 1)
        return McNemar(only_a, only_b, min(1.0, 2 * tail / 2**tosses))
    statistic = max(abs(only_a - only_b) - 1, 0) ** 2 / tosses
    return McNemar(only_a, only_b, erfc(sqrt(statistic / 2)))


def holm(p_values: ArrayLike) -> np.ndarray:
    """Raise p-values so that many comparisons may be read at once (Holm 1979).

    Who compares 36 pairs at the level 0.05 finds about two differences where there is none. After
    this correction the chance of even one such finding is at most 0.05.

    Parameters
    ----------
    p_values : array (comparisons,)
        Numbers from 0 to 1.

    Returns
    -------
    ndarray (comparisons,)
        Corrected values in the same order, at most 1.

    Raises
    ------
    ValueError
        If an entry is not from 0 to 1.
    """
    p_values = np.asarray(p_values, dtype=float)
    bad = np.flatnonzero(~((p_values >= 0) & (p_values <= 1)))
    if len(bad):
        raise ValueError(f"p_values, entry {bad[0]}, is {p_values[bad[0]]}: expected 0 to 1.")
    order = np.argsort(p_values, kind="stable")
    raised = p_values[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return corrected


def compare_all(right: Mapping[str, ArrayLike]) -> pd.DataFrame:
    """Compare every two models on the same rows (chapter 6, "Who beats whom").

    Parameters
    ----------
    right : mapping
        Name of the model -> whether it is right, array of bool (rows,).

    Returns
    -------
    DataFrame
        One line a pair: the names `a` and `b`, `difference` (accuracy of a minus that of b, a
        share), `only_a`, `only_b` (rows), `p_value` (exact McNemar test) and `p_holm`.

    Raises
    ------
    ValueError
        If there are fewer than two models, or their rows differ.
    """
    if len(right) < 2:
        raise ValueError(f"right has {len(right)} model: a comparison needs two.")
    lines = []
    for a, b in combinations(right, 2):
        test = mcnemar(right[a], right[b])
        difference = (test.only_a - test.only_b) / len(np.asarray(right[a]))
        lines.append((a, b, difference, test.only_a, test.only_b, test.p_value))
    columns = ["a", "b", "difference", "only_a", "only_b", "p_value"]
    table = pd.DataFrame(lines, columns=columns)
    return table.assign(p_holm=holm(table["p_value"]))


def rows_to_tell(
    accuracy_a: float,
    accuracy_b: float,
    disagreement: float | None = None,
    power: float = 0.8,
    confidence: float = 0.95,
) -> int:
    """Return how many test rows it takes to tell two accuracies apart.

    Parameters
    ----------
    accuracy_a, accuracy_b : float
        The two accuracies, as shares.
    disagreement : float, optional
        Share of the rows on which exactly one of the models is right, if both are tested on the
        same rows (Connor 1987). Without it each has test rows of its own, and the number is that
        for each (Fleiss 1981, without continuity correction).
    power : float
        Chance that the difference is found.
    confidence : float
        1 minus the chance to find one where there is none; two-sided.

    Raises
    ------
    ValueError
        If the accuracies are equal or not between 0 and 1, or differ by more than `disagreement`
        allows, or a share is out of range.

    Examples
    --------
    >>> rows_to_tell(0.92, 0.925)
    44891
    """
    for name, share in {"accuracy_a": accuracy_a, "accuracy_b": accuracy_b, "power": power,
                        "confidence": confidence}.items():  # fmt: skip
        if not 0 < share < 1:
            raise ValueError(f"{name}={share}: expected a share between 0 and 1, not percent.")
    gap = abs(accuracy_a - accuracy_b)
    if gap == 0:
        raise ValueError("accuracy_a and accuracy_b are equal: no number of rows tells them apart.")
    if disagreement is not None and not gap <= disagreement <= 1:
        raise ValueError(
            f"disagreement={disagreement}: models whose accuracies differ by {gap:.4g} disagree on "
            "at least that share of the rows, and at most on all."
        )
    false_alarm, found = (NormalDist().inv_cdf(q) for q in ((1 + confidence) / 2, power))
    if disagreement is None:
        mean = (accuracy_a + accuracy_b) / 2
        without = sqrt(2 * mean * (1 - mean))
        spread = sqrt(accuracy_a * (1 - accuracy_a) + accuracy_b * (1 - accuracy_b))
    else:
        without = sqrt(disagreement)
        spread = sqrt(disagreement - gap**2)
    return ceil(((false_alarm * without + found * spread) / gap) ** 2)


def pareto_front(costs: Sequence[float], scores: Sequence[float]) -> np.ndarray:
    """Mark what nobody beats: no other is as cheap and better, or as good and cheaper.

    Parameters
    ----------
    costs, scores : sequence of float (models,)
        Less cost and more score are better (chapter 6, "What does it cost?").

    Returns
    -------
    ndarray of bool (models,)
        True on the front. Models that agree in both stay together.

    Raises
    ------
    ValueError
        If the lengths differ, or a number is not finite.
    """
    costs, scores = np.asarray(costs, dtype=float), np.asarray(scores, dtype=float)
    if costs.shape != scores.shape or costs.ndim != 1:
        raise ValueError(
            f"costs has the shape {costs.shape}, scores {scores.shape}: expected one number each "
            "for every model."
        )
    for name, values in (("costs", costs), ("scores", scores)):
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise ValueError(f"{name}, entry {bad[0]}, is {values[bad[0]]}: expected a number.")
    as_cheap = costs[None, :] <= costs[:, None]  # (models, others)
    as_good = scores[None, :] >= scores[:, None]
    better = (costs[None, :] < costs[:, None]) | (scores[None, :] > scores[:, None])
    return ~(as_cheap & as_good & better).any(axis=1)
