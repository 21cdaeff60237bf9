"""Figures of chapter vocabulary: the way to a tensor, power laws, coverage, padding.

What the helpers have in common stands in `agnews_utils.plots`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from agnews_utils.plots.style import CLASS_COLORS, GREY, label_axes, new_axes, panels

LINES = list(CLASS_COLORS.values())


def way_to_a_tensor(
    text: str,
    tokens: Sequence[str],
    ids: Sequence[int],
    length: int,
    title: str,
    unknown: int = 1,
    padding: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draw one text on its way: text, tokens, ids, a padded row of a tensor, its mask.

    Parameters
    ----------
    text
        The text, as it is read.
    tokens, ids
        Its tokens and the index of each, shape `(tokens,)`.
    length
        Width of the tensor: the row is filled up to it.
    unknown, padding
        The index of a token that is not in the vocabulary, and the one that fills up the row.

    Raises
    ------
    ValueError
        If the numbers of tokens and ids differ, or exceed `length`.
    """
    if len(tokens) != len(ids) or len(ids) > length:
        raise ValueError(f"{len(tokens)} tokens, {len(ids)} ids, a tensor of width {length}")
    ax = new_axes(ax, height=3.6)
    gaps = length - len(ids)
    rows: list[tuple[str, list[str]]] = [
        ("tokens", list(tokens)),
        ("ids", [str(index) for index in ids]),
        ("tensor", [str(index) for index in [*ids, *[padding] * gaps]]),
        ("mask", ["1"] * len(ids) + ["0"] * gaps),
    ]
    ax.text(0, 0, text, ha="left", va="center", family="monospace", fontsize=12)
    for row, (_, values) in enumerate(rows, start=1):
        for column, value in enumerate(values):
            color = LINES[0] if column < len(ids) else GREY
            if column < len(ids) and ids[column] == unknown:
                color = LINES[1]
            box = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": color}
            ax.text(
                column + 0.5, row, value, ha="center", va="center", bbox={**box, "linewidth": 1.8}
            )
    ax.set_yticks(range(len(rows) + 1), ["text", *(name for name, _ in rows)])
    ax.set_xlim(-0.2, length)
    ax.set_ylim(len(rows) + 0.6, -0.6)
    ax.set_xticks(np.arange(length) + 0.5, [str(position) for position in range(length)])
    ax.grid(visible=False)
    ax.spines["left"].set_visible(False)
    ax.tick_params(left=False)
    return label_axes(ax, title, "position", "")


def before_and_after(
    values: Mapping[str, tuple[float, float]],
    title: str,
    x: str,
    names: tuple[str, str],
    ax: Axes | None = None,
) -> Axes:
    """Draw two numbers of each thing as two dots on a line, the first thing on top.

    Parameters
    ----------
    values
        Label -> (before, after).
    names
        What "before" and "after" are, for the legend.
    """
    ax = new_axes(ax, height=1.2 + 0.36 * len(values))
    before = [pair[0] for pair in values.values()]
    after = [pair[1] for pair in values.values()]
    places = range(len(values))
    ax.hlines(places, after, before, color=GREY, linewidth=2)
    ax.plot(before, places, "o", color=LINES[1], markersize=9, label=names[0])
    ax.plot(after, places, "D", color=LINES[0], markersize=5, label=names[1])
    ax.set_yticks(places, list(values))
    ax.set_ylim(len(values) - 0.5, -0.5)
    ax.set_xlim(left=0)
    ax.grid(axis="y", visible=False)
    ax.legend(loc="lower right")
    return label_axes(ax, title, x, "")


def power_law_line(
    x: Sequence[float] | np.ndarray,
    y: Sequence[float] | np.ndarray,
    fit: tuple[float, float],
    fit_range: tuple[float, float],
    title: str,
    x_label: str,
    y_label: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw measured points on two logarithmic axes, and the power law fitted to a part of them.

    Parameters
    ----------
    x, y
        Positive numbers, shape `(points,)`.
    fit
        (exponent, factor) of the law, see `agnews_utils.vocabulary.power_law`.
    fit_range
        The smallest and the largest x that the law was fitted to; the line is solid there only.
    """
    ax = new_axes(ax, height=4.4)
    exponent, factor = fit
    ax.loglog(x, y, ".", markersize=4, color=GREY, label="measured")
    everywhere = np.array([np.min(x), np.max(x)], dtype=float)
    fitted = np.array(fit_range, dtype=float)
    ax.loglog(everywhere, factor * everywhere**exponent, ":", color=LINES[0], linewidth=1.2)
    ax.loglog(
        fitted,
        factor * fitted**exponent,
        color=LINES[0],
        linewidth=2.5,
        label=f"fitted slope {exponent:.2f}",
    )
    ax.legend()
    return label_axes(ax, title, x_label, y_label)


def curves(
    x: Sequence[float] | np.ndarray,
    lines: Mapping[str, Sequence[float] | np.ndarray],
    title: str,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    log_y: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw several lines over the same x.

    Parameters
    ----------
    x
        Shape `(points,)`.
    lines
        Name -> y, shape `(points,)`.
    log_x, log_y
        Whether the horizontal, the vertical axis is logarithmic; a zero is left out of the latter.
    """
    ax = new_axes(ax)
    for color, marker, (name, y) in zip(LINES, "osD^", lines.items(), strict=False):
        ax.plot(x, y, marker=marker, markersize=4, color=color, label=name)
    if log_x:
        ax.set_xscale("log")
    if log_y:
        ax.set_yscale("log", nonpositive="mask")
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        ax.yaxis.set_minor_formatter("{x:g}")
    ax.legend()
    return label_axes(ax, title, x_label, y_label)


def padding_pictures(masks: Mapping[str, np.ndarray], title: str) -> np.ndarray:
    """Draw attention masks as pictures: one row a text, tokens colored, padding blank.

    Parameters
    ----------
    masks
        Name -> mask, shape `(batch, length)`, 1 for a token.
    title
        Title of the whole figure.

    Returns
    -------
    Array of Axes, shape `(masks,)`; the title of each says its share of padding.
    """
    widest = max(np.asarray(mask).shape[1] for mask in masks.values())
    axes = panels(len(masks), title, width=9, height=3.2, sharey=True)
    for ax, (name, mask) in zip(axes, masks.items(), strict=True):
        mask = np.asarray(mask)
        picture = np.full((*mask.shape, 3), 1.0)
        picture[mask == 0] = (0.85, 0.85, 0.85)
        picture[mask == 1] = (0.0, 0.447, 0.698)  # the blue of the palette
        ax.imshow(picture, aspect="auto", interpolation="nearest")
        ax.set_xlim(-0.5, widest - 0.5)
        ax.grid(visible=False)
        share = 1 - mask.mean()
        label_axes(ax, f"{name}: {share:.0%} padding", "position in the text (tokens)", "")
    axes[0].set_ylabel("text in the batch")
    return axes
