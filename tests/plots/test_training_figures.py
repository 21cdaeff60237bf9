"""Figures of chapter rnn: what was drawn, not how it looks."""

import numpy as np
import pytest

from agnews_utils.plots import training as draw
from agnews_utils.training.history import EPOCH_COLUMNS, History

pytestmark = pytest.mark.usefixtures("course_style")


def test_lines_draw_every_series_with_its_name():
    ax = draw.lines(
        {"a": ([1, 2], [3.0, 4.0]), "b": ([1, 2], [30.0, 40.0])}, "t", "x", "y", log="y"
    )
    assert [line.get_label() for line in ax.get_lines()] == ["a", "b"]
    assert ax.get_lines()[1].get_ydata().tolist() == [30.0, 40.0]
    assert (ax.get_title(loc="left"), ax.get_xlabel(), ax.get_ylabel()) == ("t", "x", "y")
    assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "log")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    assert draw.lines({"only": ([1], [1])}, "t", "x", "y").get_legend() is None


def test_epochs_are_counted_in_whole_numbers():
    ax = draw.lines({"a": ([1, 2, 3], [3.0, 2.0, 1.0])}, "t", "epoch", "y")
    ax.figure.canvas.draw()
    assert all(tick == round(tick) for tick in ax.get_xticks())


def test_smoothed_is_the_mean_of_the_last_values():
    values = np.random.default_rng(0).normal(size=30)
    expected = [values[max(0, end - 10) : end].mean() for end in range(1, 31)]
    np.testing.assert_allclose(draw.smoothed(values, 10), expected)
    assert draw.smoothed([2.0], 10).tolist() == [2.0]


def test_learning_curves_mark_the_best_epoch():
    history = History(best_epoch=2)
    for epoch, (loss, valid) in enumerate([(1.2, 1.1), (0.6, 0.8), (0.2, 0.9)], start=1):
        row = dict.fromkeys(EPOCH_COLUMNS, 0.0)
        history.add_epoch(**row | {"epoch": epoch, "loss": loss, "valid_loss": valid})
    ax = draw.learning_curves(history, "t")
    fitted, valid, best = ax.get_lines()
    assert fitted.get_ydata() == pytest.approx([1.2, 0.6, 0.2])
    assert valid.get_ydata() == pytest.approx([1.1, 0.8, 0.9])
    assert list(best.get_xdata()) == [2, 2]


def test_probability_bars_fill_each_row():
    probabilities = np.array([[0.7, 0.1, 0.1, 0.1], [0.0, 0.25, 0.25, 0.5]])
    ax = draw.probability_bars(probabilities, ["short", "x" * 60], "t")
    widths = np.array([bar.get_width() for bar in ax.patches]).reshape(4, 2).T
    np.testing.assert_allclose(widths, 100 * probabilities)
    ends = [bar.get_x() + bar.get_width() for bar in ax.patches[-2:]]
    assert ends == pytest.approx([100, 100])
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names[0] == "short"


def test_probability_bars_cut_no_text():
    text = "a headline with so many words that it cannot stand in one line of a figure"
    ax = draw.probability_bars(np.full((1, 4), 0.25), [text], "t")
    name = ax.get_yticklabels()[0].get_text()
    assert name.replace("\n", " ") == text
    assert max(map(len, name.split("\n"))) <= 36


def test_small_multiples_give_each_line_a_panel_and_the_others_behind_it():
    series = {name: ([1, 2], [value, value]) for name, value in zip("abcd", range(4), strict=True)}
    axes = draw.small_multiples(series, "t", "x", "y", columns=3)
    assert [ax.get_title() or ax.get_title(loc="left") for ax in axes] == list("abcd")
    for ax, (_, values) in zip(axes, series.values(), strict=True):
        assert len(ax.get_lines()) == 4
        assert list(ax.get_lines()[-1].get_ydata()) == values
    figure = axes[0].figure
    assert (figure.get_suptitle(), figure.get_supxlabel(), figure.get_supylabel()) == (
        "t",
        "x",
        "y",
    )
    assert sum(ax.get_visible() for ax in figure.axes) == 4


def test_histograms_share_of_each_column():
    values = {"left": np.arange(50.0), "right": np.zeros(8)}
    axes = draw.histograms({"one": values, "two": values}, "t", ["a", "b"])
    assert axes.shape == (2, 2)
    for ax in axes.flat:
        assert sum(bar.get_height() for bar in ax.patches) == pytest.approx(100)
    assert [ax.get_xlabel() for ax in axes[-1]] == ["a", "b"]


@pytest.mark.parametrize(("cell", "gates"), [("lstm", 3), ("gru", 2)])
def test_a_cell_diagram_has_the_gates_of_its_cell(cell, gates):
    ax = draw.cell_diagram(cell, "t")
    boxes = [text for text in ax.texts if text.get_bbox_patch() is not None and text.get_text()]
    blue = [box for box in boxes if box.get_bbox_patch().get_facecolor()[2] > 0.94]
    assert len([box for box in blue if box.get_bbox_patch().get_facecolor()[0] < 0.9]) == gates
    assert ax.get_title(loc="left") == "t"
    with pytest.raises(KeyError):
        draw.cell_diagram("rnn", "t")


def test_probability_bars_have_the_names_of_own_classes():
    ax = draw.probability_bars(np.array([[0.2, 0.8]]), ["text"], "t", names=["spam", "ham"])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["spam", "ham"]
    assert [bar.get_width() for bar in ax.patches] == [20, 80]
    with pytest.raises(ValueError, match=r"2 classes, but there are 4 names.*names=news\.classes"):
        draw.probability_bars(np.array([[0.2, 0.8]]), ["text"], "t")
