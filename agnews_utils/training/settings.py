"""The settings of a training run: the keyword arguments of `fit`, checked."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sized
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from agnews_utils.training.history import History
from agnews_utils.training.optimizers import Schedule, schedule_factor

Callback = Callable[[History, nn.Module], bool | None]
"""Called after a step or an epoch; training stops if it returns True."""

Loss = Callable[[Tensor, Mapping[str, Any]], Tensor]
"""Takes logits and batch; returns the mean over the labels that count, in nats."""


@dataclass(frozen=True)
class FitSettings:
    """The keyword arguments of `fit`; its docstring describes them.

    Raises
    ------
    TypeError
        If a count is no whole number.
    ValueError
        If a setting is impossible; the message names it.
    """

    epochs: int
    learning_rate: float
    optimizer: str | torch.optim.Optimizer
    schedule: Schedule
    warmup: float | None
    weight_decay: float
    clip: float | None
    accumulate: int
    label_smoothing: float
    loss: Loss | None
    patience: int | None
    keep_best: bool
    seed: int
    mixed_precision: str | None
    checkpoint_folder: str | os.PathLike[str] | None
    checkpoint_every: int | None
    resume: bool
    progress: bool | None
    on_step: Callback | None
    on_epoch: Callback | None

    def __post_init__(self) -> None:
        for name in ("epochs", "accumulate", "patience", "checkpoint_every"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, Integral):
                raise TypeError(f"{name}={value!r}: expected a whole number")
            if value is not None and value < 1:
                raise ValueError(f"{name}={value}: expected 1 or more")
        for name in ("learning_rate", "clip"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name}={value}: expected a positive number")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing={self.label_smoothing}: expected 0 or more, below 1")
        if self.loss is not None and self.label_smoothing:
            raise ValueError("label_smoothing belongs to the usual loss: put it into yours.")
        if self.resume and self.checkpoint_folder is None:
            raise ValueError("resume=True needs checkpoint_folder: the folder of the earlier run.")
        schedule_factor(0, 1, self.schedule, self.warmup)

    def check_data(self, train: object, valid: object) -> None:
        """Refuse batches that `fit` cannot use.

        Raises
        ------
        TypeError
            If `train` has no length, or `valid` can be read only once.
        ValueError
            If `train` is empty, or `patience` has nothing to look at.
        """
        if not isinstance(train, Sized):
            raise TypeError("train has no length: pass a DataLoader or a list of batches.")
        if len(train) == 0:
            raise ValueError("train holds no batch: there is nothing to learn from.")
        if isinstance(valid, Iterator):
            raise TypeError("valid can be read only once: pass a DataLoader or a list of batches.")
        if valid is None and self.patience is not None:
            raise ValueError("patience needs validation batches: pass valid.")

    def shaping(self) -> dict[str, Any]:
        """Return those that the numbers of a run depend on, as JSON can hold them."""
        without_effect = ("checkpoint_folder", "checkpoint_every", "resume", "progress")
        shaping = {
            name: value
            for name, value in vars(self).items()
            if name not in without_effect and not name.startswith("on_")
        }
        for name in ("schedule", "loss"):
            if callable(function := shaping[name]):
                shaping[name] = getattr(function, "__qualname__", "a function")
        return shaping
