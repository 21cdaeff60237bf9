"""Chapter 5, BERT, files of an encoder: what they are, and how damage is noticed.

A folder that `save_encoder` wrote has a `manifest.json` with size and SHA-256 of every file that
the encoder needs; a folder from elsewhere is checked as far as its own files allow. Weights are
read from safetensors only, since a pickle can run any code when it is loaded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from agnews_utils.files import course_path, file_hash, shown_path, write_text, written_whole

BUNDLED = "agnews-bert-mini"
"""Name of the encoder that comes with the course."""

CONFIG, WEIGHTS, MANIFEST = "config.json", "model.safetensors", "manifest.json"
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
    """Save a network of transformers and its tokenizer together (chapter 5, "Save and load").

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
