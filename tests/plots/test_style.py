"""Figures: titles, labels and the data that was drawn (nbval does not compare pictures)."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
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


def test_length_histograms_share_within_a_class_and_make_no_bump_of_the_tail():
    lengths = [10] * 3 + [20] + [500] * 4
    classes = ["World"] * 4 + ["Sports"] * 4
    ax = plots.length_histograms(lengths, classes, "Finding", longest=50)
    assert texts(ax)[0] == "Finding"
    assert "(%)" in ax.get_ylabel()
    drawn = {mpl.colors.to_hex(one.get_edgecolor()).upper(): one.get_data() for one in ax.patches}
    assert set(drawn) == {plots.CLASS_COLORS["World"], plots.CLASS_COLORS["Sports"]}
    world = drawn[plots.CLASS_COLORS["World"]]
    assert world.values.max() == pytest.approx(75)
    assert world.edges[world.values.argmax()] == 10
    assert world.edges[-1] <= 52
    assert drawn[plots.CLASS_COLORS["Sports"]].values.sum() == 0  # beyond the end, and said so
    assert "50.0% of the texts are longer" in ax.get_xlabel()


def test_density_by_class_has_one_panel_a_class_with_its_own_points():
    points = np.random.default_rng(0).normal(size=(300, 2))
    points[:100] += 5
    classes = ["World"] * 100 + ["Sci/Tech"] * 200
    axes = plots.density_by_class(points, classes, "t", "x", "y")
    assert [ax.get_title(loc="left") for ax in axes] == ["World", "Sci/Tech"]
    assert (axes[0].figure.get_supxlabel(), axes[0].figure.get_supylabel()) == ("x", "y")
    assert axes[0].get_xlim() == axes[1].get_xlim()
    for ax, rows, middle in ((axes[0], 100, 5), (axes[1], 200, 0)):
        cells = ax.collections[0]
        counts = np.asarray(cells.get_array())
        assert 0.9 * rows <= counts.sum() <= rows  # the outermost half percent is left out
        center = np.average(cells.get_offsets(), axis=0, weights=counts)
        assert center == pytest.approx([middle, middle], abs=0.3)


def test_percent_map_writes_each_number():
    table = pd.DataFrame({"World": [1.0, 25.25], "Sports": [0.0, 7.0]}, ["href", "#39;"])
    ax = plots.percent_map(table, "Finding", "class", "artifact")
    assert texts(ax) == ("Finding", "class", "artifact")
    assert [text.get_text() for text in ax.texts] == ["1.0", "0.0", "25.2", "7.0"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["href", "#39;"]
    shades = np.asarray(ax.collections[0].get_array()).reshape(2, 2)
    assert shades[0] == pytest.approx([1, 0])
    assert shades[1] == pytest.approx([25.25 / 32.25, 7 / 32.25])


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


def test_maps_side_by_side_have_a_dot_for_each_document_in_the_color_of_its_class():
    points = {"before": np.array([[0.0, 1.0], [2.0, 3.0]]), "after": np.array([[4.0, 5.0], [6, 7]])}
    axes = plots.scatters_by_class(points, ["World", "Sports"], "whole")
    assert [ax.get_title(loc="left") for ax in axes] == list(points)
    for ax, expected in zip(axes, points.values(), strict=True):
        dots = ax.collections[0]
        drawn = dict(zip(map(tuple, dots.get_offsets()), dots.get_facecolors(), strict=True))
        for place, name in zip(map(tuple, expected), ("World", "Sports"), strict=True):
            assert (
                mpl.colors.to_hex(drawn[place]).upper()
                == mpl.colors.to_hex(plots.CLASS_COLORS[name]).upper()
            )
    assert axes[0].figure.get_suptitle() == "whole"
    assert len(axes[0].get_legend().get_texts()) == len(plots.CLASS_COLORS)


def test_other_classes_have_colors_and_an_order_too():
    assert list(plots.class_colors(["Sports", "World"])) == ["World", "Sports"]
    assert list(plots.class_colors(["10", "9", "spam"])) == ["9", "10", "spam"]
    for count in (2, 7, 20, 100):
        colors = plots.class_colors(f"class {n}" for n in range(count))
        assert len(set(colors.values())) == count
    names = ["ham", "spam", "ham"]
    points = np.array([[0.0, 1.0], [2.0, 3.0], [1.0, 1.0]])
    axes = plots.scatters_by_class({"map": points}, names, "t")
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == ["ham", "spam"]
    axes = plots.density_by_class(points, names, "t", "x", "y")
    assert [ax.get_title(loc="left") for ax in axes] == ["ham", "spam"]
    ax = plots.length_histograms([3, 4, 5], names, "t")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["ham", "spam"]
    axes = plots.marking_words({"ham": {"a": 1.0}, "spam": {"b": 2.0}}, "t", "x")
    assert axes[0].patches[0].get_facecolor() != axes[1].patches[0].get_facecolor()


def test_many_classes_get_rows_of_panels_and_a_legend_beside_the_figure(course_style):
    names = [f"class {number:02}" for number in range(20)]
    axes = plots.marking_words({name: {"word": 1.0} for name in names}, "t", "x")
    assert [ax.get_title(loc="left") for ax in axes] == names
    tops = {round(ax.get_subplotspec().rowspan.start) for ax in axes}
    assert tops == {0, 1, 2, 3}
    points = np.random.default_rng(0).normal(size=(40, 2))
    assert len(plots.density_by_class(points, 2 * names, "t", "x", "y")) == 20

    ax = plots.length_histograms(range(40), 2 * names, "t")
    ax.figure.canvas.draw()
    legend = ax.get_legend().get_window_extent()
    assert len(ax.get_legend().get_texts()) == 20
    assert legend.x0 >= ax.get_window_extent().x1
    assert legend.height < ax.figure.bbox.height


def test_texts_of_a_thousand_words_are_on_the_axis():
    lengths = [1_000, 1_010, 1_500]
    ax = plots.length_histograms(lengths, ["a", "a", "b"], "t", longest=1_600)
    (drawn,) = {round(patch.get_data().values.sum()) for patch in ax.patches}
    assert drawn == 100  # each line adds up to all texts of its class
    assert "in 40 words" in ax.get_ylabel()
