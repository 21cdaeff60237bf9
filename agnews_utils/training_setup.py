"""What `fit` does before the first step: check settings, seed, choose device and progress bar."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sized
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from agnews_utils.optimizers import schedule_factor
from agnews_utils.runtime import pick_device, seed_everything


def seed_epoch(seed: int, epoch: int, batches: Any = None) -> None:
    """Seed all generators for an epoch (chapter 4, "The training loop by hand").

    Each epoch gets a seed of its own, made of `seed` and `epoch`: an interrupted run can so begin
    in the middle, and see the same batches in the same order.

    Parameters
    ----------
    seed, epoch : int
        The run's seed, and the epoch from 0.
    batches : DataLoader, optional
        Its own generator is seeded, and `set_epoch(epoch)` called on it, its samplers and its data
        set, where they have one.
    """
    number = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    seed_everything(number)
    if isinstance(generator := getattr(batches, "generator", None), torch.Generator):
        generator.manual_seed(number)
    parts = [getattr(batches, name, None) for name in ("batch_sampler", "sampler", "dataset")]
    for part in (batches, *parts):
        if hasattr(part, "set_epoch"):
            part.set_epoch(epoch)


def check_settings(train: Any, valid: Any, options: SimpleNamespace) -> None:
    """Refuse impossible arguments of `fit` before anything is computed.

    Raises
    ------
    ValueError
        If one is impossible; the message names it.
    """
    for name in ("epochs", "accumulate", "patience", "checkpoint_every"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"{name}={value}: expected 1 or more")
    for name in ("learning_rate", "clip"):
        value = getattr(options, name)
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name}={value}: expected a positive number")
    if not 0 <= options.label_smoothing < 1:
        raise ValueError(f"label_smoothing={options.label_smoothing}: expected 0 or more, below 1")
    if not isinstance(train, Sized):
        raise ValueError("train has no length: pass a DataLoader or a list of batches.")
    if len(train) == 0:
        raise ValueError("train holds no batch: there is nothing to learn from.")
    if isinstance(valid, Iterator):
        raise ValueError("valid can be read only once: pass a DataLoader or a list of batches.")
    if valid is None and options.patience is not None:
        raise ValueError("patience needs validation batches: pass valid.")
    if options.resume and options.checkpoint_folder is None:
        raise ValueError("resume=True needs checkpoint_folder: the folder of the earlier run.")
    schedule_factor(0, 1, options.schedule, options.warmup)


def make_accelerator(mixed_precision: str | None) -> Accelerator:
    """Return an accelerator for the device that `runtime.pick_device` names."""
    # accelerate keeps the precision and device of its first use; a notebook calls fit() often.
    AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    return Accelerator(mixed_precision=mixed_precision, cpu=pick_device().type == "cpu")


def shows_progress(progress: bool | None) -> bool:
    """Tell whether to show a bar: in a terminal, and in a notebook that somebody looks at."""
    if progress is not None:
        return progress
    if "IPython" in sys.modules:
        from IPython import get_ipython

        kernel = getattr(get_ipython(), "kernel", None)
        if kernel is not None:
            # Tools that execute notebooks let cells ask for no input; JupyterLab and Colab do.
            return bool(getattr(kernel, "_allow_stdin", False))
    return sys.stderr.isatty()
