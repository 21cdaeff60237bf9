"""Save and load a training run so that it can go on where it stopped (rnn, "Checkpoints").

A checkpoint is a folder `step-00000120` with `*.safetensors` files for the tensors and one
`state.json` for the rest: nothing in it can run code when it is loaded, as a pickle could. It is
written under another name, flushed to the disk and renamed, so that under its own name it is whole
or not there. `state.json` holds the size and hash of every other file; a damaged checkpoint is
passed over for the one before it.
"""

from __future__ import annotations

import hashlib
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
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

KEPT = 2
"""How many checkpoints stay in a folder."""

Tensors = dict[str, Tensor]
_FORMAT = "agnews_utils checkpoint 1"
_NAME = re.compile(r"step-(\d{8,})")
_PARTIAL = ".partial"


class CheckpointError(ValueError):
    """A checkpoint does not fit the run that shall go on from it; the message says why."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes
    ----------
    folder : Path
        Where it lies.
    tensors : dict of str to (dict of str to Tensor)
        Groups of tensors, such as "model" and "optimizer".
    state : dict
        Plain numbers, strings, lists and mappings.
    """

    folder: Path
    tensors: dict[str, Tensors]
    state: dict[str, Any]


def save_checkpoint(
    folder: str | os.PathLike[str],
    step: int,
    tensors: Mapping[str, Tensors],
    state: Mapping[str, Any],
) -> Path:
    """Write a checkpoint, and remove all but the newest two.

    Parameters
    ----------
    folder : str or path
        The folder of the run; made if need be.
    step : int
        The step after which the checkpoint is taken; its name.
    tensors : mapping of str to (dict of str to Tensor)
        Groups of tensors; each becomes a file.
    state : mapping
        What JSON can hold.

    Returns
    -------
    Path
        The folder of the checkpoint.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for left_over in folder.glob(f"step-*{_PARTIAL}"):
        shutil.rmtree(left_over)
    target = folder / f"step-{step:08d}"
    temporary = target.with_name(target.name + _PARTIAL)
    temporary.mkdir()
    files = {}
    for group, content in tensors.items():
        path = temporary / f"{group}.safetensors"
        _write_tensors(content, path)
        files[path.name] = {"bytes": path.stat().st_size, "blake2b": _file_hash(path)}
    text = json.dumps({"format": _FORMAT, "files": files, "state": dict(state)})
    (temporary / "state.json").write_text(text, encoding="utf-8")
    for path in [*temporary.iterdir(), temporary]:
        _flush(path)
    if target.exists():  # a damaged one of the same step, or the same run once more
        shutil.rmtree(target)
    os.replace(temporary, target)
    _flush(folder)
    for _, old in _named(folder)[KEPT:]:
        shutil.rmtree(old)
    return target


def load_checkpoint(folder: str | os.PathLike[str]) -> Checkpoint | None:
    """Load the newest whole checkpoint of a run, or return None if there is none.

    A checkpoint that was being written when the run was killed is not looked at; one that was
    damaged later is named in a warning, and the one before it is loaded.
    """
    for _, candidate in _named(Path(folder)):
        try:
            return _load(candidate)
        except (OSError, ValueError, KeyError, TypeError) as error:
            warnings.warn(f"{candidate} is damaged and passed over: {error}", stacklevel=2)
    return None


def has_checkpoint(folder: str | os.PathLike[str]) -> bool:
    """Tell whether a folder holds a checkpoint, whole or damaged."""
    return bool(_named(Path(folder)))


def _named(folder: Path) -> list[tuple[int, Path]]:
    """Step and folder of every checkpoint, the newest first."""
    paths = folder.iterdir() if folder.is_dir() else []
    found = [(int(match[1]), path) for path in paths if (match := _NAME.fullmatch(path.name))]
    return sorted(found, reverse=True)


def _load(folder: Path) -> Checkpoint:
    content = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    if content["format"] != _FORMAT:
        raise ValueError(f"its format is {content['format']!r}, expected {_FORMAT!r}")
    tensors = {}
    for name, expected in content["files"].items():
        path = folder / name
        if path.stat().st_size != expected["bytes"] or _file_hash(path) != expected["blake2b"]:
            raise ValueError(f"{name} was changed or cut off")
        tensors[path.stem] = load_file(path)
    return Checkpoint(folder, tensors, content["state"])


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    # A copy each: safetensors refuses views and tensors that share memory, such as tied weights.
    save_file({name: value.detach().cpu().clone() for name, value in tensors.items()}, path)


def _flush(path: Path) -> None:
    """Make the system write a file or folder to the disk now."""
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -------------------------------------------------------------------------- weights alone


def save_weights(model: nn.Module, path: str | os.PathLike[str]) -> Path:
    """Write a model's weights to a safetensors file, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}{_PARTIAL}")
    try:
        _write_tensors(model.state_dict(), temporary)
        _flush(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


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
    except Exception as error:
        # The library raises a SafetensorError of its own, a plain Exception.
        raise CheckpointError(f"{os.fspath(path)} is no whole safetensors file: {error}") from None
    check_fit(model, weights, os.fspath(path))
    model.load_state_dict(weights)


def check_fit(model: nn.Module, weights: Tensors, name: str) -> None:
    """Check that weights have the names and shapes of a model's.

    Raises
    ------
    CheckpointError
        If not; the message names the first difference.
    """
    wanted = model.state_dict()
    for key in sorted(wanted.keys() | weights.keys()):
        here, there = (tuple(d[key].shape) if key in d else "missing" for d in (wanted, weights))
        if here != there:
            raise CheckpointError(
                f"{name} does not fit the model: {key} is {there} in the file and {here} in the "
                "model. Build the model with the settings that it was trained with."
            )


# ---------------------------------------------------------------- optimizer and generators


def optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[Tensors, dict[str, Any]]:
    """Split an optimizer's state into tensors and what JSON can hold."""
    content = optimizer.state_dict()
    tensors: Tensors = {}
    plain: dict[str, Any] = {}
    for index, values in content["state"].items():
        for name, value in values.items():
            (tensors if isinstance(value, Tensor) else plain)[f"{index}.{name}"] = value
    return tensors, {"groups": content["param_groups"], "plain": plain}


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Tensors, saved: Mapping[str, Any]
) -> None:
    """Give an optimizer the state that `optimizer_state` took from one like it."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **saved["plain"]}.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    groups = [
        {name: tuple(v) if name == "betas" else v for name, v in group.items()}
        for group in saved["groups"]
    ]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def generator_states() -> dict[str, Any]:
    """Return the states of the random generators of Python, NumPy and torch as plain lists."""
    version, numbers, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    states = {
        "python": [version, list(numbers), gauss],
        "numpy": [name, keys.tolist(), int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state().tolist(),
    }
    if torch.cuda.is_initialized():
        states["cuda"] = [state.tolist() for state in torch.cuda.get_rng_state_all()]
    return states


def restore_generators(states: Mapping[str, Any]) -> None:
    """Set the random generators to what `generator_states` returned."""
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(torch.tensor(states["torch"], dtype=torch.uint8))
    for device, state in enumerate(states.get("cuda", [])):
        torch.cuda.set_rng_state(torch.tensor(state, dtype=torch.uint8), device)
