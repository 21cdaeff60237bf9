"""Figures: titles, labels and the data that was drawn (nbval does not compare pictures)."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from agnews_utils import plots

pytestmark = pytest.mark.usefixtures("course_style")


def texts(ax):
    return ax.get_title(loc="left"), ax.get_xlabel(), ax.get_ylabel()


def test_bars():
    ax = plots.bars({"a": 3.0, "b": 1250.0}, "Finding", "rows", "kind", colors={"a": "#ff0000"})
    assert texts(ax) == ("Finding", "rows", "kind")
    assert [bar.get_width() for bar in ax.patches] == [3.0, 1250.0]
    assert [text.get_text() for text in ax.texts] == ["3", "1,250"]
    assert ax.patches[0].get_facecolor() == mpl.colors.to_rgba("#ff0000")
    assert ax.patches[1].get_facecolor() == mpl.colors.to_rgba(plots.GREY)
    assert ax.yaxis_inverted()


def test_length_histograms_clip_the_tail_and_share_within_a_class():
    lengths = [10] * 3 + [20] + [500] * 4
    classes = ["World"] * 4 + ["Sports"] * 4
    ax = plots.length_histograms(lengths, classes, "Finding", longest=50)
    assert texts(ax)[0] == "Finding"
    assert "(%)" in ax.get_ylabel()
    drawn = {mpl.colors.to_hex(line.get_color()).upper(): line for line in ax.get_lines()}
    assert set(drawn) == {plots.CLASS_COLORS["World"], plots.CLASS_COLORS["Sports"]}
    assert max(drawn[plots.CLASS_COLORS["World"]].get_ydata()) == pytest.approx(75)
    sports = drawn[plots.CLASS_COLORS["Sports"]]
    assert max(sports.get_ydata()) == pytest.approx(100)
    assert max(sports.get_xdata()) <= 52


def test_scatter_draws_every_point_in_its_class_color():
    points = np.arange(8.0).reshape(4, 2)
    classes = ["World", "Sports", "World", "Sci/Tech"]
    ax = plots.scatter_by_class(points, classes, "t", "x", "y")
    drawn = ax.collections[0]
    by_point = dict(
        zip(map(tuple, drawn.get_offsets().tolist()), drawn.get_facecolors(), strict=True)
    )
    for point, name in zip(points.tolist(), classes, strict=True):
        assert mpl.colors.to_hex(by_point[tuple(point)]).upper() == plots.CLASS_COLORS[name]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(plots.CLASS_COLORS)


def test_marking_words_has_one_panel_a_class():
    scores = {"World": {"talks": 9.0, "vote": 4.0}, "Sports": {"goal": 7.0}}
    axes = plots.marking_words(scores, "Words", "z-score")
    assert [ax.get_title(loc="left") for ax in axes] == ["World", "Sports"]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["talks", "vote"]
    assert [bar.get_width() for bar in axes[0].patches] == [9.0, 4.0]
    assert axes[0].figure.get_suptitle() == "Words"


def test_intervals():
    ax = plots.intervals({"a": (1.0, 2.0, 4.0), "b": (5.0, 6.0, 7.0)}, "t", "accuracy (%)")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    lines = ax.get_lines()
    assert list(lines[0].get_xdata()) == [1.0, 4.0]
    assert list(lines[1].get_xdata()) == [2.0]
    assert ax.yaxis_inverted()


def test_helpers_draw_on_given_axes():
    _, ax = plt.subplots()
    assert plots.bars({"a": 1}, "t", "x", ax=ax) is ax
    assert plots.intervals({"a": (0, 1, 2)}, "t", "x", ax=ax) is ax


def test_class_colors_are_from_the_palette_of_okabe_and_ito():
    published = {
        "#000000",
        "#E69F00",
        "#56B4E9",
        "#009E73",
        "#F0E442",
        "#0072B2",
        "#D55E00",
        "#CC79A7",
    }
    assert set(plots.CLASS_COLORS.values()) <= published
    assert len(set(plots.CLASS_COLORS.values())) == 4
