"""What every chapter needs before it starts and after it ends: threads, seeds, device, results.

The setup cell of every notebook calls `start`; the last code cell calls `record`.
This module imports torch only when a function needs it, so that chapters without torch start fast.
"""

from __future__ import annotations

import json
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Mapping, Sized
from datetime import date
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from agnews_utils.files import course_path, repository_root, write_text

if TYPE_CHECKING:
    import torch


class Described(Protocol):
    """Data that a result was measured on, such as what `load_news` returns."""

    @property
    def name(self) -> str:
        """Its name in the file name of the result."""

    @property
    def md5(self) -> Mapping[str, str]:
        """MD5 of each file, by file name."""

    @property
    def description(self) -> str:
        """What was loaded, in words."""

    @property
    def train(self) -> Sized:
        """The training rows."""

    @property
    def test(self) -> Sized:
        """The test rows."""


RECORD_VARIABLE = "AGNEWS_RECORD"
"""Environment variable: the folder into which `record` writes; unset, nothing is written."""

THREADS_VARIABLE = "AGNEWS_THREADS"
"""Environment variable: how many threads numerical libraries may use (default: at most 4)."""

DEVICE_VARIABLE = "AGNEWS_DEVICE"
"""Environment variable: `cpu`, `cuda` or `mps`; unset, a GPU is used where there is one."""

_PACKAGES_TO_NAME = ("agnews-utils", "numpy", "pandas", "scikit-learn", "torch", "transformers")


def start(seed: int = 42) -> None:
    """Prepare a notebook: cap the threads, seed the generators, and say in a line what it runs on.

    Threads are capped because a class shares its machines, and because a measured time means
    little when the number of cores is unknown. Chapters with torch call `seed_everything`
    themselves; `seed` is that of `random` and NumPy.
    """
    threads = os.environ.get(THREADS_VARIABLE) or str(min(4, os.cpu_count() or 1))
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, threads)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

    import numpy as np

    random.seed(seed)
    np.random.seed(seed)
    print(
        f"agnews_utils {_version('agnews-utils')} on Python {platform.python_version()}, "
        f"at most {os.environ['OMP_NUM_THREADS']} threads"
    )


def say(line: str) -> None:
    """Print a line, with "?" for each character that the terminal cannot show.

    Names of folders and classes are the user's, and terminals that know few characters exist.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(line.encode(encoding, "replace").decode(encoding))


def seed_everything(seed: int = 42) -> None:
    """Seed `random`, NumPy and torch (CPU and every GPU)."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


class DeviceError(RuntimeError):
    """A device was asked for that there is not."""


def pick_device() -> torch.device:
    """Return the device to compute on: what `AGNEWS_DEVICE` names, else a GPU, else the CPU.

    A GPU is one of NVIDIA or AMD (`cuda`), else that of an Apple chip (`mps`), if torch can compute
    there what the course needs. What a model needs, `training.inference.usable_device` finds out.

    Raises
    ------
    DeviceError
        If `AGNEWS_DEVICE` names no device that torch sees.
    """
    import torch

    wanted = os.environ.get(DEVICE_VARIABLE, "").strip().lower()
    apple = torch.backends.mps.is_available()
    if not wanted:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if apple and _computes_on_apple() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise DeviceError(
            f"{DEVICE_VARIABLE}={wanted} is no device that the course knows: expected cpu, cuda "
            "(or cuda:1 for the second GPU), or mps for the GPU of an Apple chip."
        )
    if device.type == "mps" and not apple:
        raise DeviceError(
            f"{DEVICE_VARIABLE}={wanted} asks for the GPU of an Apple chip, but torch "
            f"{torch.__version__} sees none. Unset {DEVICE_VARIABLE} to take what there is."
        )
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            f"{DEVICE_VARIABLE}={wanted} asks for a GPU, but torch {torch.__version__} sees none. "
            f"Unset {DEVICE_VARIABLE}, or install a torch build with CUDA on a machine with a GPU."
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"{DEVICE_VARIABLE}={wanted} asks for a GPU that is not there: torch sees "
            f"{torch.cuda.device_count()}, counted from cuda:0."
        )
    return device


def device_as_typed(message: str) -> str:
    """Return the message of a DeviceError in the words of a command with `--device`."""
    message = message.replace(f"{DEVICE_VARIABLE}=", "--device ")
    return message.replace(f"Unset {DEVICE_VARIABLE}", "Leave --device out")


@lru_cache(maxsize=1)
def _computes_on_apple() -> bool:
    """Tell whether this torch has what the course needs on an Apple GPU; say so once if not."""
    import torch

    try:
        with torch.autocast("mps", enabled=False):  # not known there before torch 2.5
            torch.ones(2, device="mps").sum().item()
    except (RuntimeError, NotImplementedError, AssertionError):
        say(
            f"Computing on the CPU: torch {torch.__version__} cannot do on this Apple GPU what the "
            "course needs; a newer torch can (the modern environment)."
        )
        return False
    return True


def record(
    run: str,
    news: Described,
    metrics: Mapping[str, Any],
    headline: str,
    seed: int | None = None,
    cpu_seconds: float | None = None,
    folder: Path | str | None = None,
) -> None:
    """Print a run's headline and write its metrics to `<folder>/<run>.<data>.json`.

    The file holds all that the metrics depend on: the code version, the data's name, row counts
    and MD5, the versions of the packages, the device, the seed, the CPU seconds and the metrics.
    The course's prose and tables take their numbers from these files.

    Parameters
    ----------
    run : str
        Name of the run, such as "exploration".
    news : News
        The data that the metrics were measured on.
    metrics : mapping
        Plain numbers, strings, lists and mappings. NumPy scalars and arrays are converted.
    headline : str
        One short phrase for the table that `make run` prints.
    seed : int, optional
        The seed of the run, if one matters.
    cpu_seconds : float, optional
        CPU seconds of the run; by default those of this process so far.
    folder : path, optional
        Where to write; by default the folder in `AGNEWS_RECORD`. With neither, nothing is
        written: a reader's own experiments never change the course's results.

    Raises
    ------
    ValueError
        If a metric cannot be stored as JSON, or, on the course's own data, is not finite; the
        message names it.
    """
    say(headline)
    target_folder = folder or os.environ.get(RECORD_VARIABLE)
    if not target_folder:
        return
    ours = getattr(news, "measured", True)  # on somebody's own data a share of nothing may be asked
    plain = {name: _plain(value, name, ours) for name, value in metrics.items()}
    content = {
        "run": run,
        "headline": headline,
        "data": {
            "name": news.name,
            "description": news.description,
            "rows": {"train": len(news.train), "test": len(news.test)},
            "md5": dict(news.md5),
        },
        "date": date.today().isoformat(),
        "commit": code_version(),
        "environment": environment(),
        "seed": seed,
        "cpu_seconds": round(time.process_time() if cpu_seconds is None else cpu_seconds, 1),
        "metrics": plain,
    }
    target = Path(target_folder) / f"{run}.{news.name}.json"
    write_text(target, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def recorded(run: str, data: str = "ag_news") -> dict[str, Any]:
    """Return the metrics of a run that was recorded with the course.

    Long experiments are run once (`make results`) and plotted in the chapters; beside each stands
    a small one that runs live.

    Raises
    ------
    FileNotFoundError
        If there is no such run; the message names those that there are.
    """
    folder = course_path("results")
    path = folder / f"{run}.{data}.json"
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))["metrics"]
    there = sorted(path.stem for path in folder.glob("*.*.json"))
    raise FileNotFoundError(
        f"no recorded run {run}.{data}; there are: {', '.join(there) or 'none'}. "
        "`make results` records all of them."
    )


def environment() -> dict[str, str]:
    """Return the versions of Python and the main packages, and the device."""
    versions = {"python": platform.python_version(), "system": platform.system()}
    versions |= {name: _version(name) for name in _PACKAGES_TO_NAME}
    versions["device"] = "cpu"
    torch = sys.modules.get("torch")
    if torch is not None and (device := pick_device()).type != "cpu":
        name = "Apple GPU" if device.type == "mps" else torch.cuda.get_device_name(device)
        versions["device"] = name
    return versions


def code_version() -> str:
    """Return the short commit hash, with `+changes` if package or chapters differ from it."""
    root = repository_root()
    if root is None:
        return f"version {_version('agnews-utils')}"

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        commit = git("rev-parse", "--short", "HEAD")
        changes = git("status", "--porcelain", "--", "agnews_utils", "chapters")
    except (OSError, subprocess.CalledProcessError):
        return f"version {_version('agnews-utils')}"
    return commit + ("+changes" if changes else "")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _plain(value: Any, name: str, finite: bool = True) -> Any:
    """Turn a metric into what JSON can hold; floats keep six significant digits."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{name}.{key}", finite) for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item, f"{name}[{position}]", finite) for position, item in enumerate(value)]
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            if not finite:
                return None
            raise ValueError(f"metric {name!r} is {value}: expected a finite number")
        return float(f"{value:.6g}")
    if value is None or isinstance(value, str | int | bool):
        return value
    raise ValueError(
        f"metric {name!r} is a {type(value).__name__}: expected numbers, text, lists or mappings"
    )
