"""`fit`: its numbers, its promises (same seed, same weights), its messages."""

import copy
import math
import signal
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from agnews_utils.training import loop as training_loop
from agnews_utils.training.checks import CheckError
from agnews_utils.training.history import EPOCH_COLUMNS, STEP_COLUMNS
from agnews_utils.training.inference import evaluate, model_inputs, predict
from agnews_utils.training.loop import fit, seed_epoch
from tests.training.launch import without_times
from tests.training.small_run import collate, make_loader, make_model, weights_hash

# ------------------------------------------------------------------------------ the numbers


def test_the_loop_by_hand_gives_the_same_weights_bit_for_bit(rows):
    loader, by_hand = make_loader(rows), make_model()
    optimizer = torch.optim.AdamW(by_hand.parameters(), lr=0.01, weight_decay=0.0)
    losses, norms = [], []
    for epoch in range(2):
        seed_epoch(42, epoch, loader)
        by_hand.train()
        for batch in loader:
            loss = F.cross_entropy(
                by_hand(batch["input_ids"], batch["attention_mask"]), batch["labels"]
            )
            loss.backward()
            norms.append(nn.utils.clip_grad_norm_(by_hand.parameters(), 1.0).item())
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    model = make_model()
    plain = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0)
    history = fit(model, loader, epochs=2, optimizer=plain, schedule="constant")
    assert weights_hash(model) == weights_hash(by_hand)
    assert history.steps["loss"] == pytest.approx(losses, rel=1e-6)
    assert history.steps["gradient_norm"] == pytest.approx(norms, rel=1e-6)
    assert plain.param_groups[0]["lr"] == 0.01


def test_it_learns_and_writes_its_history(rows, valid):
    model = make_model()
    history = fit(model, make_loader(rows), valid, epochs=12, learning_rate=0.05)
    assert history.best["valid_accuracy"] > 0.6
    assert history.epochs["loss"][-1] < 0.6 * history.epochs["loss"][0]
    assert set(history.steps) == set(STEP_COLUMNS)
    assert set(history.epochs) == set(EPOCH_COLUMNS)
    assert history.steps["step"] == list(range(1, 12 * 12 + 1))
    assert history.epochs["documents"] == [90] * 12
    assert history.steps["documents"][:12] == [8] * 11 + [2]
    assert min(history.steps["documents_per_second"]) > 0
    assert min(history.epochs["peak_memory_mb"]) > 10
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    measured = evaluate(model, valid)
    assert measured["accuracy"] == history.best["valid_accuracy"]
    assert measured["loss"] == pytest.approx(history.best["valid_loss"])
    assert history.best["epoch"] == history.best_epoch


def test_epoch_means_are_over_documents_not_batches(rows):
    """Batches of 64 and 26 documents; with no learning the two means differ visibly."""
    model, loader = make_model(dropout=0.0), make_loader(rows, 64, shuffle=False)
    torch.nn.init.normal_(model.output.weight, std=5.0)
    everything = collate(rows)
    with torch.no_grad():
        logits = model(everything["input_ids"], everything["attention_mask"])
    loss = F.cross_entropy(logits, everything["labels"]).item()
    right = (logits.argmax(1) == everything["labels"]).float()
    measured = evaluate(model, loader)
    history = fit(model, loader, learning_rate=1e-12)
    mean_of_means = (right[:64].mean() + right[64:].mean()).item() / 2
    assert abs(mean_of_means - right.mean().item()) > 1e-3
    for found in (measured["accuracy"], history.epochs["accuracy"][0]):
        assert found == pytest.approx(right.mean().item())
    for found in (measured["loss"], history.epochs["loss"][0]):
        assert found == pytest.approx(loss, rel=1e-5)
    assert measured["documents"] == 90
    assert measured["correct"] == int(right.sum())


def test_accumulated_batches_equal_one_large_batch(rows):
    """Also where the batches are unequal: 90 rows in batches of 8 leave one of 2."""
    results = []
    for batch_size, accumulate in ((32, 1), (8, 4)):
        model = make_model(dropout=0.0)
        loader = make_loader(rows, batch_size, shuffle=False)
        history = fit(model, loader, epochs=2, accumulate=accumulate, optimizer="sgd")
        results.append((model.state_dict(), history))
    (one, first), (two, second) = results
    for name in one:
        torch.testing.assert_close(one[name], two[name])
    for column in ("step", "loss", "accuracy", "learning_rate", "gradient_norm", "documents"):
        assert first.steps[column] == pytest.approx(second.steps[column], rel=1e-4)


def test_label_smoothing_is_torchs_and_only_for_training(rows, valid):
    model, loader = make_model(dropout=0.0), make_loader(rows, 90, shuffle=False)
    batch = collate(rows)
    expected = F.cross_entropy(
        model(batch["input_ids"], batch["attention_mask"]), batch["labels"], label_smoothing=0.3
    )
    before = evaluate(model, valid)["loss"]
    history = fit(model, loader, valid, learning_rate=1e-12, label_smoothing=0.3)
    assert history.steps["loss"][0] == pytest.approx(expected.item(), rel=1e-5)
    assert history.epochs["valid_loss"][0] == pytest.approx(before, rel=1e-5)


def test_labels_at_positions_with_some_that_do_not_count():
    """The form of masked-language modeling: labels (batch, length), -100 where nothing is asked."""

    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(40, CLASSES)

        def forward(self, input_ids):
            return self.embedding(input_ids)

    CLASSES = 7
    torch.manual_seed(0)
    model = Tagger()
    ids = torch.randint(0, 40, (6, 5))
    labels = torch.where(torch.rand(6, 5) < 0.3, ids % CLASSES, -100)
    batches = [
        {"input_ids": ids[:4], "labels": labels[:4]},
        {"input_ids": ids[4:], "labels": torch.full((2, 5), -100)},
    ]
    counted = labels[:4] != -100
    expected = F.cross_entropy(model(ids[:4])[counted], labels[:4][counted]).item()
    measured = evaluate(model, batches)
    assert measured["documents"] == int(counted.sum())
    assert measured["loss"] == pytest.approx(expected)
    history = fit(model, batches, epochs=40, learning_rate=0.3, weight_decay=0.0)
    assert history.steps["loss"][0] == pytest.approx(expected)
    assert evaluate(model, batches)["accuracy"] == 1.0
    with pytest.raises(ValueError, match="nothing to evaluate"):
        evaluate(model, batches[1:])


def test_models_of_transformers_fit_too(rows):
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=40, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=16, num_labels=4,
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    batch = collate(rows[:5])
    assert set(model_inputs(model, batch)) == {"input_ids", "attention_mask"}
    history = fit(model, make_loader(rows), epochs=1, learning_rate=1e-3, schedule="linear")
    assert all(math.isfinite(loss) for loss in history.steps["loss"])
    assert predict(model, [batch]).shape == (5, 4)


# ------------------------------------------------------------------ early stopping, callbacks


def test_early_stopping_restores_the_best_weights(rows, valid, monkeypatch):
    """Scripted validation: epoch 2 ties with epoch 1 in accuracy and wins by loss, then worse."""
    script = [(0.5, 1.0), (0.5, 0.9), (0.5, 0.9), (0.4, 0.1), (0.9, 0.1)]
    epochs = iter(script)
    hashes = []

    def scripted(model, batches):
        hashes.append(weights_hash(model))
        accuracy, loss = next(epochs)
        return {"accuracy": accuracy, "loss": loss}

    monkeypatch.setattr(training_loop, "evaluate", scripted)
    model = make_model()
    history = fit(model, make_loader(rows), valid, epochs=9, patience=2, learning_rate=0.05)
    assert history.best_epoch == 2
    assert history.stopped_early
    assert history.epochs["valid_loss"] == [1.0, 0.9, 0.9, 0.1]
    assert weights_hash(model) == hashes[1]
    assert len(set(hashes)) == 4

    epochs = iter(script)
    fit(model, make_loader(rows), valid, epochs=3, keep_best=False, learning_rate=0.05)
    assert weights_hash(model) == hashes[-1]


def test_callbacks_see_the_history_and_stop_training(rows, valid):
    losses = []

    def on_step(history, model):
        losses.append(history.steps["loss"][-1])
        return len(losses) == 5

    history = fit(make_model(), make_loader(rows), valid, epochs=3, on_step=on_step)
    assert history.steps["loss"] == losses
    assert len(losses) == 5
    assert history.stopped_early
    assert history.best == {}

    def on_epoch(history, model):
        return len(history.epochs["epoch"]) == 2

    history = fit(make_model(), make_loader(rows), valid, epochs=5, on_epoch=on_epoch)
    assert history.epochs["epoch"] == [1, 2]
    assert history.stopped_early


def test_an_exception_of_a_callback_comes_through_and_leaves_the_model_usable(rows):
    class Pruned(Exception):
        pass

    def prune(history, model):
        raise Pruned

    model = make_model()
    with pytest.raises(Pruned):
        fit(model, make_loader(rows), epochs=2, on_epoch=prune, mixed_precision="bf16")
    assert "forward" not in vars(model)
    assert not model.training


# ---------------------------------------------------------------------------- interruptions


def test_ctrl_c_leaves_the_model_usable_and_the_history_so_far(rows, valid):
    def press(history, model):
        if history.steps["step"][-1] == 17:
            signal.raise_signal(signal.SIGINT)

    model = make_model()
    # A job that was started in the background ignores the signal, unless told otherwise.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        history = fit(model, make_loader(rows), valid, epochs=3, on_step=press)
    finally:
        signal.signal(signal.SIGINT, before)
    assert history.interrupted
    assert len(history.steps["loss"]) == 17
    assert history.epochs["epoch"] == [1]
    assert evaluate(model, valid)["loss"] == pytest.approx(history.epochs["valid_loss"][0])
    assert np.isfinite(predict(model, valid)).all()
    assert fit(model, make_loader(rows)).interrupted is False


@pytest.mark.parametrize("rate", [1e30, None])
def test_a_loss_that_is_not_finite_names_step_and_batch(rows, rate):
    model = make_model()
    batches = [collate(rows[start : start + 9]) for start in range(0, 90, 9)]
    if rate is None:
        batches[3] = batches[3] | {"attention_mask": torch.zeros_like(batches[3]["attention_mask"])}
        del batches[3]["lengths"]
    pattern = r"step 4 \(epoch 1, batch 4 of 10\)" if rate is None else r"step \d+ \(epoch 1, batch"
    with pytest.raises(CheckError, match=rf"is (nan|inf) at {pattern}.*learning rate.*clip=1\.0"):
        fit(model, batches, optimizer="sgd", learning_rate=rate or 1e-3, clip=None,
            schedule="constant")  # fmt: skip
    if rate is None:  # stopped before the step: the weights are those that were still good
        assert all(torch.isfinite(p).all() for p in model.parameters())


def test_looks_in_bunches_give_the_same_history(rows, valid, monkeypatch):
    """On a GPU the numbers are read every few steps: simulated here."""
    reference = fit(make_model(), make_loader(rows), valid, epochs=2)
    monkeypatch.setattr(training_loop.TrainingLoop, "_reads_at_once", lambda loop: False)
    bunched = fit(make_model(), make_loader(rows), valid, epochs=2)
    assert without_times(bunched) == without_times(reference)


# ------------------------------------------------------------- the same weights, every time


def test_the_same_seed_gives_the_same_weights_in_one_process(rows, valid):
    results = []
    for _ in range(2):
        torch.rand(3)  # the state of the generators before does not matter
        model = make_model()
        history = fit(model, make_loader(rows), valid, epochs=2)
        results.append((weights_hash(model), without_times(history)))
    assert results[0] == results[1]
    model = make_model()
    fit(model, make_loader(rows), valid, epochs=2, seed=43)
    assert weights_hash(model) != results[0][0]


# ------------------------------------------------------------------------- mixed precision


def test_bf16_trains_and_leaves_no_trace(rows, valid):
    model = make_model()
    mixed = fit(
        model, make_loader(rows), valid, epochs=8, learning_rate=0.05, mixed_precision="bf16"
    )
    assert "forward" not in vars(model)
    assert copy.deepcopy(model).hidden is not model.hidden
    assert mixed.epochs["loss"][-1] < mixed.epochs["loss"][0]
    full = fit(make_model(), make_loader(rows), valid, epochs=8, learning_rate=0.05)
    assert mixed.steps["loss"] != full.steps["loss"]
    assert mixed.steps["loss"] == pytest.approx(full.steps["loss"], abs=0.1)
    batch = collate(rows[:3])
    assert model(batch["input_ids"], batch["attention_mask"]).dtype == torch.float32


# ---------------------------------------------------------------------- settings, progress


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "epochs=0"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate=-1.0"),
        ({"clip": 0.0}, ValueError, "clip=0.0"),
        ({"accumulate": 0}, ValueError, "accumulate=0"),
        ({"patience": 3}, ValueError, "patience needs validation"),
        ({"label_smoothing": 1.0}, ValueError, "label_smoothing=1.0"),
        ({"train": []}, ValueError, "no batch"),
        ({"epochs": 2.5}, TypeError, "epochs=2.5: expected a whole number"),
        ({"train": iter([])}, TypeError, "train has no length"),
        ({"valid": iter([])}, TypeError, "only once"),
    ],
)
def test_impossible_settings_are_named(rows, settings, error, message):
    with pytest.raises(error, match=message):
        fit(make_model(), **{"train": make_loader(rows)} | settings)


def test_no_noise_unless_asked_for(rows, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(make_model(), make_loader(rows))
    assert capfd.readouterr() == ("", "")
    fit(make_model(), make_loader(rows), progress=True)
    assert "epoch 1/1" in capfd.readouterr().err


def test_seed_epoch_sets_the_order(rows):
    def order(loader, epoch):
        seed_epoch(3, epoch, loader)
        return [index for batch in loader for index in batch["index"].tolist()]

    for loader in (make_loader(rows), make_loader(rows, bucketed=True)):
        assert order(loader, 0) == order(loader, 0)
        assert order(loader, 0) != order(loader, 1)
        assert sorted(order(loader, 1)) == list(range(90))
    generator = torch.Generator()
    own = torch.utils.data.DataLoader(
        rows, 8, shuffle=True, collate_fn=collate, generator=generator
    )
    assert order(own, 0) == order(own, 0) != order(own, 1)
