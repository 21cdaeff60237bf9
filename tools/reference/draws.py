"""Few labels: which rows are drawn, and the linear model on frozen states, alike in all runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

DRAWS = {10: 20, 100: 6, 1: 10, 1000: 3, 30: 10, 3: 10, 300: 4, 4000: 2}
"""Rows a class -> draws, the points that matter most first."""


@dataclass(frozen=True)
class Rows:
    """Ids and labels of one part of a data set: fit, valid, test or extra."""

    ids: list[list[int]]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def some(self, numbers: np.ndarray) -> Rows:
        """Return the rows of these numbers."""
        return Rows([self.ids[number] for number in numbers], self.labels[numbers])


def draw_rows(labels: np.ndarray, per_class: int, draw: int) -> np.ndarray:
    """Draw numbers of rows, so many of each class; the same number always draws the same."""
    rng = np.random.default_rng([per_class, draw])
    return np.concatenate(
        [rng.permutation(np.flatnonzero(labels == one))[:per_class] for one in np.unique(labels)]
    )


def linear_head(states: np.ndarray, labels: np.ndarray) -> LogisticRegression:
    """Return the linear classifier of frozen states; the states have length 1."""
    return LogisticRegression(C=10.0, max_iter=2_000, tol=1e-3).fit(states, labels)
