"""Chapter evaluation, where it is wrong: slices of the rows, and wrong labels.

Wrong labels are found by confident learning (Northcutt, Jiang and Chuang, 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from agnews_utils.data.corpus import CLASS_NAMES
from agnews_utils.data.duplicates import near_duplicate_groups, near_duplicate_pairs
from agnews_utils.data.exploration import accuracy_interval
from agnews_utils.data.loading import read_truth
from agnews_utils.evaluation.metrics import (
    checked_flags,
    checked_labels,
    checked_probabilities,
    require_same_rows,
)
from agnews_utils.vocabulary.vocab import tokenize_all

# ------------------------------------------------------------- single mistakes, and groups of rows


def read_closely(
    frame: pd.DataFrame, probabilities: ArrayLike, count: int = 5, mistakes: bool = True
) -> pd.DataFrame:
    """Return the mistakes that a model is most sure of, or the hits that it is least sure of.

    Chapter evaluation, "Where is it wrong?".

    Parameters
    ----------
    frame : DataFrame
        News rows with the columns `label` and `text`.
    probabilities : array (rows, classes)
        What the model says about them.
    count : int
        Rows wanted; fewer come if there are not so many.
    mistakes : bool
        False for the hits.

    Returns
    -------
    DataFrame
        With the index of `frame`: `true` and `predicted` class names, `confidence` (probability of
        the predicted class), `text`.

    Raises
    ------
    ValueError
        If rows and probabilities do not fit together.
    """
    probabilities = checked_probabilities(probabilities, frame)
    true = checked_labels(frame["label"], probabilities.shape[1], "frame['label']")
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wanted = np.flatnonzero((predicted != true) == mistakes)
    order = np.argsort(-confidence[wanted] if mistakes else confidence[wanted], kind="stable")
    rows = wanted[order[:count]]
    return pd.DataFrame(
        {
            "true": [CLASS_NAMES[label] for label in true[rows]],
            "predicted": [CLASS_NAMES[label] for label in predicted[rows]],
            "confidence": confidence[rows],
            "text": frame["text"].iloc[rows].tolist(),
        },
        index=frame.index[rows],
    )


def slice_table(right: ArrayLike, slices: Mapping[str, Sequence[object]]) -> pd.DataFrame:
    """Return the accuracy on groups of rows, with intervals (evaluation, "Where is it wrong?").

    Parameters
    ----------
    right : array of bool (rows,)
        Whether the model is right.
    slices : mapping
        Name of a property -> its value for each row, shape (rows,). A pandas Categorical, as
        `pd.cut` gives, keeps the order of its values.

    Returns
    -------
    DataFrame
        Indexed by property and value: `rows`, `accuracy`, and its 95 % interval `low`, `high`.

    Raises
    ------
    ValueError
        If a property has another number of rows.
    """
    right = checked_flags(right, "right")
    lines = {}
    for name, values in slices.items():
        require_same_rows(right, values, name)
        grouped = pd.Series(right).groupby(pd.Series(values).reset_index(drop=True), observed=True)
        for value, part in grouped:
            low, high = accuracy_interval(part.mean(), len(part))
            lines[name, value] = (len(part), part.mean(), low, high)
    index = pd.MultiIndex.from_tuples(lines, names=["slice", "value"])
    columns = ["rows", "accuracy", "low", "high"]
    return pd.DataFrame(list(lines.values()), index=index, columns=columns)


def twins_in_train(train_texts: Sequence[str], test_texts: Sequence[str]) -> np.ndarray:
    """Say of each test text whether a near duplicate stands in the training texts.

    Returns
    -------
    ndarray of bool (test rows,)
        By `near_duplicate_pairs` with its usual threshold; on AG News this takes some seconds.
    """
    train_texts, test_texts = list(train_texts), list(test_texts)
    pairs = near_duplicate_pairs(train_texts + test_texts)
    first = len(train_texts)
    across = pairs[(pairs[:, 0] < first) & (pairs[:, 1] >= first)]
    has_twin = np.zeros(len(test_texts), dtype=bool)
    has_twin[across[:, 1] - first] = True
    return has_twin


def unknown_words(train_texts: Sequence[str], test_texts: Sequence[str]) -> np.ndarray:
    """Count the different tokens of each test text that no training text holds.

    Returns
    -------
    ndarray of int64 (test rows,)
        By the course's tokenizer (chapter vocabulary).
    """
    known: set[str] = set()
    for tokens in tokenize_all(train_texts):
        known.update(tokens)
    return np.array([len(set(tokens) - known) for tokens in tokenize_all(test_texts)])


def brief_facts(split: str) -> pd.DataFrame:
    """Return what is known about each row of News Briefs, in the order of its file.

    Parameters
    ----------
    split : {"train", "test"}
        Which file.

    Returns
    -------
    DataFrame
        `hard` (written to be hard to classify), `wrong_label` (changed on purpose), `true_label`
        (0 to 3) and `topic`.

    Raises
    ------
    ValueError
        If the split is unknown.
    """
    if split not in ("train", "test"):
        raise ValueError(f'split={split!r}: expected "train" or "test".')
    facts = pd.DataFrame([line for line in read_truth() if line["split"] == split])
    facts = facts.sort_values("row").reset_index(drop=True)
    facts["true_label"] = facts["true_label"] - 1  # the side file counts classes as the CSV does
    return facts[["hard", "wrong_label", "true_label", "topic"]]


# ---------------------------------------------------------------- wrong labels: confident learning

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
    labels, probabilities = _checked_rows(labels, probabilities)
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
    labels, probabilities = _checked_rows(labels, probabilities)
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
    labels, probabilities = _checked_rows(labels, probabilities)
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
    """Return the rows whose label looks wrong, the worst first (evaluation, "Wrong labels").

    Suspect are the rows off the diagonal of `confident_joint` whose most probable class is not the
    given label; for these the order is that of `label_quality`.

    Returns
    -------
    ndarray of int64 (suspects,)
        Positions of rows. Errors as in `label_quality`.
    """
    labels, probabilities = _checked_rows(labels, probabilities)
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


def _checked_rows(labels: ArrayLike, probabilities: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    probabilities = checked_probabilities(probabilities, labels)
    return checked_labels(labels, probabilities.shape[1], "labels"), probabilities
