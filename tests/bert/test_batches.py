"""Hidden pieces, a teacher's answers, and the losses that go with them."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from agnews_utils.bert.batches import (
    HiddenPieces,
    TaughtBatches,
    agreement_loss,
    distillation_loss,
)
from agnews_utils.training.loop import fit, seed_epoch
from agnews_utils.vocabulary.batching import make_loader

MASK, SPECIAL, SIZE = 4, [0, 1, 2, 3, 4], 60
SEQUENCES = [[2, *range(10, 10 + length), 3] for length in range(1, 41)]
LABELS = [n % 4 for n in range(40)]


def loader(batch_size=8):
    return make_loader(SEQUENCES, LABELS, batch_size, seed=1)


def hidden(share, copies=1):
    return HiddenPieces(loader(), share, MASK, SPECIAL, SIZE, copies)


def test_about_the_share_is_hidden_and_never_a_special_piece():
    batches = hidden(0.25)
    torch.manual_seed(0)
    seen = plain = 0
    for changed, whole in zip(batches, batches.loader, strict=True):
        pieces = ~torch.isin(whole["input_ids"], torch.tensor(SPECIAL))
        masked = changed["input_ids"] == MASK
        assert not (masked & ~pieces).any()
        kept = ~masked
        assert torch.equal(changed["input_ids"][kept], whole["input_ids"][kept])
        seen, plain = seen + int(masked.sum()), plain + int(pieces.sum())
    assert seen / plain == pytest.approx(0.25, abs=0.05)


def test_each_epoch_hides_other_pieces_and_the_same_epoch_the_same():
    batches = hidden(0.3)

    def epoch(number):
        seed_epoch(7, number, batches)
        return torch.cat([batch["input_ids"].flatten() for batch in batches]).tolist()

    assert epoch(0) == epoch(0) != epoch(1)


def test_copies_double_all_entries_with_other_pieces_hidden():
    batch = next(iter(hidden(0.5, copies=2)))
    first, second = batch["input_ids"].chunk(2)
    assert torch.equal(*batch["labels"].chunk(2))
    assert not torch.equal(first, second)


def test_a_teachers_answers_go_to_their_rows_in_every_epoch():
    answers = np.eye(4)[LABELS] * 0.7 + 0.075
    batches = TaughtBatches(loader(), answers)
    for epoch in range(3):
        seed_epoch(3, epoch, batches)
        for batch in batches:
            assert torch.equal(batch["teacher"].argmax(1), batch["labels"])


def test_a_teacher_of_other_rows_is_refused():
    with pytest.raises(ValueError, match="knows 39 rows, and there are 40"):
        TaughtBatches(loader(), np.ones((39, 4)))


def test_a_student_that_agrees_has_the_least_loss():
    teacher = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.2, 0.5, 0.2, 0.1]])
    batch = {"teacher": teacher, "labels": torch.tensor([0, 1])}
    entropy = -(teacher * teacher.log()).sum(1).mean()
    loss = distillation_loss(temperature=1.0)
    assert loss(teacher.log(), batch).item() == pytest.approx(entropy.item(), rel=1e-5)
    assert loss(torch.randn(2, 4), batch) > entropy
    half = distillation_loss(1.0, hard_share=0.5)(teacher.log(), batch)
    hard = F.cross_entropy(teacher.log(), batch["labels"])
    assert half.item() == pytest.approx((entropy + hard).item() / 2, rel=1e-5)


def test_the_temperature_keeps_the_size_of_the_gradient():
    teacher = torch.tensor([[0.4, 0.3, 0.2, 0.1]])
    sizes = []
    for temperature in (1.0, 20.0):
        logits = torch.zeros(1, 4, requires_grad=True)
        distillation_loss(temperature)(logits, {"teacher": teacher}).backward()
        sizes.append(logits.grad.norm().item())
    assert 0.5 < sizes[1] / sizes[0] < 2


def test_agreement_is_cross_entropy_plus_the_mean_of_both_divergences():
    logits = torch.randn(4, 3)
    batch = {"labels": torch.tensor([0, 1, 0, 1])}
    p, q = logits.softmax(1).chunk(2)
    apart = ((p * (p / q).log()).sum() + (q * (q / p).log()).sum()) / len(p)
    expected = F.cross_entropy(logits, batch["labels"]) + 3 * apart / 2
    torch.testing.assert_close(agreement_loss(3.0)(logits, batch), expected)


def test_fit_learns_with_another_loss(monkeypatch):
    monkeypatch.setenv("AGNEWS_DEVICE", "cpu")

    class Bag(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.table = torch.nn.EmbeddingBag(SIZE, 4)

        def forward(self, input_ids):
            return self.table(input_ids)

    answers = np.eye(4)[[3 - label for label in LABELS]]  # a teacher that is always wrong
    sequences = [[10 + label] * 3 for label in LABELS]
    batches = TaughtBatches(make_loader(sequences, LABELS, 8), answers)
    model = Bag()
    fit(model, batches, epochs=30, learning_rate=0.3, loss=distillation_loss(1.0))
    ids = torch.tensor([[10], [11], [12], [13]])
    assert model(ids).argmax(1).tolist() == [3, 2, 1, 0]


def test_smoothing_and_a_loss_of_ones_own_exclude_each_other():
    with pytest.raises(ValueError, match="label_smoothing belongs to the usual loss"):
        fit(torch.nn.Linear(1, 1), loader(), label_smoothing=0.1, loss=distillation_loss())
