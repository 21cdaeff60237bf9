"""The loop of `fit`: epochs, steps, validation, checkpoints (chapter 4, section 4)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from itertools import islice
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from agnews_utils import resuming
from agnews_utils.checks import check_batch, check_finite, check_labels, check_logits
from agnews_utils.history import History, Totals, peak_memory_mb
from agnews_utils.inference import (
    Batch,
    compute_logits,
    count_correct,
    count_targets,
    evaluate,
    mean_loss,
    own_rows,
    to_device,
)
from agnews_utils.optimizers import build_optimizer, schedule_factor
from agnews_utils.training_setup import make_accelerator, seed_epoch, shows_progress

Callback = Callable[[History, nn.Module], bool | None]

_STEPS_BETWEEN_LOOKS = 25
"""On a GPU: reading a loss makes the CPU wait for it, so the numbers are read in bunches."""


class TrainingLoop:
    """One call of `fit`; its arguments are in `options`.

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
    """

    def __init__(
        self,
        model: nn.Module,
        train: Iterable[Batch],
        valid: Iterable[Batch] | None,
        options: SimpleNamespace,
    ) -> None:
        self.module, self.train_batches, self.valid_batches = model, train, valid
        self.options = options
        self.accelerator = make_accelerator(options.mixed_precision)
        self.device = self.accelerator.device
        self.steps_per_epoch = math.ceil(len(train) / options.accumulate)
        self.steps = options.epochs * self.steps_per_epoch
        self.history, self.totals = History(), Totals()
        self.epoch = self.batch = self.step = self.worse_epochs = 0
        self.finished = False
        self.best: tuple[float, float] | None = None
        self.best_weights: dict[str, Tensor] | None = None
        self.generators: list[dict[str, Any]] | None = None
        self.unread: list[tuple[dict[str, Any], Tensor]] = []
        self._prepare()
        show = self.accelerator.is_main_process and shows_progress(options.progress)
        self.bar = tqdm(total=self.steps, initial=self.step, unit="step", disable=not show)
        self.clock = time.perf_counter()

    def _prepare(self) -> None:
        """Move the model to its device, make the optimizer, and load a checkpoint if asked to."""
        options = self.options
        self.module.to(self.device)
        self.optimizer = options.optimizer
        if isinstance(self.optimizer, str):
            self.optimizer = build_optimizer(
                self.optimizer, self.module, options.learning_rate, options.weight_decay
            )
        self.peaks = [group["lr"] for group in self.optimizer.param_groups]
        # In the model's order: the norm is a sum, and a sum in another order rounds differently.
        optimized = {id(p) for group in self.optimizer.param_groups for p in group["params"]}
        self.parameters = [p for p in self.module.parameters() if id(p) in optimized]
        checkpoint = resuming.find(self)
        self.had_own_forward = "forward" in vars(self.module)
        self.model, self.wrapped = self.accelerator.prepare(self.module, self.optimizer)
        if checkpoint:
            resuming.restore(self, checkpoint)

    def run(self) -> None:
        """Train until the last epoch, or until it is time to stop."""
        while not self.finished:
            self.module.train()
            for group in self._groups():
                self._take_step(group)
                if self._told_to_stop(self.options.on_step):
                    return
                self._save_if_due()
            self._end_epoch()

    def _groups(self) -> Iterator[list[Batch]]:
        """Yield the batches of each step of this epoch, from where the run stands."""
        seed_epoch(self.options.seed, self.epoch, self.train_batches)
        batches = iter(self.train_batches)
        size, process = self.options.accumulate, self.accelerator.process_index
        for _ in islice(batches, self.batch):
            pass  # already learned from, before the interruption
        if self.generators:
            resuming.restore_generators(self.generators[process])
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
        options = self.options
        factor = schedule_factor(self.step, self.steps, options.schedule, options.warmup)
        for peak, settings in zip(self.peaks, self.optimizer.param_groups, strict=True):
            settings["lr"] = peak * factor
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
        norm = self.accelerator.clip_grad_norm_(self.parameters, options.clip or math.inf)
        values = torch.cat([sums, norm.detach().reshape(1).to(sums)])  # loss, correct, norm
        if self._reads_at_once():
            self._check_finite(row, *values.tolist())
        self.wrapped.step()
        self.optimizer.zero_grad()
        self.step, self.batch = row["step"], row["batch"]
        self.unread.append((row, values))
        if self._reads_at_once() or len(self.unread) >= _STEPS_BETWEEN_LOOKS:
            self._look()

    def _reads_at_once(self) -> bool:
        return self.device.type == "cpu" or self.options.on_step is not None

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
        loss = mean_loss(logits, moved["labels"], self.options.label_smoothing)
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
        now = time.perf_counter()
        seconds, self.clock = max(now - self.clock, 1e-9), now
        self.totals.seconds += seconds
        speed = sum(row["documents"] for row in rows) / seconds
        for row, loss, right, norm in zip(rows, losses, correct, norms, strict=True):
            self._check_finite(row, loss, right, norm)
            self._note(row, loss, right, norm if math.isfinite(norm) else None, speed)
        self.bar.set_description(f"epoch {self.epoch + 1}/{self.options.epochs}", refresh=False)
        self.bar.set_postfix(self.totals.means(), refresh=False)
        self.bar.update(len(rows))

    def _note(
        self, row: dict[str, Any], loss: float, correct: float, norm: float | None, speed: float
    ) -> None:
        self.totals.add(row["documents"], row["targets"], loss, correct, norm or 0.0)
        self.history.add_step(
            **{name: row[name] for name in ("step", "epoch", "learning_rate", "documents")},
            loss=loss / row["targets"],
            accuracy=correct / row["targets"],
            gradient_norm=norm,
            documents_per_second=speed,
            peak_memory_mb=peak_memory_mb(self.device),
        )

    def _check_finite(self, row: dict[str, Any], loss: float, _: float, norm: float) -> None:
        batches = f"batch {row['batch']} of {len(self.train_batches)}"
        place = f"step {row['step']} (epoch {row['epoch']}, {batches})"
        check_finite(loss, "loss", place)
        if self.accelerator.scaler is None:  # in fp16 an overflow is usual, and its step left out
            check_finite(norm, "gradient norm", place)

    # ------------------------------------------------------------------------ one epoch

    def _end_epoch(self) -> None:
        """Validate, write the epoch into the history, and decide whether to go on."""
        self._look()
        started = time.perf_counter()
        valid: dict[str, Any] = {}
        if self.valid_batches is not None:
            valid = evaluate(self.module, self.valid_batches)
            self._keep_if_best(valid["accuracy"], valid["loss"])
        self.history.add_epoch(
            epoch=self.epoch + 1,
            **self.totals.means(),
            valid_loss=valid.get("loss"),
            valid_accuracy=valid.get("accuracy"),
            learning_rate=self.history.steps["learning_rate"][-1],
            gradient_norm=self.totals.norms / self.steps_per_epoch,
            documents=self.totals.documents,
            documents_per_second=self.totals.documents / self.totals.seconds,
            peak_memory_mb=peak_memory_mb(self.device),
            seconds=self.totals.seconds + time.perf_counter() - started,
            cpu_seconds=self.totals.cpu_so_far(),
        )
        self.epoch, self.batch, self.totals = self.epoch + 1, 0, Totals()
        patience = self.options.patience
        if self.epoch == self.options.epochs:
            self.finished = True
        elif patience is not None and self.worse_epochs >= patience:
            self.finished = self.history.stopped_early = True
        self._told_to_stop(self.options.on_epoch)
        if self.options.checkpoint_folder is not None:
            resuming.save(self)
        self.clock = time.perf_counter()

    def _keep_if_best(self, accuracy: float, loss: float) -> None:
        if self.best is not None and (accuracy, -loss) <= self.best:
            self.worse_epochs += 1
            return
        self.best, self.worse_epochs = (accuracy, -loss), 0
        self.history.best_epoch = self.epoch + 1
        if self.options.keep_best:
            weights = self.module.state_dict()
            self.best_weights = {name: value.cpu().clone() for name, value in weights.items()}

    def _told_to_stop(self, callback: Callback | None) -> bool:
        if callback is None or not callback(self.history, self.module):
            return False
        self.finished = self.history.stopped_early = True
        return True

    def _save_if_due(self) -> None:
        every, folder = self.options.checkpoint_every, self.options.checkpoint_folder
        # The end of an epoch saves anyway.
        within_epoch = self.batch < len(self.train_batches)
        if folder is not None and every and self.step % every == 0 and within_epoch:
            self._look()
            resuming.save(self)

    def close(self, restore_best: bool) -> None:
        """Leave the model usable: no gradients, no wrappers, evaluation mode, the best weights."""
        try:
            if restore_best:
                self._look()
        finally:
            self.bar.close()
            self.optimizer.zero_grad()
            for settings, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
                settings["lr"] = peak
            self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
            if not self.had_own_forward:
                # accelerate leaves a bound method behind, which copies of the model would share.
                vars(self.module).pop("forward", None)
            if restore_best and self.best_weights:
                self.module.load_state_dict(self.best_weights)
            self.module.eval()
