"""Chapter 6, section "Scores behind the decision": losses of probabilities, ROC and PR curves."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from agnews_utils.evaluation_checks import checked_labels, checked_probabilities, checked_scores


def log_loss(true: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the mean negative logarithm of the right class's probability, in nats a row.

    A probability of 0 counts as the smallest step of 64-bit numbers, so that one row that is wrong
    with full certainty costs about 36 nats instead of infinity, as in scikit-learn.

    Parameters
    ----------
    true : array (rows,)
        Classes from 0.
    probabilities : array (rows, classes)
        Each row sums to 1.

    Raises
    ------
    ValueError
        If the shapes do not fit, a label is out of range, or a row is no probability.
    """
    true, probabilities = _checked(true, probabilities)
    smallest = np.finfo(np.float64).eps
    chosen = np.clip(probabilities[np.arange(len(true)), true], smallest, 1 - smallest)
    return float(-np.log(chosen).mean())


def brier_score(true: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the mean squared distance of the probabilities from the truth (Brier 1950).

    Summed over the classes: 0 is perfect, 2 the worst. Arguments and errors as in `log_loss`.
    """
    true, probabilities = _checked(true, probabilities)
    truth = np.eye(probabilities.shape[1])[true]  # (rows, classes)
    return float(((probabilities - truth) ** 2).sum(axis=1).mean())


def roc_curve(positive: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the ROC curve of one class against the rest.

    Parameters
    ----------
    positive : array of bool (rows,)
        Whether the row is of the class: `true == k`.
    scores : array (rows,)
        Its probability: `probabilities[:, k]`.

    Returns
    -------
    false_positive_rate, true_positive_rate, thresholds : ndarray (points,)
        Rates among the rows with a score of at least the threshold, from the threshold infinity
        (no row) down to the smallest score; equal scores give one point. A rate is nan where no
        row is negative, or none positive.

    Raises
    ------
    ValueError
        If the shapes differ, a flag is not True or False, or a score is not finite.
    """
    hits, alarms, thresholds = _counts_by_threshold(*checked_scores(positive, scores))
    with np.errstate(invalid="ignore"):
        rates = [np.concatenate([[0.0], counts]) / counts[-1] for counts in (alarms, hits)]
    return rates[0], rates[1], np.concatenate([[np.inf], thresholds])


def precision_recall_curve(
    positive: ArrayLike, scores: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the precision-recall curve of one class against the rest; arguments as `roc_curve`.

    Returns
    -------
    precision, recall, thresholds : ndarray (points,)
        From the highest threshold to the lowest. Where no row is positive, every recall is 1, as
        in scikit-learn, whose arrays run the other way and have one point more.
    """
    hits, alarms, thresholds = _counts_by_threshold(*checked_scores(positive, scores))
    recall = hits / hits[-1] if hits[-1] else np.ones(len(hits))
    return hits / (hits + alarms), recall, thresholds


def area_under(x: ArrayLike, y: ArrayLike) -> float:
    """Return the area under a line through points with rising x, by the trapezoid rule."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    return float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum())


def roc_auc(true: ArrayLike, probabilities: ArrayLike) -> np.ndarray:
    """Return each class's area under the ROC curve, one against the rest.

    It is the share of pairs (a row of the class, another row) in which the row of the class has the
    higher score; ties count half (Hanley and McNeil 1982).

    Returns
    -------
    ndarray (classes,)
        nan for a class that no row has, or that all rows have.
    """
    true, probabilities = _checked(true, probabilities)
    return np.array(
        [area_under(*roc_curve(true == k, scores)[:2]) for k, scores in enumerate(probabilities.T)]
    )


def average_precision(positive: ArrayLike, scores: ArrayLike) -> float:
    """Return the mean precision at each step of the recall; 0 where no row is positive."""
    precision, recall, _ = precision_recall_curve(positive, scores)
    if not np.any(positive):
        return 0.0
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def average_precisions(true: ArrayLike, probabilities: ArrayLike) -> np.ndarray:
    """Return each class's average precision, one against the rest, shape (classes,)."""
    true, probabilities = _checked(true, probabilities)
    return np.array([average_precision(true == k, p) for k, p in enumerate(probabilities.T)])


def _checked(true: ArrayLike, probabilities: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    probabilities = checked_probabilities(probabilities, true)
    return checked_labels(true, probabilities.shape[1]), probabilities


def _counts_by_threshold(
    positive: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count positive and negative rows at or above each different score, the highest first."""
    order = np.argsort(-scores, kind="stable")
    positive, scores = positive[order], scores[order]
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # last row of each score
    hits = np.cumsum(positive, dtype=float)[last]
    return hits, 1 + last - hits, scores[last]
