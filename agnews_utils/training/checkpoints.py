"""Save and load a training run so that it can go on where it stopped (rnn, "Checkpoints").

A checkpoint is a folder `step-00000120` that is whole or not there: `model.safetensors` holds the
weights, `state.json` all else (its tensors lie in `state.safetensors`), and `hashes.json` shows
later damage.

Accelerate's `save_state` and `load_state` would be shorter, but they use pickles, and a pickle can
run code when it is loaded: with torch below 2.4 accelerate reads all of them without torch's
`weights_only`, and with any torch those of `register_for_checkpointing`. safetensors and JSON hold
data only.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from agnews_utils.files import file_hash, written_whole

KEPT = 2
"""How many checkpoints stay in a folder."""

Tensors = Mapping[str, Tensor]
_FORMAT = "agnews_utils checkpoint 2"
_NAME = re.compile(r"step-(\d{8,})")
_DAMAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, SafetensorError)
_TENSOR = "tensor in state.safetensors"


class CheckpointError(ValueError):
    """A checkpoint or a file of weights does not fit the run or the model; the message says why."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes
    ----------
    folder : Path
        Where it lies.
    weights : mapping of str to Tensor
        The model's, on the CPU.
    state : dict
        All else that was saved; tuples have become lists, and keys of mappings strings.
    """

    folder: Path
    weights: Tensors
    state: dict[str, Any]


def save_checkpoint(
    folder: str | os.PathLike[str], step: int, weights: Tensors, state: Mapping[str, Any]
) -> Path:
    """Write a checkpoint, and remove all but the newest two.

    Parameters
    ----------
    folder : str or path
        The folder of the run; made if need be.
    step : int
        The step after which the checkpoint is taken; its name.
    weights : mapping of str to Tensor
        The model's.
    state : mapping
        Mappings and lists, nested as need be, of tensors and what JSON can hold.

    Returns
    -------
    Path
        The folder of the checkpoint.
    """
    folder = Path(folder)
    for left_over in folder.glob("step-*.partial"):  # the run was killed while it wrote
        shutil.rmtree(left_over)
    tensors: dict[str, Tensor] = {}

    def put_aside(value: object) -> dict[str, str]:
        if not isinstance(value, Tensor):
            raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}: {value!r}")
        number = str(len(tensors))
        tensors[number] = value
        return {_TENSOR: number}

    target = folder / f"step-{step:08d}"
    with written_whole(target) as partial:
        partial.mkdir()
        text = json.dumps({"format": _FORMAT, **state}, default=put_aside)
        (partial / "state.json").write_text(text, encoding="utf-8")
        _save_tensors(weights, partial / "model.safetensors")
        _save_tensors(tensors, partial / "state.safetensors")
        hashes = {path.name: file_hash(path) for path in partial.iterdir()}
        (partial / "hashes.json").write_text(json.dumps(hashes), encoding="utf-8")
    for old in checkpoint_folders(folder)[KEPT:]:
        shutil.rmtree(old)
    return target


def load_checkpoint(folder: str | os.PathLike[str]) -> Checkpoint | None:
    """Load the newest whole checkpoint of a run, or return None if there is none.

    A damaged one is named in a warning, and the one before it is loaded.
    """
    for candidate in checkpoint_folders(folder):
        try:
            return _load(candidate)
        except _DAMAGE as error:
            warnings.warn(f"{candidate} is damaged and passed over: {error}", stacklevel=2)
    return None


def checkpoint_folders(folder: str | os.PathLike[str]) -> list[Path]:
    """Return a run's checkpoints, whole or damaged, the newest first."""
    paths = [path for path in Path(folder).glob("step-*") if _NAME.fullmatch(path.name)]
    return sorted(paths, key=lambda path: int(path.name.removeprefix("step-")), reverse=True)


def _load(folder: Path) -> Checkpoint:
    hashes = json.loads((folder / "hashes.json").read_text(encoding="utf-8"))
    for name, expected in hashes.items():
        if file_hash(folder / name) != expected:
            raise ValueError(f"{name} was changed or cut off")
    tensors = load_file(folder / "state.safetensors")
    state = json.loads(
        (folder / "state.json").read_text(encoding="utf-8"),
        object_hook=lambda entry: tensors[entry[_TENSOR]] if _TENSOR in entry else entry,
    )
    if state["format"] != _FORMAT:
        raise ValueError(f"its format is {state['format']!r}, expected {_FORMAT!r}")
    return Checkpoint(folder, load_file(folder / "model.safetensors"), state)


def _save_tensors(tensors: Tensors, path: Path) -> None:
    # A copy each: safetensors refuses views and tensors that share memory, such as tied weights.
    save_file({name: value.detach().cpu().clone() for name, value in tensors.items()}, path)


# -------------------------------------------------------------------------- weights alone


def save_weights(model: nn.Module, path: str | os.PathLike[str]) -> Path:
    """Write a model's weights to a safetensors file, whole or not at all."""
    with written_whole(path) as partial:
        _save_tensors(model.state_dict(), partial)
    return Path(path)


def load_weights(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Load the weights that `save_weights` wrote into a model of the same form.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CheckpointError
        If the file is damaged, or its weights do not fit the model.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"{os.fspath(path)} does not exist: train and save a model first.")
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{os.fspath(path)} is no whole safetensors file: {error}") from None
    check_fit(model, weights, path)
    model.load_state_dict(weights)


def check_fit(model: nn.Module, weights: Tensors, path: str | os.PathLike[str]) -> None:
    """Check that weights have the names and shapes of a model's, before any is changed.

    Raises
    ------
    CheckpointError
        If not; the message names the path and the first difference.
    """
    wanted = model.state_dict()
    for key in sorted(wanted.keys() | weights.keys()):
        here, there = (tuple(d[key].shape) if key in d else "missing" for d in (wanted, weights))
        if here != there:
            raise CheckpointError(
                f"{os.fspath(path)} does not fit the model: {key} is {there} in the file and "
                f"{here} in the model. Build the model with the settings that it was trained with."
            )


# ----------------------------------------------------------------------- random generators


def generator_states() -> dict[str, Any]:
    """Return the states of the random generators of Python, NumPy and torch, for a checkpoint."""
    numpy: dict[str, Any] = dict(np.random.get_state(legacy=False))
    return {
        "python": random.getstate(),
        "numpy": numpy | {"state": numpy["state"] | {"key": numpy["state"]["key"].tolist()}},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def restore_generators(states: Mapping[str, Any]) -> None:
    """Set the random generators to what `generator_states` returned, or a checkpoint kept of it."""
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    for device, state in enumerate(states["cuda"]):
        torch.cuda.set_rng_state(state, device)
