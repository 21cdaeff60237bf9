"""Train a model from the command line (rnn, "When one machine is not enough").

    python -m agnews_utils.train --model bilstm --epochs 3 --output runs/bilstm
    python -m agnews_utils.train --model bert --encoder minilm --output runs/bert
    torchrun --nproc_per_node 2 -m agnews_utils.train --model bilstm --output runs/bilstm
    accelerate launch --num_processes 2 -m agnews_utils.train --model bilstm --output runs/bilstm

The last three lines train a network; with one process or several the result is the same within
rounding, apart from dropout: each process reads all batches and computes its share of the rows.
The last line printed is JSON. The output folder needs nothing else to be used
(`python -m agnews_utils.predict runs/bilstm "a text"`); it holds history and checkpoints, too.
Interrupted, the same command with `--resume` goes on where it stopped.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from accelerate import PartialState
from sklearn.metrics import accuracy_score, f1_score, log_loss
from torch import nn
from torch.utils.data import DataLoader

from agnews_utils.bert.encoder import load_encoder
from agnews_utils.bert.fine_tuning import FINE_TUNING, MAX_LENGTH, bert_loader
from agnews_utils.cleaning.pipeline import clean_frame, repair_frame
from agnews_utils.data.formats import NewsFormatError
from agnews_utils.data.loading import News, load_news
from agnews_utils.data.splitting import train_valid_split
from agnews_utils.evaluation.predictions import LinearClassifier
from agnews_utils.rnn.networks import count_parameters
from agnews_utils.runs import MODELS, NETWORKS, Encoder, Linear, Network, Run, save_run
from agnews_utils.runtime import (
    DEVICE_VARIABLE,
    DeviceError,
    device_as_typed,
    pick_device,
    record,
    say,
    seed_everything,
)
from agnews_utils.training.checkpoints import checkpoint_folders
from agnews_utils.training.history import History
from agnews_utils.training.inference import evaluate, predict
from agnews_utils.training.loop import fit
from agnews_utils.vocabulary.batching import make_loader
from agnews_utils.vocabulary.vocab import Vocab, build_vocab, encode, tokenize

_EVERY_FIT: dict[str, Any] = {
    "accumulate": 1,
    "patience": None,
    "mixed_precision": None,
    "checkpoint_every": None,
    "resume": False,
}
_NETWORK: dict[str, Any] = {
    **_EVERY_FIT,
    "epochs": 3,
    "batch_size": 64,
    "learning_rate": 2e-3,
    "schedule": "one_cycle",
    "word_dropout": 0.3,
    "vocab_size": 30_000,
    "max_length": 200,
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "linear": {"c": 1.0},
    **{name: _NETWORK for name in NETWORKS},
    "bert": {
        **_EVERY_FIT,
        "epochs": FINE_TUNING["epochs"],
        "batch_size": 32,
        "learning_rate": None,
        "schedule": FINE_TUNING["schedule"],
        "max_length": MAX_LENGTH,
        "encoder": None,
        "new_head": False,
    },
}
"""The options of each model, by the names that they have in Python."""

_LEARNING_RATES = {256: FINE_TUNING["learning_rate"], 384: 1.2e-4, 10_000: 3e-5}
"""Width up to which an encoder is fine-tuned with a learning rate: the wider, the smaller."""

_PARAMETERS = {"max_tokens": "vocab_size"}
"""Names in messages of functions that differ from those of the options."""


@dataclass(frozen=True)
class Prepared:
    """What a network trains on: loaders of the splits, the vocabulary, the rows of the splits."""

    train: DataLoader
    valid: DataLoader
    test: DataLoader
    vocab: Vocab
    rows: list[pd.DataFrame]


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; see `python -m agnews_utils.train --help`."""
    parser = argparse.ArgumentParser(
        prog="python -m agnews_utils.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--model", choices=sorted(MODELS), default="bilstm", help="default: bilstm")
    add("--data", help="ag_news, newsbriefs, a folder or a file; default: what load_news() picks")
    add("--rows", type=_positive, help="train on so many rows, drawn at random, for a quick try")
    add("--valid-fraction", type=float, default=0.1, help="share of them to judge by; default: 0.1")
    add("--output", type=Path, required=True, help="folder for all that the run writes")
    add("--test", action="store_true", help="measure on the test split, too: once, at the end")
    add("--seed", type=int, default=42)
    add("--device", help="cpu, cuda or mps; default: a GPU if there is one")
    add("--progress", action=argparse.BooleanOptionalAction, help="show a bar")
    add = parser.add_argument_group("networks and bert").add_argument
    add("--epochs", type=_positive, help="default: 3; bert: 5")
    add("--batch-size", type=_positive, help="rows per step, over all processes; 64; bert: 32")
    add("--accumulate", type=_positive, help="batches per step")
    add("--learning-rate", type=float, help="default: 0.002; bert: by the width of the encoder")
    add("--schedule", choices=["one_cycle", "linear", "cosine", "constant"])
    add("--max-length", type=_positive, help=f"tokens per text; default: 200; bert: {MAX_LENGTH}")
    add("--patience", type=_positive, help="stop after so many epochs without improvement")
    add("--mixed-precision", choices=["no", "fp16", "bf16"])
    add("--checkpoint-every", type=_positive, help="steps; by default after each epoch only")
    add("--resume", action="store_const", const=True, help="go on from the newest checkpoint")
    add = parser.add_argument_group("networks").add_argument
    add("--word-dropout", type=float, help="share of the words hidden in training; default: 0.3")
    add("--vocab-size", type=_positive, help="default: 30000")
    add = parser.add_argument_group("bert").add_argument
    add("--encoder", help="bundled, minilm, a folder or a name on the hub; see load_encoder")
    add("--new-head", action="store_const", const=True, help="forget the classes it was trained on")
    add = parser.add_argument_group("linear").add_argument
    add("--c", type=float, help="how hard it tries to fit the rows; default: 1")
    options = parser.parse_args(arguments)
    own = DEFAULTS[options.model]
    for name in sorted({name for table in DEFAULTS.values() for name in table}):
        given = getattr(options, name)
        if given is not None and name not in own:
            parser.error(f"--model {options.model} has no {_typed(name)}")
        setattr(options, name, own.get(name) if given is None else given)
    return options


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is below 1")
    return number


def limited(news: News, options: argparse.Namespace) -> News:
    """Return the data with as many training rows as `--rows` asks for, drawn at random."""
    if options.rows is None or options.rows >= len(news.train):
        return news
    rows = news.train.sample(options.rows, random_state=options.seed).sort_index()
    return news.with_training_rows(rows)


def splits(news: News, options: argparse.Namespace) -> list[pd.DataFrame]:
    """Return the rows to learn from, those to validate on, and the test rows."""
    rows = limited(news, options).train
    return [*train_valid_split(rows, options.valid_fraction, seed=options.seed), news.test]


def prepare(news: News, options: argparse.Namespace) -> Prepared:
    """Split off validation rows, clean, build the vocabulary on the rest, make the loaders."""
    frames = splits(news, options)
    tokens = [[tokenize(text) for text in clean_frame(frame)["text"]] for frame in frames]
    vocab = build_vocab(tokens[0], max_tokens=options.vocab_size)

    def loader(split: int, batch_size: int, shuffle: bool = False) -> DataLoader:
        ids = encode(tokens[split], vocab, max_length=options.max_length)
        labels = frames[split]["label"]
        return make_loader(ids, labels, batch_size, seed=options.seed, shuffle=shuffle)

    train = loader(0, options.batch_size, shuffle=True)
    return Prepared(train, loader(1, 256), loader(2, 256), vocab, frames)


# ----------------------------------------------------------------------------- the kinds of models


@dataclass(frozen=True)
class Trained:
    """What a training made.

    Attributes
    ----------
    run : Run
        The model, with all that it needs.
    rows : list of DataFrame
        Those learned from, those for validation, those for the test.
    answers : list of array, shape (rows, classes)
        Probabilities for the validation rows, and with `--test` for the test rows.
    losses : list of float
        In nats, of the same rows.
    parameters : int
        Numbers that were learned.
    history : History, optional
        What `fit` returned.
    vocabulary : int
        Number of tokens that the model knows.
    """

    run: Run
    rows: list[pd.DataFrame]
    answers: list[np.ndarray]
    losses: list[float]
    parameters: int
    vocabulary: int
    history: History | None = None


def _train_linear(news: News, options: argparse.Namespace) -> Trained:
    rows = splits(news, options)
    classes = len(news.classes)
    if rows[0]["label"].nunique() < 2:
        raise ValueError("the rows to learn from are all of one class: give more rows.")
    model = LinearClassifier(options.c, classes=classes).fit(rows[0]["text"], rows[0]["label"])
    judged = rows[1 : 3 if options.test else 2]
    answers = [model.predict_proba(frame["text"]) for frame in judged]
    losses = [
        float(log_loss(frame["label"], found, labels=range(classes)))
        for frame, found in zip(judged, answers, strict=True)
    ]
    run = Run("linear", Linear(model), news.classes, "raw")
    terms = len(model.features.vocabulary_)
    return Trained(run, rows, answers, losses, model.parameters, terms)


def _train_network(news: News, options: argparse.Namespace) -> Trained:
    data = prepare(news, options)
    seed_everything(options.seed)
    settings = {"word_dropout": options.word_dropout}
    name, classes = options.model, len(news.classes)
    model = NETWORKS[name](len(data.vocab), classes=classes, **settings)
    network = Network(name, model, data.vocab, options.max_length, settings)
    run = Run(name, network, news.classes, "cleaned")
    loaders = [data.train, data.valid, data.test]
    return _fitted(run, model, loaders, data.rows, options, len(data.vocab))


def _train_bert(news: News, options: argparse.Namespace) -> Trained:
    rows = splits(news, options)
    seed_everything(options.seed)  # of the new head
    model, tokenizer = load_encoder(options.encoder, news.classes, new_head=options.new_head)
    longest = getattr(model.config, "max_position_embeddings", options.max_length)
    if options.max_length > longest:
        raise ValueError(f"max_length={options.max_length}: this encoder reads {longest} at most.")
    if options.learning_rate is None:
        width = model.config.hidden_size
        options.learning_rate = next(r for w, r in _LEARNING_RATES.items() if width <= w)
    loaders = [
        bert_loader(
            repair_frame(frame)["text"],
            frame["label"],
            tokenizer,
            options.batch_size if number == 0 else 128,
            max_length=options.max_length,
            seed=options.seed,
            shuffle=number == 0,
        )
        for number, frame in enumerate(rows)
    ]
    run = Run("bert", Encoder(model, tokenizer, options.max_length), news.classes, "repaired")
    warmup = FINE_TUNING["warmup"] if options.schedule == "linear" else None
    return _fitted(run, model, loaders, rows, options, len(tokenizer), warmup)


def _fitted(
    run: Run,
    model: nn.Module,
    loaders: Sequence[DataLoader],
    rows: list[pd.DataFrame],
    options: argparse.Namespace,
    vocabulary: int,
    warmup: float | None = None,
) -> Trained:
    checkpoints = options.output / "checkpoints"
    if not options.resume and checkpoint_folders(checkpoints):
        raise ValueError(
            f"{checkpoints} holds checkpoints of an earlier run: add --resume to go on from them, "
            "or name another folder with --output."
        )
    history = fit(
        model,
        loaders[0],
        loaders[1],
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        schedule=options.schedule,
        warmup=warmup,
        accumulate=options.accumulate,
        patience=options.patience,
        seed=options.seed,
        mixed_precision=options.mixed_precision,
        checkpoint_folder=checkpoints,
        checkpoint_every=options.checkpoint_every,
        resume=options.resume,
        progress=options.progress,
    )
    judged = loaders[1 : 3 if options.test else 2]
    losses = [evaluate(model, loader)["loss"] for loader in judged]
    answers = [predict(model, loader) for loader in judged]
    parameters = count_parameters(model)["total"]
    return Trained(run, rows, answers, losses, parameters, vocabulary, history)


# ------------------------------------------------------------------------------------- measuring


def scores(
    labels: Iterable[int], answers: np.ndarray, loss: float, majority: int, name: str
) -> dict[str, Any]:
    """Return loss, accuracy, macro F1, and what always naming one class would reach.

    Parameters
    ----------
    labels : iterable of int
        The true classes.
    answers : array, shape (rows, classes)
        Probabilities.
    loss : float
        In nats.
    majority : int
        The most frequent class among the training rows.
    name : str
        Of the split: how the names of the results begin.
    """
    true, found = np.asarray(list(labels)), answers.argmax(axis=1)
    return {
        f"{name}_loss": loss,
        f"{name}_accuracy": float(accuracy_score(true, found)),
        f"{name}_macro_f1": float(f1_score(true, found, average="macro", zero_division=0)),
        f"{name}_majority_share": float((true == majority).mean()),
    }


def train(options: argparse.Namespace, main_process: bool = True) -> dict[str, Any]:
    """Train and measure; write everything into the output folder; return the metrics."""
    news, state = limited(load_news(options.data), options), PartialState()
    kinds = {"linear": _train_linear, "bert": _train_bert}
    if options.model == "linear" and state.num_processes > 1:
        raise ValueError("--model linear learns in one process: start it without torchrun.")
    trained = kinds.get(options.model, _train_network)(news, options)
    rows, history, run = trained.rows, trained.history, trained.run
    metrics: dict[str, Any] = {
        "model": options.model,
        "processes": state.num_processes,
        "device": str(state.device.type),
        "classes": list(news.classes),
        "parameters": trained.parameters,
        "vocab_size": trained.vocabulary,
        "train_documents": len(rows[0]),
        "valid_documents": len(rows[1]),
    }
    if history:
        metrics |= {
            "epochs": len(history.epochs["epoch"]),
            "best_epoch": history.best_epoch,
            "interrupted": history.interrupted,
            "train_loss": history.best.get("loss"),
            "seconds": sum(history.epochs["seconds"]),
            "cpu_seconds": sum(history.epochs["cpu_seconds"]),
        }
    majority = int(rows[0]["label"].mode()[0])
    for name, frame, answers, loss in zip(
        ("valid", "test"), rows[1:], trained.answers, trained.losses, strict=False
    ):
        metrics |= scores(frame["label"], answers, loss, majority, name)
    if main_process:
        folder = options.output
        if history:
            history.to_json(folder / "history.json")
        used = {"train": len(rows[0]), "valid": len(rows[1])}
        used |= {"test": len(rows[2])} if options.test else {}
        training = {name: getattr(options, name) for name in DEFAULTS[options.model]}
        save_run(run, folder, news, metrics, used, options.seed, training)
        headline = (
            f"{options.model} on {news.description}: {metrics['valid_accuracy']:.1%} of "
            f"{len(rows[1]):,} validation rows right, macro F1 {metrics['valid_macro_f1']:.1%}; "
            f"{news.classes[majority]!r} alone would be {metrics['valid_majority_share']:.1%}"
        )
        record(f"train_{options.model}", news, metrics, headline, options.seed, folder=folder)
    return metrics


# ------------------------------------------------------------------------------------ the command


_ALONE = r"(?<![\w./\\'\"-])"  # before a name that is no part of a path, a word, or a quoted name


def as_typed(message: str) -> str:
    """Return an error's message with options in the form in which a command takes them.

    Examples
    --------
    >>> as_typed("learning_rate=-1.0: expected a positive number")
    '--learning-rate -1.0: expected a positive number'
    >>> as_typed("pass resume=True, or change valid_fraction")
    'pass --resume, or change --valid-fraction'
    >>> as_typed("runs/new_head/run.json has no column 'max_length'")
    "runs/new_head/run.json has no column 'max_length'"
    """
    known = {name for table in DEFAULTS.values() for name in table} | {"valid_fraction", "seed"}
    names = {name: name for name in known} | _PARAMETERS
    either = "|".join(sorted(names, key=len, reverse=True))

    def option(found: re.Match[str]) -> str:
        value = "" if found[2] == "True" else f" {found[2]}"
        return _typed(names[found[1]]) + value

    message = re.sub(rf"{_ALONE}({either})=('[^']*'|\[[^\]]*\]|[^\s,:;]+)", option, message)
    long = "|".join(sorted((name for name in names if "_" in name), key=len, reverse=True))
    message = re.sub(rf"{_ALONE}({long})(?![\w=(])", lambda m: _typed(names[m[1]]), message)
    return message.replace("the argument of load_news", "--data")


def _typed(name: str) -> str:
    return "--" + name.replace("_", "-")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0, 1 after an error that a sentence on stderr explains, 130 if
    Ctrl-C ended it.
    """  # noqa: D205
    options = parse_arguments(arguments)
    if options.device:
        os.environ[DEVICE_VARIABLE] = options.device
    try:
        state = PartialState(cpu=pick_device().type == "cpu")
        with nullcontext() if state.is_main_process else redirect_stdout(io.StringIO()):
            metrics = train(options, state.is_main_process)
            say(json.dumps(metrics))
            sys.stdout.flush()
        state.wait_for_everyone()  # a process that leaves early would end the others
    except KeyboardInterrupt:
        print(f"python -m agnews_utils.train: interrupted{_goes_on(options)}.", file=sys.stderr)
        return 130
    except (ValueError, OSError, DeviceError) as error:
        message = device_as_typed(str(error)) if options.device else str(error)
        if isinstance(error, NewsFormatError) and re.search(r"\b[Ss]ay \w+=", message):
            message += " (A command reads it from a file dataset.toml beside the data.)"
        print(f"python -m agnews_utils.train: {as_typed(message)}", file=sys.stderr)
        return 1
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    if not metrics.get("interrupted"):
        return 0
    print(
        f"python -m agnews_utils.train: interrupted; {options.output} holds the model as it is now"
        f"{_goes_on(options)}.",
        file=sys.stderr,
    )
    return 130


def _goes_on(options: argparse.Namespace) -> str:
    there = checkpoint_folders(options.output / "checkpoints")
    return "; the same command with --resume goes on from the last checkpoint" if there else ""


if __name__ == "__main__":
    sys.exit(main())
