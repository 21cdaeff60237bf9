"""What a training run leaves behind: loss, accuracy, speed per step and epoch (chapter rnn)."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import pandas as pd
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


def _columns(names: tuple[str, ...]) -> dict[str, list[Any]]:
    return {name: [] for name in names}


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

    steps: dict[str, list[Any]] = field(default_factory=lambda: _columns(STEP_COLUMNS))
    epochs: dict[str, list[Any]] = field(default_factory=lambda: _columns(EPOCH_COLUMNS))
    best_epoch: int | None = None
    interrupted: bool = False
    stopped_early: bool = False

    def add_step(self, **values: Any) -> None:
        """Append one step; every column of `STEP_COLUMNS` is named once."""
        _append(self.steps, values)

    def add_epoch(self, **values: Any) -> None:
        """Append one epoch; every column of `EPOCH_COLUMNS` is named once."""
        _append(self.epochs, values)

    @property
    def best(self) -> dict[str, Any]:
        """The row of the best epoch, or of the last one without validation; {} before the first."""
        if not self.epochs["epoch"]:
            return {}
        position = (self.best_epoch or self.epochs["epoch"][-1]) - 1
        return {name: column[position] for name, column in self.epochs.items()}

    def to_frame(self, of: str = "epochs") -> pd.DataFrame:
        """Return the table of `"epochs"` or `"steps"`."""
        if of not in ("epochs", "steps"):
            raise ValueError(f'of={of!r}: expected "epochs" or "steps"')
        return pd.DataFrame(getattr(self, of))

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> History:
        """Return the history that `to_dict` described.

        Raises
        ------
        ValueError
            If fields are missing or unknown, or columns differ in length.
        """
        expected = {entry.name for entry in fields(cls)}
        if set(content) != expected:
            raise ValueError(f"a history has the fields {sorted(expected)}, not {sorted(content)}")
        history = cls(**content)
        for table in (history.steps, history.epochs):
            if len({len(column) for column in table.values()}) > 1:
                raise ValueError("the columns of a history differ in length: the file is damaged")
        return history

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the history as JSON, and write it to a file if one is named."""
        text = json.dumps({"format": _FORMAT, **self.to_dict()}, indent=1) + "\n"
        if path is not None:
            write_text(Path(path), text)
        return text

    @classmethod
    def from_json(cls, source: str | os.PathLike[str]) -> History:
        """Read a history from a file, or from the text that `to_json` returned.

        Raises
        ------
        FileNotFoundError
            If the file does not exist.
        ValueError
            If it is not a history; the message names the file.
        """
        is_text = isinstance(source, str) and source.lstrip().startswith("{")
        name = "the text" if is_text else os.fspath(source)
        text = source if is_text else Path(source).read_text(encoding="utf-8")
        try:
            content = json.loads(text)
            if not isinstance(content, dict) or content.pop("format", None) != _FORMAT:
                raise ValueError(f"expected the format {_FORMAT!r}")
            return cls.from_dict(content)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{name} is not a history that fit() wrote: {error}") from None


def _append(table: dict[str, list[Any]], values: dict[str, Any]) -> None:
    if set(values) != set(table):
        raise ValueError(f"expected the columns {sorted(table)}, not {sorted(values)}")
    for name, value in values.items():
        table[name].append(value)


def peak_memory_mb(device: torch.device | None = None) -> float:
    """Return the most memory used so far, in MB of 1e6 bytes: of the GPU, else of this process."""
    if device is not None and device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 1e6, 1)
    if sys.platform == "win32":
        import psutil

        return round(psutil.Process().memory_info().peak_wset / 1e6, 1)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes on a Mac, KiB elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)


@dataclass
class Totals:
    """Sums over the documents of an epoch, whose means go into the history.

    Attributes
    ----------
    documents, targets : int
        Documents, and labels that count; the same where each document has one label.
    loss, correct : float
        Summed loss in nats, number of right answers.
    norms : float
        Sum of the gradient norms of the steps.
    seconds, cpu_seconds : float
        On the clock and of this process; `cpu_seconds` as far as an earlier process took them.
    """

    documents: int = 0
    targets: int = 0
    loss: float = 0.0
    correct: float = 0.0
    norms: float = 0.0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __post_init__(self) -> None:
        self._cpu_start = time.process_time() - self.cpu_seconds

    def add(self, documents: int, targets: int, loss: float, correct: float, norm: float) -> None:
        """Add the sums of one step."""
        self.documents += documents
        self.targets += targets
        self.loss += loss
        self.correct += correct
        self.norms += norm

    def means(self) -> dict[str, float]:
        """Return loss and accuracy so far."""
        targets = max(1, self.targets)
        return {"loss": self.loss / targets, "accuracy": self.correct / targets}

    def cpu_so_far(self) -> float:
        """Return the CPU seconds since the epoch began."""
        return time.process_time() - self._cpu_start

    def to_dict(self) -> dict[str, float]:
        """Return what `Totals(**...)` goes on from."""
        return asdict(self) | {"cpu_seconds": self.cpu_so_far()}
