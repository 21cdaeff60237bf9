"""Chapter evaluation, one model: what its arguments have to be, and how well it is calibrated.

Counts, averages, losses and curves are `sklearn.metrics`; the chapter computes each of them by hand
first. Here is what scikit-learn lacks. All functions take class numbers from 0.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import softmax

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


def checked_probabilities(probabilities: ArrayLike, name: str = "probabilities") -> np.ndarray:
    """Return probabilities as 64-bit numbers, shape (rows, classes).

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
    outside = np.maximum(-array, array - 1 - ROW_SUM_TOLERANCE)  # (rows, classes), above 0 if bad
    bad = np.flatnonzero((outside > 0).any(axis=1))
    if len(bad):
        farthest = array[bad[0], outside[bad[0]].argmax()]
        raise ValueError(
            f"{name}, row {bad[0]}, holds {farthest:.6g}: expected numbers from 0 to 1; apply the "
            "softmax to logits first."
        )
    bad = np.flatnonzero(np.abs(array.sum(axis=1) - 1) > ROW_SUM_TOLERANCE)
    if len(bad):
        raise ValueError(
            f"{name}, row {bad[0]}, sums to {array[bad[0]].sum():.6g}: expected 1; divide rows "
            "that were stored with few digits by their sum."
        )
    return array


def checked_rows(
    labels: ArrayLike, probabilities: ArrayLike, name: str = "true"
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels (rows,) and probabilities (rows, classes) of the same rows, both checked."""
    probabilities = checked_probabilities(probabilities)
    require_same_rows(labels, probabilities, "probabilities")
    return checked_labels(labels, probabilities.shape[1], name), probabilities


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
    true, probabilities = checked_rows(true, probabilities)
    right = probabilities.argmax(axis=1) == true
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
    return softmax(_logits(checked_probabilities(probabilities)) / temperature, axis=1)


def fit_temperature(true: ArrayLike, probabilities: ArrayLike) -> float:
    """Find the temperature with the lowest log-loss, on validation rows (Guo and others 2017).

    The log-loss is convex in 1 / temperature, so its slope changes sign at most once: there. Where
    it does not, as for a model that is right on every row, the end of the range 0.05 to 20 is
    returned.

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
    true, probabilities = checked_rows(true, probabilities)
    logits = _logits(probabilities)
    chosen = logits[np.arange(len(true)), true].mean()

    def slope(log_temperature: float) -> float:  # of the log-loss, with respect to 1 / temperature
        scaled = softmax(logits / np.exp(log_temperature), axis=1)
        return (scaled * logits).sum(axis=1).mean() - chosen

    if slope(np.log(HOTTEST)) >= 0:
        return HOTTEST
    if slope(np.log(COLDEST)) <= 0:
        return COLDEST
    return float(np.exp(brentq(slope, np.log(COLDEST), np.log(HOTTEST))))


def _logits(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities, SMALLEST))
