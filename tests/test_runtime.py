"""Recording results, seeds, device, atomic writing."""

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest

from agnews_utils import files, runtime
from agnews_utils.data.loading import load_news


@pytest.fixture(scope="module")
def news():
    return load_news("newsbriefs")


def test_record_writes_all_that_a_result_depends_on(news, tmp_path, capsys):
    metrics = {"accuracy": np.float64(0.912345678), "counts": np.arange(3), "nested": {"a": (1, 2)}}
    runtime.record("toy", news, metrics, headline="fine", seed=7, folder=tmp_path)
    assert capsys.readouterr().out == "fine\n"
    content = json.loads((tmp_path / "toy.newsbriefs.json").read_text(encoding="utf-8"))
    assert content["metrics"] == {
        "accuracy": 0.912346,
        "counts": [0, 1, 2],
        "nested": {"a": [1, 2]},
    }
    assert content["data"]["md5"] == news.md5
    assert content["data"]["rows"] == {"train": 1800, "test": 400}
    assert content["seed"] == 7
    assert {"python", "numpy", "torch", "device"} <= set(content["environment"])
    assert list(tmp_path.iterdir()) == [tmp_path / "toy.newsbriefs.json"]


def test_record_writes_nothing_without_a_folder(news, tmp_path, monkeypatch):
    monkeypatch.delenv(runtime.RECORD_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    runtime.record("toy", news, {"accuracy": 0.5}, headline="fine")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (float("nan"), "loss"),
        (np.float64("inf"), "loss"),
        ({"a": [1.0, float("nan")]}, r"loss.a\[1\]"),
        (object(), "loss"),
        ({1, 2}, "loss"),
    ],
)
def test_record_refuses_what_is_no_result(news, tmp_path, value, name):
    with pytest.raises(ValueError, match=name):
        runtime.record("toy", news, {"loss": value}, headline="", folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_write_text_leaves_the_old_file_when_interrupted(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    files.write_text(path, "old")

    def broken(self, *args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_text", broken)
    with pytest.raises(OSError, match="disk full"):
        files.write_text(path, "new")
    assert path.read_bytes() == b"old"


def test_start_is_repeatable_and_caps_threads(monkeypatch, capsys):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    runtime.start(seed=3)
    first = (random.random(), np.random.rand())
    runtime.start(seed=3)
    assert (random.random(), np.random.rand()) == first
    assert "at most 2 threads" in capsys.readouterr().out


def test_the_device_asked_for_is_used_or_refused(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setenv(runtime.DEVICE_VARIABLE, "cpu")
    assert runtime.pick_device() == torch.device("cpu")
    monkeypatch.setenv(runtime.DEVICE_VARIABLE, "cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="AGNEWS_DEVICE=cuda asks for a GPU"):
        runtime.pick_device()
    monkeypatch.delenv(runtime.DEVICE_VARIABLE)
    assert runtime.pick_device().type == "cpu"


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("gpu", "gpu is no device that the course knows: expected cpu, cuda"),
        ("cuda:x", "cuda:x is no device"),
        ("meta", "meta is no device"),
        ("mps", "GPU of an Apple chip, but torch"),
        ("cuda:7", "torch sees 2, counted from cuda:0"),
    ],
)
def test_an_unknown_device_gets_a_sentence(monkeypatch, wanted, words):
    torch = pytest.importorskip("torch")
    monkeypatch.setenv(runtime.DEVICE_VARIABLE, wanted)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(runtime.DeviceError, match=words):
        runtime.pick_device()


@pytest.mark.parametrize("works", [True, False])
def test_an_apple_gpu_is_used_where_torch_can_else_a_sentence_says_so(monkeypatch, capsys, works):
    torch = pytest.importorskip("torch")
    monkeypatch.delenv(runtime.DEVICE_VARIABLE)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    runtime._computes_on_apple.cache_clear()
    if works:
        monkeypatch.setattr(runtime, "_computes_on_apple", lambda: True)
        assert runtime.pick_device() == torch.device("mps")
        return
    # This torch was built without it, and refuses: as one that is too old does.
    assert [runtime.pick_device().type for _ in range(2)] == ["cpu", "cpu"]
    assert capsys.readouterr().out.count("Computing on the CPU") == 1
    runtime._computes_on_apple.cache_clear()


def test_seeds_reach_torch():
    torch = pytest.importorskip("torch")
    runtime.seed_everything(5)
    first = torch.rand(3)
    runtime.seed_everything(5)
    assert torch.equal(torch.rand(3), first)


def test_code_version_names_a_commit_or_a_version():
    assert runtime.code_version()
    assert os.sep not in runtime.code_version()


def test_recorded_runs_are_found_and_missing_ones_named():
    metrics = runtime.recorded("exploration", "newsbriefs")
    assert 0.5 < metrics["linear_accuracy"] < 1
    with pytest.raises(FileNotFoundError, match=r"no recorded run nothing.ag_news; there are: .*"):
        runtime.recorded("nothing")
