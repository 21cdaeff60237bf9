"""Figures of evaluation: counts as heat maps, curves of a class, calibration, who beats whom, cost.

What the helpers have in common stands in `agnews_utils.plots`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import ArrayLike

from agnews_utils.plots.style import (
    CLASS_COLORS,
    GREY,
    class_colors,
    label_axes,
    new_axes,
    require_names,
)


def confusion_map(
    counts: ArrayLike,
    title: str,
    names: Sequence[str] = tuple(CLASS_COLORS),
    ax: Axes | None = None,
) -> Axes:
    """Draw a confusion matrix: colors are shares of the true class, numbers are rows.

    Parameters
    ----------
    counts
        Shape `(classes, classes)`, true classes in rows.
    names
        Names of the classes, such as `news.classes`.

    Raises
    ------
    ValueError
        If there are more or fewer names than classes.
    """
    counts = np.asarray(counts)
    require_names(names, counts.shape[1], "counts")
    more = max(0, len(names) - 6)
    ax = new_axes(ax, width=5.6 + 0.5 * more, height=4.4 + 0.45 * more)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    sns.heatmap(
        100 * shares,
        annot=counts,
        fmt=",d",
        cmap="Blues",
        vmin=0,
        vmax=100,
        square=True,
        xticklabels=list(names),
        yticklabels=list(names),
        cbar_kws={"label": "share of the true class (%)"},
        ax=ax,
    )
    ax.tick_params(axis="y", rotation=0)
    return label_axes(ax, title, "predicted", "true class")


def class_curves(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    title: str,
    x: str,
    y: str,
    diagonal: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw one line a class, in the class's color.

    Parameters
    ----------
    curves
        Class name, or a name that starts with it -> (horizontal values, vertical values).
    diagonal
        Draw the line from (0, 0) to (1, 1), where guessing leads.
    """
    ax = new_axes(ax, width=5.6, height=4.4)
    known = any(name.startswith(tuple(CLASS_COLORS)) for name in curves)
    own = {} if known else class_colors(curves)
    for name, (across, up) in curves.items():
        color = next((c for start, c in CLASS_COLORS.items() if name.startswith(start)), GREY)
        color = own.get(name, color)
        ax.plot(across, up, color=color, linewidth=1.8, label=name)
    if diagonal:
        ax.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="guessing")
    ax.legend()
    return label_axes(ax, title, x, y)


def reliability_diagram(
    tables: Mapping[str, pd.DataFrame], title: str, ax: Axes | None = None
) -> Axes:
    """Draw how often a model is right against how sure it is; larger dots hold more rows.

    Parameters
    ----------
    tables
        Name of the line -> what `reliability_bins` returned.
    """
    ax = new_axes(ax, width=5.6, height=4.4)
    ax.plot([0, 100], [0, 100], color=GREY, linestyle=":", label="as sure as right")
    palette = sns.color_palette("colorblind", max(len(tables), 1))
    for color, (name, table) in zip(palette, tables.items(), strict=False):
        x, y = 100 * table["confidence"], 100 * table["accuracy"]
        ax.plot(x, y, color=color, linewidth=1.5, label=name)
        ax.scatter(x, y, s=10 + 190 * table["rows"] / table["rows"].sum(), color=color)
    ax.legend()
    return label_axes(ax, title, "how sure: mean confidence (%)", "how often right (%)")


def win_map(
    comparisons: pd.DataFrame,
    names: Sequence[str],
    title: str,
    level: float = 0.05,
    labels: Mapping[str, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw who beats whom: differences in points, bold with a star where they are no luck.

    Parameters
    ----------
    comparisons
        What `compare_all` returned.
    names
        Models in the order of rows and columns.
    level
        A difference counts if its corrected p-value is below.
    labels
        Model -> name in the figure.
    """
    size = 2.6 + 0.62 * len(names)
    ax = new_axes(ax, width=size + 1.4, height=0.78 * size)
    points = pd.DataFrame(0.0, index=list(names), columns=list(names))
    texts = pd.DataFrame("", index=list(names), columns=list(names))
    for line in comparisons.itertuples():
        star = "*" if line.p_holm < level else ""
        for one, other, sign in ((line.a, line.b, 1), (line.b, line.a, -1)):
            points.loc[one, other] = 100 * sign * line.difference
            texts.loc[one, other] = f"{points.loc[one, other]:+.1f}{star}"
    shown = [(labels or {}).get(name, name) for name in names]
    farthest = max(points.abs().to_numpy().max(), 0.1)
    sns.heatmap(
        points,
        annot=texts,
        fmt="",
        cmap="PuOr",
        vmin=-farthest,
        vmax=farthest,
        xticklabels=shown,
        yticklabels=shown,
        annot_kws={"fontsize": 9},
        cbar_kws={"label": "row minus column (points)"},
        ax=ax,
    )
    for text in ax.texts:
        text.set_fontweight("bold" if text.get_text().endswith("*") else "normal")
    ax.tick_params(axis="y", rotation=0)
    ax.tick_params(axis="x", rotation=40)
    for tick in ax.get_xticklabels():
        tick.set_horizontalalignment("right")
    return label_axes(ax, title, "", "")


def cost_map(
    costs: Mapping[str, float],
    scores: Mapping[str, float],
    front: Collection[str],
    title: str,
    x: str,
    y: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw score against cost, and join the models that nobody beats: the Pareto front.

    Parameters
    ----------
    costs, scores
        Model -> number; costs are above 0, their axis is logarithmic.
    front
        The models that no other beats in both.
    """
    ax = new_axes(ax, height=4.4)
    names = sorted(costs, key=lambda name: (costs[name], -scores[name]))
    across, up = [costs[name] for name in names], [scores[name] for name in names]
    on_front = [(costs[name], scores[name]) for name in names if name in front]
    ax.plot(*zip(*on_front, strict=True), color=CLASS_COLORS["World"], label="nobody beats these")
    colors = [CLASS_COLORS["World"] if name in front else GREY for name in names]
    ax.scatter(across, up, c=colors, s=45, zorder=3)
    for name, a, b in zip(names, across, up, strict=True):
        ax.annotate(name, (a, b), xytext=(6, -12), textcoords="offset points", fontsize=9)
    ax.set_xscale("log")
    ax.margins(x=0.18, y=0.15)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.legend(loc="best")
    return label_axes(ax, title, x, y)
