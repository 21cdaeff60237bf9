"""Chapter bert: `python -m tools.pretraining`, its tasks, budget, resumption and export."""

from __future__ import annotations

import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForMaskedLM

from agnews_utils.bert.encoder import (
    EncoderError,
    bundled_encoder,
    load_encoder,
    read_hashes,
    read_log,
)
from agnews_utils.bert.pretraining import (
    MASKING,
    MATCHING,
    EncodedRows,
    PretrainingBatches,
    PretrainingModel,
    Recipe,
)
from agnews_utils.cleaning.pipeline import repair_frame
from agnews_utils.data.duplicates import text_hashes
from agnews_utils.data.loading import load_news
from agnews_utils.training.inference import mean_loss, model_inputs
from tools.pretraining import check_texts, pretrain
from tools.pretraining.budget import StepBudget, TimeBudget
from tools.pretraining.counted_embeddings import counted_embeddings
from tools.pretraining.export import model_card
from tools.pretraining.texts import EXTRA_FILE, prepare, read_texts

ROOT = Path(__file__).resolve().parents[3]
SMALL = Recipe(
    layers=1,
    hidden=16,
    heads=2,
    vocab_size=300,
    max_length=16,
    batch_size=8,
    pairs=8,
    round_steps=4,
)
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(95))]
WORDS = [
    *("oil", "prices", "rise", "storms", "ports", "team", "wins", "final", "extra", "time", "chip"),
    *("maker", "processor", "laptops", "leaders", "peace", "talks", "election", "shares", "fall"),
    *("striker", "scores", "minutes", "court", "ruling", "bank", "profit", "satellite"),
]


def write_data(folder: Path, rows: int = 120, extra: int = 20) -> Path:
    """Write a small data set whose titles and descriptions share a rare word in each row."""
    rng = np.random.default_rng(0)
    folder.mkdir()

    def frame(count: int, start: int) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "label": rng.integers(1, 5, count),
                "title": [
                    " ".join(rng.choice(WORDS, 4)) + f" item{start + i}" for i in range(count)
                ],
                "description": [
                    f"item{start + i} " + " ".join(rng.choice(WORDS, 9)) for i in range(count)
                ],
            }
        )

    test, train = frame(20, 9000), frame(rows, 0)
    train.loc[0, ["title", "description"]] = (
        test.loc[3, ["title", "description"]].str.upper().values
    )
    more = frame(extra, 5000)
    more["title"] = ""
    for name, content in {"train.csv": train, "test.csv": test, EXTRA_FILE: more}.items():
        content.to_csv(folder / name, header=False, index=False, quoting=1)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "tiny_news")


pytestmark = pytest.mark.usefixtures("one_thread")


def rows_of(count: int = 30, seed: int = 0) -> EncodedRows:
    rng = np.random.default_rng(seed)

    def texts() -> list[np.ndarray]:
        return [
            np.array([2, *rng.integers(5, 100, rng.integers(3, 12)), 3], dtype=np.int32)
            for _ in range(count)
        ]

    return EncodedRows(texts(), texts(), texts())


def arguments(data: Path, output: Path, *more: str) -> list[str]:
    given = {
        "--layers": 1,
        "--hidden": 16,
        "--heads": 2,
        "--vocab-size": 300,
        "--max-length": 16,
        "--batch-size": 16,
        "--pairs": 16,
        "--round-steps": 4,
        "--precision": "no",
        "--data": data,
        "--output": output,
    }
    return [str(part) for pair in given.items() for part in pair] + list(more)


# -------------------------------------------------------------------------------- the budget


def test_the_rate_follows_the_clock_and_ends_with_the_time():
    now = [500.0]
    budget = TimeBudget(1, warmup=0.1, clock=lambda: now[0])
    assert budget.factor(0, 10**6) == pytest.approx(1e-3)
    seen = {}
    for second in (3, 6, 33, 60, 90):
        now[0] = 500.0 + second
        seen[second] = budget.factor(1, 10**6)
    assert seen == pytest.approx({3: 0.5, 6: 0.9, 33: 0.45, 60: 1e-3, 90: 1e-3})
    assert budget.spent(1) == 1
    assert TimeBudget(1, used=30, clock=lambda: 7.0).spent(0) == 0.5
    for impossible in (0, -1, math.nan):
        with pytest.raises(ValueError, match="minutes="):
            TimeBudget(impossible)


def test_the_rate_follows_the_steps_and_ends_with_them():
    budget = StepBudget(100, warmup=0.1)
    factors = [budget.factor(step, 10**6) for step in (0, 5, 10, 55, 100, 120)]
    assert factors == pytest.approx([1e-3, 0.5, 0.9, 0.45, 1e-3, 1e-3])
    assert [budget.spent(step) for step in (0, 50, 100, 101)] == [0, 0.5, 1, 1]
    assert StepBudget(4, warmup=0.0).factor(0, 1) == 1
    with pytest.raises(ValueError, match="steps=0"):
        StepBudget(0)


@pytest.mark.parametrize(("half", "expected"), [(0.5, "bf16"), (0.9, "no")])
def test_the_faster_precision_is_measured(monkeypatch, half, expected):
    # The clock decides, so the matrices may be small.
    monkeypatch.setattr(torch, "rand", lambda *shape: torch.zeros(2, 2))
    durations = [*[1.0] * 6, *[half] * 6]
    ticks = [tick for seconds in durations for tick in (0.0, seconds)]
    assert pretrain.faster_precision(clock=iter(ticks).__next__) == expected


# ---------------------------------------------------------------------------------- batches


def test_each_pass_reads_every_text_once_and_mixes_the_tasks():
    batches = PretrainingBatches(rows_of(), SMALL, PIECES)
    assert batches.steps_per_pass == 8
    for number in (0, 1):
        plans = [batches.plan(number * 8 + step) for step in range(8)]
        assert sorted(task for task, _ in plans) == [MASKING] * 4 + [MATCHING] * 4
        masked = np.concatenate([rows for task, rows in plans if task == MASKING])
        assert sorted(masked.tolist()) == list(range(30))
    orders = [tuple(batches.plan(step)[1].tolist()) for step in range(16)]
    assert orders[:8] != orders[8:]
    alone = PretrainingBatches(rows_of(), replace(SMALL, match_share=0.0), PIECES)
    assert {alone.plan(step)[0] for step in range(alone.steps_per_pass)} == {MASKING}


def test_a_step_depends_on_seed_and_number_alone():
    first, second = (PretrainingBatches(rows_of(), SMALL, PIECES) for _ in range(2))
    second.set_epoch(2)
    late = list(second)
    assert len(late) == len(second) == 4
    for step, batch in zip(range(8, 12), late, strict=True):
        torch.manual_seed(step)  # the state of torch's generator makes no difference
        expected = first.batch(step)
        assert expected.keys() == batch.keys()
        assert all(torch.equal(batch[name], expected[name]) for name in batch)
    other = PretrainingBatches(rows_of(), replace(SMALL, seed=1), PIECES)
    assert any(first.plan(s)[1].tolist() != other.plan(s)[1].tolist() for s in range(8))


def test_a_masking_batch_asks_for_what_it_hides():
    batches = PretrainingBatches(rows_of(), SMALL, PIECES)
    step = next(s for s in range(8) if batches.plan(s)[0] == MASKING)
    batch, (_, numbers) = batches.batch(step), batches.plan(step)
    for row, number in enumerate(numbers):
        original = batches.rows.texts[number]
        seen = batch["input_ids"][row, : len(original)].numpy().copy()
        for place, label in zip(batch["positions"][row], batch["labels"][row], strict=True):
            if label != -100:
                seen[place] = label
        assert seen.tolist() == original.tolist()
        assert batch["attention_mask"][row].sum() == len(original)


def test_matching_needs_both_parts_of_a_row():
    rows = rows_of()
    empty = np.array([2, 3], dtype=np.int32)
    half = EncodedRows([empty] * 20 + rows.titles[20:], rows.descriptions, rows.texts)
    batches = PretrainingBatches(half, SMALL, PIECES)
    assert batches.paired.min() >= 20
    none = PretrainingBatches(EncodedRows([empty] * 30, rows.titles, rows.texts), SMALL, PIECES)
    assert {none.plan(step)[0] for step in range(none.steps_per_pass)} == {MASKING}


@pytest.mark.parametrize(("round_number", "steps"), [(0, 4), (1, 2), (2, 1)])
def test_a_round_ends_with_the_budget(round_number, steps):
    batches = PretrainingBatches(rows_of(), SMALL, PIECES, StepBudget(6).spent)
    batches.set_epoch(round_number)
    assert len(list(batches)) == steps  # `fit` needs one, even if nothing is left


# ---------------------------------------------------------------------------------- network


@pytest.fixture
def network() -> PretrainingModel:
    torch.manual_seed(0)
    return PretrainingModel(SMALL.config(100)).eval()


def test_masking_logits_are_those_of_transformers_at_the_positions(network):
    batches = PretrainingBatches(rows_of(), SMALL, PIECES)
    batch = batches.masking_batch([0, 1, 2], torch.Generator().manual_seed(3))
    with torch.no_grad():
        logits = network(**model_inputs(network, batch))
        whole = network.network(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).prediction_logits
    expected = torch.stack([whole[row, batch["positions"][row]] for row in range(3)])
    torch.testing.assert_close(logits, expected)
    assert mean_loss(logits, batch["labels"]).item() == pytest.approx(math.log(100), rel=0.1)


def test_matching_logits_are_the_cosines_of_the_pooled_texts(network):
    batches = PretrainingBatches(rows_of(), SMALL, PIECES)
    batch = batches.matching_batch([0, 1, 2, 3], None)
    with torch.no_grad():
        logits = network(**model_inputs(network, batch))
        pooled = [
            network.network.bert(input_ids=batch[ids], attention_mask=batch[mask])[1].numpy()
            for ids, mask in (("input_ids", "attention_mask"), ("pair_ids", "pair_mask"))
        ]
    for title in range(4):
        for text in range(4):
            left, right = pooled[0][title], pooled[1][text]
            cosine = left @ right / np.linalg.norm(left) / np.linalg.norm(right)
            assert logits[title, 0, text].item() == pytest.approx(20 * cosine, abs=1e-3)
            assert logits[text, 1, title].item() == pytest.approx(20 * cosine, abs=1e-3)
    assert batch["labels"].tolist() == [[i, i] for i in range(4)]


def test_counted_embeddings_bring_neighbors_together():
    # Pieces 5-9 only occur among themselves, and so do 10-14.
    rng = np.random.default_rng(0)
    texts = [rng.integers(5, 10, 12) + 5 * (i % 2) for i in range(300)]
    found = counted_embeddings(texts, 20, 4)
    assert found.shape == (20, 4)
    assert found.dtype == np.float32
    assert not found[:5].any()
    assert not found[15:].any()
    unit = found[5:15] / np.linalg.norm(found[5:15], axis=1, keepdims=True)
    alike = unit @ unit.T
    assert alike[:5, :5].mean() > alike[:5, 5:].mean() + 0.3
    np.testing.assert_array_equal(found, counted_embeddings(texts, 20, 4))


# ------------------------------------------------------------------------------ the texts


def test_hashes_see_words_and_nothing_else():
    first, second, third = text_hashes(
        ["Oil up 5%, say U.S. firms", "oil UP 5 say u s firms", "Oil"]
    )
    assert first == second
    assert first != third
    assert text_hashes([]).shape == (0,)
    assert text_hashes(["a"]).dtype == np.int64


def test_texts_of_the_test_split_are_left_out(data, tmp_path, capsys):
    news = load_news(data)
    prepared = prepare(news, tmp_path / "prepared", vocab_size=300, max_length=16, seed=1)
    assert prepared.facts["left_out"] == 1  # the one that `write_data` copied, in capitals
    assert prepared.facts["rows"] == {"train": 126, "valid": 13}
    assert prepared.facts["texts"] == f"120 rows of train.csv and 20 rows of {EXTRA_FILE}"
    assert not np.isin(prepared.hashes["pretraining"], prepared.hashes["test"]).any()
    assert len(prepared.train) == 126
    columns = read_texts(news)[0].columns
    assert list(columns) == ["title", "description", "text"]  # no label
    again = prepare(news, tmp_path / "prepared", vocab_size=300, max_length=16, seed=1)
    for part in ("titles", "descriptions", "texts"):
        for one, two in zip(getattr(prepared.train, part), getattr(again.train, part), strict=True):
            np.testing.assert_array_equal(one, two)
    assert again.tokenizer.get_vocab() == prepared.tokenizer.get_vocab()
    with pytest.raises(ValueError, match="other texts or with other settings"):
        prepare(news, tmp_path / "prepared", vocab_size=301, max_length=16, seed=1)


# ------------------------------------------------------------------------------ the command


STEPS = ("--steps", "30", "--learning-rate", "0.01")


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("run") / "out"
    assert pretrain.main(arguments(data, output, *STEPS)) == 0
    return output


def test_the_command_trains_and_leaves_an_encoder(finished):
    folder = finished / "encoder"
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "config.json",
        "manifest.json",
        "model.safetensors",
        "pretraining_log.json",
        "text_hashes.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    log = read_log(folder)
    rounds = log["rounds"]
    assert [entry["step"] for entry in rounds] == [4, 8, 12, 16, 20, 24, 28, 30]
    assert rounds[-1]["valid_masking_loss"] < rounds[0]["valid_masking_loss"]
    assert rounds[-1]["learning_rate"] < 0.3 * max(entry["learning_rate"] for entry in rounds)
    assert all(a["tokens"] < b["tokens"] for a, b in itertools.pairwise(rounds))
    assert log["recipe"]["hidden"] == 16
    assert log["environment"]["device"] == "cpu"
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"{rounds[-1]['tokens']:,} tokens" in card
    assert "python -m tools.pretraining --steps 30" in card


def test_minutes_are_minutes_of_the_clock(data, tmp_path):
    seconds = iter(range(10**6))  # a second passes with every look at the clock
    given = arguments(data, tmp_path / "out", "--minutes", "0.5", "--learning-rate", "0.01")
    assert pretrain.main(given, clock=seconds.__next__) == 0
    looks = next(seconds)
    log = read_log(tmp_path / "out" / "encoder")
    assert (log["minutes"], log["steps"]) == (0.5, None)
    # The budget is asked before each step and after each round, and nothing is done after it.
    assert 30 <= looks <= 33
    rates = [entry["learning_rate"] for entry in log["rounds"]]
    assert rates[-1] < 0.2 * max(rates)
    assert 4 < log["rounds"][-1]["step"] <= 30


@pytest.mark.parametrize("budget", [(), ("--steps", "4", "--minutes", "1")])
def test_a_run_has_one_budget(data, tmp_path, budget, capsys):
    with pytest.raises(SystemExit):
        pretrain.main(arguments(data, tmp_path / "out", *budget))
    assert "--minutes" in capsys.readouterr().err


def test_the_encoder_is_the_trained_network(finished):
    model, tokenizer = load_encoder(finished / "encoder")
    steps = sorted((finished / "checkpoints").iterdir())
    trained = load_file(steps[-1] / "model.safetensors")
    for name, value in model.named_parameters():
        if not name.startswith("classifier"):
            expected = trained[f"network.{name}"].half().float()
            assert torch.equal(value, expected), name
    assert model.config.hidden_dropout_prob == 0.1
    ids = torch.tensor([tokenizer("oil prices rise").input_ids])
    mask = torch.ones_like(ids)
    whole = PretrainingModel(
        Recipe(**read_log(finished / "encoder")["recipe"]).config(len(tokenizer))
    )
    whole.load_state_dict(trained)
    with torch.no_grad():
        expected = whole.eval().network(input_ids=ids, attention_mask=mask).prediction_logits
        filler = AutoModelForMaskedLM.from_pretrained(finished / "encoder").eval()
        found = filler(input_ids=ids, attention_mask=mask).logits
        assert AutoModel.from_pretrained(finished / "encoder").pooler is not None
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=2e-2)


def test_a_finished_run_is_exported_again_but_never_overwritten(finished, data, capsys):
    before = (finished / "encoder" / "model.safetensors").read_bytes()
    assert pretrain.main(arguments(data, finished, *STEPS)) == 1
    assert "holds an earlier run" in capsys.readouterr().err
    assert pretrain.main(arguments(data, finished, *STEPS, "--resume")) == 0
    assert (finished / "encoder" / "model.safetensors").read_bytes() == before
    other = ("--steps", "30", "--learning-rate", "0.02", "--resume")
    assert pretrain.main(arguments(data, finished, *other)) == 1
    assert "learning_rate=0.01" in capsys.readouterr().err


def test_the_newest_checkpoint_is_exported_without_training(finished, data, tmp_path, capsys):
    output = shutil.copytree(finished, tmp_path / "out")
    shutil.rmtree(output / "encoder")
    newest = max((output / "checkpoints").iterdir())
    shutil.rmtree(newest)  # as if the run had been killed a round earlier
    options = (*STEPS, "--resume", "--export-only")
    assert pretrain.main(arguments(data, output, *options)) == 0
    checkpoint = max((output / "checkpoints").iterdir())
    trained = load_file(checkpoint / "model.safetensors")
    exported = load_file(output / "encoder" / "model.safetensors")
    name = "bert.embeddings.word_embeddings.weight"
    assert torch.equal(exported[name], trained[f"network.{name}"].half())
    assert f"step-{read_log(output / 'encoder')['rounds'][-1]['step']:08d}" == checkpoint.name
    shutil.rmtree(output / "checkpoints")
    assert pretrain.main(arguments(data, output, *options)) == 1
    assert "no checkpoint to export" in capsys.readouterr().err


def test_the_card_says_that_a_run_was_cut_short(finished):
    log = read_log(finished / "encoder")
    assert "cut short" not in model_card(log)
    log["rounds"][-1]["learning_rate"] = 0.7 * log["recipe"]["learning_rate"]
    assert "still 70% of its peak" in model_card(log)


def test_a_folder_without_news_is_named(tmp_path, capsys):
    assert pretrain.main(arguments(tmp_path / "none", tmp_path / "o", "--steps", "1")) == 1
    assert "does not exist" in capsys.readouterr().err


KILLED = """
import os, runpy, signal, torch
from tools.pretraining import pretrain

class Log(pretrain.Log):
    def __call__(self, history, model):
        told = super().__call__(history, model)
        if len(self.rounds) == 3:  # it is logged, and has no checkpoint yet
            os.kill(os.getpid(), signal.SIGKILL)
        return told

torch.set_num_threads(1)  # as in the tests: another number may round differently
pretrain.Log = Log
runpy.run_module("tools.pretraining", run_name="__main__")
"""


def test_a_killed_run_ends_with_the_weights_of_an_uninterrupted_one(finished, data, tmp_path):
    output = tmp_path / "killed"
    # Tokenizers trained twice may number their pieces differently; a run keeps its own.
    shutil.copytree(finished / "prepared", output / "prepared")
    run = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments(data, output, *STEPS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    printed = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    assert [entry["step"] for entry in printed] == [4, 8, 12]
    assert not (output / "encoder").exists()
    assert pretrain.main(arguments(data, output, *STEPS, "--resume")) == 0
    rounds, whole = (read_log(folder / "encoder")["rounds"] for folder in (output, finished))
    assert rounds[:2] == printed[:2]  # the third one was done again
    clocks = ("seconds", "cpu_seconds")
    for one, other in zip(rounds, whole, strict=True):
        assert {k: v for k, v in one.items() if k not in clocks} == {
            k: v for k, v in other.items() if k not in clocks
        }
    assert all(a["seconds"] < b["seconds"] for a, b in itertools.pairwise(rounds))
    weights = [load_file(f / "encoder" / "model.safetensors") for f in (output, finished)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_the_texts_read_are_counted_again(finished, data, tmp_path, capsys):
    options = ["--encoder", str(finished / "encoder"), "--data"]
    assert check_texts.main([*options, str(data)]) == 0
    counts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert counts == {
        "read": 139,
        "test": 20,
        "test_texts_read": 0,
        "unknown_texts_read": 0,
        "unknown_test_texts": 0,
    }
    leaky = shutil.copytree(data, tmp_path / "leaky")
    rows = pd.read_csv(data / "train.csv", header=None)
    rows.tail(5).to_csv(leaky / "test.csv", header=False, index=False, quoting=1)
    assert check_texts.main([*options, str(leaky)]) == 1
    counts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert counts["test_texts_read"] == 5
    assert counts["unknown_test_texts"] == 25
    assert check_texts.main([*options, str(tmp_path / "none")]) == 1
    assert "does not exist" in capsys.readouterr().err


# ----------------------------------------------------------------------- the bundled encoder


def bundled() -> Path:
    try:
        return bundled_encoder()
    except EncoderError as error:
        pytest.skip(f"no bundled encoder here: {error}")


def test_the_bundled_encoder_has_read_no_test_text():
    folder = bundled()
    hashes = read_hashes(folder)
    rows = read_log(folder)["data"]["rows"]
    assert len(hashes["test"]) > 0.9 * 7600
    assert len(hashes["pretraining"]) > 0.9 * (rows["train"] + rows["valid"])
    assert not np.isin(hashes["pretraining"], hashes["test"]).any()


def test_the_stored_hashes_are_those_of_the_data():
    folder = bundled()
    data = Path(os.environ.get("AGNEWS_FULL_DATA") or ROOT.parent / "shared" / "data" / "ag_news")
    if not (data / "test.csv").is_file():
        pytest.skip("the full AG News is not at hand: name its folder in AGNEWS_FULL_DATA")
    news = load_news(data)
    if news.md5 != {
        k: v for k, v in read_log(folder)["data"]["source"]["md5"].items() if k != EXTRA_FILE
    }:
        pytest.skip(f"the encoder was made from other files than those of {data}")
    stored = read_hashes(folder)
    test = np.unique(text_hashes(repair_frame(news.test)["text"]))
    np.testing.assert_array_equal(stored["test"], test)
    sample = news.train.sample(3000, random_state=0)
    read = text_hashes(repair_frame(sample)["text"])
    # Every training text was read, but for those whose words are those of a test text.
    assert (np.isin(read, stored["pretraining"]) ^ np.isin(read, test)).all()
    assert not np.isin(test, stored["pretraining"]).any()
