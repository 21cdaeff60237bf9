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
    assert texts(ax) == [f"{count:,}" for count in counts.ravel()]
    shares = np.asarray(ax.collections[0].get_array(), dtype=float).reshape(4, 4)
    assert shares[0].tolist() == [75, 25, 0, 0]
    assert shares[1].tolist() == [0, 0, 0, 0]
    assert (ax.get_title(loc="left"), ax.get_ylabel(), ax.get_xlabel()) == (
        "t", "true class", "predicted")  # fmt: skip
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
    assert ax.get_lines()[1].get_xdata() == pytest.approx(100 * table["confidence"].to_numpy())
    assert ax.get_lines()[1].get_ydata() == pytest.approx(100 * table["accuracy"].to_numpy())
    sizes = ax.collections[0].get_sizes()
    assert np.argmax(sizes) == table["rows"].argmax()


def test_win_map_marks_what_is_no_luck():
    right = {"a": np.arange(100) < 90, "b": np.arange(100) < 60, "c": np.arange(100) < 59}
    comparisons = evaluation.compare_all(right)
    ax = draw.win_map(comparisons, ["a", "b", "c"], "t", labels={"a": "model a"})
    assert texts(ax) == ["", "+30.0*", "+31.0*", "-30.0*", "", "+1.0", "-31.0*", "-1.0", ""]
    weights = [text.get_fontweight() for text in ax.texts]
    assert weights[1] == "bold"
    assert weights[5] == "normal"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["model a", "b", "c"]


def test_cost_map_joins_the_front():
    costs, scores = {"a": 10, "b": 100, "c": 1_000}, {"a": 90.0, "b": 89.0, "c": 92.0}
    ax = draw.cost_map(costs, scores, {"a", "c"}, "t", "x", "y")
    (front,) = ax.get_lines()
    assert front.get_xdata().tolist() == [10, 1_000]
    assert front.get_ydata().tolist() == [90, 92]
    assert texts(ax) == ["a", "b", "c"]
    assert ax.get_xscale() == "log"


def test_all_helpers_draw_on_given_axes():
    ax = plt.subplots()[1]
    table = pd.DataFrame({"confidence": [0.5], "accuracy": [0.5], "rows": [3]})
    assert draw.reliability_diagram({"m": table}, "t", ax=ax) is ax
    assert draw.cost_map({"m": 1}, {"m": 2}, ["m"], "t", "x", "y", ax=ax) is ax


def test_own_classes_in_counts_and_curves():
    names = [f"class {n}" for n in range(20)]
    ax = plots.confusion_map(np.eye(20, dtype=int), "t", names)
    assert [label.get_text() for label in ax.get_yticklabels()] == names
    with pytest.raises(ValueError, match=r"counts has 2 classes, but there are 4 names"):
        plots.confusion_map(np.eye(2, dtype=int), "t")
    ax = plots.class_curves({"ham": ([0, 1], [0, 1]), "spam": ([0, 1], [1, 1])}, "t", "x", "y")
    assert len({line.get_color() for line in ax.lines}) == 2
