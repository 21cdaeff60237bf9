"""A run that was killed goes on as if nothing had happened; nothing that is loaded runs code."""

import hashlib
import json
import pickle
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from agnews_utils.training import checkpoints
from agnews_utils.training.checkpoints import CheckpointError, load_weights, save_weights
from agnews_utils.training.loop import fit
from agnews_utils.training.optimizers import OPTIMIZERS
from tests.training.launch import report_of, run_script, without_times
from tests.training.small_run import make_loader, make_model, weights_hash

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
