"""Chapter 5, BERT, `load_encoder`: from the course, from a folder or from the hub, in one way."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from agnews_utils.data.corpus import CLASS_NAMES
from agnews_utils.encoder_files import (
    BUNDLED,
    EncoderError,
    bundled_encoder,
    check_folder,
    check_vocabulary,
)
from agnews_utils.files import shown_path

_REACH_SECONDS = 3.0


def load_encoder(
    name: str | os.PathLike[str] | None = None, classes: int = len(CLASS_NAMES)
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a pre-trained encoder with a head for classification (chapter 5, "Fine-tuning").

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
