"""Carve validation rows out of the training rows (exploration, "Carve a validation split")."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from agnews_utils.data.duplicates import near_duplicate_groups
from agnews_utils.data.exploration import require_columns


def train_valid_split(
    frame: pd.DataFrame,
    valid_fraction: float = 0.1,
    seed: int = 42,
    groups: ArrayLike | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split rows into training and validation rows (exploration, "Carve a validation split").

    Every class gives the same share of its rows, and near duplicates stay on one side: a near copy
    of a validation row among the training rows would make the score too good. Groups are drawn in
    random order and go to the validation rows as long as they fit into each class's share, so that
    a group too large for it stays among the training rows.

    Parameters
    ----------
    frame : DataFrame
        News rows with the columns `label` and (without `groups`) `text`.
    valid_fraction : float
        Share of the rows, between 0 and 1, that becomes validation rows.
    seed : int
        Another seed draws other rows; the same seed always draws the same ones.
    groups : array (rows,), optional
        Group of each row; rows of one group stay together. Default: `near_duplicate_groups` of
        the texts. `range(len(frame))` splits without regard to duplicates.

    Returns
    -------
    train, valid : DataFrame
        All rows of `frame`, each on one side, in their order and with the index that they had, so
        that a row can be traced back.

    Raises
    ------
    ValueError
        If the fraction is not between 0 and 1, a column is missing, `groups` has another length,
        or a class has too few rows to be on both sides.
    """
    if not 0 < valid_fraction < 1:
        raise ValueError(
            f"valid_fraction is {valid_fraction}: expected a share between 0 and 1, such as 0.1."
        )
    require_columns(frame, "label", *(["text"] if groups is None else []))
    if groups is None:
        groups = near_duplicate_groups(frame["text"])
    groups = np.asarray(groups)
    if groups.shape != (len(frame),):
        raise ValueError(
            f"groups has the shape {groups.shape}: expected one group for each of the "
            f"{len(frame):,} rows."
        )
    counts, group = _class_counts(frame["label"].to_numpy(), groups)
    targets = _valid_targets(frame, counts.sum(axis=0), valid_fraction)
    chosen = _draw_groups(counts, targets, seed)
    if empty := [
        name
        for name, drawn in zip(_class_labels(frame), counts[chosen].sum(axis=0), strict=True)
        if drawn == 0
    ]:
        raise ValueError(
            f"No validation row left for label {empty[0]}: its rows form groups that are larger "
            f"than {valid_fraction:.0%} of it. Raise valid_fraction, or pass smaller groups."
        )
    is_valid = chosen[group]
    return _part(frame, ~is_valid), _part(frame, is_valid)


def _class_labels(frame: pd.DataFrame) -> np.ndarray:
    return np.unique(frame["label"].to_numpy())


def _class_counts(labels: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of each class in each group (groups, classes), and the group number of each row."""
    names, label = np.unique(labels, return_inverse=True)
    found, group = np.unique(groups, return_inverse=True)
    cells = np.bincount(group * len(names) + label, minlength=len(found) * len(names))
    return cells.reshape(len(found), len(names)), group


def _valid_targets(frame: pd.DataFrame, sizes: np.ndarray, valid_fraction: float) -> np.ndarray:
    """Count the validation rows wanted of each class; raise if one cannot be on both sides."""
    if len(frame) == 0:
        raise ValueError("The frame has no rows: nothing to split.")
    targets = np.round(valid_fraction * sizes).astype(int)
    for label, size, target in zip(_class_labels(frame), sizes, targets, strict=True):
        if target in (0, size):
            side = "validation" if target == 0 else "training"
            raise ValueError(
                f"Label {label} has only {size:,} rows: with valid_fraction {valid_fraction} it "
                f"gets no {side} row. Give more rows, or change valid_fraction."
            )
    return targets


def _draw_groups(counts: np.ndarray, targets: np.ndarray, seed: int) -> np.ndarray:
    """Choose groups in random order while they fit; returns a flag for each group."""
    order = list(range(len(counts)))
    random.Random(seed).shuffle(order)  # the same order in every version of numpy
    chosen = np.zeros(len(counts), dtype=bool)
    room, rows = targets.tolist(), counts.tolist()
    for number in order:
        if all(need <= free for need, free in zip(rows[number], room, strict=True)):
            room = [free - need for need, free in zip(rows[number], room, strict=True)]
            chosen[number] = True
        if not any(room):
            break
    return chosen


def _part(frame: pd.DataFrame, mask: np.ndarray) -> pd.DataFrame:
    part = frame.loc[mask].copy()
    part.attrs = dict(frame.attrs)
    if "missing_descriptions" in part.attrs and "description" in part.columns:
        part.attrs["missing_descriptions"] = int((part["description"].str.strip() == "").sum())
    return part
