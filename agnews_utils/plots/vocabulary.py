"""Figures of chapter vocabulary: power laws, coverage of a vocabulary, what padding looks like.

What the helpers have in common stands in `agnews_utils.plots`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from agnews_utils.plots.style import CLASS_COLORS, GREY, label_axes, new_axes, panels

LINES = list(CLASS_COLORS.values())


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
    ax: Axes | None = None,
) -> Axes:
    """Draw several lines over the same x.

    Parameters
    ----------
    x
        Shape `(points,)`.
    lines
        Name -> y, shape `(points,)`.
    log_x
        Whether the horizontal axis is logarithmic.
    """
    ax = new_axes(ax)
    for color, marker, (name, y) in zip(LINES, "osD^", lines.items(), strict=False):
        ax.plot(x, y, marker=marker, markersize=4, color=color, label=name)
    if log_x:
        ax.set_xscale("log")
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
