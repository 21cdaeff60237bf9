"""The reference run of chapter bert that compares learning rates and what is trained with them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from itertools import product
from typing import Any

import pandas as pd
from torch.utils.data import DataLoader
from transformers import PreTrainedModel

from agnews_utils.bert.encoder import BUNDLED
from agnews_utils.bert.fine_tuning import layerwise_parameter_groups, unfreeze
from agnews_utils.data.loading import News
from agnews_utils.training.inference import evaluate
from agnews_utils.training.loop import fit
from agnews_utils.training.optimizers import AdamW
from agnews_utils.vocabulary.batching import make_loader
from tools.reference import store
from tools.reference.bert import TEXTS, encoded, encoder_version, few_rows, precision
from tools.reference.fine_tuning import Recipe, evaluation_loader, make_network

STRATEGIES = ("head only", "all layers", "gradual", "layer-wise")
RATES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 1e-2)
SWEEP_ROWS, SWEEP_EPOCHS, SWEEP_SEEDS = 1_000, 4, (1, 2)


def bert_sweep(news: News, only: Sequence[str], again: bool) -> None:
    """Fine-tune with every strategy and rate on a thousand rows; judge on validation rows."""
    fit_rows, valid_rows = store.split(news)
    train = few_rows(fit_rows, min(SWEEP_ROWS, len(fit_rows)) // 4, 1)
    valid = valid_rows.sample(min(1_000, len(valid_rows)), random_state=1)
    for strategy, rate in product(STRATEGIES, RATES):
        content = store.finished("bert_sweep", news)
        if (content.get("encoder"), content.get("texts")) != (encoder_version(), TEXTS):
            content = {"cells": []}
        known = [(cell["strategy"], cell["learning_rate"]) for cell in content["cells"]]
        if (only and strategy not in only) or (not again and (strategy, rate) in known):
            continue
        cell = _sweep_cell(strategy, rate, train, valid)
        cells = [
            c for c in content["cells"] if (c["strategy"], c["learning_rate"]) != (strategy, rate)
        ] + [cell]
        store.record_run(
            "bert_sweep",
            news,
            {
                "rows": len(train),
                "valid_rows": len(valid),
                "epochs": SWEEP_EPOCHS,
                "seeds": len(SWEEP_SEEDS),
                "cells": cells,
                "best": max(cells, key=lambda c: c["valid_accuracy"]),
                "encoder": encoder_version(),
                "texts": TEXTS,
                "precision": precision(),
            },
            f"{strategy}, {rate:g}: {cell['valid_accuracy']:.2%} on validation rows",
            seed=1,
            cpu_seconds=sum(c["cpu_seconds"] for c in cells),
        )


def _sweep_cell(
    strategy: str, rate: float, train: pd.DataFrame, valid: pd.DataFrame
) -> dict[str, Any]:
    started, measured = time.process_time(), []
    for seed in SWEEP_SEEDS:
        model, tokenizer = make_network(BUNDLED, Recipe(pooling="cls"), seed)
        rows, pad = encoded(train, tokenizer), tokenizer.pad_token_id
        loaders = (
            make_loader(rows.ids, rows.labels, 32, seed=seed, pad_index=pad),
            evaluation_loader(encoded(valid, tokenizer), pad),
        )
        _tune(model, loaders[0], strategy, rate, seed)
        measured.append((evaluate(model, loaders[1]), evaluate(model, loaders[0])))
    accuracies = [after["accuracy"] for after, _ in measured]
    return {
        "strategy": strategy,
        "learning_rate": rate,
        "valid_accuracy": statistics.mean(accuracies),
        "low": min(accuracies),
        "high": max(accuracies),
        "valid_loss": statistics.mean(after["loss"] for after, _ in measured),
        "train_loss": statistics.mean(on_train["loss"] for _, on_train in measured),
        "cpu_seconds": time.process_time() - started,
    }


def _tune(
    model: PreTrainedModel, loader: DataLoader, strategy: str, rate: float, seed: int
) -> None:
    """Fine-tune the network for the sweep's epochs in one of the four ways."""
    settings = {
        "epochs": SWEEP_EPOCHS,
        "learning_rate": rate,
        "schedule": "linear",
        "warmup": 0.1,
        "mixed_precision": precision(),
    }
    if strategy == "gradual":  # one epoch for the head, one for each layer, the rest for all
        stages: list[int | None] = [*range(model.config.num_hidden_layers + 1), None]
        for number, layers in enumerate(stages[-SWEEP_EPOCHS:]):
            unfreeze(model, layers)
            fit(model, loader, **{**settings, "epochs": 1, "seed": seed + 10 * number})
        return
    unfreeze(model, 0 if strategy == "head only" else None)
    optimizer: Any = "adamw"
    if strategy == "layer-wise":
        optimizer = AdamW(layerwise_parameter_groups(model, rate, decay=0.5))
    fit(model, loader, **settings, optimizer=optimizer, seed=seed)
