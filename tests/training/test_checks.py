"""Mistakes of a training run are named."""

import pytest
import torch

from agnews_utils.training.checks import (
    CheckError,
    check_alignment,
    check_batch,
    check_evaluation_mode,
    check_labels,
    check_logits,
    check_no_gradients,
)
from agnews_utils.training.inference import evaluate
from agnews_utils.training.loop import fit
from tests.training.small_run import collate, make_model


def test_labels_from_one_are_caught(rows):
    batch = collate(rows[:8])
    check_batch(batch, classes=4)
    from_one = batch | {"labels": batch["labels"] + 1}
    with pytest.raises(CheckError, match=r"from 1 to 4, expected 0 to 3.*subtract 1"):
        check_batch(from_one, classes=4)
    for use in (lambda: fit(make_model(), [from_one]), lambda: evaluate(make_model(), [from_one])):
        with pytest.raises(CheckError, match="subtract 1"):
            use()
    with pytest.raises(CheckError, match="from -1 to 3"):
        check_labels(batch["labels"].where(batch["labels"] > 0, -1), 4)
    with pytest.raises(CheckError, match=r"torch.float32.*labels.long\(\)"):
        check_labels(batch["labels"].float(), 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: {"input_ids": b["input_ids"]}, "this one has only: input_ids"),
        (lambda b: b | {"labels": b["labels"][:3]}, "3 labels but 8 rows of 'input_ids'"),
        (lambda b: b | {"attention_mask": b["attention_mask"][:, :1]}, "attention_mask"),
        (lambda b: b | {"lengths": b["lengths"] + 1}, "not the sums"),
        (lambda b: {k: v[:0] for k, v in b.items()}, "empty"),
    ],
)
def test_wrong_batches_are_refused(rows, change, message):
    with pytest.raises(CheckError, match=message):
        check_batch(change(collate(rows[:8])), 4)


def test_a_list_is_no_batch(rows):
    with pytest.raises(TypeError, match=r"a batch is a mapping .* is a list"):
        check_batch([collate(rows[:8])], 4)


def test_a_softmax_before_the_loss_is_caught(rows):
    class TooEager(type(make_model())):
        def forward(self, input_ids, attention_mask):
            return super().forward(input_ids, attention_mask).softmax(-1)

    for use in (fit, evaluate):
        with pytest.raises(CheckError, match="Remove the softmax"):
            use(TooEager(), [collate(rows[:8])])
    check_logits(torch.zeros(3, 4), torch.zeros(3).long())
    with pytest.raises(CheckError, match=r"\(3, 4\) for labels of the shape \(2,\)"):
        check_logits(torch.zeros(3, 4), torch.zeros(2).long())


def test_modes_gradients_and_alignment(rows):
    model, batch = make_model(), collate(rows[4:9])
    with pytest.raises(CheckError, match=r"call model\.eval\(\)"):
        check_evaluation_mode(model)
    model.eval()
    check_evaluation_mode(model)
    check_no_gradients(model)
    model(batch["input_ids"], batch["attention_mask"]).sum().backward()
    with pytest.raises(CheckError, match=r"embedding.weight still has the gradient"):
        check_no_gradients(model)
    model.zero_grad()
    check_no_gradients(model)
    labels = [row["label"] for row in rows]
    check_alignment(batch, labels)
    with pytest.raises(CheckError, match="row 4 has the label 0, the batch says 1"):
        check_alignment(batch | {"labels": (batch["labels"] + 1) % 4}, labels)
