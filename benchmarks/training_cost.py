"""CPU seconds of one training epoch of the BiLSTM: `fit` against plain loops.

Same model, same rows, same batch size, same optimizer settings, one thread. ``fit`` is the course's
engine with length-bucketed batches. ``padded to the longest`` is the loop of many tutorials: random
batches, every text padded to the longest one of the data. ``padded to the batch`` pads to the
longest text of each random batch. The contestants take turns in one process, in another order each
round; the ratios are medians over the rounds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from agnews_utils import runtime
from agnews_utils.data.loading import load_news
from agnews_utils.rnn.networks import RecurrentClassifier
from agnews_utils.training.loop import fit
from agnews_utils.vocabulary.batching import NewsDataset, collate, make_loader
from agnews_utils.vocabulary.vocab import build_vocab, encode, tokenize_all
from benchmarks import Target
from tools.builder.chapters import ROOT

ROWS, BATCH_SIZE, MAX_LENGTH, ROUNDS, RATE = 4_800, 64, 128, 3, 2e-3


def plain_loop(model: nn.Module, dataset: NewsDataset, length: int) -> None:
    """Train for one epoch on random batches padded to `length` (0: to the batch's longest)."""

    def padded(rows: list) -> dict[str, torch.Tensor]:
        batch = collate(rows)
        missing = length - batch["input_ids"].shape[1] if length else 0
        for name in ("input_ids", "attention_mask"):
            batch[name] = F.pad(batch[name], (0, missing))
        return batch

    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    model.train()
    for batch in DataLoader(dataset, BATCH_SIZE, shuffle=True, collate_fn=padded):
        logits = model(batch["input_ids"], batch["attention_mask"], batch["lengths"])
        loss = F.cross_entropy(logits, batch["labels"])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def run(data: str | None = None, rows: int = ROWS, rounds: int = ROUNDS) -> list[Target]:
    """Measure, print and record the ratios; return the target."""
    torch.set_num_threads(1)
    news = load_news(data)
    frame = news.train.sample(min(rows, len(news.train)), random_state=0)
    tokens = tokenize_all(frame["text"])
    vocab = build_vocab(tokenize_all(news.train["text"]), min_freq=3)
    ids = encode(tokens, vocab, max_length=MAX_LENGTH)
    labels = frame["label"].tolist()
    dataset = NewsDataset(ids, labels)

    def model() -> nn.Module:
        torch.manual_seed(1)
        return RecurrentClassifier(len(vocab), bidirectional=True, pooling="max")

    contestants: dict[str, Callable[[], object]] = {
        "fit": lambda: fit(model(), make_loader(ids, labels, BATCH_SIZE), learning_rate=RATE),
        "padded to the longest": lambda: plain_loop(model(), dataset, max(map(len, ids))),
        "padded to the batch": lambda: plain_loop(model(), dataset, 0),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        names = list(contestants)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            started = time.process_time()
            contestants[name]()
            seconds[name].append(time.process_time() - started)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratios = {
        name: statistics.median(a / b for a, b in zip(values, seconds["fit"], strict=True))
        for name, values in seconds.items()
        if name != "fit"
    }
    for name, value in medians.items():
        per_second = len(ids) / value
        print(f"{name:24} {value:6.1f} CPU s, {per_second:6.0f} documents per CPU second")
    metrics = {"rows": len(ids), "rounds": rounds, "cpu_seconds": medians, "ratios": ratios}
    headline = ", ".join(f"{ratio:.2f} times the cost when {n}" for n, ratio in ratios.items())
    runtime.record("bench_training_cost", news, metrics, headline, folder=ROOT / "results")
    return [Target("a plain, fully padded loop over fit", ratios["padded to the longest"], 1.5)]
