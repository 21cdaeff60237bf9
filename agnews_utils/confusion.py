"""Chapter 6, sections "Four numbers a class" and "What accuracy hides": counts and their ratios.

All functions take class numbers from 0, and agree with scikit-learn where it is given all classes
(`labels=range(classes)`) and counts 0 where nothing can be divided (`zero_division=0`).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from agnews_utils.data.corpus import CLASS_NAMES
from agnews_utils.evaluation_checks import checked_pair

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
    """Return precision, recall and F1 of each class (chapter 6, "Four numbers a class").

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
    """Return the mean recall of the classes that occur (chapter 6, "What accuracy hides")."""
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
