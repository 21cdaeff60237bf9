"""A trained model as a folder that needs nothing else: save it, load it, use it (rnn, "Using it").

    run = load_run("runs/bilstm")
    run.predict(["Oil prices rise again"])  # ['Business']

`python -m agnews_utils.train` writes such a folder, `python -m agnews_utils.predict` reads it:

    run.json          what it is: model, classes, length, how texts are prepared, data, versions,
                      metrics; size and SHA-256 of the other files, and of itself
    model.safetensors, vocabulary.json      of a network or the linear model
    encoder/          of a fine-tuned encoder: `load_encoder` and `transformers.pipeline` read it

No file is a pickle, which could run code when it is loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import pandas as pd
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from agnews_utils.bert.encoder import load_encoder, save_encoder
from agnews_utils.bert.fine_tuning import predict_texts
from agnews_utils.cleaning.pipeline import DEFAULT_STEPS, LOSSY_STEPS, Cleaner, clean_frame
from agnews_utils.data.loading import News
from agnews_utils.evaluation.predictions import LinearClassifier
from agnews_utils.files import file_hash, shown_path, write_text
from agnews_utils.rnn.networks import BagOfEmbeddings, RecurrentClassifier, TextCNN
from agnews_utils.runtime import code_version, environment
from agnews_utils.training.checkpoints import load_weights, save_weights
from agnews_utils.training.inference import device_of, predict, usable_device
from agnews_utils.vocabulary.batching import pad_batch
from agnews_utils.vocabulary.vocab import TOKEN_PATTERN, Vocab, encode, tokenize

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "bag": BagOfEmbeddings,
    "cnn": TextCNN,
    "rnn": partial(RecurrentClassifier, cell="rnn", pooling="max"),
    "gru": partial(RecurrentClassifier, cell="gru", pooling="max"),
    "lstm": partial(RecurrentClassifier, cell="lstm", pooling="max"),
    "bilstm": partial(RecurrentClassifier, cell="lstm", pooling="max", bidirectional=True),
}
"""The networks by name; each takes the size of the vocabulary, the number of classes, and further
settings such as the share of dropped words."""

MODELS = ("linear", *NETWORKS, "bert")
"""Names of the course's models: what `python -m agnews_utils.train --model` takes."""

TEXT_PATHS: dict[str, tuple[str, ...]] = {
    "raw": (),
    "repaired": tuple(Cleaner().without("datelines").names),
    "cleaned": tuple(Cleaner().names),
}
"""How texts are prepared: the names of the cleaning steps, in order."""

RUN_FILE, WEIGHTS, VOCABULARY, ENCODER = (
    "run.json",
    "model.safetensors",
    "vocabulary.json",
    "encoder",
)
TEXTS_AT_ONCE = 1_000
"""Texts that are in work at a time, however many there are."""
_BATCH = 128
_FORMAT = "agnews_utils run 1"

Texts: TypeAlias = "Iterable[str] | pd.DataFrame"
"""Texts, or rows with the columns `title` and `description`, as `load_news` gives them."""


class RunError(ValueError):
    """A folder is no whole run of this course; the message says what is wrong with it."""


class Classifier(Protocol):
    """A trained model with all that it needs to answer prepared texts."""

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Return the probability of each class, shape (texts, classes)."""

    def save(self, folder: Path) -> dict[str, Any]:
        """Write it into a folder; return the settings that `load` needs beside the files."""


# ---------------------------------------------------------------------------- the kinds of models


@dataclass(frozen=True)
class Linear:
    """The linear model, which prepares its features by itself."""

    model: LinearClassifier

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Return the softmax of the margins, shape (texts, classes)."""
        return self.model.predict_proba(texts)

    def save(self, folder: Path) -> dict[str, Any]:
        """Write weights and terms."""
        self.model.save(folder / WEIGHTS, folder / VOCABULARY)
        return {}

    @classmethod
    def load(cls, folder: Path, about: Mapping[str, Any]) -> Linear:
        """Read what `save` wrote."""
        classes = len(about["classes"])
        return cls(LinearClassifier.load(folder / WEIGHTS, folder / VOCABULARY, classes))


@dataclass(frozen=True)
class Network:
    """A network of chapter rnn with its vocabulary.

    Attributes
    ----------
    name : str
        A key of `NETWORKS`.
    model : nn.Module
        `NETWORKS[name](len(vocab), classes=..., **settings)`, trained.
    vocab : Vocab
        Its tokens.
    max_length : int
        Tokens that are read of a text.
    settings : mapping
        What it was made with, beside the numbers of tokens and classes.
    pattern : str
        What counts as a token, in Python's verbose form: a run keeps the one that it was trained
        with, whatever a later version of the course does.
    """

    name: str
    model: nn.Module
    vocab: Vocab
    max_length: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    pattern: str = TOKEN_PATTERN.pattern

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Return the softmax of the logits, shape (texts, classes)."""
        cut = tokenize
        if self.pattern != TOKEN_PATTERN.pattern:
            own = re.compile(self.pattern, re.VERBOSE)
            cut = lambda text: own.findall(text.lower())  # noqa: E731
        ids = encode(texts, self.vocab, cut, self.max_length)
        order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
        batches = []
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            input_ids, mask, lengths = pad_batch([ids[row] for row in rows])
            batches.append({"input_ids": input_ids, "attention_mask": mask, "lengths": lengths,
                            "index": torch.tensor(rows)})  # fmt: skip
        return predict(self.model, batches)

    def save(self, folder: Path) -> dict[str, Any]:
        """Write weights and vocabulary."""
        save_weights(self.model, folder / WEIGHTS)
        self.vocab.save(folder / VOCABULARY)
        tokens = {"name": "words and signs", "pattern": self.pattern}
        return {"max_length": self.max_length, "settings": dict(self.settings), "tokens": tokens}

    @classmethod
    def load(cls, folder: Path, about: Mapping[str, Any]) -> Network:
        """Read what `save` wrote."""
        vocab, name = Vocab.load(folder / VOCABULARY), about["model"]
        model = NETWORKS[name](len(vocab), classes=len(about["classes"]), **about["settings"])
        load_weights(model, folder / WEIGHTS)
        model.eval()
        length, pattern = about["max_length"], about["tokens"]["pattern"]
        return cls(name, model, vocab, length, about["settings"], pattern)


@dataclass(frozen=True)
class Encoder:
    """A fine-tuned encoder with its tokenizer; `max_length` pieces are read of a text."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    max_length: int

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Return the softmax of the logits, shape (texts, classes)."""
        return predict_texts(self.model, self.tokenizer, texts, self.max_length)

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the encoder's own folder."""
        save_encoder(self.model, self.tokenizer, folder / ENCODER)
        return {"max_length": self.max_length, "tokens": {"name": "WordPiece, in the encoder"}}

    @classmethod
    def load(cls, folder: Path, about: Mapping[str, Any]) -> Encoder:
        """Read what `save` wrote."""
        model, tokenizer = load_encoder(folder / ENCODER, about["classes"], quiet=True)
        return cls(model, tokenizer, about["max_length"])


_KINDS: dict[str, type[Linear] | type[Network] | type[Encoder]] = {
    "linear": Linear,
    "bert": Encoder,
} | {name: Network for name in NETWORKS}


# ------------------------------------------------------------------------------------ a whole run


@dataclass(frozen=True, eq=False)
class Run:
    """A trained model that reads texts as they are.

    Attributes
    ----------
    model : str
        One of `MODELS`.
    classifier : Linear, Network or Encoder
        What computes.
    classes : tuple of str
        Names of the classes, in the order of the probabilities.
    texts : str
        A key of `TEXT_PATHS`: how texts are prepared.
    about : dict
        All else that `run.json` says: `data`, `metrics`, `seed`, `environment`, ...
    """

    model: str
    classifier: Classifier
    classes: tuple[str, ...]
    texts: str
    about: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Run({self.model}, {len(self.classes)} classes, {self.texts} texts)"

    def predict(self, texts: Texts) -> list[str]:
        """Return the name of the most probable class of each text; see `predict_proba`."""
        return [self.classes[number] for number in self.predict_proba(texts).argmax(axis=1)]

    def predict_proba(self, texts: Texts) -> np.ndarray:
        """Return the probability of each class for each text.

        Texts are prepared as those were that the model learned from. A title that stands apart, in
        a DataFrame, is cleaned apart, as in training: an agency's name is known by its place.

        Parameters
        ----------
        texts : iterable of str, or DataFrame with the columns `title` and `description`
            However many: at most `TEXTS_AT_ONCE` are in work at a time.

        Returns
        -------
        array, shape (texts, classes)
            Columns in the order of `classes`; each row adds up to 1.

        Raises
        ------
        TypeError
            If it is a single string, or holds something that is no text.
        ValueError
            If a DataFrame lacks one of the columns.
        """
        parts = [answers for _, answers in self.in_parts(texts)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.classes)))

    def in_parts(self, texts: Texts) -> Iterator[tuple[list[str], np.ndarray]]:
        """Yield texts and their probabilities, at most `TEXTS_AT_ONCE` at a time."""
        for frame in _frames(texts):
            pairs = zip(frame["title"], frame["description"], strict=True)
            given = [f"{title} {text}".strip() if title else text for title, text in pairs]
            prepared = given
            if steps := TEXT_PATHS[self.texts]:
                prepared = clean_frame(frame, _cleaner(steps))["text"].tolist()
            yield given, self.classifier.probabilities(prepared)


def _frames(texts: Texts) -> Iterator[pd.DataFrame]:
    """Cut texts into DataFrames with title and description; those without a title get an empty one.

    Raises
    ------
    TypeError, ValueError
        As `Run.predict_proba` says.
    """
    if isinstance(texts, str):
        raise TypeError("texts is one string: give a list of texts, such as [text].")
    if isinstance(texts, pd.DataFrame):
        if missing := [name for name in ("title", "description") if name not in texts]:
            raise ValueError(
                f"the table has no column {missing[0]!r}: give the rows as load_news returns them, "
                "or the column with the texts alone."
            )
        for first in range(0, len(texts), TEXTS_AT_ONCE):
            rows = texts.iloc[first : first + TEXTS_AT_ONCE]
            yield rows[["title", "description"]].fillna("").reset_index(drop=True)
        return
    rest, number = iter(texts), 0
    while part := list(islice(rest, TEXTS_AT_ONCE)):
        for text in part:
            if not isinstance(text, str):
                raise TypeError(
                    f'text {number} is {text!r}, not a text: fill missing ones with "".'
                )
            number += 1
        yield pd.DataFrame({"title": "", "description": part}, dtype=object)


def _cleaner(names: Sequence[str]) -> Cleaner:
    steps = {step.name: step for step in (*DEFAULT_STEPS, *LOSSY_STEPS)}
    return Cleaner([steps[name] for name in names])


# -------------------------------------------------------------------------------------- its folder


def save_run(
    run: Run,
    folder: str | os.PathLike[str],
    news: News,
    metrics: Mapping[str, Any],
    rows: Mapping[str, int],
    seed: int | None = None,
    training: Mapping[str, Any] | None = None,
) -> Run:
    """Write a run; what else lies in the folder, such as checkpoints, stays.

    `run.json` is written last and lists all other files with their hashes: a run that was written
    over in part is noticed.

    Parameters
    ----------
    run : Run
        The model.
    folder : path
        Where to; made if need be.
    news : News
        The data. Its description says what part of the training rows it holds.
    metrics : mapping
        What was measured, as JSON can hold it.
    rows : mapping of str to int
        How many rows the model learned from and how many it was judged by, by split.
    seed : int, optional
        Of the training run.
    training : mapping, optional
        The settings of the training.

    Returns
    -------
    Run
        The same, with all that was written in `about`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RUN_FILE).unlink(missing_ok=True)
    settings = run.classifier.save(folder)
    names = [f"{ENCODER}/{path.name}" for path in sorted((folder / ENCODER).glob("*"))]
    if not isinstance(run.classifier, Encoder):
        names = [WEIGHTS, VOCABULARY]
    about = {
        "format": _FORMAT,
        "model": run.model,
        "classes": list(run.classes),
        "texts": run.texts,
        "steps": list(TEXT_PATHS[run.texts]),
        **settings,
        "data": {
            "name": news.name,
            "description": news.description,
            "rows": dict(rows),
            "md5": dict(news.md5),
        },
        "metrics": dict(metrics),
        "seed": seed,
        "training": dict(training or {}),
        "commit": code_version(),
        "environment": environment(),
        "files": {
            name: {"bytes": (folder / name).stat().st_size, "sha256": file_hash(folder / name)}
            for name in names
        },
    }
    write_text(folder / RUN_FILE, _run_text(about))
    return Run(run.model, run.classifier, run.classes, run.texts, about)


def _run_text(about: Mapping[str, Any]) -> str:
    """Return the text of `run.json`, which holds a checksum of all else in it."""
    rest = {name: value for name, value in about.items() if name != "sha256"}
    checksum = hashlib.sha256(json.dumps(rest).encode()).hexdigest()
    return json.dumps(rest | {"sha256": checksum}, indent=1, ensure_ascii=False) + "\n"


def load_run(folder: str | os.PathLike[str]) -> Run:
    """Load what `python -m agnews_utils.train --output FOLDER` wrote (rnn, "Using it").

    Nothing else is needed: neither the data nor the command's options.

    Returns
    -------
    Run
        On a GPU if there is one; `run.predict(["..."])` answers.

    Raises
    ------
    RunError
        If the folder is not there, is none of a run, or a file is missing, damaged or exchanged.
    """
    folder = Path(folder).expanduser()
    about = _about(folder)
    for name, listed in about["files"].items():
        path = folder / name
        if not path.is_file():
            raise RunError(f"{shown_path(folder)} lacks {name}. {_AGAIN}")
        if path.stat().st_size != listed["bytes"] or file_hash(path) != listed["sha256"]:
            raise RunError(
                f"{shown_path(path)} was changed, cut off or exchanged since it was saved: its "
                f"SHA-256 is not that in {RUN_FILE}. {_AGAIN}"
            )
    try:
        classifier = _KINDS[about["model"]].load(folder, about)
    except (ValueError, LookupError, OSError) as error:
        raise RunError(f"{shown_path(folder)} cannot be loaded: {error}") from None
    if isinstance(classifier, Network | Encoder):
        ids = torch.ones((1, 4), dtype=torch.long)
        batch = {"input_ids": ids, "attention_mask": ids, "lengths": torch.tensor([4])}
        if (device := usable_device(classifier.model, batch)) != device_of(classifier.model):
            classifier.model.to(device)
    return Run(about["model"], classifier, tuple(about["classes"]), about["texts"], about)


_AGAIN = "Copy the whole folder once more, or train the model again."


def _about(folder: Path) -> dict[str, Any]:
    """Read `run.json`, and refuse what was changed, or written by another version."""
    path, shown = folder / RUN_FILE, shown_path(folder)
    if not folder.is_dir():
        raise RunError(
            f"{shown} does not exist: name the folder that `python -m agnews_utils.train --output` "
            "wrote."
        )
    if not path.is_file():
        if (folder / "config.json").is_file():
            reason = "it holds an encoder, which load_encoder reads"
        elif (folder / WEIGHTS).is_file():
            reason = (
                "it holds weights only, as earlier versions of the course wrote them, or training "
                "was interrupted while it saved; train the model again"
            )
        elif (folder / "checkpoints").is_dir():
            reason = "training has not ended; the same command with --resume goes on"
        else:
            reason = "name the folder that `python -m agnews_utils.train --output` wrote"
        raise RunError(f"{shown} has no {RUN_FILE}: {reason}.")
    try:
        text = path.read_bytes().decode("utf-8")
        about = json.loads(text)
        if not isinstance(about, dict) or "format" not in about:
            raise ValueError("it is none of a run")
    except (ValueError, RecursionError) as error:
        raise RunError(f"{shown_path(path)} is damaged ({error}). {_AGAIN}") from None
    if about["format"] != _FORMAT:
        raise RunError(
            f"{shown_path(path)} has the format {about['format']!r}, and this version of the "
            f"course reads {_FORMAT!r}: train the model again, or use the version that wrote it."
        )
    # Written again from its content, the file must come out as it is: that covers every byte.
    if text != _run_text(about):
        raise RunError(
            f"{shown_path(path)} was changed since it was saved: its checksum does not match. "
            f"{_AGAIN}"
        )
    unknown = about["texts"] not in TEXT_PATHS or about["model"] not in _KINDS
    if unknown or about["steps"] != list(TEXT_PATHS[about["texts"]]):
        raise RunError(
            f"{shown}: this version of the course prepares texts in another way than the one that "
            f"wrote it ({about['model']}, {about['texts']} texts, code {about['commit']}): use "
            "that one, or train the model again."
        )
    return about
