"""Figures of chapters pretraining and bert: attention, pre-training, learning rates, error by rows.

What the helpers have in common stands in `agnews_utils.plots`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from agnews_utils.plots.style import GREY, label_axes, new_axes, panels

_BLUE, _ORANGE, _GREEN, _RED = (sns.color_palette("colorblind")[i] for i in (0, 1, 2, 3))
_PURPLE = sns.color_palette("colorblind")[4]

MODELS = {
    "words linear": ("TF-IDF + linear model", GREY, "-."),
    "bundled random": ("bundled encoder, random weights", _RED, ":"),
    "bundled frozen": ("bundled encoder, frozen", _ORANGE, ":"),
    "bundled contrastive": ("bundled encoder, tuned by pairs", _PURPLE, "-."),
    "bundled fine-tuned": ("bundled encoder, fine-tuned", _ORANGE, "-"),
    "minilm frozen": ("MiniLM, frozen", _GREEN, "--"),
    "minilm frozen, self-trained": ("MiniLM, frozen, self-trained", _PURPLE, (0, (5, 1, 1, 1))),
    "minilm contrastive": ("MiniLM, tuned by pairs", _RED, "-"),
    "minilm fine-tuned": ("MiniLM, fine-tuned", _BLUE, "-"),
}
"""Label, color and line of each model in `error_by_rows`."""

STRATEGIES = {
    "head only": (_GREEN, "s"),
    "all layers": (_BLUE, "o"),
    "gradual": (_ORANGE, "^"),
    "layer-wise": (_PURPLE, "D"),
}
"""Color and marker of each strategy in `accuracy_by_learning_rate`."""

_ERROR_TICKS = (5, 7, 10, 15, 20, 30, 50, 70)


def attention_map(
    pieces: Sequence[str],
    weights: ArrayLike,
    title: str,
    ax: Axes | None = None,
    highest: float | None = None,
    bar: bool = True,
) -> Axes:
    """Draw who looks at whom (pretraining, "A map of attention").

    Parameters
    ----------
    pieces
        The pieces of a text, shape `(length,)`.
    weights
        Attention weights of one head, shape `(length, length)`; rows are the queries.
    highest
        The share that gets the brightest color; by default the largest.
    bar
        Whether to draw the scale of colors.

    Raises
    ------
    ValueError
        If the weights have another shape.
    """
    values = np.asarray(weights, dtype=float)
    if values.shape != (len(pieces), len(pieces)):
        raise ValueError(
            f"weights has the shape {values.shape}: expected one row and one column for each of "
            f"the {len(pieces)} pieces; pick one layer and one head."
        )
    ax = new_axes(ax, width=6.0, height=5.2)
    image = ax.imshow(values, cmap="cividis", vmin=0.0, vmax=highest)
    ax.set_xticks(range(len(pieces)), pieces, rotation=60, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(pieces)), pieces)
    ax.grid(visible=False)
    if bar:
        ax.figure.colorbar(image, ax=ax, label="share of attention", shrink=0.8)
    return label_axes(ax, title, "is looked at (key)", "looks (query)")


def attention_heads(
    pieces: Sequence[str], weights: ArrayLike, titles: Sequence[str], title: str
) -> np.ndarray:
    """Draw the maps of all heads of a layer, two a row (pretraining, "A map of attention").

    Parameters
    ----------
    pieces
        The pieces of a text, shape `(length,)`.
    weights
        Attention weights, shape `(heads, length, length)`; rows are the queries.
    titles
        Title of each head's map.
    title
        Title of the whole figure.

    Returns
    -------
    Array of Axes, shape `(heads,)`. All maps share their colors.

    Raises
    ------
    ValueError
        If the weights have another shape, or there are not as many titles as heads.
    """
    values = np.asarray(weights, dtype=float)
    if len(titles) != len(values):
        raise ValueError(f"{len(titles)} titles for {len(values)} heads: expected one for each.")
    rows = -(-len(values) // 2)
    figure, grid = plt.subplots(
        rows, 2, figsize=(9.6, 4.4 * rows), sharex=True, sharey=True, layout="constrained"
    )
    axes = np.ravel(grid)
    for ax in axes[len(values) :]:
        ax.remove()
    axes = axes[: len(values)]
    for ax, one, name in zip(axes, values, titles, strict=True):
        attention_map(pieces, one, name, ax, highest=float(values.max()), bar=False)
    for ax in axes:
        ax.label_outer()
    figure.colorbar(axes[0].images[0], ax=list(axes), label="share of attention", shrink=0.6)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
    return axes


def loss_and_levels(
    x: Sequence[float],
    loss: Sequence[float],
    levels: Mapping[str, float],
    title: str,
    x_label: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw the loss of masking, and what guessing costs.

    Parameters
    ----------
    x, loss
        Shape `(points,)`.
    levels
        Name -> loss: horizontal lines to compare with, such as the logarithm of the vocabulary.
    """
    ax = new_axes(ax)
    ax.plot(x, loss, color=_BLUE, linewidth=1.8, label="the network")
    for style, (name, level) in zip(("--", ":", "-."), levels.items(), strict=False):
        ax.axhline(level, color="black", linestyle=style, linewidth=1.2, label=name)
    ax.legend()
    return label_axes(ax, title, x_label, "loss (nats per hidden piece)")


def pretraining_log(rounds: Sequence[Mapping[str, Any]], pieces: int, title: str) -> np.ndarray:
    """Draw the log of `python -m tools.pretraining`: loss of masking, right answers of both.

    Parameters
    ----------
    rounds
        The rounds of `pretraining_log.json`.
    pieces
        Size of the vocabulary; the logarithm of it is what guessing evenly costs.
    title
        Title of the whole figure.

    Returns
    -------
    Array of two Axes.
    """
    axes = panels(2, title, width=10.0, height=3.8)
    tokens = [entry["tokens"] / 1e6 for entry in rounds]
    losses = [entry["valid_masking_loss"] for entry in rounds]
    levels = {f"guessing evenly, ln {pieces:,}": float(np.log(pieces))}
    loss_and_levels(
        tokens, losses, levels, "Naming hidden pieces", "tokens read (million)", axes[0]
    )
    columns = {
        "hidden piece named": ("valid_masking_accuracy", _BLUE, "-"),
        "description found for a title": ("valid_matching_accuracy", _ORANGE, "--"),
    }
    for name, (column, color, style) in columns.items():
        points = [(x, entry[column]) for x, entry in zip(tokens, rounds, strict=True)]
        points = [(x, 100 * share) for x, share in points if share is not None]
        if points:
            axes[1].plot(*zip(*points, strict=True), style, color=color, label=name, linewidth=1.8)
    axes[1].set_ylim(bottom=0)
    axes[1].legend()
    label_axes(axes[1], "Right answers", "tokens read (million)", "right (%)")
    return axes


def error_by_rows(
    points: Sequence[Mapping[str, Any]],
    title: str,
    y: str = "wrong test rows (%, logarithmic)",
    ax: Axes | None = None,
) -> Axes:
    """Draw learning curves: error against the number of labeled rows, a dot for each draw of them.

    The lines go through the mean of the draws. On a logarithmic axis a tenth fewer errors is the
    same step everywhere, so that curves which come close to each other can still be told apart.

    Parameters
    ----------
    points
        Each with `model` (a name of `MODELS`), `rows`, and `accuracies`, the share that each draw
        got right, from 0 to 1.

    Raises
    ------
    ValueError
        If a model is not in `MODELS`.
    """
    if unknown := sorted({point["model"] for point in points} - set(MODELS)):
        raise ValueError(f"unknown model {unknown[0]!r}: expected one of {', '.join(MODELS)}")
    ax = new_axes(ax, height=5.2)
    shown = [name for name in MODELS if any(point["model"] == name for point in points)]
    for place, name in enumerate(shown):
        label, color, style = MODELS[name]
        own = sorted((p for p in points if p["model"] == name), key=lambda p: p["rows"])
        # A little beside each other, so that no model's dots hide those of another.
        aside = 1.05 ** (place - (len(shown) - 1) / 2)
        across = [point["rows"] * aside for point in own]
        errors = [100 * (1 - np.array(point["accuracies"])) for point in own]
        means = [e.mean() for e in errors]
        ax.plot(across, means, linestyle=style, color=color, label=label)
        repeated = np.repeat(across, [len(e) for e in errors])
        ax.scatter(repeated, np.concatenate(errors), color=color, s=14, alpha=0.7, linewidths=0)
    every = sorted({point["rows"] for point in points})
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks(every, [f"{rows:,}" for rows in every], rotation=30 if len(every) > 7 else 0)
    ax.set_yticks(_ERROR_TICKS, [str(tick) for tick in _ERROR_TICKS])
    ax.minorticks_off()
    low, high = ax.dataLim.intervaly
    ax.set_ylim(low / 1.1, high * 1.1)
    place_of_legend: dict[str, Any] = {"loc": "lower left"}
    if len(shown) > 5:
        place_of_legend = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)}
    ax.legend(title="a dot for each draw of rows, or seed", **place_of_legend)
    return label_axes(ax, title, "labeled rows (logarithmic)", y)


def accuracy_by_learning_rate(
    cells: Sequence[Mapping[str, Any]], title: str, ax: Axes | None = None
) -> Axes:
    """Draw a sweep: accuracy against the learning rate, one line a strategy.

    Parameters
    ----------
    cells
        Each with `strategy` (a name of `STRATEGIES`), `learning_rate`, and
        `valid_accuracy` (mean over the seeds), `low` and `high` (worst and best seed) as shares
        from 0 to 1.

    Raises
    ------
    ValueError
        If a strategy is not in `STRATEGIES`.
    """
    columns = ("valid_accuracy", "low", "high")
    found = _in_percent(cells, "strategy", STRATEGIES, "learning_rate", columns)
    ax = new_axes(ax, height=4.6)
    for strategy, (rates, middle, low, high) in found.items():
        color, marker = STRATEGIES[strategy]
        errors = np.clip([middle - low, high - middle], 0, None)
        ax.errorbar(rates, middle, errors, color=color, marker=marker, capsize=3,
                    linewidth=1.6, label=strategy)  # fmt: skip
    ax.set_xscale("log")
    ax.legend(title="what is trained")
    return label_axes(
        ax, title, "learning rate (logarithmic)", "validation accuracy (%), worst to best seed"
    )


def _in_percent(
    points: Sequence[Mapping[str, Any]],
    key: str,
    known: Mapping[str, Any],
    x: str,
    columns: Sequence[str],
) -> dict[str, list[np.ndarray]]:
    """Return the values of `x` and the `columns` in percent, sorted by x, for each name at `key`.

    The names come in the order of `known`; another name is a ValueError.
    """
    if unknown := sorted({point[key] for point in points} - set(known)):
        raise ValueError(f"unknown {key} {unknown[0]!r}: expected one of {', '.join(known)}")
    found = {}
    for name in known:
        own = sorted((point for point in points if point[key] == name), key=lambda p: p[x])
        if own:
            percent = [100 * np.array([point[column] for point in own]) for column in columns]
            found[name] = [np.array([point[x] for point in own]), *percent]
    return found
