"""Figures of chapter rnn: lines, small multiples, cells as diagrams, probabilities of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Protocol

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from agnews_utils.plots.style import (
    CLASS_COLORS,
    GREY,
    OTHER_COLORS,
    class_colors,
    class_legend,
    label_axes,
    new_axes,
    require_names,
)


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
    ax = lines(series, title, "epoch", "loss (nats per text)", ax=ax)
    if history.best_epoch is not None:
        ax.axvline(history.best_epoch, color="black", linestyle=":", label="best accuracy")
        ax.legend()
    return ax


def probability_bars(
    probabilities: np.ndarray,
    texts: Sequence[str],
    title: str,
    ax: Axes | None = None,
    names: Sequence[str] = tuple(CLASS_COLORS),
) -> Axes:
    """Draw what a model thinks of each text: one bar, divided among the classes.

    Parameters
    ----------
    probabilities
        Shape `(texts, classes)`; rows sum to one.
    texts
        What stands beside each bar, in lines of at most 36 characters.
    names
        Names of the classes, such as `news.classes`.

    Raises
    ------
    ValueError
        If there are more or fewer names than classes.
    """
    require_names(names, probabilities.shape[1], "probabilities")
    beside = [fill(text, 36) for text in texts]
    height = 1.2 + 0.28 * sum(text.count("\n") + 2 for text in beside)
    ax = new_axes(ax, height=height)
    start = np.zeros(len(texts))
    colors = class_colors(names)
    for share, name in zip(probabilities.T, names, strict=True):
        ax.barh(range(len(texts)), 100 * share, left=start, color=colors[name], label=name)
        start = start + 100 * share
    ax.set_yticks(range(len(texts)), beside)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    if len(names) > len(OTHER_COLORS):
        class_legend(ax, len(names))
    else:
        ax.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.4, -0.65 / (height - 0.8)))
    return label_axes(ax, title, "probability (%)", "")


def small_multiples(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    title: str,
    x: str,
    y: str,
    columns: int = 3,
) -> np.ndarray:
    """Draw one panel a line, with all other lines in grey behind it.

    Parameters
    ----------
    series
        Title of the panel -> (horizontal values, vertical values).

    Returns
    -------
    Array of Axes, shape `(panels,)`.
    """
    rows = -(-len(series) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(8.0, 0.8 + 1.9 * rows), sharex=True, sharey=True, squeeze=False
    )
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
    figure.supxlabel(x, fontsize=10.5)
    figure.supylabel(y, fontsize=10.5)
    for ax, name in zip(axes.flat, series, strict=False):
        for other, (across, up) in series.items():
            if other != name:
                ax.plot(across, up, color=GREY, alpha=0.35, linewidth=1)
        ax.plot(*series[name], color=CLASS_COLORS["World"], linewidth=2)
        ax.set_title(name, fontsize=10.5)
    for ax in axes.flat[len(series) :]:
        ax.set_visible(False)
    return axes.flat[: len(series)]


def histograms(
    samples: Mapping[str, Mapping[str, np.ndarray]], title: str, x: Sequence[str]
) -> np.ndarray:
    """Draw a row of histograms for each name, one column a quantity.

    Parameters
    ----------
    samples
        Name of the row -> name of the column -> numbers. A column shares its horizontal axis.
    x
        Label of each column's horizontal axis.

    Returns
    -------
    Array of Axes, shape `(rows, columns)`.
    """
    shape = len(samples), len(x)
    size = (8.0, 0.8 + 1.7 * len(samples))
    figure, axes = plt.subplots(*shape, figsize=size, sharex="col", squeeze=False)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
    for row, (name, columns) in zip(axes, samples.items(), strict=True):
        for ax, (column, values) in zip(row, columns.items(), strict=True):
            share = np.full(len(values), 100 / len(values))
            ax.hist(values, bins=40, weights=share, color=CLASS_COLORS["World"])
            ax.set_title(f"{name}: {column}", fontsize=10.5)
        row[0].set_ylabel("share (%)")
    for ax, label in zip(axes[-1], x, strict=True):
        ax.set_xlabel(label)
    return axes


Point = tuple[float, float]


@dataclass(frozen=True)
class _Diagram:
    """Where the parts of a cell stand: boxes, circles, words, and arrows as paths."""

    gates: Sequence[tuple[Point, str]]
    tanh: Sequence[tuple[Point, str]]
    nodes: Sequence[tuple[Point, str]]
    words: Sequence[tuple[Point, str]]
    arrows: Sequence[Sequence[Point]]


_LSTM = _Diagram(
    gates=[((2.5, 1.8), "forget"), ((4.2, 1.8), "enter"), ((7.7, 1.8), "leave")],
    tanh=[((5.9, 1.8), "candidate"), ((9.3, 3.0), "tanh")],
    nodes=[((2.5, 4.0), "×"), ((5.0, 4.0), "+"), ((5.0, 2.9), "×"), ((9.3, 1.8), "×")],
    words=[
        ((0.5, 4.0), "cell\n$c_{t-1}$"),
        ((0.5, 0.6), "$x_t$ and\nstate $h_{t-1}$"),
        ((11.0, 4.0), "cell\n$c_t$"),
        ((11.0, 1.8), "state\n$h_t$"),
    ],
    arrows=[
        ((1.1, 4.0), (2.25, 4.0)),
        ((2.75, 4.0), (4.75, 4.0)),
        ((5.25, 4.0), (10.5, 4.0)),
        ((2.5, 2.1), (2.5, 3.75)),
        ((4.2, 2.1), (4.2, 2.9), (4.75, 2.9)),
        ((5.9, 2.1), (5.9, 2.9), (5.25, 2.9)),
        ((5.0, 3.15), (5.0, 3.75)),
        ((9.3, 4.0), (9.3, 3.3)),
        ((9.3, 2.7), (9.3, 2.05)),
        ((8.35, 1.8), (9.05, 1.8)),
        ((9.55, 1.8), (10.5, 1.8)),
        *(((1.4, 0.6), (x, 0.6), (x, 1.5)) for x in (2.5, 4.2, 5.9, 7.7)),
    ],
)

_GRU = _Diagram(
    gates=[((2.5, 1.8), "reset $r$"), ((5.9, 1.8), "update $z$")],
    tanh=[((8.3, 1.8), "candidate $n$")],
    nodes=[((4.2, 1.2), "×"), ((5.9, 4.0), "×"), ((9.3, 4.0), "+"), ((8.3, 3.0), "×")],
    words=[
        ((0.5, 4.0), "state\n$h_{t-1}$"),
        ((0.5, 0.6), "word $x_t$"),
        ((11.0, 4.0), "state\n$h_t$"),
        ((7.1, 2.75), "$1-z$"),
        ((6.15, 3.1), "$z$"),
    ],
    arrows=[
        ((1.1, 4.0), (5.65, 4.0)),
        ((6.15, 4.0), (9.05, 4.0)),
        ((9.55, 4.0), (10.5, 4.0)),
        ((5.9, 2.1), (5.9, 3.75)),
        ((5.9, 3.0), (8.05, 3.0)),
        ((8.3, 2.1), (8.3, 2.75)),
        ((8.55, 3.0), (9.3, 3.0), (9.3, 3.75)),
        ((1.6, 4.0), (1.6, 2.6), (4.2, 2.6), (4.2, 1.45)),
        ((1.6, 2.6), (1.6, 1.8), (1.9, 1.8)),
        ((4.2, 2.6), (5.3, 2.6), (5.3, 2.1)),
        ((3.1, 1.8), (3.6, 1.8), (3.6, 1.2), (3.95, 1.2)),
        ((4.45, 1.2), (7.8, 1.2), (7.8, 1.5)),
        *(((1.2, 0.6), (x, 0.6), (x, 1.5)) for x in (2.5, 5.9, 8.6)),
    ],
)


def cell_diagram(cell: str, title: str, ax: Axes | None = None) -> Axes:
    """Draw one step of an LSTM or a GRU: what the gates multiply, and what is added.

    Parameters
    ----------
    cell : {"gru", "lstm"}
        The kind of cell, as `agnews_utils.rnn.cells` computes it.
    """
    diagram = {"gru": _GRU, "lstm": _LSTM}[cell]
    ax = new_axes(ax, height=3.6)
    for path in diagram.arrows:
        across, up = zip(*path, strict=True)
        ax.plot(across, up, color="black", linewidth=1.2, zorder=1)
        arrow = {"arrowstyle": "-|>", "color": "black", "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", path[-1], path[-2], arrowprops=arrow, zorder=1)
    for boxes, color in ((diagram.gates, "#CFE3F2"), (diagram.tanh, "#FBE3B5")):
        for place, text in boxes:
            box = {"boxstyle": "round,pad=0.45", "facecolor": color, "edgecolor": "black"}
            ax.text(*place, text, ha="center", va="center", bbox=box, zorder=3)
    for place, text in diagram.nodes:
        circle = {"boxstyle": "circle,pad=0.2", "facecolor": "white", "edgecolor": "black"}
        ax.text(*place, text, ha="center", va="center", fontsize=13, bbox=circle, zorder=3)
    for place, text in diagram.words:
        ax.text(*place, text, ha="center", va="center")
    ax.scatter([], [], marker="s", s=90, color="#CFE3F2", label="gate: logistic, 0 to 1")
    ax.scatter([], [], marker="s", s=90, color="#FBE3B5", label="tanh, -1 to 1")
    ax.legend(ncols=2, loc="upper center", bbox_to_anchor=(0.5, 0.02))
    ax.set(xlim=(-0.4, 11.8), ylim=(0.2, 4.7), title=title)
    ax.axis("off")
    return ax
