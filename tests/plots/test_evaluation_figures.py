"""Figures of chapter evaluation: what was drawn, not how it looks."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from agnews_utils import evaluation, plots
from agnews_utils.plots import evaluation as draw

pytestmark = pytest.mark.usefixtures("course_style")


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_confusion_map_shows_rows_and_colors_shares():
    counts = np.array([[6, 2, 0, 0], [0, 0, 0, 0], [1, 0, 9, 0], [0, 0, 0, 1_200]])
    ax = draw.confusion_map(counts, "t")
    first_row = ["6", "2\n25.0%", "0\n0.0%", "0\n0.0%"]
    assert texts(ax)[:4] == first_row
    assert texts(ax)[-1] == "1,200"
    shares = np.ma.asarray(ax.collections[0].get_array()).reshape(4, 4)
    assert shares.mask.tolist() == np.eye(4, dtype=bool).tolist()  # hits have no color
    assert shares[0].tolist() == [None, 25, 0, 0]
    assert shares[2].tolist() == [10, 0, None, 0]
    assert (ax.get_title(loc="left"), ax.get_ylabel(), ax.get_xlabel()) == (
        "t", "true class", "predicted (%: share of the true class)")  # fmt: skip
    assert [label.get_text() for label in ax.get_xticklabels()] == list(plots.CLASS_COLORS)


def test_class_curves_have_the_colors_of_the_classes():
    curves = {"Sports (area 0.9)": ([0, 1], [0, 1]), "other": ([0, 1], [1, 1])}
    ax = draw.class_curves(curves, "t", "x", "y", diagonal=True)
    sports, other, guess = ax.get_lines()
    assert sports.get_color() == plots.CLASS_COLORS["Sports"]
    assert other.get_ydata().tolist() == [1, 1]
    assert guess.get_label() == "guessing"


def test_reliability_diagram_draws_the_bins():
    rng = np.random.default_rng(0)
    true, probabilities = rng.integers(4, size=50), rng.dirichlet([1] * 4, 50)
    table = evaluation.reliability_bins(true, probabilities)
    ax = draw.reliability_diagram({"before": table, "after": table}, "t")
    assert [line.get_label() for line in ax.get_lines()] == ["as sure as right", "before", "after"]
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend[-3:] == ["2% of the rows", "20% of the rows", "60% of the rows"]
    assert ax.get_lines()[1].get_xdata() == pytest.approx(100 * table["confidence"].to_numpy())
    assert ax.get_lines()[1].get_ydata() == pytest.approx(100 * table["accuracy"].to_numpy())
    sizes = ax.collections[0].get_sizes()
    assert np.argmax(sizes) == table["rows"].argmax()


def test_win_map_marks_what_is_no_luck():
    right = {"a": np.arange(100) < 90, "b": np.arange(100) < 60, "c": np.arange(100) < 59}
    comparisons = evaluation.compare_all(right)
    ax = draw.win_map(comparisons, ["a", "b", "c"], "t", labels={"a": "model a"})
    assert texts(ax) == ["+30.0*", "+31.0*", "+1.0"]  # each pair once
    assert [text.get_fontweight() for text in ax.texts] == ["bold", "bold", "normal"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["model a", "b"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "c"]


def test_win_map_says_so_where_the_order_is_not_that_of_the_scores():
    right = {"a": np.arange(100) < 60, "b": np.arange(100) < 90}
    ax = draw.win_map(evaluation.compare_all(right), ["a", "b"], "t")
    assert texts(ax) == ["-30.0*"]


def test_gain_map_names_what_is_asked_for():
    pairs = pd.DataFrame({"x": [1.0, 2.0], "y": [-0.1, 0.4], "named": [False, True]})
    pairs.index = ["a + b", "a + c"]
    ax = draw.gain_map(pairs, "t", "x", "y")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["other pairs", "a + c"]
    dots = [np.asarray(dots.get_offsets()).tolist() for dots in ax.collections]
    assert dots == [[[1, -0.1]], [[2, 0.4]]]


def test_cost_map_draws_steps_and_intervals():
    costs = {"a": 10, "b": 100, "c": 1_000}
    scores = {"a": (89, 90, 91), "b": (88, 89, 90), "c": (91, 92, 93)}
    ax = draw.cost_map(costs, scores, {"a", "c"}, "t", "x", "y")
    front, *others = ax.get_lines()
    assert front.get_drawstyle() == "steps-post"
    assert front.get_xdata().tolist() == [10, 1_000, 2_000]
    assert front.get_ydata().tolist() == [90, 92, 92]
    assert [list(line.get_ydata()) for line in others[::2]] == [[89, 91], [88, 90], [91, 93]]
    assert texts(ax) == ["a", "b", "c"]
    assert ax.get_xscale() == "log"


def test_all_helpers_draw_on_given_axes():
    ax = plt.subplots()[1]
    table = pd.DataFrame({"confidence": [0.5], "accuracy": [0.5], "rows": [3]})
    assert draw.reliability_diagram({"m": table}, "t", ax=ax) is ax
    assert draw.cost_map({"m": 1}, {"m": (1, 2, 3)}, ["m"], "t", "x", "y", ax=ax) is ax


def test_own_classes_in_counts_and_curves():
    names = [f"class {n}" for n in range(20)]
    ax = plots.confusion_map(np.eye(20, dtype=int), "t", names)
    assert [label.get_text() for label in ax.get_yticklabels()] == names
    with pytest.raises(ValueError, match=r"counts has 2 classes, but there are 4 names"):
        plots.confusion_map(np.eye(2, dtype=int), "t")
    ax = plots.class_curves({"ham": ([0, 1], [0, 1]), "spam": ([0, 1], [1, 1])}, "t", "x", "y")
    assert len({line.get_color() for line in ax.lines}) == 2
