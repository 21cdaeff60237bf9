"""What every measure of chapter 6 asks of its arguments; bad input gets one sentence."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

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
