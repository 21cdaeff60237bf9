"""Chapter 6, section "Calibration": a model that is 90 % sure should be right nine times in ten."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from agnews_utils.evaluation_checks import checked_labels, checked_probabilities

SMALLEST = 1e-13
"""Smaller probabilities count as this before a logarithm is taken, which of 0 is infinite."""
COLDEST, HOTTEST = 0.05, 20.0
"""Temperatures between which `fit_temperature` looks."""


def reliability_bins(true: ArrayLike, probabilities: ArrayLike, bins: int = 10) -> pd.DataFrame:
    """Compare how sure a model is with how often it is right (chapter 6, "Calibration").

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
