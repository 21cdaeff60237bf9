"""Chapter bert, an encoder's files: save and load them, and notice damage.

A folder that `save_encoder` wrote has a `manifest.json` with size and SHA-256 of every file that
the encoder needs; a folder from elsewhere is checked as far as its own files allow. Weights are
read from safetensors only, since a pickle can run any code when it is loaded.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from agnews_utils.data.corpus import CLASS_NAMES
from agnews_utils.files import course_path, file_hash, shown_path, write_text, written_whole

# ------------------------------------------------------------------------------------------- files

BUNDLED = "agnews-bert-mini"
"""Name of the encoder that comes with the course."""

CONFIG, WEIGHTS, MANIFEST = "config.json", "model.safetensors", "manifest.json"
LOG, HASHES = "pretraining_log.json", "text_hashes.safetensors"
TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
_SPECIAL = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")


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
    if (folder / CONFIG).is_file():
        return folder
    raise EncoderError(
        f"The bundled encoder {BUNDLED} is not in {shown_path(folder)}: restore the folder from "
        "the repository, or install the package again."
    )


def write_manifest(folder: Path) -> None:
    """Write size and SHA-256 of every file of a folder into its `manifest.json`."""
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": file_hash(path)}
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name not in (MANIFEST, "README.md")
    }
    write_text(folder / MANIFEST, json.dumps({"files": files}, indent=1) + "\n")


def check_manifest(folder: Path) -> None:
    """Compare the files with the manifest, if there is one.

    Raises
    ------
    EncoderError
        If a file is missing, cut off or changed.
    """
    if not (folder / MANIFEST).is_file():
        return
    for name, expected in _read_json(folder / MANIFEST).get("files", {}).items():
        path = folder / name
        if not path.is_file():
            raise EncoderError(f"{shown_path(folder)} lacks {name}. {_advice(folder)}")
        size = path.stat().st_size
        if size != expected["bytes"]:
            raise EncoderError(
                f"{shown_path(path)} has {size:,} bytes instead of {expected['bytes']:,}: it was "
                f"cut off or exchanged. {_advice(folder)}"
            )
        if file_hash(path) != expected["sha256"]:
            raise EncoderError(
                f"{shown_path(path)} was changed or exchanged: its SHA-256 is not that in "
                f"{MANIFEST}. {_advice(folder)}"
            )


def check_folder(folder: Path) -> None:
    """Check that a folder holds an encoder whose files can be read.

    Raises
    ------
    EncoderError
        If a file is missing, damaged, or weights are there as a pickle only.
    """
    if not (folder / CONFIG).is_file():
        raise EncoderError(
            f"{shown_path(folder)} has no {CONFIG}: name a folder that save_pretrained or "
            "save_encoder wrote."
        )
    check_manifest(folder)
    for path in sorted(folder.glob("*.json")):
        _read_json(path)
    weights = sorted(folder.glob("*.safetensors"))
    if not any(path.name.startswith("model") for path in weights):
        raise EncoderError(
            f"{shown_path(folder)} has no {WEIGHTS}. Weights as a pickle (pytorch_model.bin) are "
            "not read, since a pickle can run code: save them with save_pretrained once more."
        )
    for path in weights:
        try:
            with safe_open(path, framework="pt") as content:
                content.keys()
        except Exception as error:  # the library's SafetensorError is a plain Exception
            raise EncoderError(
                f"{shown_path(path)} is no whole safetensors file ({error}). {_advice(folder)}"
            ) from None


def _advice(folder: Path) -> str:
    if folder.name == BUNDLED:
        return "Restore the folder from the repository, or install the package again."
    return "Copy or save the encoder once more."


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise EncoderError(
            f"{shown_path(path)} is no whole JSON file ({error}). {_advice(path.parent)}"
        ) from None
    if not isinstance(content, dict):
        raise EncoderError(f"{shown_path(path)} holds no settings. {_advice(path.parent)}")
    return content


# ---------------------------------------------------------------------------------- writing


def save_encoder(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    folder: str | os.PathLike[str],
    *,
    half: bool = False,
) -> Path:
    """Save a network of transformers and its tokenizer together (bert, "Save and load").

    What is written can be read by transformers 4 and 5 alike, and by `load_encoder`, which checks
    it against the manifest.

    Parameters
    ----------
    model : nn.Module
        A network of transformers, such as `load_encoder` returns.
    tokenizer : PreTrainedTokenizerBase
        Its tokenizer; one of the tokenizers library ("fast").
    folder : str or path
        Written under another name and then renamed; an encoder that is there is replaced.
    half : bool
        Store the weights in 16 bits: half the size, and the same predictions but for rounding.

    Returns
    -------
    Path
        The folder.
    """
    tensors = _untied(model)
    config = model.config.to_dict() | {"architectures": [type(model).__name__]}
    return write_encoder(tensors, config, tokenizer, folder, half=half)


def _untied(model: nn.Module) -> dict[str, Tensor]:
    """Return a network's tensors without the second name of those that have two."""
    named = dict(model.named_parameters()) | dict(model.named_buffers())  # lists each one once
    return {name: value for name, value in model.state_dict().items() if name in named}


def write_encoder(
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any],
    tokenizer: PreTrainedTokenizerBase,
    folder: str | os.PathLike[str],
    *,
    half: bool = False,
    more: Mapping[str, str] | None = None,
    data: Mapping[str, bytes] | None = None,
) -> Path:
    """Write weights, configuration, tokenizer, further text files and the manifest of an encoder.

    Parameters are those of `save_encoder`; `more` and `data` name texts and bytes to be written
    beside them.
    """
    folder = Path(folder)
    with written_whole(folder) as partial:
        partial.mkdir()
        stored = {
            name: (value.half() if half and value.is_floating_point() else value).cpu().clone()
            for name, value in tensors.items()
        }
        save_file(stored, partial / WEIGHTS, metadata={"format": "pt"})
        (partial / WEIGHTS).chmod(0o644)  # the library leaves it readable for its owner only
        _write_json(partial / CONFIG, _portable_config(config))
        tokenizer.backend_tokenizer.save(str(partial / TOKENIZER))
        _write_json(partial / TOKENIZER_CONFIG, _tokenizer_config(tokenizer))
        for name, text in (more or {}).items():
            write_text(partial / name, text)
        for name, content in (data or {}).items():
            (partial / name).write_bytes(content)
        write_manifest(partial)
    return folder


def _portable_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration that both versions of transformers read as float32."""
    left_out = (
        "_name_or_path",
        "dtype",
        "torch_dtype",
        "transformers_version",
        "_attn_implementation",
    )
    kept = {name: value for name, value in config.items() if name not in left_out}
    # Without it transformers 5 would compute in the 16 bits in which the file is stored.
    return kept | {"dtype": "float32"}


def _tokenizer_config(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    special = {name: getattr(tokenizer, name) for name in _SPECIAL}
    longest = tokenizer.model_max_length
    return {
        # The general class: each version of transformers has it, and it changes nothing.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": longest if longest < 1e9 else 512,
        "model_input_names": list(tokenizer.model_input_names),
        "clean_up_tokenization_spaces": True,
        **{name: str(value) for name, value in special.items() if value is not None},
    }


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n")


def check_vocabulary(tokenizer: PreTrainedTokenizerBase, model: nn.Module, name: str) -> None:
    """Check that a tokenizer can belong to the weights.

    Raises
    ------
    EncoderError
        If its ids go beyond the embeddings, or it cannot pad.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    highest = max(tokenizer.get_vocab().values(), default=-1)
    if highest >= rows:
        raise EncoderError(
            f"{name}: the tokenizer has ids up to {highest:,}, the network has embeddings for "
            f"{rows:,}: tokenizer and weights do not belong together."
        )
    if tokenizer.pad_token_id is None:
        raise EncoderError(f"{name}: its tokenizer has no token for padding, so it makes no batch.")


def read_hashes(folder: Path) -> dict[str, np.ndarray]:
    """Return the stored hashes: "pretraining" and "test", each sorted, int64."""
    return load_file(folder / HASHES)


def read_log(folder: Path) -> dict[str, Any]:
    """Return the log of the run that made an encoder."""
    return json.loads((folder / LOG).read_text(encoding="utf-8"))


# ----------------------------------------------------------------------------------------- loading

_REACH_SECONDS = 3.0


def load_encoder(
    name: str | os.PathLike[str] | None = None, classes: int = len(CLASS_NAMES)
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a pre-trained encoder with a head for classification (bert, "Fine-tuning").

    Parameters
    ----------
    name : str or path, optional
        None for the encoder that comes with the course; else a folder that `save_pretrained` or
        `save_encoder` wrote, or a name on the Hugging Face hub such as "bert-base-uncased".
    classes : int
        Outputs of the head. It is new, with random weights (draw them with a seed of your own),
        unless the folder has a head with as many outputs.

    Returns
    -------
    model : PreTrainedModel
        In evaluation mode, float32, on the CPU.
    tokenizer : PreTrainedTokenizerBase
        The tokenizer that belongs to it.

    Raises
    ------
    EncoderError
        If files are missing, damaged or do not belong together, or if the hub cannot be reached.
    """
    if name is None or str(name) == BUNDLED:
        return _load_folder(bundled_encoder(), classes)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _load_folder(folder, classes)
    if folder.is_absolute() or str(name).startswith((".", "~")) or str(name).count("/") > 1:
        raise EncoderError(f"{shown_path(folder)} does not exist: {_choices()}")
    return _load_from_hub(str(name), classes)


def _choices() -> str:
    return (
        f"load_encoder() without a name takes {BUNDLED}, which comes with the course; else name a "
        'folder, or a model of the Hugging Face hub such as "bert-base-uncased".'
    )


def _load_folder(folder: Path, classes: int) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    check_folder(folder)
    name = shown_path(folder)
    try:
        return _from_pretrained(str(folder), classes, name, local_files_only=True)
    except EncoderError:
        raise
    except Exception as error:  # every kind, since the readers of the files raise many
        raise EncoderError(
            f"{name} cannot be loaded: its files are damaged or do not belong together "
            f"({_first_line(error)})."
        ) from None


def _load_from_hub(name: str, classes: int) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    try:
        return _from_pretrained(name, classes, name, local_files_only=True)
    except EncoderError:
        raise
    except Exception:  # not, or not completely, in the cache
        _check_hub(name)
    try:
        return _from_pretrained(name, classes, name)
    except EncoderError:
        raise
    except Exception as error:
        raise EncoderError(
            f"{name!r} could not be loaded from the hub ({_first_line(error)}): check the name, or "
            f"go on without it: {_choices()}"
        ) from None


def _check_hub(name: str) -> None:
    """Find out within seconds whether the hub can be reached, which the library tries for long."""
    offline = [v for v in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE") if _is_set(v)]
    if offline:
        reason = f"{offline[0]} forbids downloads"
    elif any(os.environ.get(v) for v in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return  # only the proxy knows
    else:
        address = urlparse(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
        target = (address.hostname or "huggingface.co", address.port or 443)
        try:
            socket.create_connection(target, timeout=_REACH_SECONDS).close()
            return
        except OSError:
            reason = f"{target[0]} cannot be reached"
    raise EncoderError(
        f"{name!r} is neither a folder nor on this computer yet, and {reason}. {_choices()}"
    )


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() in ("1", "true", "yes", "on")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _from_pretrained(
    place: str, classes: int, name: str, **options: Any
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load with transformers' own functions, and check what they only warn about."""
    labels = CLASS_NAMES if classes == len(CLASS_NAMES) else [f"class {i}" for i in range(classes)]
    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(place, **options)
        model, report = AutoModelForSequenceClassification.from_pretrained(
            place,
            num_labels=classes,
            id2label=dict(enumerate(labels)),
            label2id={label: number for number, label in enumerate(labels)},
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
    body = f"{model.base_model_prefix}."
    lost = [key for key in report["missing_keys"] if key.startswith(body) and "pooler" not in key]
    if lost:
        raise EncoderError(
            f"{name}: the weights lack {sorted(lost)[0]} and {len(lost) - 1} others that its "
            "configuration asks for: weights and configuration do not belong together."
        )
    check_vocabulary(tokenizer, model, name)
    return model.float().eval(), tokenizer


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence the reports of transformers (a new head is new); the caller checks what matters."""
    level, bars = (
        transformers_logging.get_verbosity(),
        transformers_logging.is_progress_bar_enabled(),
    )
    transformers_logging.set_verbosity(transformers_logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
