"""CPU seconds of one fine-tuning epoch of the bundled BERT: `fit` against `transformers.Trainer`.

Same weights, same rows, same batch size, same learning rate, 32-bit floats, one thread. ``fit``
takes length-bucketed batches. The Trainer gets what its tutorials give it: every text padded to the
longest that the network can read (`padding="max_length"`), then, as a stricter rival, to the 96
pieces at which the course cuts, and last what few tutorials turn on: batches of like lengths
(`group_by_length`), each padded to its own longest text. The contestants take turns in one
process, in another order each round; the ratios are medians over the rounds. Cost grows with the
rows, so that a sample will do.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import pandas as pd
import torch
from transformers import (
    DataCollatorWithPadding,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
)

from agnews_utils import runtime
from agnews_utils.bert.encoder import BUNDLED, load_encoder
from agnews_utils.bert.fine_tuning import MAX_LENGTH, bert_loader
from agnews_utils.data.loading import load_news
from agnews_utils.training.loop import fit
from benchmarks import Target
from tools.builder.chapters import ROOT

ROWS, BATCH_SIZE, ROUNDS, RATE = 1_200, 32, 3, 3e-4


def rows_for_trainer(
    frame: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, length: int, padded: bool = True
) -> list[dict[str, Any]]:
    """Return the rows as the Trainer takes them, each padded to a number of pieces, or only cut."""
    encoded = tokenizer(
        frame["text"].tolist(),
        padding="max_length" if padded else False,
        truncation=True,
        max_length=length,
    )
    columns = (encoded["input_ids"], encoded["attention_mask"], frame["label"].tolist())
    return [
        {"input_ids": ids, "attention_mask": mask, "labels": label}
        for ids, mask, label in zip(*columns, strict=True)
    ]


def train_with_trainer(
    rows: list[dict[str, Any]], model: torch.nn.Module, seed: int, collator: Any = None
) -> None:
    """Train for one epoch with the Trainer, without logs, checkpoints and bars.

    With a collator, which pads each batch, batches have texts of like lengths.
    """
    grouping = {} if collator is None else _grouping()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=1,
            per_device_train_batch_size=BATCH_SIZE,
            learning_rate=RATE,
            seed=seed,
            use_cpu=True,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
            **grouping,
        )
        Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collator).train()


def _grouping() -> dict[str, Any]:
    """Return the option for batches of like lengths, which transformers 5 calls otherwise."""
    known = {option.name for option in dataclasses.fields(TrainingArguments)}
    if "group_by_length" in known:
        return {"group_by_length": True}
    return {"train_sampling_strategy": "group_by_length"}


def run(data: str | None = None, rows: int = ROWS, rounds: int = ROUNDS) -> list[Target]:
    """Measure, print and record the ratios; return the target."""
    torch.set_num_threads(1)
    news = load_news(data)
    frame = news.train.sample(min(rows, len(news.train)), random_state=0)
    longest = load_encoder(BUNDLED, quiet=True)[0].config.max_position_embeddings

    def with_fit(seed: int) -> None:
        model, tokenizer = load_encoder(BUNDLED, quiet=True)
        loader = bert_loader(frame["text"], frame["label"], tokenizer, BATCH_SIZE, seed=seed)
        fit(model, loader, learning_rate=RATE, schedule="linear", warmup=0.0, seed=seed)

    def with_trainer(length: int) -> Callable[[int], None]:
        def contestant(seed: int) -> None:
            model, tokenizer = load_encoder(BUNDLED, quiet=True)
            train_with_trainer(rows_for_trainer(frame, tokenizer, length), model, seed)

        return contestant

    def with_grouping(seed: int) -> None:
        model, tokenizer = load_encoder(BUNDLED, quiet=True)
        rows = rows_for_trainer(frame, tokenizer, MAX_LENGTH, padded=False)
        train_with_trainer(rows, model, seed, DataCollatorWithPadding(tokenizer))

    contestants = {
        "fit": with_fit,
        f"Trainer, padded to {longest}": with_trainer(longest),
        f"Trainer, padded to {MAX_LENGTH}": with_trainer(MAX_LENGTH),
        "Trainer, grouped by length": with_grouping,
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        names = list(contestants)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            started = time.process_time()
            contestants[name](number)
            seconds[name].append(time.process_time() - started)
            print(f"{name}: {seconds[name][-1]:.1f} CPU s", flush=True)
    ratios = [
        statistics.median(a / b for a, b in zip(seconds[name], seconds["fit"], strict=True))
        for name in contestants
    ]
    metrics = {
        "rows": len(frame),
        "rounds": rounds,
        "cpu_seconds": {name: statistics.median(values) for name, values in seconds.items()},
        "longest": longest,
        "max_length": MAX_LENGTH,
        "cheaper": ratios[1],
        "cheaper_same_length": ratios[2],
        "cheaper_grouped": ratios[3],
    }
    headline = f"{ratios[1]:.2f} and {ratios[2]:.2f} times cheaper than transformers.Trainer"
    runtime.record("bench_fine_tuning", news, metrics, headline, folder=ROOT / "results")
    return [Target("transformers.Trainer with fixed padding over fit", ratios[1], 1.3)]
