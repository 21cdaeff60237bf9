"""Chapter bert, an encoder's files: save and load them, and notice damage.

transformers reads and writes them; here is what it does not promise. A folder that `save_encoder`
wrote is whole, is read by transformers 4 and 5 alike, and has a `manifest.json` with size and
SHA-256 of every file. A folder from elsewhere is checked as far as its own files allow. Weights are
read from safetensors only, since a pickle can run any code when it is loaded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import requests
from huggingface_hub import constants as hub
from safetensors import safe_open
from safetensors.numpy import load_file
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as transformers_logging

from agnews_utils.bert.pooling import MeanPooledClassifier
from agnews_utils.data.corpus import CLASS_NAMES
from agnews_utils.files import (
    course_path,
    file_hash,
    repository_root,
    shown_path,
    write_text,
    written_whole,
)
from agnews_utils.runtime import say

BUNDLED = "agnews-bert-mini"
"""Name of the encoder that comes with the course."""
MINILM = "all-MiniLM-L6-v2"
"""Name of the encoder that `agnews_utils.bert.download` fetches."""

CONFIG, WEIGHTS, MANIFEST = "config.json", "model.safetensors", "manifest.json"
TOKENIZER, TOKENIZER_CONFIG, CARD = "tokenizer.json", "tokenizer_config.json", "README.md"
#: The published files of MINILM, in the form of a manifest: each has to be exactly this one.
MINILM_FILES: dict[str, dict[str, Any]] = {
    CONFIG: {
        "bytes": 612,
        "sha256": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    },
    TOKENIZER: {
        "bytes": 466_247,
        "sha256": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    },
    WEIGHTS: {
        "bytes": 90_868_376,
        "sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    },
}
_MINILM_NAMES = ("minilm", MINILM.lower())
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


def minilm_folder() -> Path:
    """Folder that MINILM is downloaded to and looked for; it need not exist yet.

    It is in `data/pretrained` of the repository; with an installed package (Colab), in that of the
    working directory.
    """
    return (repository_root() or Path.cwd()) / "data" / "pretrained" / MINILM


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
        write_manifest(partial, [path.name for path in partial.iterdir()])
    return Path(folder)


def write_manifest(folder: Path, names: Iterable[str]) -> None:
    """Write down size and SHA-256 of files of a folder, for `check_files`."""
    files = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": file_hash(folder / name)}
        for name in sorted(names)
        if name != CARD  # a model card may be edited
    }
    write_text(folder / MANIFEST, json.dumps({"files": files}, indent=1) + "\n")


def _save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a tokenizer; what `save_pretrained` of one version writes, the other cannot read."""
    tokenizer.backend_tokenizer.save(str(folder / TOKENIZER))
    longest = tokenizer.model_max_length
    special = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    text = tokenizer_config(
        longest if longest < 1e9 else 512,
        list(tokenizer.model_input_names),
        {name: str(getattr(tokenizer, name)) for name in special if getattr(tokenizer, name)},
    )
    write_text(folder / TOKENIZER_CONFIG, text)


def tokenizer_config(longest: int, inputs: list[str], special: dict[str, str]) -> str:
    """Return the settings that stand beside a tokenizer, for transformers 4 and 5 alike."""
    content = {
        # The general class: each version of transformers has it, and it changes nothing.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": longest,
        "model_input_names": inputs,
        "clean_up_tokenization_spaces": True,
        **special,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


# ----------------------------------------------------------------------------------------- loading


def load_encoder(
    name: str | os.PathLike[str] | None = None,
    classes: int | Sequence[str] | None = None,
    *,
    new_head: bool = False,
    quiet: bool = False,
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Load a pre-trained encoder with a head for classification, and print one line about it.

    Taught in (bert, "Fine-tuning"). all-MiniLM-L6-v2 is never downloaded here:
    `make encoder`, or `download_encoder()` from `agnews_utils.bert.download`, does that.

    Parameters
    ----------
    name : str or path, optional
        "bundled" for agnews-bert-mini, which comes with the course; "minilm" for all-MiniLM-L6-v2;
        a folder that `save_pretrained` or `save_encoder` wrote; or a name on the Hugging Face hub
        such as "bert-base-uncased". Without it the environment variable `AGNEWS_ENCODER` decides;
        without that, all-MiniLM-L6-v2 if it has been downloaded, else the bundled one.
    classes : int or sequence of str, optional
        Outputs of the head, or their names, such as `news.classes`. Without it they are those of
        the folder's own head; an encoder that has none gets a head for the classes of AG News,
        with random weights (draw them with a seed of your own).
    new_head : bool
        Put a new head, with random weights, in the place of one that was trained: for other
        classes.
    quiet : bool
        Print nothing.

    Returns
    -------
    model : PreTrainedModel
        In evaluation mode, float32, on the CPU. With the pooling that it was saved with.
    tokenizer : PreTrainedTokenizerFast
        The tokenizer that belongs to it.

    Raises
    ------
    EncoderError
        If files are missing, damaged or do not belong together, if the hub cannot be reached, or if
        there is a head for other classes than those asked for.
    """
    if isinstance(classes, str):
        raise TypeError("classes is one string: give a list of names, or their number.")
    variable = os.environ.get("AGNEWS_ENCODER", "").strip()
    if name is None and variable:
        try:
            return load_encoder(variable, classes, new_head=new_head, quiet=quiet)
        except EncoderError as error:
            raise EncoderError(f"AGNEWS_ENCODER={variable}: {error}") from None
    head = Head(classes if classes is None or isinstance(classes, int) else list(classes), new_head)
    place = _chosen(name)
    if isinstance(place, Path):
        model, tokenizer = _from_folder(place, head)
    else:
        model, tokenizer = _from_hub(place, head)
    if not quiet:
        say(f"Loaded {_description(model, place)}.")
    return model, tokenizer


_CHOICES = (
    f'load_encoder("{BUNDLED}") takes the one that comes with the course; else name a folder, or '
    'a model of the Hugging Face hub such as "bert-base-uncased".'
)


def _chosen(name: str | os.PathLike[str] | None) -> Path | str:
    """Return the folder of an encoder, or else its name on the hub."""
    minilm = minilm_folder()
    has_minilm = any((minilm / file).is_file() for file in (MANIFEST, *MINILM_FILES))
    if name is None:
        return minilm if has_minilm else bundled_encoder()
    wanted = os.fspath(name)
    if wanted in ("bundled", BUNDLED):
        return bundled_encoder()
    if has_minilm and wanted.lower() in (*_MINILM_NAMES, f"sentence-transformers/{MINILM}".lower()):
        return minilm
    if wanted.lower() in _MINILM_NAMES:
        raise EncoderError(
            f"{MINILM} is not there yet: run `make encoder`, or download_encoder() from "
            f"agnews_utils.bert.download in a notebook. {_CHOICES}"
        )
    folder = Path(wanted).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_absolute() or wanted.startswith((".", "~")) or wanted.count("/") > 1:
        raise EncoderError(f"{shown_path(folder)} does not exist. {_CHOICES}")
    return wanted


def _from_folder(folder: Path, head: Head) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    check_files(folder)
    try:
        found = _read(str(folder), head)
    except EncoderError:
        raise
    except Exception as error:  # every kind, since the readers of the files raise many
        raise EncoderError(
            f"{shown_path(folder)} cannot be loaded: its files are damaged or do not belong "
            f"together ({_first_line(error)})."
        ) from None
    return _checked(*found, shown_path(folder))


def _from_hub(name: str, head: Head) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    try:
        found = _read(name, head)
    except EncoderError:
        raise
    except Exception:  # not, or not completely, in the cache
        check_hub(name)
        try:
            found = _read(name, head, download=True)
        except EncoderError:
            raise
        except Exception as error:
            raise EncoderError(
                f"{name!r} could not be loaded from the hub ({_first_line(error)}): check the "
                f"name, or go on without it. {_CHOICES}"
            ) from None
    return _checked(*found, name)


def _description(model: PreTrainedModel, place: Path | str) -> str:
    """Say which encoder it is, its size without the head, and where it comes from."""
    config = model.config
    millions = sum(value.numel() for value in model.base_model.parameters()) / 1e6
    size = (
        f"({config.num_hidden_layers} layers x {config.hidden_size}, "
        f"{millions:.1f} million parameters)"
    )
    if isinstance(place, str):
        return f"{place} {size}, from the Hugging Face hub"
    bundled = place.resolve() == course_path(f"data/pretrained/{BUNDLED}").resolve()
    origin = "bundled with the course" if bundled else f"from {shown_path(place)}"
    return f"{place.resolve().name} {size}, {origin}"


@dataclass(frozen=True)
class Head:
    """What is wanted of the head: number or names of its classes (None: its own), a new one."""

    classes: int | list[str] | None
    new: bool

    def names(self, config: PretrainedConfig, place: str) -> list[str]:
        """Return the names of the outputs; refuse classes that a trained head does not know.

        Raises
        ------
        EncoderError
            If it has other classes.
        """
        named = config.id2label or {}
        own = [str(named[number]) for number in range(len(named))]
        wanted = self.classes
        if not has_head(config) or self.new:
            if wanted is None:
                wanted = own if has_head(config) else CLASS_NAMES
            if not isinstance(wanted, int):
                return list(wanted)
            return CLASS_NAMES if wanted == len(CLASS_NAMES) else _numbered(wanted)
        count = wanted if isinstance(wanted, int) else len(own if wanted is None else wanted)
        same = wanted in (None, count, own) or own == [f"LABEL_{i}" for i in range(len(own))]
        if count == len(own) and same:
            return own if wanted is None or isinstance(wanted, int) else wanted
        asked = f"{wanted} classes" if isinstance(wanted, int) else f"the classes {_listed(wanted)}"
        raise EncoderError(
            f"{place} has a head for {len(own)} classes ({_listed(own)}), and {asked} were asked "
            "for: new_head=True puts a new one in its place, which has to be trained; without "
            "classes it keeps its own."
        )


def has_head(config: PretrainedConfig) -> bool:
    """Tell whether an encoder was saved with a head for classification."""
    kinds = config.architectures or []
    return any(kind.endswith("ForSequenceClassification") for kind in kinds) or _is_pooled(config)


def _is_pooled(config: PretrainedConfig) -> bool:
    """Tell whether the head that was saved reads the mean of the states."""
    return MeanPooledClassifier.__name__ in (config.architectures or [])


def _numbered(classes: int) -> list[str]:
    return [f"class {number}" for number in range(classes)]


def _listed(names: Sequence[str] | None) -> str:
    names = names or []
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _read(
    place: str, head: Head, download: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast, list[str]]:
    """Return network, tokenizer, and the names of the weights that the files lack."""
    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=not download)
        config = AutoConfig.from_pretrained(place, local_files_only=not download)
        shown = shown_path(place) if Path(place).is_dir() else place
        labels, renewed = head.names(config, shown), head.new and has_head(config)
        model, report = AutoModelForSequenceClassification.from_pretrained(
            place,
            num_labels=len(labels),
            id2label=dict(enumerate(labels)),
            label2id={label: number for number, label in enumerate(labels)},
            use_safetensors=True,
            output_loading_info=True,
            local_files_only=not download,
            ignore_mismatched_sizes=renewed,
        )
        if renewed:  # one with as many outputs was loaded with its weights
            body = model.base_model.state_dict()
            model = AutoModelForSequenceClassification.from_config(model.config)
            model.base_model.load_state_dict(body)
        if _is_pooled(config):
            model = MeanPooledClassifier.of(model, keep_head=True)
    mismatched = [key if isinstance(key, str) else key[0] for key in report["mismatched_keys"]]
    return model.float().eval(), tokenizer, sorted([*report["missing_keys"], *mismatched])


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
    published: dict[str, dict[str, Any]] = {}
    if folder.name == BUNDLED:
        advice = "Restore the folder from the repository, or install the package again."
    elif folder.resolve() == minilm_folder().resolve():
        published = MINILM_FILES
        advice = "`make encoder` fetches it again; AGNEWS_ENCODER=bundled goes on without it."
    if not (folder / CONFIG).is_file():
        raise EncoderError(
            f"{shown_path(folder)} has no {CONFIG}: name a folder that save_pretrained or "
            f"save_encoder wrote. {advice if published else ''}".rstrip()
        )
    for name, listed in {**_manifest(folder, advice), **published}.items():
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
                f"{shown_path(path)} was changed or exchanged: its SHA-256 is not "
                f"{'the published one' if published else f'that in {MANIFEST}'}. {advice}"
            )
    if not list(folder.glob("model*.safetensors")):
        raise EncoderError(
            f"{shown_path(folder)} has no {WEIGHTS}. Weights as a pickle (pytorch_model.bin) are "
            "not read, since a pickle can run code: save them with save_pretrained once more."
        )
    # Without any of them transformers 5 makes a tokenizer up that knows no word.
    if not [*folder.glob(TOKENIZER), *folder.glob("vocab.*"), *folder.glob("*.model")]:
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
    if trouble := hub_trouble():
        raise EncoderError(
            f"{name!r} is neither a folder nor on this computer yet, and {trouble}. {_CHOICES}"
        )


def hub_trouble() -> str | None:
    """Say why nothing can be had from the hub; None if it answers."""
    if hub.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE forbids downloads"
    try:
        requests.head(hub.ENDPOINT, timeout=_REACH_SECONDS)
    except requests.RequestException:
        return f"{hub.ENDPOINT} cannot be reached"
    return None


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
