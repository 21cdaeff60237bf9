"""Figures of chapter cleaning: differences with their intervals, and how MinHash finds its pairs.

What the helpers have in common stands in `agnews_utils.plots`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from agnews_utils.plots.style import CLASS_COLORS, GREY, label_axes, new_axes, panels

# Color and marker both tell the verdict, so that either of them is enough to read the figure.
VERDICTS = {
    "helps": (CLASS_COLORS["World"], "o"),
    "hurts": ("#D55E00", "v"),
    "no difference": (GREY, "s"),
    "undecided": ("#E69F00", "D"),
    "reference": (GREY, "|"),
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
    _draw_differences(ax, intervals, verdict)
    ax.set_yticks(range(len(intervals)), list(intervals))
    ax.invert_yaxis()
    _verdict_legend([ax])
    return label_axes(ax, title, x, "")


def difference_panels(
    panels_by_title: Mapping[str, Mapping[str, tuple[float, float, float]]],
    title: str,
    verdict: Callable[[float, float], str],
    x: str = "change in accuracy (percentage points)",
) -> np.ndarray:
    """Draw several sets of differences with the same labels side by side, on one scale.

    Parameters
    ----------
    panels_by_title
        Title of a panel -> label -> (low, mean, high); the same labels in each panel.

    Returns
    -------
    array of Axes, shape (panels,)
    """
    height = 1.9 + 0.3 * max(len(intervals) for intervals in panels_by_title.values())
    axes = panels(len(panels_by_title), title, 8.0, height, sharey=True)
    for ax, (name, intervals) in zip(axes, panels_by_title.items(), strict=True):
        _draw_differences(ax, intervals, verdict)
        label_axes(ax, name, x, "")
    axes[0].set_yticks(range(len(intervals)), list(intervals))
    axes[0].set_ylim(len(intervals) - 0.5, -0.5)
    widest = max(abs(end) for ax in axes for end in ax.get_xlim())
    for ax in axes:
        ax.set_xlim(-widest, widest)
        ax.title.set_fontsize(10)
        ax.xaxis.label.set_fontsize(9)
    _verdict_legend(axes)
    return axes


def _draw_differences(
    ax: Axes,
    intervals: Mapping[str, tuple[float, float, float]],
    verdict: Callable[[float, float], str],
) -> None:
    ax.axvline(0, color="black", linewidth=0.8)
    for row, (low, mean, high) in enumerate(intervals.values()):
        name = verdict(low, high)
        color, marker = VERDICTS[name]
        ax.plot([100 * low, 100 * high], [row, row], color=color, linewidth=2)
        ax.plot(100 * mean, row, marker, color=color, label=name, linestyle="none")
    ax.grid(axis="y", visible=False)


def _verdict_legend(axes: Iterable[Axes]) -> None:
    """Put each verdict that was drawn into one legend below the figure."""
    drawn, seen = list(axes), dict[str, Artist]()
    for ax in drawn:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            seen.setdefault(label, handle)
    handles, names = list(seen.values()), list(seen)
    drawn[0].figure.legend(handles, names, loc="outside lower center", ncols=len(VERDICTS))


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
