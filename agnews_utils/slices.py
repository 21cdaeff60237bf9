"""Chapter 6, section "Where is it wrong?": single mistakes, and groups of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from agnews_utils.data import read_truth
from agnews_utils.data.corpus import CLASS_NAMES
from agnews_utils.data.duplicates import near_duplicate_pairs
from agnews_utils.data.exploration import accuracy_interval
from agnews_utils.evaluation_checks import (
    checked_flags,
    checked_labels,
    checked_probabilities,
    require_same_rows,
)
from agnews_utils.vocabulary.vocab import tokenize_all


def read_closely(
    frame: pd.DataFrame, probabilities: ArrayLike, count: int = 5, mistakes: bool = True
) -> pd.DataFrame:
    """Return the mistakes that a model is most sure of, or the hits that it is least sure of.

    Chapter 6, "Where is it wrong?".

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
    """Return the accuracy on groups of rows, with intervals (chapter 6, "Where is it wrong?").

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
        By the course's tokenizer (chapter 3).
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
