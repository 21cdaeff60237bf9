"""Chapter 4, the training engine: `fit` trains any of the course's networks.

One loop serves recurrent networks and BERT, a CPU and a GPU, one process and several, in full or
mixed precision: Hugging Face accelerate hides the difference. The loop itself is in
`training_loop`; what it uses is importable from here and lives in `checks`, `checkpoints`,
`history`, `inference`, `optimizers` and `training_setup`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from types import SimpleNamespace

import torch
from torch import nn

from agnews_utils.checkpoints import CheckpointError, load_weights, save_weights
from agnews_utils.checks import (
    CheckError,
    check_alignment,
    check_batch,
    check_evaluation_mode,
    check_finite,
    check_labels,
    check_logits,
    check_no_gradients,
    check_training_mode,
)
from agnews_utils.history import History
from agnews_utils.inference import (
    Batch,
    compute_logits,
    evaluate,
    evaluation_mode,
    mean_loss,
    model_inputs,
    predict,
    to_device,
)
from agnews_utils.optimizers import (
    OPTIMIZERS,
    AdamW,
    Schedule,
    build_optimizer,
    parameter_groups,
    schedule_factor,
)
from agnews_utils.training_loop import Callback, TrainingLoop
from agnews_utils.training_setup import check_settings, seed_epoch

__all__ = [
    "OPTIMIZERS",
    "AdamW",
    "CheckError",
    "CheckpointError",
    "History",
    "build_optimizer",
    "check_alignment",
    "check_batch",
    "check_evaluation_mode",
    "check_finite",
    "check_labels",
    "check_logits",
    "check_no_gradients",
    "check_training_mode",
    "compute_logits",
    "evaluate",
    "evaluation_mode",
    "fit",
    "load_weights",
    "mean_loss",
    "model_inputs",
    "parameter_groups",
    "predict",
    "save_weights",
    "schedule_factor",
    "seed_epoch",
    "to_device",
]


def fit(
    model: nn.Module,
    train: Iterable[Batch],
    valid: Iterable[Batch] | None = None,
    *,
    epochs: int = 1,
    learning_rate: float = 1e-3,
    optimizer: str | torch.optim.Optimizer = "adamw",
    schedule: Schedule = "one_cycle",
    warmup: float | None = None,
    weight_decay: float = 0.01,
    clip: float | None = 1.0,
    accumulate: int = 1,
    label_smoothing: float = 0.0,
    patience: int | None = None,
    keep_best: bool = True,
    seed: int = 42,
    mixed_precision: str | None = None,
    checkpoint_folder: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    resume: bool = False,
    progress: bool | None = None,
    on_step: Callback | None = None,
    on_epoch: Callback | None = None,
) -> History:
    """Train a classifier, and return what happened (chapter 4, "The training loop by hand").

    A batch is a mapping of tensors; the model is called with the entries that its `forward` names,
    and returns logits or an object with `.logits`, as the models of transformers do. Afterwards
    the model is in evaluation mode, on the device on which it was trained. Ctrl-C, or the
    interrupt of the kernel, ends training and returns the history so far.

    Parameters
    ----------
    model : nn.Module
        Trained in place.
    train, valid : DataLoader or sequence of batches
        Batches with `labels`, each with a length. `seed_epoch` sets the order of `train`.
    epochs : int
        Passes over the training data.
    learning_rate : float
        Peak of the schedule.
    optimizer : str or torch.optim.Optimizer
        A name in `OPTIMIZERS`, or an optimizer; the latter's own learning rates are the peaks.
    schedule, warmup
        See `schedule_factor`.
    weight_decay : float
        See `parameter_groups`.
    clip : float, optional
        Longest gradient; None for no limit.
    accumulate : int
        Batches per update: `accumulate=4` computes what batches four times as large would.
    label_smoothing : float
        Share of the target spread over all classes, in training only.
    patience : int, optional
        Stop after so many epochs without a better validation accuracy (ties: lower loss).
    keep_best : bool
        End with the weights of the best epoch, not of the last. Needs `valid`.
    seed : int
        Of dropout and of the order of the batches. On a CPU the same seed and the same number of
        threads give the same weights, bit for bit. The first weights are the model's own.
    mixed_precision : str, optional
        "no", "bf16" or "fp16".
    checkpoint_folder : path, optional
        Where to write checkpoints, after each epoch and every `checkpoint_every` steps.
    resume : bool
        Go on from the newest checkpoint in the folder, if there is one.
    progress : bool, optional
        Show a bar; by default if somebody sits in front of it.
    on_step, on_epoch : callable, optional
        Called with history and model after each step or epoch; training stops if True is returned.

    Returns
    -------
    History
        Loss, accuracy, learning rate, gradient norm and speed, per step and per epoch.

    Raises
    ------
    CheckError
        If a batch or the model's output is wrong, or the loss is not finite; see `checks`.
    CheckpointError
        If the folder holds checkpoints of another run, or of this one and `resume` is False.
    ValueError
        If a setting is impossible.
    """
    settings = locals()
    options = SimpleNamespace(**{name: settings[name] for name in fit.__kwdefaults__})
    check_settings(train, valid, options)
    loop = TrainingLoop(model, train, valid, options)
    ended = False
    try:
        loop.run()
        ended = True
    except KeyboardInterrupt:
        loop.history.interrupted = ended = True
    finally:
        loop.close(restore_best=ended)
    return loop.history
