"""Figures of evaluation: counts as heat maps, curves of a class, calibration, who beats whom, cost.

What the helpers have in common stands in `agnews_utils.plots`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import log
from typing import Any

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
    class_legend,
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
    """Draw a confusion matrix: counts, and the share of the true class where it is a mistake.

    Only mistakes are colored. On one scale with the diagonal all of them would be pale.

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
    ax = new_axes(ax, width=6.4 + 0.5 * more, height=4.4 + 0.45 * more)
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    right = np.eye(len(counts), dtype=bool)
    notes = [
        f"{count:,}" if hit else "" if more and not count else f"{count:,}\n{share:.1f}%"
        for count, share, hit in zip(counts.flat, shares.flat, right.flat, strict=True)
    ]
    ax.set_facecolor("#EDEDED")  # what the mask leaves open: the diagonal
    sns.heatmap(
        shares,
        mask=right,
        cmap="Oranges",
        vmin=0,
        vmax=max(1.6 * shares[~right].max(initial=0), 1),
        linewidths=1,
        xticklabels=list(names),
        yticklabels=list(names),
        cbar=False,
        ax=ax,
    )
    for place, note in enumerate(notes):
        down, across = divmod(place, len(counts))
        weight = "bold" if right.flat[place] else "normal"
        ax.text(across + 0.5, down + 0.5, note, ha="center", va="center", weight=weight)
    ax.grid(visible=False)
    ax.tick_params(axis="y", rotation=0)
    return label_axes(ax, title, "predicted (%: share of the true class)", "true class")


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
    class_legend(ax, len(curves))
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
    ax = new_axes(ax, width=7.4, height=4.4)
    ax.plot([0, 100], [0, 100], color=GREY, linestyle=":", label="as sure as right")
    palette = sns.color_palette("colorblind", max(len(tables), 1))
    left, lowest = 25.0, 100.0  # a confidence is at least a quarter, with four classes
    for color, (name, table) in zip(palette, tables.items(), strict=False):
        x, y = 100 * table["confidence"], 100 * table["accuracy"]
        ax.plot(x, y, color=color, linewidth=1.5, label=name)
        ax.scatter(x, y, s=_dot_size(table["rows"] / table["rows"].sum()), color=color)
        left, lowest = min(left, x.min()), min(lowest, y.min())
    for share in (0.02, 0.2, 0.6):
        ax.scatter([], [], s=_dot_size(share), color=GREY, label=f"{share:.0%} of the rows")
    ax.set(xlim=(left - 3, 103), ylim=(lowest - 3, 103))
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), labelspacing=0.9)
    return label_axes(ax, title, "how sure: mean confidence (%)", "how often right (%)")


def _dot_size(share: Any) -> Any:
    """Return the area of a dot that stands for a share of the rows."""
    return 10 + 190 * share


def win_map(
    comparisons: pd.DataFrame,
    names: Sequence[str],
    title: str,
    level: float = 0.05,
    labels: Mapping[str, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw who beats whom, each pair once: leads in points, with a star where they are no luck.

    Parameters
    ----------
    comparisons
        What `compare_all` returned.
    names
        Models, the best first: a cell says by how much the model of its column leads that of its
        row.
    level
        A difference counts if its corrected p-value is below.
    labels
        Model -> name in the figure.
    """
    size = 2.2 + 0.58 * len(names)
    ax = new_axes(ax, width=size + 1.8, height=0.72 * size)
    leads = pd.DataFrame(np.nan, index=list(names[1:]), columns=list(names[:-1]))
    texts = pd.DataFrame("", index=leads.index, columns=leads.columns)
    place = {name: position for position, name in enumerate(names)}
    for line in comparisons.itertuples():
        ahead, behind, sign = line.a, line.b, 1
        if place[line.a] > place[line.b]:
            ahead, behind, sign = line.b, line.a, -1
        leads.loc[behind, ahead] = 100 * sign * line.difference
        star = "*" if line.p_holm < level else ""
        texts.loc[behind, ahead] = f"{leads.loc[behind, ahead]:+.1f}{star}"
    shown = {name: (labels or {}).get(name, name) for name in names}
    sns.heatmap(
        leads,
        mask=leads.isna(),
        annot=texts,
        fmt="",
        cmap="Blues",
        vmin=min(float(np.nanmin(leads)), 0.0),
        vmax=max(1.4 * float(np.nanmax(leads)), 0.1),
        xticklabels=[shown[name] for name in leads.columns],
        yticklabels=[shown[name] for name in leads.index],
        annot_kws={"fontsize": 9},
        cbar=False,
        ax=ax,
    )
    for text in ax.texts:
        text.set_fontweight("bold" if text.get_text().endswith("*") else "normal")
    ax.grid(visible=False)
    ax.tick_params(axis="y", rotation=0)
    ax.tick_params(axis="x", rotation=40)
    for tick in ax.get_xticklabels():
        tick.set_horizontalalignment("right")
    return label_axes(ax, title, "leads by so many points ...", "... this model")


def gain_map(pairs: pd.DataFrame, title: str, x: str, y: str, ax: Axes | None = None) -> Axes:
    """Draw what averages of two models gain, one dot a pair; some have colors and names.

    Parameters
    ----------
    pairs
        Indexed by name, with the columns `x`, `y` and `named`: whether it has a color.
    """
    ax = new_axes(ax, height=4.4)
    ax.axhline(0, color=GREY, linestyle=":")
    others = pairs[~pairs["named"]]
    ax.scatter(others["x"], others["y"], color=GREY, alpha=0.6, s=34, label="other pairs")
    colors = sns.color_palette("colorblind", max(int(pairs["named"].sum()), 1))
    for color, line in zip(colors, pairs[pairs["named"]].itertuples(), strict=False):
        ax.scatter(line.x, line.y, color=color, s=70, zorder=3, label=line.Index)
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    return label_axes(ax, title, x, y)


def cost_map(
    costs: Mapping[str, float],
    scores: Mapping[str, tuple[float, float, float]],
    front: Collection[str],
    title: str,
    x: str,
    y: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw score against cost with intervals; below the step line a model is beaten.

    Parameters
    ----------
    costs
        Model -> number above 0; the axis is logarithmic.
    scores
        Model -> (low, estimate, high).
    front
        The models that no other beats in both: the Pareto front, where the line has its steps.
    """
    ax = new_axes(ax, height=5.2)
    names = sorted(costs, key=lambda name: (costs[name], -scores[name][1]))
    end = 2.0 * max(costs.values())
    on_front = [(costs[name], scores[name][1]) for name in names if name in front]
    steps = [*on_front, (end, on_front[-1][1])]
    ax.plot(*zip(*steps, strict=True), color=CLASS_COLORS["World"], drawstyle="steps-post",
            label="the best that this cost buys")  # fmt: skip
    for name in names:
        low, middle, high = scores[name]
        color = CLASS_COLORS["World"] if name in front else GREY
        ax.plot([costs[name]] * 2, [low, high], color=color, linewidth=1, alpha=0.6)
        ax.plot(costs[name], middle, "o", color=color, markersize=6, zorder=3)
        up = middle >= scores[_nearest(name, costs)][1]  # the better of two neighbors
        ax.annotate(
            name,
            (costs[name], high if up else low),
            xytext=(0, 3 if up else -3),
            textcoords="offset points",
            fontsize=9,
            ha="center",
            va="bottom" if up else "top",
        )
    ax.set_xscale("log")
    ax.set_xlim(right=end)
    ax.margins(y=0.12)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.legend(loc="best")
    return label_axes(ax, title, x, y)


def _nearest(name: str, costs: Mapping[str, float]) -> str:
    """Return the model whose cost is nearest, by its ratio; the model itself if it is alone."""
    others = [other for other in costs if other != name]
    return min(others, key=lambda other: abs(log(costs[other] / costs[name])), default=name)
