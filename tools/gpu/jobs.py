"""The other jobs: prepare the rows, pre-train, a linear teacher, speed, the notebooks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from agnews_utils.bert.encoder import load_encoder
from agnews_utils.bert.fine_tuning import MAX_LENGTH
from agnews_utils.bert.wordpiece import wrap_tokenizer
from agnews_utils.data.loading import load_news
from agnews_utils.evaluation.predictions import LinearClassifier
from agnews_utils.files import written_whole
from agnews_utils.runtime import pick_device
from agnews_utils.training.inference import evaluation_mode
from agnews_utils.vocabulary.batching import pad_batch
from tools.gpu import rows as gpu_rows
from tools.gpu.tuning import PROBABILITIES, encoder_folder, fold_numbers, rows_of
from tools.pretraining import pretrain
from tools.pretraining.texts import prepare as prepare_texts
from tools.reference.fine_tuning import Recipe, make_network, train

VOCABULARY, SEED = 8000, 42


def texts(work: Path, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Read and encode what pre-training reads, with pieces of its own."""
    started = time.perf_counter()
    news = load_news(settings["sources"]["ag_news"])
    prepared = prepare_texts(
        news,
        work / name / "prepared",
        vocab_size=settings.get("vocab_size", VOCABULARY),
        max_length=MAX_LENGTH,
        seed=SEED,
    )
    return {"rows": len(prepared.train), "seconds": time.perf_counter() - started}


def own_rows(work: Path, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Encode the rows of both data sets with the pieces made for pre-training."""
    path = work / "texts" / "prepared" / "tokenizer.json"
    tokenizer = wrap_tokenizer(Tokenizer.from_file(str(path)))
    for data, source in settings["sources"].items():
        parts = gpu_rows.frames(load_news(source))
        gpu_rows.encode_rows(parts, tokenizer, work / "rows" / f"{data}.mini.safetensors")
    return {}


def rows(work: Path, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Encode the rows of both data sets with a downloaded encoder's tokenizer."""
    encoder = settings["encoder"]
    folders = {encoder: encoder_folder(work, encoder)}
    gpu_rows.prepare(settings["sources"], folders, work / "rows")
    return {}


def long_rows(work: Path, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Encode film reviews whole."""
    encoder = settings["encoder"]
    tokenizer = load_encoder(encoder_folder(work, encoder), quiet=True)[1]
    parts = gpu_rows.frames(load_news(settings["sources"]["imdb"]))
    path = work / "rows" / f"imdb.{encoder}.safetensors"
    gpu_rows.encode_rows(parts, tokenizer, path, max_length=100_000)
    return {}


def pretraining(work: Path, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Pre-train an encoder within minutes, from random weights."""
    output = work / name
    if not (output / "prepared").is_dir():
        shutil.copytree(work / "texts" / "prepared", output / "prepared")
    size = settings.get("vocab_size", VOCABULARY)
    arguments = ["--data", settings["sources"]["ag_news"], "--output", str(output), "--resume"]
    arguments += ["--vocab-size", str(size), "--max-length", str(MAX_LENGTH), "--seed", str(SEED)]
    if pretrain.main([*arguments, *settings["arguments"]]):
        raise SystemExit("pre-training failed")
    shutil.rmtree(output / "checkpoints", ignore_errors=True)
    return {}


def linear(work: Path, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Train the linear model without one fold; keep what it says of all rows."""
    news = load_news(settings["sources"]["ag_news"])
    parts = gpu_rows.frames(news)
    used = fold_numbers(len(parts["fit"]), settings["folds"]) != settings["fold"]
    learned = parts["fit"][used]
    model = LinearClassifier(settings["c"]).fit(learned["text"], learned["label"])
    found = {
        part: model.predict_proba(frame["text"]).astype(np.float32) for part, frame in parts.items()
    }
    with written_whole(work / name / PROBABILITIES) as partial:
        save_file(found, partial)
    right = found["test"].argmax(1) == parts["test"]["label"].to_numpy()
    return {"test_accuracy": float(right.mean())}


# ------------------------------------------------------------------------------------------- speed


def speed(work: Path, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Measure documents a second, training and answering, and the rate of multiplications."""
    encoder = settings["encoder"]
    parts = rows_of(work, "ag_news", encoder)
    count = min(settings.get("rows", 20_000), len(parts["fit"]))
    some = parts["fit"].some(np.arange(count))
    network, tokenizer = make_network(encoder_folder(work, encoder), Recipe(), 1)
    device = pick_device()
    network.to(device)
    pad, tokens = tokenizer.pad_token_id, sum(len(ids) for ids in some.ids)
    found: dict[str, Any] = {"documents": count, "tokens": tokens, "encoder": encoder}
    if device.type == "cuda":
        found["matrix_teraflops"] = _matrix_rate(device)
        found["device"] = torch.cuda.get_device_name()
    answer = {}
    order = np.argsort([len(ids) for ids in some.ids], kind="stable")
    weights = sum(v.numel() for k, v in network.base_model.named_parameters() if "encoder" in k)
    for size in (64, 512):
        batches = [
            tuple(t.to(device) for t in pad_batch([some.ids[i] for i in order[s : s + size]], pad))
            for s in range(0, count, size)
        ]
        seconds = []
        for _ in range(2):
            _wait(device)
            started = time.perf_counter()
            with evaluation_mode(network), torch.autocast(device.type, torch.bfloat16):
                for ids, mask, _ in batches:
                    network(input_ids=ids, attention_mask=mask)
            _wait(device)
            seconds.append(time.perf_counter() - started)
        answer[size] = {
            "documents_per_second": count / min(seconds),
            "teraflops": 2 * weights * tokens / min(seconds) / 1e12,
        }
    found["answering"] = answer
    few = some.some(np.arange(min(count, 6_400)))
    history = train(network, tokenizer, few, None, Recipe(2, hidden=0.0), 1)
    found["training_documents_per_second"] = len(few) / min(history.epochs["seconds"])
    return found


def _matrix_rate(device: torch.device) -> float:
    left, right = (torch.randn(8192, 8192, device=device).bfloat16() for _ in range(2))
    left @ right
    _wait(device)
    started = time.perf_counter()
    for _ in range(10):
        left @ right
    _wait(device)
    return 10 * 2 * 8192**3 / (time.perf_counter() - started) / 1e12


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


# --------------------------------------------------------------------------------------- notebooks


def notebooks(work: Path, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Run one chapter's notebook with nbval on the GPU."""
    started = time.perf_counter()
    report = subprocess.run(
        [sys.executable, "-m", "pytest", settings["notebook"], "--nbval-lax",
         "--nbval-current-env", "--nbval-cell-timeout", "600", "--quiet",
         "-p", "no:cacheprovider"],
        env=os.environ | {"AGNEWS_TEST_DATA": "newsbriefs"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    print(report.stdout[-6000:], report.stderr[-2000:], flush=True)
    return {
        "passed": report.returncode == 0,
        "last": report.stdout.strip().splitlines()[-1:],
        "seconds": time.perf_counter() - started,
    }
