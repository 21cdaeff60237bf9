"""Which part of a `TrainingLoop` goes into a checkpoint, and back (chapter 4, "Checkpoints")."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate.utils import gather_object

from agnews_utils.checkpoints import (
    Checkpoint,
    CheckpointError,
    check_fit,
    generator_states,
    has_checkpoint,
    load_checkpoint,
    optimizer_state,
    restore_generators,
    restore_optimizer,
    save_checkpoint,
)
from agnews_utils.history import History, Totals

if TYPE_CHECKING:
    from agnews_utils.training_loop import TrainingLoop

__all__ = ["find", "restore", "restore_generators", "save", "settings_of"]

_COUNTERS = ("epoch", "batch", "step", "worse_epochs", "finished", "best")
_WITHOUT_EFFECT = ("checkpoint_folder", "checkpoint_every", "resume", "progress")


def settings_of(loop: TrainingLoop) -> dict[str, Any]:
    """Return everything that the numbers of a run depend on, as JSON can hold it."""
    settings = {
        name: value
        for name, value in vars(loop.options).items()
        if name not in _WITHOUT_EFFECT and not name.startswith("on_")
    }
    settings["optimizer"] = type(loop.optimizer).__name__
    settings["learning_rate"] = loop.peaks
    settings["weight_decay"] = [group.get("weight_decay") for group in loop.optimizer.param_groups]
    if callable(loop.options.schedule):
        settings["schedule"] = getattr(loop.options.schedule, "__qualname__", "a function")
    settings["processes"] = loop.accelerator.num_processes
    settings["batches"] = len(loop.train_batches)
    return settings


def save(loop: TrainingLoop) -> None:
    """Write a checkpoint of the run, in the first of its processes; the others wait."""
    generators = gather_object([generator_states()])
    if loop.accelerator.is_main_process:
        tensors, optimizer = optimizer_state(loop.optimizer)
        groups = {"model": loop.module.state_dict(), "optimizer": tensors}
        if loop.best_weights:
            groups["best"] = loop.best_weights
        scaler = loop.accelerator.scaler
        state = {name: getattr(loop, name) for name in _COUNTERS} | {
            "settings": settings_of(loop),
            "totals": loop.totals.to_dict(),
            "history": loop.history.to_dict(),
            "optimizer": optimizer,
            "scaler": scaler.state_dict() if scaler else None,
            "generators": generators,
        }
        save_checkpoint(loop.options.checkpoint_folder, loop.step, groups, state)
    loop.accelerator.wait_for_everyone()


def find(loop: TrainingLoop) -> Checkpoint | None:
    """Return the checkpoint to go on from, or None to start afresh.

    Raises
    ------
    CheckpointError
        If it is of another run, or there is one that the caller did not ask for.
    """
    if loop.options.checkpoint_folder is None:
        return None
    folder = Path(loop.options.checkpoint_folder)
    if not loop.options.resume and has_checkpoint(folder):
        raise CheckpointError(
            f"{folder} holds checkpoints of an earlier run: pass resume=True to go on from "
            "them, or name another folder."
        )
    checkpoint = load_checkpoint(folder) if loop.options.resume else None
    loop.accelerator.wait_for_everyone()  # nobody writes before everybody has read
    if checkpoint is None:
        return None
    saved = checkpoint.state["settings"]
    for name, value in settings_of(loop).items():
        if saved.get(name) != value:
            raise CheckpointError(
                f"{checkpoint.folder} was trained with {name}={saved.get(name)!r}, and this "
                f"run has {name}={value!r}: use the same settings, or another folder."
            )
    check_fit(loop.module, checkpoint.tensors["model"], str(checkpoint.folder))
    return checkpoint


def restore(loop: TrainingLoop, checkpoint: Checkpoint) -> None:
    """Set a run to where the checkpoint was taken."""
    state = checkpoint.state
    loop.module.load_state_dict(checkpoint.tensors["model"])
    restore_optimizer(loop.optimizer, checkpoint.tensors["optimizer"], state["optimizer"])
    if loop.accelerator.scaler and state["scaler"]:
        loop.accelerator.scaler.load_state_dict(state["scaler"])
    for name in _COUNTERS:
        setattr(loop, name, state[name])
    loop.best = tuple(state["best"]) if state["best"] else None
    loop.best_weights = checkpoint.tensors.get("best")
    loop.history = History.from_dict(state["history"])
    loop.totals = Totals(**state["totals"])
    # An epoch begins with a seed of its own: the states matter in its middle only.
    loop.generators = state["generators"] if loop.batch else None
