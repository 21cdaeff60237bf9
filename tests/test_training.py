"""The training engine: its numbers, its promises (same weights, resumable), its messages."""

import copy
import dataclasses
import json
import hashlib
import math
import os
import pickle
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from agnews_utils.training import checkpoints
from agnews_utils.training import loop as training_loop
from agnews_utils.training.checkpoints import CheckpointError, load_weights, save_weights
from agnews_utils.training.checks import (
    CheckError,
    check_alignment,
    check_batch,
    check_evaluation_mode,
    check_labels,
    check_logits,
    check_no_gradients,
)
from agnews_utils.training.history import EPOCH_COLUMNS, STEP_COLUMNS, History, Totals
from agnews_utils.training.inference import evaluate, model_inputs, own_rows, predict
from agnews_utils.training.loop import fit, seed_epoch
from agnews_utils.training.optimizers import (
    OPTIMIZERS,
    AdamW,
    build_optimizer,
    parameter_groups,
    schedule_factor,
)
from tests.helpers import ROOT
from tests.small_run import collate, make_loader, make_model, make_rows, weights_hash

SCRIPT = ROOT / "tests" / "small_run.py"


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Tiny arrays: a second thread would only wait for the first."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def rows():
    return make_rows(90)


@pytest.fixture(scope="module")
def valid():
    return make_loader(make_rows(30, seed=9), shuffle=False)


def run_script(folder, phases, *options, processes=1):
    """Run the small training in one or two new processes; return how the phases ended."""
    command = [sys.executable, str(SCRIPT), str(folder), json.dumps(phases), *options]
    if processes > 1:
        launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        command[1:1] = launch
    variables = os.environ | {"OMP_NUM_THREADS": "1", "AGNEWS_DEVICE": "cpu"}
    variables["PYTHONPATH"] = os.pathsep.join([str(ROOT), variables.get("PYTHONPATH", "")])
    done = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def report_of(folder, process=0):
    return json.loads((folder / f"report.{process}.json").read_text())


def without_times(history):
    content = history if isinstance(history, dict) else dataclasses.asdict(history)
    timed = ("documents_per_second", "peak_memory_mb", "seconds", "cpu_seconds")
    tables = {
        k: {n: c for n, c in content[k].items() if n not in timed} for k in ("steps", "epochs")
    }
    return content | tables


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


# -------------------------------------------------------------------- optimizers, schedules


def test_adamw_equals_torchs():
    """Larger than one piece, no multiple of it, with weight decay, over several steps."""
    torch.manual_seed(0)
    start = [torch.randn(3, 70_001), torch.randn(5)]
    results = []
    for kind, settings in ((AdamW, {}), (torch.optim.AdamW, {"foreach": False})):
        parameters = [nn.Parameter(value.clone()) for value in start]
        optimizer = kind(parameters, lr=0.03, weight_decay=0.1, **settings)
        for step in range(4):
            for parameter in parameters:
                parameter.grad = (parameter.detach() + step).sin()
            optimizer.step()
        results.append((parameters, optimizer.state_dict()))
    (ours, our_state), (theirs, their_state) = results
    for mine, other in zip(ours, theirs, strict=True):
        # Where torch has a fused kernel that is used, which rounds in another order.
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-6)
    assert our_state["state"][0].keys() == their_state["state"][0].keys()


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e-19, 1e-22])
def test_adamw_in_pieces_equals_torchs_bit_for_bit(scale):
    """Also for gradients whose squares are hardly above 0 or 0, and for rows without a gradient."""
    torch.manual_seed(0)
    start, results = torch.randn(10_001, 7), []
    gradient = torch.randn(10_001, 7) * scale * (torch.rand(10_001, 1) < 0.3)
    for kind in (AdamW, torch.optim.AdamW):
        parameter = nn.Parameter(start.clone())
        # `fused=False` takes the way of torch 2.3 also where there is a fused kernel.
        optimizer = kind([parameter], lr=0.03, weight_decay=0.1, fused=False)
        for step in range(5):
            parameter.grad = gradient.roll(step, 0)
            optimizer.step()
        results.append(parameter.detach())
    assert torch.equal(*results)


def test_adamw_leaves_unusual_cases_to_torch():
    parameter = nn.Parameter(torch.ones(3, 4).T)
    twin = nn.Parameter(parameter.detach().clone())
    ours, theirs = AdamW([parameter], amsgrad=True), torch.optim.AdamW([twin], amsgrad=True)
    for optimizer, values in ((ours, parameter), (theirs, twin)):
        values.grad = torch.ones_like(values)
        optimizer.step()
    torch.testing.assert_close(parameter, twin)
    assert "max_exp_avg_sq" in ours.state[parameter]


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_lowers_the_loss(name, rows):
    rate = {"sgd": 1.0, "momentum": 0.3, "adadelta": 3.0, "adagrad": 0.1}.get(name, 0.03)
    history = fit(make_model(), make_loader(rows), epochs=6, optimizer=name, learning_rate=rate)
    assert history.epochs["loss"][-1] < history.epochs["loss"][0] - 0.02


def test_unknown_optimizer_is_named():
    with pytest.raises(ValueError, match=r"optimizer='adamm'.*adamw"):
        build_optimizer("adamm", make_model(), 0.1)


def test_parameter_groups():
    model = make_model()
    model.hidden.requires_grad_(False)
    factors = {"embedding.": 0.1, "e": 5.0}
    groups = parameter_groups(model, 0.2, weight_decay=0.3, factors=factors | {"output.bias": 2.0})
    found = {
        name: (group["lr"], group["weight_decay"])
        for group in groups
        for name, parameter in model.named_parameters()
        if any(parameter is member for member in group["params"])
    }
    assert found == {
        "embedding.weight": (pytest.approx(0.02), 0.3),
        "output.weight": (0.2, 0.3),
        "output.bias": (0.4, 0.0),
    }
    with pytest.raises(ValueError, match=r"factors names 'bert\.'"):
        parameter_groups(model, 0.2, factors={"bert.": 1.0})
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="all are frozen"):
        parameter_groups(model, 0.2)


@pytest.mark.parametrize("steps", [10, 37, 200])
@pytest.mark.parametrize("warmup", [0.1, 0.3, 0.5])
def test_schedules_equal_those_of_torch_and_transformers(steps, warmup):
    from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

    def rates(make):
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        schedule, found = make(optimizer), []
        for _ in range(steps):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return found

    rising = round(warmup * steps)
    others = {
        "one_cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(
            o, max_lr=1.0, total_steps=steps + 1, pct_start=warmup, cycle_momentum=False
        ),
        "linear": lambda o: get_linear_schedule_with_warmup(o, rising, steps),
        "cosine": lambda o: get_cosine_schedule_with_warmup(o, rising, steps),
    }
    for name, make in others.items():
        # torch's one-cycle counts its steps from 0 to total_steps - 1; here the run has `steps`.
        count = steps + 1 if name == "one_cycle" else steps
        ours = [schedule_factor(step, count, name, warmup) for step in range(steps)]
        assert ours == pytest.approx(rates(make), abs=1e-9), name


@pytest.mark.parametrize("name", ["one_cycle", "linear", "cosine", "constant"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 11])
@pytest.mark.parametrize("warmup", [None, 0.0, 0.3, 1.0])
def test_factors_are_shares_for_short_runs_too(name, steps, warmup):
    factors = [schedule_factor(step, steps, name, warmup) for step in range(steps)]
    assert all(0 <= factor <= 1 for factor in factors)
    assert max(factors) > 0 or (warmup == 1.0 and steps == 1)


def test_own_schedule_and_wrong_ones(rows):
    history = fit(make_model(), make_loader(rows), schedule=lambda step, steps: 1 / (1 + step))
    assert history.steps["learning_rate"][:3] == pytest.approx([1e-3, 5e-4, 1e-3 / 3])
    with pytest.raises(ValueError, match=r"schedule='cosin'.*one_cycle"):
        fit(make_model(), make_loader(rows), schedule="cosin")
    with pytest.raises(ValueError, match="warmup=30"):
        fit(make_model(), make_loader(rows), warmup=30)


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


DEATHS = {
    "before-a-checkpoint": [{"kill_at": 2}],
    "in-an-epoch": [{"kill_at": 5}],
    "twice": [{"kill_at": 7}, {"kill_at": 17}],
    "in-the-first-checkpoint": [{"kill_in_checkpoint": 1}],
    "in-checkpoints": [{"kill_in_checkpoint": 4}, {"kill_in_checkpoint": 1}],
}


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run_script(folder, [{"folder": ".", "plain": True}])
    return report_of(folder)


@pytest.fixture(scope="module")
def killed_runs(tmp_path_factory):
    """All runs that are killed and resumed: a folder, and how each process ended."""
    folder = tmp_path_factory.mktemp("killed")
    phases = [{"folder": "undisturbed"}]
    for name, deaths in DEATHS.items():
        phases += [{"folder": name} | death for death in deaths] + [{"folder": name}]
    statuses = run_script(folder, phases, "--fork")
    ended = {name: [] for name in ("undisturbed", *DEATHS)}
    for phase, status in zip(phases, statuses, strict=True):
        ended[phase["folder"]].append(status)
    return folder, ended


def test_another_process_with_checkpoints_gives_the_same_weights(whole_run, killed_runs):
    folder, ended = killed_runs
    assert ended["undisturbed"] == [0]
    report = report_of(folder / "undisturbed")
    assert report["hash"] == whole_run["hash"]
    assert without_times(report["history"]) == without_times(whole_run["history"])
    kept = sorted(path.name for path in (folder / "undisturbed").glob("step-*"))
    assert kept == ["step-00000018", "step-00000021"]


@pytest.mark.parametrize("name", DEATHS)
def test_a_killed_run_resumes_to_the_same_weights(whole_run, killed_runs, name):
    folder, ended = killed_runs
    assert ended[name] == [-signal.SIGKILL] * len(DEATHS[name]) + [0]
    report = report_of(folder / name)
    assert report["hash"] == whole_run["hash"]
    assert without_times(report["history"]) == without_times(whole_run["history"])
    assert not list((folder / name).glob("*.partial"))
    # Killed within an epoch, it went on from there and not from the beginning.
    resumed_early = name in ("before-a-checkpoint", "in-the-first-checkpoint")
    assert (len(report["seen"]) == len(whole_run["seen"])) == resumed_early


def test_a_finished_run_is_not_trained_again(tmp_path, rows, valid):
    settings = {"epochs": 3, "checkpoint_folder": tmp_path, "resume": True, "patience": 2}
    model = make_model()
    first = fit(model, make_loader(rows), valid, **settings)
    fresh = make_model(seed=5)
    calls = []
    again = fit(fresh, make_loader(rows), valid, **settings, on_step=lambda h, m: calls.append(1))
    assert calls == []
    assert again == first
    assert weights_hash(fresh) == weights_hash(model)


def cut(content):
    return content[: len(content) // 2]


def flip(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.fixture(scope="module")
def checkpointed(tmp_path_factory, rows, valid):
    """A finished run: its folder and the hash of its weights."""
    folder, model = tmp_path_factory.mktemp("checkpointed"), make_model()
    fit(model, make_loader(rows), valid, epochs=3, checkpoint_folder=folder, checkpoint_every=5)
    return folder, weights_hash(model)


@pytest.mark.parametrize("damage", [cut, flip, None])
@pytest.mark.parametrize(
    "name", ["hashes.json", "model.safetensors", "state.json", "state.safetensors"]
)
def test_a_damaged_checkpoint_is_passed_over(tmp_path, rows, valid, checkpointed, name, damage):
    folder = shutil.copytree(checkpointed[0], tmp_path / "run")
    newest = max(folder.glob("step-*"))
    assert name in {path.name for path in newest.iterdir()}
    if damage is None:
        (newest / name).unlink()
    else:
        (newest / name).write_bytes(damage((newest / name).read_bytes()))
    settings = {"epochs": 3, "checkpoint_folder": folder, "checkpoint_every": 5}
    model, seen = make_model(), []
    with pytest.warns(UserWarning, match=f"{newest.name} is damaged"):
        fit(
            model, make_loader(rows), valid, **settings, resume=True,
            on_step=lambda history, _: seen.append(history.steps["step"][-1]),
        )  # fmt: skip
    assert seen == [36]  # from the one before, which was taken after step 35
    assert weights_hash(model) == checkpointed[1]


def test_nothing_that_is_loaded_can_run_code(checkpointed, tmp_path):
    """Every file is JSON or safetensors, and a pickle in its place is not opened as one."""

    class Code:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "code-ran",))

    folder = shutil.copytree(checkpointed[0], tmp_path / "run")
    for path in max(folder.glob("step-*")).iterdir():
        if path.suffix == ".json":
            json.loads(path.read_text())
        else:
            load_file(path)
    for checkpoint in folder.glob("step-*"):
        names = ("model.safetensors", "state.safetensors", "state.json")
        for name in names:
            (checkpoint / name).write_bytes(pickle.dumps(Code()))
        hashes = {name: hashlib.sha256(pickle.dumps(Code())).hexdigest() for name in names}
        (checkpoint / "hashes.json").write_text(json.dumps(hashes))
    with pytest.warns(UserWarning, match="is damaged"):
        assert checkpoints.load_checkpoint(folder) is None
    assert not (tmp_path / "code-ran").exists()
    pickle.loads(pickle.dumps(Code()))
    assert (tmp_path / "code-ran").exists()


def test_checkpoints_of_another_run_are_refused(tmp_path, rows, valid):
    settings = {"checkpoint_folder": tmp_path, "epochs": 2}
    fit(make_model(), make_loader(rows), valid, **settings)
    with pytest.raises(CheckpointError, match="earlier run: pass resume=True"):
        fit(make_model(), make_loader(rows), valid, **settings)
    with pytest.raises(CheckpointError, match="trained with seed=42, and this run has seed=7"):
        fit(make_model(), make_loader(rows), valid, **settings, resume=True, seed=7)
    with pytest.raises(CheckpointError, match=r"batches=12, and this run has batches=6"):
        fit(make_model(), make_loader(rows, 16), valid, **settings, resume=True)
    other = make_model()
    other.output = nn.Linear(8, 5)
    with pytest.raises(CheckpointError, match=r"output\.bias is \(4,\) in the file and \(5,\)"):
        fit(other, make_loader(rows), valid, **settings, resume=True)
    with pytest.raises(ValueError, match="resume=True needs checkpoint_folder"):
        fit(make_model(), make_loader(rows), valid, resume=True)


def test_a_checkpoint_holds_no_pickle_and_survives_a_full_disk(tmp_path, rows, monkeypatch):
    settings = {"checkpoint_folder": tmp_path, "checkpoint_every": 4}
    real, writes = checkpoints.save_file, []

    def full_disk(tensors, path):
        writes.append(path)
        if len(writes) == 4:  # the second one of the second checkpoint
            path.write_bytes(b"only the beginning")
            raise OSError(28, "No space left on device")
        real(tensors, path)

    monkeypatch.setattr(checkpoints, "save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        fit(make_model(), make_loader(rows), **settings)
    first = tmp_path / "step-00000004"
    names = {path.name for path in first.iterdir()}
    assert names == {"hashes.json", "model.safetensors", "state.json", "state.safetensors"}
    monkeypatch.undo()
    model, reference = make_model(), make_model()
    fit(model, make_loader(rows), **settings, resume=True)
    fit(reference, make_loader(rows))
    assert weights_hash(model) == weights_hash(reference)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_can_be_resumed(name, rows, tmp_path):
    settings = {"optimizer": name, "epochs": 2, "checkpoint_folder": tmp_path}
    whole, model = make_model(), make_model()
    fit(whole, make_loader(rows), epochs=2, optimizer=name)
    interrupted = fit(
        model, make_loader(rows), **settings, checkpoint_every=5,
        on_step=lambda history, _: history.steps["step"][-1] == 18,
    )  # fmt: skip
    assert interrupted.stopped_early
    fresh = make_model(seed=3)
    fit(fresh, make_loader(rows), **settings, resume=True)
    assert weights_hash(fresh) == weights_hash(whole)


def test_generators_come_back(tmp_path):
    import random

    states = checkpoints.generator_states()
    checkpoints.save_checkpoint(tmp_path, 1, {}, {"generators": states})
    drawn = [random.random(), np.random.rand(), np.random.standard_normal(), torch.rand(1).item()]
    checkpoints.restore_generators(checkpoints.load_checkpoint(tmp_path).state["generators"])
    again = [random.random(), np.random.rand(), np.random.standard_normal(), torch.rand(1).item()]
    assert again == drawn


def test_weights_alone_are_saved_and_loaded(tmp_path):
    model, other = make_model(), make_model(seed=2)
    path = save_weights(model, tmp_path / "sub" / "model.safetensors")
    load_weights(other, path)
    assert weights_hash(model) == weights_hash(other)
    assert [entry.name for entry in path.parent.iterdir()] == ["model.safetensors"]
    with pytest.raises(FileNotFoundError, match=r"none.safetensors does not exist"):
        load_weights(other, tmp_path / "none.safetensors")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match="no whole safetensors file"):
        load_weights(other, path)


def test_tied_weights_are_saved(tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.output = nn.Embedding(9, 3), nn.Linear(3, 9, bias=False)
            self.output.weight = self.embedding.weight

    model, other = Tied(), Tied()
    load_weights(other, save_weights(model, tmp_path / "tied.safetensors"))
    assert torch.equal(other.output.weight, model.embedding.weight)


# ------------------------------------------------------------------------ several processes


@pytest.fixture(scope="module")
def shared_runs(tmp_path_factory):
    """Runs in two processes at once."""
    folder = tmp_path_factory.mktemp("shared")
    tail = {"batch_size": 20}
    phases = [
        {"folder": "without dropout", "dropout": 0.0, "plain": True},
        {"folder": "tail", **tail},
        {"folder": "tail again", **tail, "plain": True},
        {"folder": "resumed", **tail},
    ]
    run_script(folder, phases[:3], processes=2)
    shutil.copytree(folder / "tail", folder / "resumed")
    shutil.rmtree(max((folder / "resumed").glob("step-*")))
    run_script(folder, phases[3:], processes=2)
    return folder


def test_two_processes_share_each_batch(shared_runs, tmp_path):
    """Each row once per epoch, and the numbers of one process within rounding (no dropout)."""
    run_script(tmp_path, [{"folder": ".", "dropout": 0.0, "plain": True}])
    one = report_of(tmp_path)
    both = [report_of(shared_runs / "without dropout", process) for process in (0, 1)]
    assert both[0]["hash"] == both[1]["hash"]
    assert both[0]["weights"] == pytest.approx(one["weights"], abs=1e-5)
    for table in ("steps", "epochs"):
        for column, values in without_times(one["history"])[table].items():
            assert both[0]["history"][table][column] == pytest.approx(values, rel=1e-4), column
    batches = len(one["seen"]) // 3
    for epoch in range(3):
        whole = one["seen"][epoch * batches : (epoch + 1) * batches]
        assert sorted(row for batch in whole for row in batch) == list(range(101))
        for number, batch in enumerate(whole):
            parts = [report["seen"][epoch * batches + number] for report in both]
            assert parts == [batch[0::2], batch[1::2]]


def test_two_processes_with_a_tail_of_one_row_and_dropout(shared_runs):
    """101 rows in batches of 20 leave a row for one of the processes only."""
    first, second = (report_of(shared_runs / "tail", process) for process in (0, 1))
    assert first["hash"] == second["hash"]
    assert first["history"]["epochs"]["documents"] == [101, 101, 101]
    assert report_of(shared_runs / "tail again")["hash"] == first["hash"]


def test_two_processes_resume_together(shared_runs):
    first = report_of(shared_runs / "tail")
    for process in (0, 1):
        resumed = report_of(shared_runs / "resumed", process)
        assert resumed["hash"] == first["hash"]
        assert 0 < len(resumed["seen"]) < len(first["seen"])


def test_shares_are_disjoint_and_complete(rows):
    batch = collate(rows[:7])
    shares = [own_rows(batch, process, 3) for process in range(3)]
    assert [documents for _, documents in shares] == [3, 2, 2]
    together = torch.cat([share["index"] for share, _ in shares])
    assert sorted(together.tolist()) == batch["index"].tolist()
    nothing, documents = own_rows(collate(rows[:1]), 1, 2)
    assert (documents, len(nothing["labels"])) == (0, 1)


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


# ------------------------------------------------------------------- evaluate and predict


def test_evaluate_and_predict_give_the_modes_back(valid):
    model = make_model(dropout=0.9)
    model.train()
    model.hidden.eval()
    first, second = predict(model, valid), predict(model, valid)
    evaluate(model, valid)
    assert np.array_equal(first, second)
    assert model.training
    assert model.dropout.training
    assert not model.hidden.training
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_predictions_are_probabilities_in_the_order_of_the_data(rows):
    model = make_model()
    everything = collate(rows)
    model.eval()
    with torch.no_grad():
        expected = model(everything["input_ids"], everything["attention_mask"]).softmax(1).numpy()
    found = predict(model, make_loader(rows, 16, bucketed=True))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(found.sum(1), 1.0, rtol=1e-5)
    assert found.dtype == np.float32
    without = [{k: v for k, v in collate(rows[3:6]).items() if k not in ("index", "labels")}]
    np.testing.assert_allclose(predict(model, without), expected[3:6], rtol=1e-5)
    with pytest.raises(ValueError, match="nothing to predict"):
        predict(model, [])


def test_a_missing_input_is_named(rows):
    batch = collate(rows[:2])
    del batch["attention_mask"]
    with pytest.raises(ValueError, match=r"SmallModel.forward needs 'attention_mask'"):
        predict(make_model(), [batch])


# ------------------------------------------------------------------------------- the checks


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
    with pytest.raises(TypeError, match="a batch is a mapping .* is a list"):
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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"learning_rate": -1.0}, "learning_rate=-1.0"),
        ({"clip": 0.0}, "clip=0.0"),
        ({"accumulate": 0}, "accumulate=0"),
        ({"patience": 3}, "patience needs validation"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0"),
        ({"train": []}, "no batch"),
        ({"epochs": 2.5}, "epochs=2.5: expected a whole number"),
        ({"train": iter([])}, "train has no length"),
        ({"valid": iter([])}, "only once"),
    ],
)
def test_impossible_settings_are_named(rows, settings, message):
    arguments = {"train": make_loader(rows)} | settings
    wrong_type = isinstance(next(iter(settings.values())), type(iter([]))) or "whole" in message
    with pytest.raises(TypeError if wrong_type else ValueError, match=message):
        fit(make_model(), **arguments)


# -------------------------------------------------------------------- history and progress


def test_history_goes_through_json(rows, valid, tmp_path):
    history = fit(make_model(), make_loader(rows), valid, epochs=2)
    path = tmp_path / "history.json"
    history.to_json(path)
    assert History.from_json(path) == history
    assert pd.DataFrame(history.epochs)["epoch"].tolist() == [1, 2]
    assert len(pd.DataFrame(history.steps)) == 24


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": "agnews_utils history 1"}', "{"])
def test_other_files_are_no_history(tmp_path, text):
    path = tmp_path / "history.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"history\.json is not a history"):
        History.from_json(path)


def test_a_cut_history_is_refused(rows, tmp_path):
    history = fit(make_model(), make_loader(rows))
    history.steps["loss"].pop()
    history.to_json(tmp_path / "history.json")
    with pytest.raises(ValueError, match="differ in length"):
        History.from_json(tmp_path / "history.json")


def test_totals_go_on_from_what_was_saved():
    totals = Totals()
    totals.add(documents=8, targets=8, loss=4.0, correct=2.0, norm=1.0)
    again = Totals(**json.loads(json.dumps(totals.to_dict())))
    assert again.means() == {"loss": 0.5, "accuracy": 0.25}
    assert again.cpu_so_far() >= totals.to_dict()["cpu_seconds"] - 1e-3


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
