"""Figures of chapters pretraining and bert: what was drawn, not how it looks."""

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection

from agnews_utils.plots import bert as plots_bert

pytestmark = pytest.mark.usefixtures("course_style")


def title_of(ax) -> str:
    return ax.get_title(loc="left")


def test_attention_map_puts_queries_in_rows_and_keys_in_columns():
    pieces = ["[CLS]", "oil", "[SEP]"]
    weights = torch.tensor([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25], [0.0, 0.0, 1.0]])
    ax = plots_bert.attention_map(pieces, weights, "t")
    (image,) = ax.get_images()
    np.testing.assert_allclose(image.get_array(), weights.numpy(), rtol=1e-6)
    assert [label.get_text() for label in ax.get_xticklabels()] == pieces
    assert [label.get_text() for label in ax.get_yticklabels()] == pieces
    # Row 0 is drawn on top: the first query.
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert (title_of(ax), ax.get_xlabel(), ax.get_ylabel()) == (
        "t",
        "is looked at (key)",
        "looks (query)",
    )


@pytest.mark.parametrize("shape", [(2, 3, 3), (3, 2), (2, 2)])
def test_attention_map_refuses_weights_of_another_shape(shape):
    with pytest.raises(ValueError, match="pick one layer and one head"):
        plots_bert.attention_map(["a", "b", "c"], np.zeros(shape), "t")


def test_loss_and_levels_draw_the_levels_as_lines_across():
    levels = {"evenly": 7.3, "by frequency": 6.2}
    ax = plots_bert.loss_and_levels([1, 2, 3], [7.2, 6.5, 6.1], levels, "t", "step")
    curve, *others = ax.get_lines()
    assert curve.get_ydata().tolist() == [7.2, 6.5, 6.1]
    assert {line.get_label(): line.get_ydata()[0] for line in others} == levels
    assert all(len(set(line.get_ydata())) == 1 for line in others)
    assert (title_of(ax), ax.get_xlabel()) == ("t", "step")
    assert "nats" in ax.get_ylabel()


def log_rounds(matching: bool) -> list[dict]:
    return [
        {
            "tokens": 1_000_000 * number,
            "valid_masking_loss": 8.0 - number,
            "valid_masking_accuracy": 0.1 * number,
            "valid_matching_accuracy": 0.2 * number if matching else None,
        }
        for number in (1, 2, 3)
    ]


def test_pretraining_log_shows_loss_and_right_answers_of_both_tasks():
    left, right = plots_bert.pretraining_log(log_rounds(matching=True), 1000, "whole")
    loss, guessing = left.get_lines()
    assert loss.get_xdata().tolist() == [1.0, 2.0, 3.0]
    assert loss.get_ydata().tolist() == [7.0, 6.0, 5.0]
    assert guessing.get_ydata()[0] == pytest.approx(np.log(1000))
    named, found = right.get_lines()
    assert named.get_ydata() == pytest.approx([10, 20, 30])
    assert found.get_ydata() == pytest.approx([20, 40, 60])
    assert left.figure.get_suptitle() == "whole"
    assert left.get_xlabel() == right.get_xlabel() == "tokens read (million)"


def test_pretraining_log_without_the_second_task():
    _, right = plots_bert.pretraining_log(log_rounds(matching=False), 1000, "whole")
    (named,) = right.get_lines()
    assert named.get_label() == "hidden piece named"


def point(model: str, rows: int, *accuracies: float) -> dict:
    return {"model": model, "rows": rows, "accuracies": list(accuracies)}


def test_error_by_rows_draws_the_mean_and_a_dot_for_each_draw():
    points = [
        point("bundled random", 400, 0.5),
        point("bundled random", 40, 0.3, 0.2),
        point("bundled fine-tuned", 40, 0.75, 0.65),
        point("words linear", 40, 0.6),
    ]
    ax = plots_bert.error_by_rows(points, "t")
    lines = {line.get_label(): line for line in ax.get_lines()}
    random = lines.pop("bundled encoder, random weights")
    assert set(lines) == {"bundled encoder, fine-tuned", "TF-IDF + linear model"}
    assert random.get_xdata() == pytest.approx([40, 400], rel=0.1)  # a little beside the others
    assert random.get_ydata() == pytest.approx([75, 50])
    dots = {tuple(c.get_offsets()[:, 1].round(6)) for c in ax.collections}
    assert dots == {(25, 35), (40,), (70, 80, 50)}
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["40", "400"]
    assert (ax.get_xscale(), ax.get_yscale(), title_of(ax)) == ("log", "log", "t")
    assert "wrong" in ax.get_ylabel()
    low, high = ax.get_ylim()
    assert low < 25 < 80 < high


def test_each_head_has_its_map_and_all_share_their_colors():
    pieces = ["[CLS]", "oil", "[SEP]"]
    weights = np.array([np.eye(3), np.full((3, 3), 1 / 3), np.eye(3)[::-1]])
    axes = plots_bert.attention_heads(pieces, weights, ["a", "b", "c"], "whole")
    assert [title_of(ax) for ax in axes] == ["a", "b", "c"]
    for ax, expected in zip(axes, weights, strict=True):
        (image,) = ax.get_images()
        np.testing.assert_allclose(image.get_array(), expected)
        assert image.get_clim() == (0.0, 1.0)
    assert axes[0].figure.get_suptitle() == "whole"
    with pytest.raises(ValueError, match="2 titles for 3 heads"):
        plots_bert.attention_heads(pieces, weights, ["a", "b"], "whole")


def test_accuracy_by_learning_rate_draws_means_and_intervals():
    cells = [
        {"strategy": s, "learning_rate": r, "valid_accuracy": a, "low": a - 0.02, "high": a + 0.01}
        for s, r, a in [
            ("all layers", 1e-3, 0.9),
            ("all layers", 1e-5, 0.6),
            ("head only", 1e-3, 0.8),
        ]
    ]
    ax = plots_bert.accuracy_by_learning_rate(cells, "t")
    drawn = {c.get_label(): c for c in ax.containers}
    assert set(drawn) == {"all layers", "head only"}
    line, _, (bars,) = drawn["all layers"].lines
    assert isinstance(bars, LineCollection)
    assert line.get_xdata().tolist() == [1e-5, 1e-3]
    assert line.get_ydata() == pytest.approx([60, 90])
    ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
    assert ends == [pytest.approx([58, 61]), pytest.approx([88, 91])]
    assert (ax.get_xscale(), title_of(ax)) == ("log", "t")
    assert ax.get_ylabel().startswith("validation accuracy (%)")


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown model 'gpt'"):
        plots_bert.error_by_rows([point("gpt", 40, 0.9)], "t")
    cell = {"strategy": "none", "learning_rate": 1.0, "valid_accuracy": 0, "low": 0, "high": 0}
    with pytest.raises(ValueError, match="unknown strategy 'none'"):
        plots_bert.accuracy_by_learning_rate([cell], "t")
