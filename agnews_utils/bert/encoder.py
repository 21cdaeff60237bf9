"""Chapter bert, an encoder's files: save and load them, and notice damage.

transformers reads and writes them; here is what it does not promise. A folder that `save_encoder`
wrote is whole, is read by transformers 4 and 5 alike, and has a `manifest.json` with size and
SHA-256 of every file. A folder from elsewhere is checked as far as its own files allow. Weights are
read from safetensors only, since a pickle can run any code when it is loaded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import requests
from huggingface_hub import constants as hub
from safetensors import safe_open
from safetensors.numpy import load_file
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as transformers_logging

from agnews_utils.data.corpus import CLASS_NAMES
from agnews_utils.files import course_path, file_hash, shown_path, write_text, written_whole

BUNDLED = "agnews-bert-mini"
"""Name of the encoder that comes with the course."""

CONFIG, WEIGHTS, MANIFEST = "config.json", "model.safetensors", "manifest.json"
LOG, HASHES = "pretraining_log.json", "text_hashes.safetensors"
_REACH_SECONDS = 3.0


class EncoderError(ValueError):
    """Files of an encoder are missing, damaged, or do not belong together."""


def bundled_encoder() -> Path:
    """Return the folder of the bundled encoder, in the repository or the installed package.

    Raises
    ------
    EncoderError
        If neither place has it.
    """
    folder = course_path(f"data/pretrained/{BUNDLED}")
    if not (folder / CONFIG).is_file():
        raise EncoderError(
            f"The bundled encoder {BUNDLED} is not in {shown_path(folder)}: restore the folder "
            "from the repository, or install the package again."
        )
    return folder


def read_log(folder: Path) -> dict[str, Any]:
    """Return the log of the run that made an encoder."""
    return json.loads((folder / LOG).read_text(encoding="utf-8"))


def read_hashes(folder: Path) -> dict[str, np.ndarray]:
    """Return hashes of the texts an encoder has read: "pretraining" and "test", sorted, int64."""
    return load_file(folder / HASHES)


# ------------------------------------------------------------------------------------------ saving


def save_encoder(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    folder: str | os.PathLike[str],
    *,
    half: bool = False,
    also: Mapping[str, bytes] | None = None,
) -> Path:
    """Save a network of transformers and its tokenizer together (bert, "Save and load").

    Parameters
    ----------
    model, tokenizer
        As `load_encoder` returns them.
    folder : str or path
        Where to write, whole or not at all; an encoder that is there is replaced.
    half : bool
        Store the weights in 16 bits: half the size, and the same predictions but for rounding.
    also : mapping of str to bytes, optional
        Further files, by name.

    Returns
    -------
    Path
        The folder.
    """
    own = {name for name, _ in [*model.named_parameters(), *model.named_buffers()]}
    tensors = {
        name: value.half() if half and value.is_floating_point() else value
        for name, value in model.state_dict().items()
        if name in own  # a tied weight has two names here, and one there
    }
    with written_whole(folder) as partial, quiet_transformers():
        # The configuration names the type of the network, not of the file: it is read as float32.
        model.save_pretrained(partial, state_dict=tensors)
        for path in partial.glob("*.safetensors"):
            path.chmod(0o644)  # the library leaves it readable for its owner only
        _save_tokenizer(tokenizer, partial)
        for name, content in (also or {}).items():
            (partial / name).write_bytes(content)
        files = {
            path.name: {"bytes": path.stat().st_size, "sha256": file_hash(path)}
            for path in sorted(partial.iterdir())
            if path.name != "README.md"  # a model card may be edited
        }
        write_text(partial / MANIFEST, json.dumps({"files": files}, indent=1) + "\n")
    return Path(folder)


def _save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a tokenizer; what `save_pretrained` of one version writes, the other cannot read."""
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    longest = tokenizer.model_max_length
    content = {
        # The general class: each version of transformers has it, and it changes nothing.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": longest if longest < 1e9 else 512,
        "model_input_names": list(tokenizer.model_input_names),
        "clean_up_tokenization_spaces": True,
    }
    for name in ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"):
        if (token := getattr(tokenizer, name)) is not None:
            content[name] = str(token)
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    write_text(folder / "tokenizer_config.json", text)


# ----------------------------------------------------------------------------------------- loading


def load_encoder(
    name: str | os.PathLike[str] | None = None,
    classes: int | Sequence[str] = len(CLASS_NAMES),
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Load a pre-trained encoder with a head for classification (bert, "Fine-tuning").

    Parameters
    ----------
    name : str or path, optional
        None for the encoder that comes with the course; else a folder that `save_pretrained` or
        `save_encoder` wrote, or a name on the Hugging Face hub such as "bert-base-uncased".
    classes : int or sequence of str
        Outputs of the head, or their names, such as `news.classes`. It is new, with random weights
        (draw them with a seed of your own), unless the folder has a head with as many outputs.

    Returns
    -------
    model : PreTrainedModel
        In evaluation mode, float32, on the CPU.
    tokenizer : PreTrainedTokenizerFast
        The tokenizer that belongs to it.

    Raises
    ------
    EncoderError
        If files are missing, damaged or do not belong together, or if the hub cannot be reached.
    """
    labels = _class_names(classes)
    own = name is None or str(name) == BUNDLED
    folder = bundled_encoder() if own else Path(str(name)).expanduser()
    if folder.is_dir():
        check_files(folder)
        try:
            found = _read(str(folder), labels)
        except Exception as error:  # every kind, since the readers of the files raise many
            raise EncoderError(
                f"{shown_path(folder)} cannot be loaded: its files are damaged or do not belong "
                f"together ({_first_line(error)})."
            ) from None
        return _checked(*found, shown_path(folder))
    place = str(name)
    if folder.is_absolute() or place.startswith((".", "~")) or place.count("/") > 1:
        raise EncoderError(f"{shown_path(folder)} does not exist. {_CHOICES}")
    try:
        found = _read(place, labels)
    except Exception:  # not, or not completely, in the cache
        check_hub(place)
        try:
            found = _read(place, labels, download=True)
        except Exception as error:
            raise EncoderError(
                f"{place!r} could not be loaded from the hub ({_first_line(error)}): check the "
                f"name, or go on without it. {_CHOICES}"
            ) from None
    return _checked(*found, place)


_CHOICES = (
    f"load_encoder() without a name takes {BUNDLED}, which comes with the course; else name a "
    'folder, or a model of the Hugging Face hub such as "bert-base-uncased".'
)


def _class_names(classes: int | Sequence[str]) -> list[str]:
    if isinstance(classes, str):
        raise TypeError("classes is one string: give a list of names, or their number.")
    if not isinstance(classes, int):
        return list(classes)
    return CLASS_NAMES if classes == len(CLASS_NAMES) else [f"class {i}" for i in range(classes)]


def _read(
    place: str, labels: Sequence[str], download: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast, list[str]]:
    """Return network, tokenizer, and the names of the weights that the files lack."""
    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=not download)
        model, report = AutoModelForSequenceClassification.from_pretrained(
            place,
            num_labels=len(labels),
            id2label=dict(enumerate(labels)),
            label2id={label: number for number, label in enumerate(labels)},
            use_safetensors=True,
            output_loading_info=True,
            local_files_only=not download,
        )
    return model.float().eval(), tokenizer, sorted(report["missing_keys"])


def _checked(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, missing: list[str], name: str
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Refuse what transformers only warns about, or does not notice."""
    body = f"{model.base_model_prefix}."
    lost = [key for key in missing if key.startswith(body) and "pooler" not in key]
    if lost:
        raise EncoderError(
            f"{name}: the weights lack {lost[0]} and {len(lost) - 1} others that its configuration "
            "asks for: weights and configuration do not belong together."
        )
    rows = model.get_input_embeddings().weight.shape[0]
    highest = max(tokenizer.get_vocab().values(), default=-1)
    if highest >= rows:
        raise EncoderError(
            f"{name}: the tokenizer has ids up to {highest:,}, the network has embeddings for "
            f"{rows:,}: tokenizer and weights do not belong together."
        )
    if tokenizer.pad_token_id is None:
        raise EncoderError(f"{name}: its tokenizer has no token for padding, so it makes no batch.")
    return model, tokenizer


def check_files(folder: Path) -> None:
    """Check that a folder holds an encoder whose files are whole, and those of its manifest.

    Raises
    ------
    EncoderError
        If a file is missing, damaged or exchanged, or weights are there as a pickle only.
    """
    advice = "Copy or save the encoder once more."
    if folder.name == BUNDLED:
        advice = "Restore the folder from the repository, or install the package again."
    if not (folder / CONFIG).is_file():
        raise EncoderError(
            f"{shown_path(folder)} has no {CONFIG}: name a folder that save_pretrained or "
            "save_encoder wrote."
        )
    for name, listed in _manifest(folder, advice).items():
        path = folder / name
        if not path.is_file():
            raise EncoderError(f"{shown_path(folder)} lacks {name}. {advice}")
        size = path.stat().st_size
        if size != listed["bytes"]:
            raise EncoderError(
                f"{shown_path(path)} has {size:,} bytes instead of {listed['bytes']:,}: it was cut "
                f"off or exchanged. {advice}"
            )
        if file_hash(path) != listed["sha256"]:
            raise EncoderError(
                f"{shown_path(path)} was changed or exchanged: its SHA-256 is not that in "
                f"{MANIFEST}. {advice}"
            )
    if not list(folder.glob("model*.safetensors")):
        raise EncoderError(
            f"{shown_path(folder)} has no {WEIGHTS}. Weights as a pickle (pytorch_model.bin) are "
            "not read, since a pickle can run code: save them with save_pretrained once more."
        )
    # Without any of them transformers 5 makes a tokenizer up that knows no word.
    if not [*folder.glob("tokenizer.json"), *folder.glob("vocab.*"), *folder.glob("*.model")]:
        raise EncoderError(
            f"{shown_path(folder)} has no tokenizer.json: save network and tokenizer together, "
            "with save_encoder."
        )
    for path in sorted({*folder.glob("*.json"), *folder.glob("*.safetensors")}):
        _check_whole(path, advice)


def _manifest(folder: Path, advice: str) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    _check_whole(path, advice)
    return json.loads(path.read_text(encoding="utf-8"))["files"]


def _check_whole(path: Path, advice: str) -> None:
    kind = "JSON" if path.suffix == ".json" else "safetensors"
    try:
        if kind == "safetensors":
            with safe_open(path, framework="np") as content:
                content.keys()
        elif not isinstance(json.loads(path.read_text(encoding="utf-8")), dict):
            raise ValueError("it holds no settings")
    except Exception as error:  # the library's SafetensorError is a plain Exception
        raise EncoderError(
            f"{shown_path(path)} is no whole {kind} file ({error}). {advice}"
        ) from None


def check_hub(name: str) -> None:
    """Find out within seconds whether the hub can be reached, which the library tries for long.

    Raises
    ------
    EncoderError
        If it cannot, or must not.
    """
    try:
        if not hub.HF_HUB_OFFLINE:
            requests.head(hub.ENDPOINT, timeout=_REACH_SECONDS)
            return
        reason = "HF_HUB_OFFLINE forbids downloads"
    except requests.RequestException:
        reason = f"{hub.ENDPOINT} cannot be reached"
    raise EncoderError(
        f"{name!r} is neither a folder nor on this computer yet, and {reason}. {_CHOICES}"
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence the reports of transformers (a new head is new); the caller checks what matters."""
    level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(transformers_logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
