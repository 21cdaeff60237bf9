"""What a training run leaves behind: loss, accuracy, speed per step and epoch (chapter rnn)."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from agnews_utils.files import write_text

STEP_COLUMNS = (
    "step",
    "epoch",
    "loss",
    "accuracy",
    "learning_rate",
    "gradient_norm",
    "documents",
    "documents_per_second",
    "peak_memory_mb",
)
EPOCH_COLUMNS = (
    "epoch",
    "loss",
    "accuracy",
    "valid_loss",
    "valid_accuracy",
    "learning_rate",
    "gradient_norm",
    "documents",
    "documents_per_second",
    "peak_memory_mb",
    "seconds",
    "cpu_seconds",
)
_FORMAT = "agnews_utils history 1"

Table = dict[str, list[Any]]
"""Columns by name; `pandas.DataFrame(history.epochs)` makes a frame of one."""


@dataclass
class History:
    """The record of a run of `fit`: columns of numbers, ready to draw (rnn, "The training loop").

    Losses and accuracies are averages over documents, whatever the sizes of the batches. Those of
    training are measured while the weights still change and with dropout on, so that they may be
    worse than the ones of validation; with label smoothing the training loss contains it.

    Attributes
    ----------
    steps : dict of str to list
        One entry per update of the weights: `step` and `epoch` (from 1), `loss`, `accuracy` (0 to
        1), `learning_rate` (of the first parameter group), `gradient_norm` (before clipping),
        `documents`, `documents_per_second`, `peak_memory_mb` (of the GPU, else of the process).
    epochs : dict of str to list
        One entry per finished epoch: `epoch`, the averages of `loss`, `accuracy` and
        `gradient_norm`, `valid_loss` and `valid_accuracy` (None without validation data), the last
        `learning_rate`, `documents`, `documents_per_second`, `peak_memory_mb`, `seconds` on the
        clock with validation, and `cpu_seconds` of this process.
    best_epoch : int or None
        The epoch (from 1) with the best validation accuracy, ties by loss.
    interrupted : bool
        Whether the run was stopped by Ctrl-C or the kernel's interrupt.
    stopped_early : bool
        Whether it ended because validation did not improve, or because a callback said so.
    """

    steps: Table = field(default_factory=lambda: {name: [] for name in STEP_COLUMNS})
    epochs: Table = field(default_factory=lambda: {name: [] for name in EPOCH_COLUMNS})
    best_epoch: int | None = None
    interrupted: bool = False
    stopped_early: bool = False

    def add_step(self, **values: Any) -> None:
        """Append one step: a value for each of `STEP_COLUMNS`."""
        for name, column in self.steps.items():
            column.append(values[name])

    def add_epoch(self, **values: Any) -> None:
        """Append one epoch: a value for each of `EPOCH_COLUMNS`."""
        for name, column in self.epochs.items():
            column.append(values[name])

    @property
    def best(self) -> dict[str, Any]:
        """The row of the best epoch, or of the last one without validation; {} before the first."""
        if not self.epochs["epoch"]:
            return {}
        position = (self.best_epoch or self.epochs["epoch"][-1]) - 1
        return {name: column[position] for name, column in self.epochs.items()}

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write the history to a file."""
        write_text(path, json.dumps({"format": _FORMAT, **asdict(self)}, indent=1) + "\n")

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> History:
        """Read a history from a file.

        Raises
        ------
        FileNotFoundError
            If the file does not exist.
        ValueError
            If it is not a whole history; the message names the file.
        """
        text = Path(path).read_text(encoding="utf-8")
        try:
            content = json.loads(text)
            if not isinstance(content, dict) or content.pop("format", None) != _FORMAT:
                raise ValueError(f"expected the format {_FORMAT!r}")
            if set(content) != set(vars(cls())):
                raise ValueError(f"expected the fields {sorted(vars(cls()))}")
            history = cls(**content)
            for table in (history.steps, history.epochs):
                if len({len(column) for column in table.values()}) > 1:
                    raise ValueError("its columns differ in length")
        except (ValueError, TypeError) as error:
            name = os.fspath(path)
            raise ValueError(f"{name} is not a history that fit() wrote: {error}") from None
        return history


@dataclass
class Totals:
    """Sums over an epoch: labels that count, loss in nats, lengths of gradients, seconds."""

    documents: int = 0
    targets: int = 0
    loss: float = 0.0
    correct: float = 0.0
    norms: float = 0.0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def add(self, documents: int, targets: int, loss: float, correct: float, norm: float) -> None:
        """Add the sums of one step."""
        self.documents += documents
        self.targets += targets
        self.loss += loss
        self.correct += correct
        self.norms += norm

    def means(self) -> dict[str, float]:
        """Return loss and accuracy."""
        targets = max(1, self.targets)
        return {"loss": self.loss / targets, "accuracy": self.correct / targets}


def peak_memory_mb(device: torch.device) -> float:
    """Return the most memory used so far, in MB of 1e6 bytes: of the GPU, else of this process."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 1e6, 1)
    if sys.platform == "win32":
        import psutil

        return round(psutil.Process().memory_info().peak_wset / 1e6, 1)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes on a Mac, KiB elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)
