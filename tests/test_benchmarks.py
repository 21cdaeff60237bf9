"""The benchmarks' frame: targets, the list, and the check of the chapters' time."""

import json
import os

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from agnews_utils.data.loading import load_news
from benchmarks import Target, __main__, gpu_fine_tuning, text_path


@pytest.mark.parametrize(
    ("measured", "at_least", "met", "first_word"),
    [
        (2.0, True, True, "ok"),
        (1.5, True, True, "ok"),
        (1.49, True, False, "MISSED"),
        (1.5, False, True, "ok"),
        (1.51, False, False, "MISSED"),
        (None, True, True, "skipped"),
    ],
)
def test_target(measured, at_least, met, first_word):
    target = Target("times as fast", measured, 1.5, at_least, remark="why")
    assert target.met is met
    assert str(target).split()[0] == first_word
    assert "times as fast" in str(target)
    assert "why" in str(target)


def test_list_names_every_benchmark(capsys):
    assert __main__.main(["--list"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert "text_path" in listed
    assert listed[-1] == "chapters"


def test_unknown_benchmark_is_refused(capsys):
    with pytest.raises(SystemExit):
        __main__.main(["text_pat"])
    assert "no benchmark 'text_pat'; there are:" in capsys.readouterr().err


def test_a_missed_target_fails(monkeypatch, capsys):
    slow = Target("seconds", 3.0, 1.0, at_least=False)
    monkeypatch.setattr(__main__, "chapter_targets", lambda: [slow])
    assert __main__.main(["chapters"]) == 1
    assert "MISSED" in capsys.readouterr().out


@pytest.mark.parametrize("seconds", [30.0, 500.0, None])
def test_chapters_are_judged_by_a_fresh_run_only(monkeypatch, tmp_path, seconds):
    chapters = __main__.read_chapters()[:1]
    path = tmp_path / "build" / "results" / f"{chapters[0].contract.run}.newsbriefs.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"cpu_seconds": 1.0}))
    os.utime(path, ns=(1, 1))

    def course_run(*_, **__):
        if seconds is not None:
            path.write_text(json.dumps({"cpu_seconds": seconds}))

    monkeypatch.setattr(__main__, "ROOT", tmp_path)
    monkeypatch.setattr(__main__, "read_chapters", lambda: chapters)
    monkeypatch.setattr(__main__.subprocess, "run", course_run)
    (target,) = __main__.chapter_targets()
    assert target.met is (seconds == 30.0)
    assert ("did not run" in target.remark) is (seconds is None)


def test_the_text_path_is_timed_stage_by_stage():
    watch = text_path.course(load_news("newsbriefs"))
    assert tuple(watch.seconds) == text_path.STAGES
    twice = text_path.Stopwatch()
    twice.seconds = {stage: 2 * seconds for stage, seconds in watch.seconds.items()}
    found = {"course": [watch], "other": [twice]}
    for stages in (text_path.STAGES, text_path.FROM_TEXTS):
        assert text_path.round_ratios(found, "other", stages) == pytest.approx([2])


def test_without_a_gpu_nothing_is_measured(monkeypatch):
    monkeypatch.setattr(gpu_fine_tuning.runtime, "pick_device", lambda: torch.device("cpu"))
    (target,) = gpu_fine_tuning.run("newsbriefs")
    assert target.measured is None
    assert target.met
    assert "no GPU" in str(target)


def test_rates_of_matrices_and_steps():
    cpu = torch.device("cpu")
    assert gpu_fine_tuning.matrix_rate(cpu, size=64, times=2) > 0
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=96, num_labels=4,
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    row = gpu_fine_tuning.step_rate(model, cpu, batch_size=4, times=2)
    # Forward and backward: six operations for each weight and each piece that meets it; pooler and
    # head meet one piece. Two products of attention with 96 x 96 weights of 16 numbers, likewise.
    layer, head = 4 * 16 * 16 + 2 * 16 * 32, 16 * 16 + 16 * 4
    expected = 6 * (96 * layer + head) + 6 * 2 * 96 * 96 * 16
    operations = row["operations_per_second"] / row["documents_per_second"]
    assert operations == pytest.approx(expected, rel=1e-6)
    assert row["parameters"] == sum(value.numel() for value in model.parameters())
