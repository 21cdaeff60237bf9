"""Chapter 6, section "Wrong labels": confident learning (Northcutt, Jiang and Chuang 2021).

The idea: each class has its own threshold, how sure the model is on average about the rows that
carry its label. A row that passes the threshold of another class than its own is suspect. The
probabilities must come from models that were not trained on the row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from agnews_utils.data.duplicates import near_duplicate_groups
from agnews_utils.evaluation_checks import checked_labels, checked_probabilities

_SLACK = 1e-9
"""A mean of equal numbers may be rounded up: by this much a probability may miss its threshold."""


def class_thresholds(labels: ArrayLike, probabilities: ArrayLike) -> np.ndarray:
    """Return how sure the model is, on average, of each class among the rows labeled with it.

    Parameters
    ----------
    labels : array (rows,)
        The given labels, some of which may be wrong.
    probabilities : array (rows, classes)
        From models that were not trained on the row.

    Returns
    -------
    ndarray (classes,)
        Infinity for a class that no row carries, so that no row can pass its threshold.

    Raises
    ------
    ValueError
        If the shapes do not fit, a label is out of range, or a row is no probability.
    """
    labels, probabilities = _checked(labels, probabilities)
    return np.array(
        [
            column[labels == k].mean() if (labels == k).any() else np.inf
            for k, column in enumerate(probabilities.T)
        ]
    )


def confident_classes(labels: ArrayLike, probabilities: ArrayLike) -> np.ndarray:
    """Return the class whose threshold each row passes, -1 where it passes none.

    Of several, the one with the highest probability.
    """
    thresholds = class_thresholds(labels, probabilities)
    probabilities = checked_probabilities(probabilities)
    passed = np.where(probabilities >= thresholds - _SLACK, probabilities, -1.0)
    return np.where(passed.max(axis=1) >= 0, passed.argmax(axis=1), -1)


def confident_joint(labels: ArrayLike, probabilities: ArrayLike) -> np.ndarray:
    """Count rows by given label (rows) and confident class (columns), the paper's equation 1.

    Returns
    -------
    ndarray of int64 (classes, classes)
        Off the diagonal stand rows that look mislabeled. Rows that pass no threshold count nowhere.
    """
    labels, probabilities = _checked(labels, probabilities)
    classes = probabilities.shape[1]
    confident = confident_classes(labels, probabilities)
    counted = confident >= 0
    cells = labels[counted] * classes + confident[counted]
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def label_quality(
    labels: ArrayLike, probabilities: ArrayLike, method: str = "normalized_margin"
) -> np.ndarray:
    """Score how well each label fits, from 0 (looks wrong) to 1.

    Parameters
    ----------
    labels, probabilities
        As in `class_thresholds`.
    method : {"normalized_margin", "self_confidence"}
        The probability of the given label; or that minus the highest of the others, moved to the
        range 0 to 1.

    Returns
    -------
    ndarray (rows,)

    Raises
    ------
    ValueError
        If the method is unknown; else as in `class_thresholds`.
    """
    labels, probabilities = _checked(labels, probabilities)
    rows = np.arange(len(labels))
    own = probabilities[rows, labels]
    if method == "self_confidence":
        return own
    if method != "normalized_margin":
        raise ValueError(f"method={method!r}: expected normalized_margin or self_confidence.")
    others = probabilities.copy()
    others[rows, labels] = -np.inf
    return (own - others.max(axis=1) + 1) / 2


def suspect_rows(
    labels: ArrayLike, probabilities: ArrayLike, method: str = "normalized_margin"
) -> np.ndarray:
    """Return the rows whose label looks wrong, the worst first (chapter 6, "Wrong labels").

    Suspect are the rows off the diagonal of `confident_joint` whose most probable class is not the
    given label; for these the order is that of `label_quality`.

    Returns
    -------
    ndarray of int64 (suspects,)
        Positions of rows. Errors as in `label_quality`.
    """
    labels, probabilities = _checked(labels, probabilities)
    confident = confident_classes(labels, probabilities)
    wrong = (confident >= 0) & (confident != labels) & (probabilities.argmax(axis=1) != labels)
    found = np.flatnonzero(wrong)
    quality = label_quality(labels, probabilities, method)
    return found[np.argsort(quality[found], kind="stable")]


def out_of_fold_probabilities(
    make_model: Callable[[], Any],
    texts: Sequence[str],
    labels: ArrayLike,
    folds: int = 5,
    seed: int = 0,
) -> np.ndarray:
    """Return probabilities of each row from a model that was trained on the other folds.

    Near duplicates stay in one fold: a twin with the same wrong label would vouch for it.

    Parameters
    ----------
    make_model : callable
        Returns a new model with `fit(texts, labels)` and `predict_proba(texts)`.
    texts : sequence of str (rows,)
        The texts.
    labels : array (rows,)
        Their labels; every class has to occur in every set of training folds.
    folds : int
        Number of parts, 2 or more; more are slower and leave more rows to train on.
    seed : int
        Of the division into folds.

    Returns
    -------
    ndarray (rows, classes)

    Raises
    ------
    ValueError
        If the lengths differ, or a class has fewer rows than there are folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    texts = np.array(list(texts), dtype=object)
    classes = int(np.max(np.asarray(labels), initial=0)) + 1
    labels = checked_labels(labels, classes, "labels")
    if len(texts) != len(labels):
        raise ValueError(f"{len(texts)} texts, but {len(labels)} labels: give one label a text.")
    if folds < 2:
        raise ValueError(f"folds={folds}: expected 2 or more, or nothing is left to train on.")
    rows = np.bincount(labels, minlength=classes)
    if rows.min() < folds:
        raise ValueError(
            f"class {rows.argmin()} has {rows.min()} rows, fewer than the {folds} folds: give "
            "more rows, or use fewer folds."
        )
    groups = near_duplicate_groups(list(texts))
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    probabilities = np.zeros((len(labels), classes))
    for train, held_out in splitter.split(texts, labels, groups):
        model = make_model().fit(list(texts[train]), labels[train])
        probabilities[held_out] = model.predict_proba(list(texts[held_out]))
    return probabilities


def _checked(labels: ArrayLike, probabilities: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    probabilities = checked_probabilities(probabilities, labels)
    return checked_labels(labels, probabilities.shape[1], "labels"), probabilities
