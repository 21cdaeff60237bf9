"""How an encoder is fine-tuned, on a CPU or a GPU: one recipe and one function for all runs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from agnews_utils.bert.batches import (
    HiddenPieces,
    TaughtBatches,
    agreement_loss,
    distillation_loss,
)
from agnews_utils.bert.encoder import load_encoder
from agnews_utils.bert.fine_tuning import layerwise_parameter_groups
from agnews_utils.bert.pooling import MeanPooledClassifier
from agnews_utils.runtime import seed_everything
from agnews_utils.training.inference import predict
from agnews_utils.training.loop import fit
from agnews_utils.training.optimizers import AdamW
from agnews_utils.vocabulary.batching import make_loader
from tools.pretraining.pretrain import faster_precision
from tools.reference.draws import Rows


@dataclass(frozen=True)
class Recipe:
    """How a network is fine-tuned."""

    epochs: int = 5
    learning_rate: float = 1.2e-4
    batch_size: int = 64
    decay: float = 1.0
    hidden: float = 0.1
    """Share of the pieces that show [MASK]."""
    smoothing: float = 0.1
    dropout: float = 0.1
    pooling: str = "mean"
    agreement: float = 0.0
    """Weight of R-Drop's divergence; each text then counts twice a batch."""
    hard_share: float = 0.3
    """For students: weight of the true labels."""
    temperature: float = 1.0


def make_network(
    encoder: str | os.PathLike[str],
    recipe: Recipe,
    seed: int,
    random: bool = False,
    classes: int | None = None,
) -> Any:
    """Return an encoder with a new head, and its tokenizer."""
    seed_everything(seed)
    model, tokenizer = load_encoder(encoder, classes, quiet=True)
    if random:
        seed_everything(seed)
        model = type(model)(model.config)
    network: Any = MeanPooledClassifier.of(model) if recipe.pooling == "mean" else model
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = recipe.dropout
    return network, tokenizer


def train(
    network: Any,
    tokenizer: Any,
    rows: Rows,
    valid: Rows | None,
    recipe: Recipe,
    seed: int,
    teacher: np.ndarray | None = None,
    **options: Any,
) -> Any:
    """Fine-tune with one recipe; return the history. `options` go to `fit`."""
    pad = tokenizer.pad_token_id
    batches: Any = make_loader(rows.ids, rows.labels, recipe.batch_size, seed=seed, pad_index=pad)
    loss = None
    if teacher is not None:
        batches = TaughtBatches(batches, teacher)
        loss = distillation_loss(recipe.temperature, recipe.hard_share)
    copies = 1
    if recipe.agreement:
        copies, loss = 2, agreement_loss(recipe.agreement, recipe.smoothing)
    batches = hide_pieces(batches, tokenizer, recipe.hidden, copies)
    optimizer: Any = "adamw"
    if recipe.decay < 1:
        optimizer = AdamW(layerwise_parameter_groups(network, recipe.learning_rate, recipe.decay))
    return fit(
        network,
        batches,
        None if valid is None else evaluation_loader(valid, pad),
        epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        optimizer=optimizer,
        schedule="linear",
        warmup=0.1,
        label_smoothing=0.0 if loss else recipe.smoothing,
        loss=loss,
        seed=seed,
        **{"mixed_precision": faster_precision()} | options,
    )


def hide_pieces(loader: Any, tokenizer: Any, share: float, copies: int = 1) -> Any:
    """Return batches in which a share of the pieces shows [MASK]; the loader itself for none."""
    if not share and copies == 1:
        return loader
    special, size = tokenizer.all_special_ids, len(tokenizer)
    return HiddenPieces(loader, share, tokenizer.mask_token_id, special, size, copies)


def evaluation_loader(rows: Rows, pad: int) -> Any:
    """Return large batches in the order of their lengths; `predict` restores that of the rows."""
    return make_loader(rows.ids, rows.labels, 512, shuffle=False, pad_index=pad)


def accuracy(network: Any, rows: Rows, pad: int) -> float:
    """Return the share of rows that a network gets right."""
    return float((predict(network, evaluation_loader(rows, pad)).argmax(1) == rows.labels).mean())
