"""Figures of chapter rnn: lines of any kind, learning curves, probabilities of single texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from agnews_utils.plots.style import CLASS_COLORS, label_axes, new_axes


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    title: str,
    x: str,
    y: str,
    log: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw one line a name.

    Parameters
    ----------
    series
        Name -> (horizontal values, vertical values).
    log
        Axes with a logarithmic scale: "", "x", "y" or "xy".
    """
    ax = new_axes(ax)
    palette = sns.color_palette("colorblind", max(len(series), 1))
    for color, (name, (across, up)) in zip(palette, series.items(), strict=False):
        ax.plot(across, up, color=color, label=name, linewidth=1.8)
    if "x" in log:
        ax.set_xscale("log")
    if "y" in log:
        ax.set_yscale("log")
    if x == "epoch":  # there is no epoch 1.5
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(series) > 1:
        ax.legend()
    return label_axes(ax, title, x, y)


def smoothed(values: Sequence[float], window: int = 10) -> np.ndarray:
    """Return the running mean over up to `window` values, as many as were given."""
    sums = np.cumsum(np.asarray(values, dtype=float))
    sums[window:] = sums[window:] - sums[:-window]
    return sums / np.minimum(np.arange(1, len(sums) + 1), window)


class Learned(Protocol):
    """What training left behind: `agnews_utils.training.History`."""

    epochs: Mapping[str, Sequence[float]]
    best_epoch: int | None


def learning_curves(history: Learned, title: str, ax: Axes | None = None) -> Axes:
    """Draw the loss on training and validation rows by epoch, the best epoch marked."""
    epochs = history.epochs
    series = {
        "training rows": (epochs["epoch"], epochs["loss"]),
        "validation rows": (epochs["epoch"], epochs["valid_loss"]),
    }
    ax = lines(series, title, "epoch", "loss (nats per document)", ax=ax)
    if history.best_epoch is not None:
        ax.axvline(history.best_epoch, color="black", linestyle=":", label="best accuracy")
        ax.legend()
    return ax


def probability_bars(
    probabilities: np.ndarray, texts: Sequence[str], title: str, ax: Axes | None = None
) -> Axes:
    """Draw what a model thinks of each text: one bar, divided among the classes.

    Parameters
    ----------
    probabilities
        Shape `(texts, classes)`; rows sum to one.
    texts
        What stands beside each bar, shortened.
    """
    ax = new_axes(ax, height=1.2 + 0.5 * len(texts))
    names = [text if len(text) <= 44 else text[:41] + "..." for text in texts]
    start = np.zeros(len(texts))
    for share, (name, color) in zip(probabilities.T, CLASS_COLORS.items(), strict=True):
        ax.barh(range(len(texts)), 100 * share, left=start, color=color, label=name)
        start = start + 100 * share
    ax.set_yticks(range(len(texts)), names)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.4, -0.22 - 0.4 / len(texts)))
    return label_axes(ax, title, "probability (%)", "")
