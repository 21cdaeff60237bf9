"""Chapter evaluation, one model: counts, averages, curves, losses, calibration.

All functions take class numbers from 0.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from agnews_utils.data.corpus import CLASS_NAMES

# -------------------------------------------------------- what every measure asks of its arguments

ROW_SUM_TOLERANCE = 1e-5
"""How far the sum of a row may be from 1: 32-bit rounding passes, 16-bit rounding does not."""


def checked_labels(labels: ArrayLike, classes: int, name: str = "true") -> np.ndarray:
    """Return labels as an array of whole numbers, shape (rows,).

    Raises
    ------
    ValueError
        If there are none, the shape is another, or one is not a class from 0 to `classes` - 1.
    """
    array = np.asarray(labels)
    if array.ndim != 1:
        raise ValueError(f"{name} has the shape {array.shape}: expected one label a row, (rows,).")
    if len(array) == 0:
        raise ValueError(f"{name} is empty: a score needs at least one row.")
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"{name}, row 0, is {array[0]!r}: expected class numbers from 0 to {classes - 1}, "
            "not names; frame['label'] has them."
        )
    whole = array == np.floor(array)  # False for nan, too
    bad = np.flatnonzero(~(whole & (array >= 0) & (array < classes)))
    if len(bad):
        raise ValueError(
            f"{name}, row {bad[0]}, is {array[bad[0]]}: expected a class from 0 to {classes - 1}; "
            "the files count from 1, so subtract 1 once."
        )
    return array.astype(np.int64)


def checked_pair(
    true: ArrayLike, predicted: ArrayLike, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return true and predicted labels, both of the shape (rows,); see `checked_labels`."""
    true = checked_labels(true, classes, "true")
    predicted = np.asarray(predicted)
    if predicted.ndim == 2:
        raise ValueError(
            f"predicted has the shape {predicted.shape}: expected labels, (rows,); of "
            "probabilities take argmax(axis=1)."
        )
    predicted = checked_labels(predicted, classes, "predicted")
    require_same_rows(true, predicted, "predicted")
    return true, predicted


def checked_probabilities(
    probabilities: ArrayLike, true: ArrayLike | None = None, name: str = "probabilities"
) -> np.ndarray:
    """Return probabilities as 64-bit numbers, shape (rows, classes).

    Parameters
    ----------
    probabilities : array (rows, classes)
        Each row sums to 1.
    true : array (rows,), optional
        Labels, whose number must fit.
    name : str
        Name of the argument, for the message.

    Raises
    ------
    ValueError
        If the shape is another, an entry is not from 0 to 1, or a row does not sum to 1.
    """
    array = np.asarray(probabilities, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] < 2 or len(array) == 0:
        raise ValueError(
            f"{name} has the shape {array.shape}: expected (rows, classes), one column a class."
        )
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{name}, row {bad[0]}, holds {array[bad[0]][~np.isfinite(array[bad[0]])][0]}: "
            "expected numbers from 0 to 1; look for a training run whose loss became nan."
        )
    bad = np.flatnonzero(((array < 0) | (array > 1 + ROW_SUM_TOLERANCE)).any(axis=1))
    if len(bad):
        raise ValueError(
            f"{name}, row {bad[0]}, holds {_outside(array[bad[0]]):.6g}: expected numbers from 0 "
            "to 1; apply the softmax to logits first."
        )
    bad = np.flatnonzero(np.abs(array.sum(axis=1) - 1) > ROW_SUM_TOLERANCE)
    if len(bad):
        raise ValueError(
            f"{name}, row {bad[0]}, sums to {array[bad[0]].sum():.6g}: expected 1; divide rows "
            "that were stored with few digits by their sum."
        )
    if true is not None:
        require_same_rows(true, array, name)
    return array


def checked_scores(positive: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return what a curve of one class needs: flags (rows,), and finite scores (rows,)."""
    flags, values = np.asarray(positive), np.asarray(scores, dtype=np.float64)
    if flags.ndim != 1 or len(flags) == 0:
        raise ValueError(
            f"positive has the shape {flags.shape}: expected a flag for each of one or more rows."
        )
    bad = np.flatnonzero(~np.isin(flags, (0, 1)))
    if len(bad):
        raise ValueError(
            f"positive, row {bad[0]}, is {flags[bad[0]]}: expected True or False; "
            "for class k that is true == k."
        )
    if values.shape != flags.shape:
        raise ValueError(
            f"scores has the shape {values.shape}, positive {flags.shape}: expected one score a "
            "row; for class k that is probabilities[:, k]."
        )
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise ValueError(f"scores, row {bad[0]}, is {values[bad[0]]}: expected a finite number.")
    return flags.astype(bool), values


def checked_flags(flags: ArrayLike, name: str) -> np.ndarray:
    """Return one True or False a row, shape (rows,): whether a model was right there."""
    array = np.asarray(flags)
    if array.ndim != 1 or len(array) == 0:
        raise ValueError(f"{name} has the shape {array.shape}: expected one flag a row, (rows,).")
    bad = np.flatnonzero(~np.isin(array, (0, 1)))
    if len(bad):
        raise ValueError(
            f"{name}, row {bad[0]}, is {array[bad[0]]}: expected True where the model was right "
            "and False where not, as in predicted == true."
        )
    return array.astype(bool)


def require_same_rows(first: ArrayLike, second: ArrayLike, name: str) -> None:
    """Raise a ValueError if two arrays do not speak of the same number of rows."""
    rows, others = len(np.asarray(first)), len(np.asarray(second))
    if rows != others:
        raise ValueError(
            f"{name} has {others:,} rows, the other argument {rows:,}: both must be of the same "
            "test rows, in the same order."
        )


def _outside(row: np.ndarray) -> float:
    """Return the entry that is furthest from the range 0 to 1."""
    return row[np.argmax(np.maximum(-row, row - 1))]


# ------------------------------------------------------------------------- counts and their ratios

CLASSES = len(CLASS_NAMES)
AVERAGES = ("macro", "micro", "weighted")


def confusion_matrix(true: ArrayLike, predicted: ArrayLike, classes: int = CLASSES) -> np.ndarray:
    """Count the rows of each true class (rows) that were given each class (columns).

    Parameters
    ----------
    true, predicted : array (rows,)
        Classes from 0 to `classes` - 1.
    classes : int
        Number of classes; a class that never occurs has a row and a column of zeros.

    Returns
    -------
    ndarray of int64 (classes, classes)
        The diagonal holds the right answers.

    Raises
    ------
    ValueError
        If the lengths differ, or a label is out of range; the message names argument and row.
    """
    true, predicted = checked_pair(true, predicted, classes)
    cells = np.bincount(true * classes + predicted, minlength=classes * classes)
    return cells.reshape(classes, classes)


def accuracy(true: ArrayLike, predicted: ArrayLike, classes: int = CLASSES) -> float:
    """Return the share of right answers, 0 to 1; errors as in `confusion_matrix`."""
    true, predicted = checked_pair(true, predicted, classes)
    return float((true == predicted).mean())


def precision_recall_f1(
    true: ArrayLike, predicted: ArrayLike, classes: int = CLASSES
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return precision, recall and F1 of each class (evaluation, "Four numbers a class").

    Precision is the share of a class's predictions that are right, recall the share of its rows
    that are found, F1 their harmonic mean (van Rijsbergen 1979). Where there is nothing to divide
    by, as for the recall of a class that never occurs, the value is 0.

    Returns
    -------
    tuple of three ndarrays (classes,)
        Errors as in `confusion_matrix`.
    """
    counts = confusion_matrix(true, predicted, classes)
    right, said, occurring = np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)
    return _ratio(right, said), _ratio(right, occurring), _ratio(2 * right, said + occurring)


def average_scores(
    true: ArrayLike, predicted: ArrayLike, average: str = "macro", classes: int = CLASSES
) -> tuple[float, float, float]:
    """Return precision, recall and F1 averaged over the classes.

    Parameters
    ----------
    true, predicted, classes
        As in `confusion_matrix`.
    average : {"macro", "micro", "weighted"}
        "macro": every class counts the same, also one that never occurs (as 0). "weighted": by its
        rows. "micro": all decisions in one pot; with one label a row, all three are the accuracy.

    Raises
    ------
    ValueError
        If the average is unknown; else as in `confusion_matrix`.
    """
    if average not in AVERAGES:
        raise ValueError(f"average={average!r}: expected one of {', '.join(AVERAGES)}.")
    if average == "micro":
        return (accuracy(true, predicted, classes),) * 3
    scores = precision_recall_f1(true, predicted, classes)
    rows = np.bincount(np.asarray(true).astype(np.int64), minlength=classes)
    weights = rows if average == "weighted" else np.ones(classes)
    return tuple(float(np.average(values, weights=weights)) for values in scores)


def balanced_accuracy(true: ArrayLike, predicted: ArrayLike, classes: int = CLASSES) -> float:
    """Return the mean recall of the classes that occur (evaluation, "What accuracy hides")."""
    counts = confusion_matrix(true, predicted, classes)
    occurring = counts.sum(axis=1)
    return float((np.diag(counts)[occurring > 0] / occurring[occurring > 0]).mean())


def class_report(true: ArrayLike, predicted: ArrayLike) -> pd.DataFrame:
    """Return a table of precision, recall, F1 and rows: one line a class, then the averages."""
    precision, recall, f1 = precision_recall_f1(true, predicted)
    rows = confusion_matrix(true, predicted).sum(axis=1)
    columns = ["precision", "recall", "F1"]
    table = pd.DataFrame(
        np.column_stack([precision, recall, f1]), index=CLASS_NAMES, columns=columns
    )
    for average in AVERAGES:
        table.loc[average] = average_scores(true, predicted, average)
    return table.assign(rows=[*rows, *[rows.sum()] * len(AVERAGES)])


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide entry by entry; 0 where the divisor is 0."""
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)


# ----------------------------------------------------------------- losses of probabilities, curves


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


# ------------------------------------------------------------------------------------- calibration

SMALLEST = 1e-13
"""Smaller probabilities count as this before a logarithm is taken, which of 0 is infinite."""
COLDEST, HOTTEST = 0.05, 20.0
"""Temperatures between which `fit_temperature` looks."""


def reliability_bins(true: ArrayLike, probabilities: ArrayLike, bins: int = 10) -> pd.DataFrame:
    """Compare how sure a model is with how often it is right (evaluation, "Calibration").

    The confidence is the probability of the predicted class. Rows are put into bins of equal width,
    a bin being open at its lower end (DeGroot and Fienberg 1983; Guo and others 2017).

    Parameters
    ----------
    true : array (rows,)
        Classes from 0.
    probabilities : array (rows, classes)
        Each row sums to 1.
    bins : int
        Number of bins between 0 and 1.

    Returns
    -------
    DataFrame
        One line for each bin that holds a row: `low`, `high`, `rows`, and the means `confidence`
        and `accuracy`.

    Raises
    ------
    ValueError
        If the shapes do not fit, a label is out of range, a row is no probability, or `bins` is
        below 1.
    """
    if bins < 1:
        raise ValueError(f"bins={bins}: expected 1 or more.")
    probabilities = checked_probabilities(probabilities, true)
    right = probabilities.argmax(axis=1) == checked_labels(true, probabilities.shape[1])
    confidence = probabilities.max(axis=1)
    edges = np.linspace(0, 1, bins + 1)
    number = np.searchsorted(edges[1:-1], confidence, side="left")
    table = pd.DataFrame({"bin": number, "confidence": confidence, "accuracy": right * 1.0})
    table = table.groupby("bin").agg(
        rows=("accuracy", "size"), confidence=("confidence", "mean"), accuracy=("accuracy", "mean")
    )
    found = table.index.to_numpy()
    table.insert(0, "low", edges[found])
    table.insert(1, "high", edges[found + 1])
    return table.reset_index(drop=True)


def expected_calibration_error(true: ArrayLike, probabilities: ArrayLike, bins: int = 10) -> float:
    """Return the mean distance between confidence and accuracy over `reliability_bins`, 0 to 1.

    Each bin counts by its rows (Naeini, Cooper and Hauskrecht 2015). The value depends on the
    number of bins, and is above 0 by chance alone where there are few rows.
    """
    table = reliability_bins(true, probabilities, bins)
    gap = (table["confidence"] - table["accuracy"]).abs()
    return float((gap * table["rows"]).sum() / table["rows"].sum())


def apply_temperature(probabilities: ArrayLike, temperature: float) -> np.ndarray:
    """Make a model less sure (temperature above 1) or surer (below 1); no prediction changes.

    Parameters
    ----------
    probabilities : array (rows, classes)
        Each row sums to 1. Their logarithms serve as logits: the two differ by a constant a row.
    temperature : float
        What the logits are divided by, above 0.

    Returns
    -------
    ndarray (rows, classes)
        The new probabilities.

    Raises
    ------
    ValueError
        If a row is no probability, or the temperature is not a positive number.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature={temperature}: expected a number above 0.")
    return _softmax(_logits(checked_probabilities(probabilities)) / temperature)


def fit_temperature(true: ArrayLike, probabilities: ArrayLike) -> float:
    """Find the temperature with the lowest log-loss, on validation rows (Guo and others 2017).

    The log-loss is convex in 1 / temperature, so its slope changes sign at most once; bisection
    finds that place. Where it does not, as for a model that is right on every row, the end of the
    range 0.05 to 20 is returned.

    Parameters
    ----------
    true : array (rows,)
        Labels of validation rows. On test rows the result would be too good.
    probabilities : array (rows, classes)
        What the model said about them.

    Returns
    -------
    float
        Above 1 for a model that is too sure of itself, below 1 for one that is too modest.

    Raises
    ------
    ValueError
        If the shapes do not fit, a label is out of range, or a row is no probability.
    """
    probabilities = checked_probabilities(probabilities, true)
    true = checked_labels(true, probabilities.shape[1])
    logits = _logits(probabilities)
    chosen = logits[np.arange(len(true)), true].mean()

    def slope(sharpness: float) -> float:  # of the log-loss, with respect to 1 / temperature
        return (_softmax(sharpness * logits) * logits).sum(axis=1).mean() - chosen

    low, high = 1 / HOTTEST, 1 / COLDEST
    if slope(low) >= 0:
        return HOTTEST
    if slope(high) <= 0:
        return COLDEST
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return float(1 / (low * high) ** 0.5)


def _logits(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities, SMALLEST))


def _softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)
