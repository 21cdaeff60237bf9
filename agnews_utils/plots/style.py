"""Figures of the course: one palette, one style, and helpers that several chapters use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

CLASS_COLORS = {
    "World": "#0072B2",
    "Sports": "#E69F00",
    "Business": "#009E73",
    "Sci/Tech": "#CC79A7",
}
"""One color a class in every chapter: from the palette of Okabe and Ito (2008), which readers
with the common kinds of color blindness can tell apart."""

OTHER_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442")
"""Colors of other classes than those, by their order: the rest of the same palette comes last."""

GREY = "#7F7F7F"


def class_colors(names: Iterable[str]) -> dict[str, str]:
    """Return a color for each class, in the order in which figures show the classes.

    The four classes of AG News have their own colors and order. Others stand in alphabetical
    order, numbers by their size; from the eighth on, colors lie evenly on the color wheel.
    """
    found = set(names)
    if found <= set(CLASS_COLORS):
        return {name: color for name, color in CLASS_COLORS.items() if name in found}
    order = sorted(found, key=lambda name: (0, int(name), "") if name.isdecimal() else (1, 0, name))
    colors = list(OTHER_COLORS)
    if len(order) > len(colors):
        colors = sns.husl_palette(len(order)).as_hex()
    return dict(zip(order, colors, strict=False))


def require_names(names: Sequence[str], classes: int, what: str) -> None:
    """Raise a ValueError if there are not as many names as classes."""
    if len(names) != classes:
        listed = ", ".join(list(names)[:4]) + (", ..." if len(names) > 4 else "")
        raise ValueError(
            f"{what} has {classes} classes, but there are {len(names)} names ({listed}): pass "
            "names=news.classes."
        )


def use_course_style() -> None:
    """Set the style of all figures: readable at the width of a notebook, no frame on top."""
    sns.set_theme(style="whitegrid", palette=list(CLASS_COLORS.values()))
    plt.rcParams.update(
        {
            "figure.figsize": (8.0, 4.0),
            "figure.dpi": 100,
            "savefig.dpi": 100,
            "figure.constrained_layout.use": True,
            "axes.titlesize": 12,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.labelsize": 10.5,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
        }
    )


def new_axes(ax: Axes | None = None, width: float = 8.0, height: float = 4.0) -> Axes:
    """Return `ax`, or the Axes of a new figure of `width` by `height` inches."""
    return ax if ax is not None else plt.subplots(figsize=(width, height))[1]


def panels(count: int, title: str, width: float, height: float, sharey: bool = False) -> np.ndarray:
    """Return the Axes of `count` panels, five side by side; `height` inches are for one row."""
    return _grid(count, title, width, height, sharey=sharey)[1]


def _grid(
    count: int,
    title: str,
    width: float,
    height: float,
    sharex: bool = False,
    sharey: bool = False,
) -> tuple[Figure, np.ndarray]:
    """Return a figure and its panels in reading order, in rows of five."""
    rows, columns = -(-count // 5), min(count, 5)
    size = (width, height * rows)
    figure, axes = plt.subplots(
        rows, columns, figsize=size, sharex=sharex, sharey=sharey, squeeze=False
    )
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
    for unused in axes.flat[count:]:
        unused.set_visible(False)
    return figure, axes.ravel()[:count]


def label_axes(ax: Axes, title: str, x: str, y: str) -> Axes:
    """Set the title (state the finding, not the topic) and both axis labels (with units)."""
    ax.set_title(title)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    return ax


def class_legend(ax: Axes, classes: int) -> None:
    """Add the legend of a figure with something for each class; of many, it stands beside it."""
    if classes <= len(OTHER_COLORS):
        ax.legend()
    else:
        columns = -(-classes // 20)
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=8, ncols=columns)


def bars(
    values: Mapping[str, float],
    title: str,
    x: str,
    y: str = "",
    colors: Mapping[str, str] | str = GREY,
    number_format: str = "{:,.0f}",
    ax: Axes | None = None,
) -> Axes:
    """Draw horizontal bars, the first on top, each with its value written at its end.

    Parameters
    ----------
    values
        Label of the bar -> length.
    colors
        One color for all bars, or label -> color (missing labels are grey).
    number_format
        How the value at the end of a bar is written.
    """
    ax = new_axes(ax, height=0.9 + 0.36 * len(values))
    labels = list(values)
    palette = [colors if isinstance(colors, str) else colors.get(name, GREY) for name in labels]
    drawn = ax.barh(labels, [values[name] for name in labels], color=palette)
    ax.bar_label(drawn, [number_format.format(values[name]) for name in labels], padding=3)
    ax.invert_yaxis()
    ax.margins(x=0.12)
    ax.grid(axis="y", visible=False)
    return label_axes(ax, title, x, y)


def length_histograms(
    lengths: Sequence[int] | np.ndarray,
    classes: Sequence[str],
    title: str,
    x: str = "words per text (title and description)",
    longest: int = 80,
    ax: Axes | None = None,
) -> Axes:
    """Draw the distribution of text lengths, one line a class.

    Parameters
    ----------
    lengths
        Number of words of each text, shape `(texts,)`.
    classes
        Class name of each text, shape `(texts,)`.
    longest
        The horizontal axis ends here. Longer texts are not drawn, but count: a line gives shares
        of *all* texts of its class, and the axis says how many lie beyond its end.
    """
    ax = new_axes(ax)
    lengths, names = np.asarray(lengths), np.asarray(classes)
    step = max(2, longest // 40)
    edges = np.arange(0, longest + step, step)
    shown = class_colors(names)
    for name, color in shown.items():
        own = lengths[names == name]
        shares = 100 * np.histogram(own, edges)[0] / len(own)
        ax.stairs(shares, edges, color=color, linewidth=1.6, label=name)
    class_legend(ax, len(shown))
    beyond = (lengths >= edges[-1]).mean()
    if beyond:
        x += f"; {100 * beyond:.1f}% of the texts are longer than shown"
    return label_axes(ax, title, x, f"share of the class (%) in {step} words")


def density_by_class(
    points: np.ndarray, classes: Sequence[str], title: str, x: str, y: str
) -> np.ndarray:
    """Draw where the texts of each class lie, one panel a class: darker cells hold more texts.

    Panels, unlike dots of four colors on one another, do not hide a class behind another. The
    axes leave out the outermost half percent of the points on each side.

    Parameters
    ----------
    points
        Shape `(texts, 2)`.
    classes
        Class name of each text, shape `(texts,)`.

    Returns
    -------
    Array of Axes, shape `(classes,)`, that share their limits.
    """
    points, names = np.asarray(points), np.asarray(classes)
    shown = class_colors(names)
    figure, axes = _grid(len(shown), title, 11, 4.4, sharex=True, sharey=True)
    (left, bottom), (right, top) = np.quantile(points, [0.005, 0.995], axis=0)
    for ax, (name, color) in zip(axes, shown.items(), strict=True):
        across, up = points[names == name].T
        fade = sns.light_palette(color, as_cmap=True)
        extent = (left, right, bottom, top)
        ax.hexbin(across, up, gridsize=22, extent=extent, bins="log", mincnt=1, cmap=fade)
        ax.set(xlim=(left, right), ylim=(bottom, top))
        label_axes(ax, name, "", "")
    figure.supxlabel(x, fontsize=10.5)
    figure.supylabel(y, fontsize=10)
    return axes


def percent_map(table: pd.DataFrame, title: str, x: str, y: str, ax: Axes | None = None) -> Axes:
    """Draw a table of percentages as a heat map, each number written into its cell.

    Colors compare the numbers of one line of the table: the darker, the larger its part of the
    line's sum. So a rare thing that only one column has is as visible as a frequent one.
    """
    width = max(7.0, 2.6 + 0.7 * table.shape[1])
    ax = new_axes(ax, width=width, height=1.2 + 0.34 * len(table))
    parts = table.div(table.sum(axis=1).replace(0, 1), axis=0)
    sns.heatmap(parts, annot=table, fmt=".1f", cmap="Blues", vmin=0, vmax=1, cbar=False, ax=ax)
    ax.tick_params(axis="y", rotation=0)
    return label_axes(ax, title, x, y)


def scatters_by_class(
    panels_of_points: Mapping[str, np.ndarray], classes: Sequence[str], title: str
) -> np.ndarray:
    """Draw the same documents on several maps side by side, one color a class.

    Parameters
    ----------
    panels_of_points
        Title of a map -> points, shape `(documents, 2)`. Their axes have no unit and no meaning of
        their own, so that no numbers stand there.
    classes
        Class name of each document, shape `(documents,)`.
    title
        Title of the whole figure.

    Returns
    -------
    Array of Axes, one for each map.
    """
    axes = panels(len(panels_of_points), title, width=10.0, height=4.8)
    # The order of drawing is mixed, so that no class hides the others.
    order = np.random.default_rng(0).permutation(len(classes))
    shown = class_colors(classes)
    shown = CLASS_COLORS if set(shown) <= set(CLASS_COLORS) else shown
    colors = np.array([shown[name] for name in classes])
    for ax, (name, points) in zip(axes, panels_of_points.items(), strict=True):
        across, up = points[order].T
        ax.scatter(across, up, c=colors[order], s=14, alpha=0.5, linewidths=0)
        ax.set_xticks([])
        ax.set_yticks([])
        label_axes(ax, name, "first component", "second component")
    keyed = axes[-1] if len(shown) > len(OTHER_COLORS) else axes[0]
    for name, color in shown.items():
        keyed.scatter([], [], color=color, s=30, label=name)
    class_legend(keyed, len(shown))
    return axes


def marking_words(scores: Mapping[str, Mapping[str, float]], title: str, x: str) -> np.ndarray:
    """Draw the words that mark each class, one panel a class.

    Parameters
    ----------
    scores
        Class name -> word -> score, best first.
    title, x
        Title of the whole figure and label of the horizontal axes.

    Returns
    -------
    Array of Axes, shape `(classes,)`.
    """
    tallest = max(len(words) for words in scores.values())
    axes = panels(len(scores), title, width=11, height=0.8 + 0.27 * tallest)
    colors = class_colors(scores)
    for ax, (name, words) in zip(axes, scores.items(), strict=True):
        ax.barh(list(words), list(words.values()), color=colors[name])
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        label_axes(ax, name, x, "")
    return axes


def intervals(
    estimates: Mapping[str, tuple[float, float, float]],
    title: str,
    x: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw point estimates with their intervals, one row each, the first on top.

    Parameters
    ----------
    estimates
        Label -> (low, estimate, high).
    """
    ax = new_axes(ax, height=0.9 + 0.38 * len(estimates))
    for row, (low, middle, high) in enumerate(estimates.values()):
        ax.plot([low, high], [row, row], color=CLASS_COLORS["World"], linewidth=2)
        ax.plot(middle, row, "o", color=CLASS_COLORS["World"])
    ax.set_yticks(range(len(estimates)), list(estimates))
    ax.set_ylim(len(estimates) - 0.5, -0.5)
    return label_axes(ax, title, x, "")
