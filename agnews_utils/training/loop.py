"""Chapter rnn, the training engine: `fit` trains any of the course's networks.

One loop serves recurrent networks and BERT, a CPU and a GPU, one process and several, in full or
mixed precision: Hugging Face accelerate hides the difference.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import gather_object
from torch import Tensor, nn
from tqdm.auto import tqdm

from agnews_utils.runtime import pick_device, seed_everything
from agnews_utils.training.checkpoints import (
    Checkpoint,
    CheckpointError,
    Tensors,
    check_fit,
    checkpoint_folders,
    generator_states,
    load_checkpoint,
    restore_generators,
    save_checkpoint,
)
from agnews_utils.training.checks import check_batch, check_finite, check_labels, check_logits
from agnews_utils.training.history import History, Totals, peak_memory_mb
from agnews_utils.training.inference import (
    Batch,
    Batches,
    compute_logits,
    count_correct,
    count_targets,
    evaluate,
    mean_loss,
    own_rows,
    to_device,
    usable_device,
)
from agnews_utils.training.optimizers import Schedule, build_optimizer, schedule_factor
from agnews_utils.training.settings import Callback, FitSettings, Loss


def fit(
    model: nn.Module,
    train: Batches,
    valid: Batches | None = None,
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
    loss: Loss | None = None,
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
    """Train a classifier, and return what happened (rnn, "The training loop by hand").

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
    loss : callable, optional
        Another loss than cross-entropy, in training only: takes logits and batch (which may carry
        more than labels, such as a teacher's answers), returns the mean over the batch.
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
    TypeError, ValueError
        If a setting is impossible.
    """
    settings = FitSettings(
        epochs=epochs,
        learning_rate=learning_rate,
        optimizer=optimizer,
        schedule=schedule,
        warmup=warmup,
        weight_decay=weight_decay,
        clip=clip,
        accumulate=accumulate,
        label_smoothing=label_smoothing,
        loss=loss,
        patience=patience,
        keep_best=keep_best,
        seed=seed,
        mixed_precision=mixed_precision,
        checkpoint_folder=checkpoint_folder,
        checkpoint_every=checkpoint_every,
        resume=resume,
        progress=progress,
        on_step=on_step,
        on_epoch=on_epoch,
    )
    settings.check_data(train, valid)
    loop = TrainingLoop(model, train, valid, settings)
    ended = False
    try:
        loop.run()
        ended = True
    except KeyboardInterrupt:
        loop.history.interrupted = ended = True
    finally:
        loop.close(restore_best=ended)
    return loop.history


_COUNTERS = ("epoch", "batch", "step", "worse_epochs", "finished", "best")
"""Attributes of the loop that a checkpoint keeps as they are."""

_STEPS_BETWEEN_LOOKS = 25
"""On a GPU: reading a loss makes the CPU wait for it, so the numbers are read in bunches."""


class TrainingLoop:
    """One call of `fit`.

    Attributes
    ----------
    module, model : nn.Module
        The model, and what accelerate made of it.
    epoch, batch, step : int
        Finished epochs, batches of the current epoch, and steps of the run.
    worse_epochs : int
        Epochs since the best one.
    totals : Totals
        Sums over the current epoch.
    best : tuple of float, optional
        Validation accuracy and negative validation loss of the best epoch.
    generators : list of dict, optional
        States to go on with in the middle of an epoch, one for each process.
    unread : list
        Steps whose numbers have not been read yet: what is known of each, and a tensor of its
        summed loss, number of right answers and gradient norm.
    """

    def __init__(
        self, model: nn.Module, train: Batches, valid: Batches | None, settings: FitSettings
    ) -> None:
        self.module, self.train_batches, self.valid_batches = model, train, valid
        self.settings = settings
        # accelerate keeps the precision and device of its first use; a notebook calls fit() often.
        AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
        device = pick_device()
        if device.type == "mps":
            device = usable_device(model, next(iter(train)), learn=True)
        self.accelerator = Accelerator(
            mixed_precision=settings.mixed_precision, cpu=device.type == "cpu"
        )
        self.device = self.accelerator.device
        self.steps_per_epoch = math.ceil(len(train) / settings.accumulate)
        self.steps = settings.epochs * self.steps_per_epoch
        self.history, self.totals = History(), Totals()
        self.epoch = self.batch = self.step = self.worse_epochs = 0
        self.finished = False
        self.best: tuple[float, float] | None = None
        self.best_weights: Tensors | None = None
        self.generators: list[dict[str, Any]] | None = None
        self.unread: list[tuple[dict[str, Any], Tensor]] = []

        self.module.to(self.device)
        if isinstance(settings.optimizer, str):
            self.optimizer = build_optimizer(
                settings.optimizer, model, settings.learning_rate, settings.weight_decay
            )
        else:
            self.optimizer = settings.optimizer
        self.peaks = [group["lr"] for group in self.optimizer.param_groups]
        # In the model's order: the norm is a sum, and a sum in another order rounds differently.
        optimized = {id(p) for group in self.optimizer.param_groups for p in group["params"]}
        self.parameters = [p for p in self.module.parameters() if id(p) in optimized]
        checkpoint = self._find_checkpoint()
        self.had_own_forward = "forward" in vars(self.module)
        self.model, self.wrapped = self.accelerator.prepare(self.module, self.optimizer)
        if checkpoint:
            self._restore(checkpoint)
        show = self.accelerator.is_main_process and shows_progress(settings.progress)
        self.bar = tqdm(total=self.steps, initial=self.step, unit="step", disable=not show)
        self.clock = _clocks()

    def run(self) -> None:
        """Train until the last epoch, or until it is time to stop."""
        while not self.finished:
            self.module.train()
            for group in self._groups():
                self._take_step(group)
                if self._told_to_stop(self.settings.on_step):
                    return
                self._save_if_due()
            self._end_epoch()

    def _groups(self) -> Iterator[list[Batch]]:
        """Yield the batches of each step of this epoch, from where the run stands."""
        seed_epoch(self.settings.seed, self.epoch, self.train_batches)
        batches = iter(self.train_batches)
        size, process = self.settings.accumulate, self.accelerator.process_index
        for _ in islice(batches, self.batch):
            pass  # already learned from, before the interruption
        if self.generators:
            restore_generators(self.generators[process])
            self.generators = None
        group = list(islice(batches, size))
        if process and not self.batch:
            # The order of the batches, drawn with the first one, is the same in every process;
            # dropout must not be.
            torch.manual_seed(torch.initial_seed() + process)
        while group:
            yield group
            group = list(islice(batches, size))

    # ------------------------------------------------------------------------- one step

    def _take_step(self, group: list[Batch]) -> None:
        """Update the weights once, with the batches of a group as if they were one."""
        settings = self.settings
        factor = schedule_factor(self.step, self.steps, settings.schedule, settings.warmup)
        for peak, options in zip(self.peaks, self.optimizer.param_groups, strict=True):
            options["lr"] = peak * factor
        for batch in group:
            check_batch(batch)
        row = {
            "step": self.step + 1,
            "epoch": self.epoch + 1,
            "batch": self.batch + len(group),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "documents": sum(len(batch["labels"]) for batch in group),
            "targets": max(1, sum(count_targets(batch["labels"]) for batch in group)),
        }
        sums = torch.zeros(2, device=self.device)
        for position, batch in enumerate(group, 1):
            # Several processes exchange their gradients with the last batch of a step only.
            last = position == len(group)
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                sums += self._add_gradients(batch, row["targets"])
        norm = self.accelerator.clip_grad_norm_(self.parameters, settings.clip or math.inf)
        values = torch.cat([sums, norm.detach().reshape(1).to(sums)])  # loss, correct, norm
        if self._reads_at_once():
            loss, _, length = values.tolist()
            self._check_finite(row, loss, length)
        self.wrapped.step()
        self.optimizer.zero_grad()
        self.step, self.batch = row["step"], row["batch"]
        self.unread.append((row, values))
        if self._reads_at_once() or len(self.unread) >= _STEPS_BETWEEN_LOOKS:
            self._look()

    def _reads_at_once(self) -> bool:
        return self.device.type == "cpu" or self.settings.on_step is not None

    def _add_gradients(self, batch: Batch, all_targets: int) -> Tensor:
        """Add a batch's gradient; return its summed loss and number of right answers, (2,)."""
        process, processes = self.accelerator.process_index, self.accelerator.num_processes
        share, documents = own_rows(batch, process, processes)
        targets = count_targets(share["labels"]) if documents else 0
        moved = to_device(share, self.device)
        logits = compute_logits(self.model, moved)
        check_labels(share["labels"], logits.shape[-1])
        if self.step == 0 or self.device.type == "cpu":
            check_logits(logits, moved["labels"])
        if not targets:  # take part in the exchange of gradients, with nothing
            self.accelerator.backward(logits.sum() * 0.0)
            return torch.zeros(2, device=self.device)
        if self.settings.loss:
            loss = self.settings.loss(logits, moved)
        else:
            loss = mean_loss(logits, moved["labels"], self.settings.label_smoothing)
        # The processes' gradients will be averaged: weigh by the share of the step's labels.
        self.accelerator.backward(loss * (targets * processes / all_targets))
        correct = count_correct(logits.detach(), moved["labels"])
        return torch.stack([loss.detach() * targets, correct.to(loss)])

    def _look(self) -> None:
        """Read the numbers of the steps since the last look, and put them into the history."""
        if not self.unread:
            return
        rows, values = zip(*self.unread, strict=True)
        self.unread = []
        sums = torch.stack(values)
        norms = sums[:, 2].tolist()
        losses, correct = self.accelerator.reduce(sums[:, :2].T.contiguous(), "sum").tolist()
        speed = sum(row["documents"] for row in rows) / self._add_seconds()
        for row, loss, right, norm in zip(rows, losses, correct, norms, strict=True):
            self._check_finite(row, loss, norm)
            finite = math.isfinite(norm)
            self.totals.add(row["documents"], row["targets"], loss, right, norm if finite else 0.0)
            self.history.add_step(
                **row,
                loss=loss / row["targets"],
                accuracy=right / row["targets"],
                gradient_norm=norm if finite else None,
                documents_per_second=speed,
                peak_memory_mb=peak_memory_mb(self.device),
            )
        self.bar.set_description(f"epoch {self.epoch + 1}/{self.settings.epochs}", refresh=False)
        self.bar.set_postfix(self.totals.means(), refresh=False)
        self.bar.update(len(rows))

    def _add_seconds(self) -> float:
        """Add the time since the last call to the totals; return the seconds on the clock."""
        (before, cpu_before), self.clock = self.clock, _clocks()
        seconds = max(self.clock[0] - before, 1e-9)
        self.totals.seconds += seconds
        self.totals.cpu_seconds += self.clock[1] - cpu_before
        return seconds

    def _check_finite(self, row: dict[str, Any], loss: float, norm: float) -> None:
        batches = f"batch {row['batch']} of {len(self.train_batches)}"
        place = f"step {row['step']} (epoch {row['epoch']}, {batches})"
        check_finite(loss, "loss", place)
        if self.accelerator.scaler is None:  # in fp16 an overflow is usual, and its step left out
            check_finite(norm, "gradient norm", place)

    # ------------------------------------------------------------------------ one epoch

    def _end_epoch(self) -> None:
        """Validate, write the epoch into the history, and decide whether to go on."""
        self._look()
        speed = self.totals.documents / self.totals.seconds
        valid: dict[str, Any] = {}
        if self.valid_batches is not None:
            valid = evaluate(self.module, self.valid_batches)
            self._keep_if_best(valid["accuracy"], valid["loss"])
        self._add_seconds()
        self.history.add_epoch(
            epoch=self.epoch + 1,
            **self.totals.means(),
            valid_loss=valid.get("loss"),
            valid_accuracy=valid.get("accuracy"),
            learning_rate=self.history.steps["learning_rate"][-1],
            gradient_norm=self.totals.norms / self.steps_per_epoch,
            documents=self.totals.documents,
            documents_per_second=speed,
            peak_memory_mb=peak_memory_mb(self.device),
            seconds=self.totals.seconds,
            cpu_seconds=self.totals.cpu_seconds,
        )
        self.epoch, self.batch, self.totals = self.epoch + 1, 0, Totals()
        patience = self.settings.patience
        if self.epoch == self.settings.epochs:
            self.finished = True
        elif patience is not None and self.worse_epochs >= patience:
            self.finished = self.history.stopped_early = True
        self._told_to_stop(self.settings.on_epoch)
        self._save()
        self.clock = _clocks()

    def _keep_if_best(self, accuracy: float, loss: float) -> None:
        if self.best is not None and (accuracy, -loss) <= self.best:
            self.worse_epochs += 1
            return
        self.best, self.worse_epochs = (accuracy, -loss), 0
        self.history.best_epoch = self.epoch + 1
        if self.settings.keep_best:
            weights = self.module.state_dict()
            self.best_weights = {name: value.cpu().clone() for name, value in weights.items()}

    def _told_to_stop(self, callback: Callback | None) -> bool:
        if callback is None or not callback(self.history, self.module):
            return False
        self.finished = self.history.stopped_early = True
        return True

    def close(self, restore_best: bool) -> None:
        """Leave the model usable: no gradients, no wrappers, evaluation mode, the best weights."""
        try:
            if restore_best:
                self._look()
        finally:
            self.bar.close()
            self.optimizer.zero_grad()
            for options, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
                options["lr"] = peak
            self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
            if not self.had_own_forward:
                # accelerate leaves a bound method behind, which copies of the model would share.
                vars(self.module).pop("forward", None)
            if restore_best and self.best_weights:
                self.module.load_state_dict(self.best_weights)
            self.module.eval()

    # ---------------------------------------------------------------------- checkpoints

    def _save_if_due(self) -> None:
        every = self.settings.checkpoint_every
        # The end of an epoch saves anyway.
        if every and self.step % every == 0 and self.batch < len(self.train_batches):
            self._save()

    def _save(self) -> None:
        """Write a checkpoint in the first process, if one is wanted; the others wait."""
        if self.settings.checkpoint_folder is None:
            return
        self._look()
        generators = gather_object([generator_states()])
        if self.accelerator.is_main_process:
            scaler = self.accelerator.scaler
            state = {name: getattr(self, name) for name in _COUNTERS} | {
                "settings": self._shaping(),
                "totals": vars(self.totals),
                "history": vars(self.history),
                "optimizer": self.optimizer.state_dict(),
                "scaler": scaler.state_dict() if scaler else None,
                "best_weights": self.best_weights,
                "generators": generators,
            }
            weights = self.module.state_dict()
            save_checkpoint(self.settings.checkpoint_folder, self.step, weights, state)
        self.accelerator.wait_for_everyone()

    def _shaping(self) -> dict[str, Any]:
        """Return everything that the numbers of a run depend on, as JSON can hold it."""
        groups = self.optimizer.param_groups
        return self.settings.shaping() | {
            "optimizer": type(self.optimizer).__name__,
            "learning_rate": self.peaks,
            "weight_decay": [group.get("weight_decay") for group in groups],
            "processes": self.accelerator.num_processes,
            "batches": len(self.train_batches),
        }

    def _find_checkpoint(self) -> Checkpoint | None:
        """Return the checkpoint to go on from, or None to start afresh.

        Raises
        ------
        CheckpointError
            If it is of another run, or there is one that the caller did not ask for.
        """
        if self.settings.checkpoint_folder is None:
            return None
        folder = Path(self.settings.checkpoint_folder)
        if not self.settings.resume and checkpoint_folders(folder):
            raise CheckpointError(
                f"{folder} holds checkpoints of an earlier run: pass resume=True to go on from "
                "them, or name another folder."
            )
        checkpoint = load_checkpoint(folder) if self.settings.resume else None
        self.accelerator.wait_for_everyone()  # nobody writes before everybody has read
        if checkpoint is None:
            return None
        saved = checkpoint.state["settings"]
        for name, value in self._shaping().items():
            if saved.get(name) != value:
                raise CheckpointError(
                    f"{checkpoint.folder} was trained with {name}={saved.get(name)!r}, and this "
                    f"run has {name}={value!r}: use the same settings, or another folder."
                )
        check_fit(self.module, checkpoint.weights, checkpoint.folder)
        return checkpoint

    def _restore(self, checkpoint: Checkpoint) -> None:
        """Set the run to where the checkpoint was taken."""
        state = checkpoint.state
        self.module.load_state_dict(checkpoint.weights)
        optimizer = state["optimizer"]  # whose parameters are numbered, and JSON's keys are strings
        optimizer["state"] = {int(key): value for key, value in optimizer["state"].items()}
        self.optimizer.load_state_dict(optimizer)
        if self.accelerator.scaler and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        for name in _COUNTERS:
            setattr(self, name, state[name])
        self.best = tuple(state["best"]) if state["best"] else None
        self.best_weights = state["best_weights"]
        self.history = History(**state["history"])
        self.totals = Totals(**state["totals"])
        # An epoch begins with a seed of its own: the states matter in its middle only.
        self.generators = state["generators"] if self.batch else None


# ------------------------------------------------------------------------------ around the loop


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def seed_epoch(seed: int, epoch: int, batches: Any = None) -> None:
    """Seed all generators for an epoch (rnn, "The training loop by hand").

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
