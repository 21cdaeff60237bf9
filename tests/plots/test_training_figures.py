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
    assert len(names[1]) == 44
