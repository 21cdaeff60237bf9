"""Figures of chapter cleaning: differences with their intervals, and how MinHash finds its pairs.

What the helpers have in common stands in `agnews_utils.plots`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes

from agnews_utils.plots.style import CLASS_COLORS, GREY, label_axes, new_axes

# Color and marker both tell the verdict, so that either of them is enough to read the figure.
VERDICTS = {
    "helps": (CLASS_COLORS["World"], "o"),
    "hurts": ("#D55E00", "v"),
    "no difference": (GREY, "s"),
    "undecided": ("#BBBBBB", "D"),
}


def differences(
    intervals: Mapping[str, tuple[float, float, float]],
    title: str,
    verdict: Callable[[float, float], str],
    x: str = "change in accuracy (percentage points)",
    ax: Axes | None = None,
) -> Axes:
    """Draw differences with their intervals around a line at zero, the first on top.

    Parameters
    ----------
    intervals
        Label -> (low, mean, high), as shares; they are drawn in percentage points.
    verdict
        What (low, high) shows, one of `VERDICTS`: it decides color and marker.
    """
    ax = new_axes(ax, height=1.3 + 0.3 * len(intervals))
    ax.axvline(0, color="black", linewidth=0.8)
    seen = set()
    for row, (low, mean, high) in enumerate(intervals.values()):
        name = verdict(low, high)
        color, marker = VERDICTS[name]
        ax.plot([100 * low, 100 * high], [row, row], color=color, linewidth=2)
        label = None if name in seen else name
        ax.plot(100 * mean, row, marker, color=color, label=label, linestyle="none")
        seen.add(name)
    ax.set_yticks(range(len(intervals)), list(intervals))
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.figure.legend(loc="outside lower center", ncols=len(VERDICTS))
    return label_axes(ax, title, x, "")


def candidate_curves(
    shapes: Mapping[str, tuple[int, int]], threshold: float, title: str, ax: Axes | None = None
) -> Axes:
    """Draw the chance that banding compares two texts, against their similarity.

    Parameters
    ----------
    shapes
        Label -> (bands, rows in a band).
    threshold
        Similarity from which a pair is wanted; marked by a line.
    """
    ax = new_axes(ax, height=3.4)
    similarity = np.linspace(0, 1, 201)
    styles = ("-", "--", ":", "-.")
    for number, (label, (bands, rows)) in enumerate(shapes.items()):
        chance = 1 - (1 - similarity**rows) ** bands
        color = list(CLASS_COLORS.values())[number % len(CLASS_COLORS)]
        ax.plot(similarity, chance, styles[number % len(styles)], color=color, label=label)
    ax.axvline(threshold, color="black", linewidth=0.8)
    ax.legend(title="bands x rows")
    x = "Jaccard similarity of two texts"
    return label_axes(ax, title, x, "chance to be compared")
