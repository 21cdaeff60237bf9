"""Chapter evaluation, where it is wrong: slices of the rows, and wrong labels.

Wrong labels are found by confident learning (Northcutt, Jiang and Chuang, 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.model_selection import StratifiedGroupKFold

from agnews_utils.data.duplicates import (
    list_of_texts,
    near_duplicate_groups,
    near_duplicate_pairs,
)
from agnews_utils.data.exploration import accuracy_interval, class_names
from agnews_utils.data.loading import read_truth
from agnews_utils.evaluation.metrics import (
    checked_flags,
    checked_labels,
    checked_rows,
    require_same_rows,
)
from agnews_utils.vocabulary.vocab import tokenize_all

# ------------------------------------------------------------- single mistakes, and groups of rows


def read_closely(
    frame: pd.DataFrame,
    probabilities: ArrayLike,
    count: int = 5,
    mistakes: bool = True,
    classes: Sequence[str] | None = None,
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
    classes : sequence of str, optional
        Names of the classes; by default those that `load_news` found in the data.

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
    true, probabilities = checked_rows(frame["label"], probabilities, "frame['label']")
    names = class_names(frame) if classes is None else classes
    if probabilities.shape[1] != len(names):
        raise ValueError(
            f"probabilities has {probabilities.shape[1]} columns, but there are {len(names)} "
            f"classes ({', '.join(names[:4])}, ...): pass classes=news.classes."
        )
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wanted = np.flatnonzero((predicted != true) == mistakes)
    order = np.argsort(-confidence[wanted] if mistakes else confidence[wanted], kind="stable")
    rows = wanted[order[:count]]
    return pd.DataFrame(
        {
            "true": [names[label] for label in true[rows]],
            "predicted": [names[label] for label in predicted[rows]],
            "confidence": confidence[rows],
            "text": frame["text"].iloc[rows].tolist(),
        },
        index=frame.index[rows],
    )


def slice_table(right: ArrayLike, slices: Mapping[str, ArrayLike]) -> pd.DataFrame:
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


def near_duplicates_in_train(train_texts: Iterable[str], test_texts: Iterable[str]) -> np.ndarray:
    """Say of each test text whether a near duplicate stands in the training texts, (test rows,).

    By `near_duplicate_pairs` with its usual threshold; on AG News this takes some seconds.
    """
    train, test = list_of_texts(train_texts), list_of_texts(test_texts)
    pairs = near_duplicate_pairs(train + test)
    first = len(train)
    across = pairs[(pairs[:, 0] < first) & (pairs[:, 1] >= first)]
    has_near_duplicate = np.zeros(len(test), dtype=bool)
    has_near_duplicate[across[:, 1] - first] = True
    return has_near_duplicate


def unknown_words(train_texts: Iterable[str], test_texts: Iterable[str]) -> np.ndarray:
    """Count the different tokens of each test text that no training text holds, (test rows,)."""
    train, test = tokenize_all(list_of_texts(train_texts)), tokenize_all(list_of_texts(test_texts))
    known = {token for tokens in train for token in tokens}
    return np.array([len(set(tokens) - known) for tokens in test])


def occlusion(score: Callable[[list[str]], ArrayLike], text: str) -> pd.Series:
    """Return by how much a score falls when one word of a text is left out, word by word.

    Chapter evaluation, "Which words did it?" (the idea: Zeiler and Fergus 2014, on images).

    Parameters
    ----------
    score : callable
        Takes a list of texts, returns one number for each: a margin, or a probability.
    text : str
        The text; its words are what stands between spaces.

    Returns
    -------
    Series (words,)
        Indexed by the words in their order. Above 0 where the word has spoken for the score.

    Raises
    ------
    ValueError
        If the text holds no word.
    """
    words = text.split()
    if not words:
        raise ValueError("text holds no word: there is nothing to leave out.")
    without = [" ".join(words[:place] + words[place + 1 :]) for place in range(len(words))]
    scores = np.asarray(score([" ".join(words), *without]), dtype=float)
    return pd.Series(scores[0] - scores[1:], index=words)


def brief_facts(split: str) -> pd.DataFrame:
    """Return what is known about each row of News Briefs' "train" or "test", in its order.

    Returns
    -------
    DataFrame
        `hard` (written to be hard to classify), `wrong_label` (changed on purpose), `true_label`
        (0 to 3) and `topic`.
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
    labels, probabilities = checked_rows(labels, probabilities, "labels")
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
    labels, probabilities = checked_rows(labels, probabilities, "labels")
    thresholds = class_thresholds(labels, probabilities)
    passed = np.where(probabilities >= thresholds - _SLACK, probabilities, -1.0)
    return np.where(passed.max(axis=1) >= 0, passed.argmax(axis=1), -1)


def confident_joint(labels: ArrayLike, probabilities: ArrayLike) -> np.ndarray:
    """Count rows by given label (rows) and confident class (columns), the paper's equation 1.

    Returns
    -------
    ndarray of int64 (classes, classes)
        Off the diagonal stand rows that look mislabeled. Rows that pass no threshold count nowhere.
    """
    labels, probabilities = checked_rows(labels, probabilities, "labels")
    confident = confident_classes(labels, probabilities)
    joint = np.zeros((probabilities.shape[1],) * 2, dtype=np.int64)
    counted = confident >= 0
    np.add.at(joint, (labels[counted], confident[counted]), 1)
    return joint


def label_quality(
    labels: ArrayLike, probabilities: ArrayLike, method: str = "normalized_margin"
) -> np.ndarray:
    """Score how well each label fits, shape (rows,), from 0 (looks wrong) to 1.

    Parameters
    ----------
    labels, probabilities
        As in `class_thresholds`, with its errors.
    method : {"normalized_margin", "self_confidence"}
        The probability of the given label minus the highest of the others, moved to the range 0
        to 1; or the probability of the given label alone.
    """
    labels, probabilities = checked_rows(labels, probabilities, "labels")
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
    """Return the positions of rows whose label looks wrong (evaluation, "Wrong labels").

    Suspect are the rows off the diagonal of `confident_joint` whose most probable class is not the
    given label; the worst come first, in the order of `label_quality`.
    """
    labels, probabilities = checked_rows(labels, probabilities, "labels")
    confident = confident_classes(labels, probabilities)
    wrong = (confident >= 0) & (confident != labels) & (probabilities.argmax(axis=1) != labels)
    found = np.flatnonzero(wrong)
    quality = label_quality(labels, probabilities, method)
    return found[np.argsort(quality[found], kind="stable")]


def out_of_fold_probabilities(
    make_model: Callable[[], Any],
    texts: Iterable[str],
    labels: ArrayLike,
    folds: int = 5,
    seed: int = 0,
) -> np.ndarray:
    """Return probabilities, (rows, classes), of each row from a model trained on the other folds.

    Near duplicates stay in one fold: a copy with the same wrong label would vouch for it.

    Parameters
    ----------
    make_model : callable
        Returns a new model with `fit(texts, labels)` and `predict_proba(texts)`.
    texts : iterable of str (rows,)
        The texts.
    labels : array (rows,)
        Their labels.
    folds : int
        Number of parts, 2 or more; more are slower and leave more rows to train on.
    seed : int
        Of the division into folds.

    Raises
    ------
    TypeError
        If `texts` is a single string.
    ValueError
        If the lengths differ, or a class has fewer rows than there are folds.
    """
    all_texts = np.array(list_of_texts(texts), dtype=object)
    classes = int(np.max(np.asarray(labels), initial=0)) + 1
    labels = checked_labels(labels, classes, "labels")
    if len(all_texts) != len(labels):
        raise ValueError(
            f"{len(all_texts)} texts, but {len(labels)} labels: give one label a text."
        )
    if folds < 2:
        raise ValueError(f"folds={folds}: expected 2 or more, or nothing is left to train on.")
    rows = np.bincount(labels, minlength=classes)
    if rows.min() < folds:
        raise ValueError(
            f"class {rows.argmin()} has {rows.min()} rows, fewer than the {folds} folds: give "
            "more rows, or use fewer folds."
        )
    groups = near_duplicate_groups(all_texts)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    probabilities = np.zeros((len(labels), classes))
    for train, held_out in splitter.split(all_texts, labels, groups):
        model = make_model().fit(list(all_texts[train]), labels[train])
        probabilities[held_out] = model.predict_proba(list(all_texts[held_out]))
    return probabilities
