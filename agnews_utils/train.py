"""Train a network from the command line (rnn, "When one machine is not enough").

    python -m agnews_utils.train --model bilstm --epochs 3 --output runs/bilstm
    torchrun --nproc_per_node 2 -m agnews_utils.train --model bilstm --output runs/bilstm
    accelerate launch --num_processes 2 -m agnews_utils.train --model bilstm --output runs/bilstm

All three give the same result within rounding, apart from dropout: each process reads all batches
and computes its share of the rows. The last line printed is JSON; the output folder holds weights,
vocabulary, history, checkpoints and a results file. Interrupted, the same command with `--resume`
goes on where it stopped.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from torch import nn
from torch.utils.data import DataLoader

from agnews_utils.cleaning.pipeline import clean_frame
from agnews_utils.data.loading import News, load_news
from agnews_utils.data.splitting import train_valid_split
from agnews_utils.rnn.networks import (
    BagOfEmbeddings,
    RecurrentClassifier,
    TextCNN,
    count_parameters,
)
from agnews_utils.runtime import pick_device, record, seed_everything
from agnews_utils.training.checkpoints import save_weights
from agnews_utils.training.inference import evaluate
from agnews_utils.training.loop import fit
from agnews_utils.vocabulary.batching import make_loader
from agnews_utils.vocabulary.vocab import Vocab, build_vocab, encode, tokenize

MODELS: dict[str, Callable[..., nn.Module]] = {
    "bag": BagOfEmbeddings,
    "cnn": TextCNN,
    "rnn": partial(RecurrentClassifier, cell="rnn", pooling="max"),
    "gru": partial(RecurrentClassifier, cell="gru", pooling="max"),
    "lstm": partial(RecurrentClassifier, cell="lstm", pooling="max"),
    "bilstm": partial(RecurrentClassifier, cell="lstm", pooling="max", bidirectional=True),
}
"""The networks by name; each takes the size of the vocabulary, the number of classes, and the share
of dropped words."""


@dataclass(frozen=True)
class Prepared:
    """What a run trains on: loaders of the splits, the vocabulary, the number of training rows."""

    train: DataLoader
    valid: DataLoader
    test: DataLoader
    vocab: Vocab
    train_documents: int


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
    add("--epochs", type=_positive, default=3)
    add("--batch-size", type=_positive, default=64, help="rows per step, over all processes")
    add("--accumulate", type=_positive, default=1, help="batches per step")
    add("--learning-rate", type=float, default=2e-3)
    add("--schedule", choices=["one_cycle", "linear", "cosine", "constant"], default="one_cycle")
    add("--word-dropout", type=float, default=0.3, help="share of the words hidden in training")
    add("--vocab-size", type=_positive, default=30_000)
    add("--max-length", type=_positive, default=200, help="tokens per text")
    add("--patience", type=_positive, help="stop after so many epochs without improvement")
    add("--seed", type=int, default=42)
    add("--mixed-precision", choices=["no", "fp16", "bf16"])
    add("--output", type=Path, required=True, help="folder for all that the run writes")
    add("--checkpoint-every", type=_positive, help="steps; by default after each epoch only")
    add("--resume", action="store_true", help="go on from the newest checkpoint in the output")
    add("--test", action="store_true", help="measure on the test split, too: once, at the end")
    add("--progress", action=argparse.BooleanOptionalAction, help="show a bar")
    return parser.parse_args(arguments)


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


def prepare(news: News, options: argparse.Namespace) -> Prepared:
    """Split off validation rows, clean, build the vocabulary on the rest, make the loaders."""
    rows = limited(news, options).train
    frames = [*train_valid_split(rows, seed=options.seed), news.test]
    tokens = [[tokenize(text) for text in clean_frame(frame)["text"]] for frame in frames]
    vocab = build_vocab(tokens[0], max_tokens=options.vocab_size)

    def loader(split: int, batch_size: int, shuffle: bool = False) -> DataLoader:
        ids = encode(tokens[split], vocab, max_length=options.max_length)
        labels = frames[split]["label"]
        return make_loader(ids, labels, batch_size, seed=options.seed, shuffle=shuffle)

    train = loader(0, options.batch_size, shuffle=True)
    return Prepared(train, loader(1, 256), loader(2, 256), vocab, len(frames[0]))


def train(options: argparse.Namespace, main_process: bool = True) -> dict[str, Any]:
    """Train and measure; write everything into the output folder; return the metrics."""
    news = limited(load_news(options.data), options)
    data = prepare(news, options)
    seed_everything(options.seed)
    model = MODELS[options.model](
        len(data.vocab), classes=len(news.classes), word_dropout=options.word_dropout
    )
    history = fit(
        model,
        data.train,
        data.valid,
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        schedule=options.schedule,
        accumulate=options.accumulate,
        patience=options.patience,
        seed=options.seed,
        mixed_precision=options.mixed_precision,
        checkpoint_folder=options.output / "checkpoints",
        checkpoint_every=options.checkpoint_every,
        resume=options.resume,
        progress=options.progress,
    )
    valid, state = evaluate(model, data.valid), PartialState()
    metrics = {
        "model": options.model,
        "processes": state.num_processes,
        "device": str(state.device.type),
        "classes": list(news.classes),
        "parameters": count_parameters(model)["total"],
        "vocab_size": len(data.vocab),
        "epochs": len(history.epochs["epoch"]),
        "best_epoch": history.best_epoch,
        "interrupted": history.interrupted,
        "train_documents": data.train_documents,
        "valid_documents": valid["documents"],
        "train_loss": history.best.get("loss"),
        "valid_loss": valid["loss"],
        "valid_accuracy": valid["accuracy"],
        "seconds": sum(history.epochs["seconds"]),
        "cpu_seconds": sum(history.epochs["cpu_seconds"]),
    }
    if options.test:
        test = evaluate(model, data.test)
        metrics |= {"test_loss": test["loss"], "test_accuracy": test["accuracy"]}
    if main_process:
        folder = options.output
        save_weights(model, folder / "model.safetensors")
        data.vocab.save(folder / "vocabulary.json")
        history.to_json(folder / "history.json")
        right = f"{valid['accuracy']:.1%} of {valid['documents']:,} validation rows right"
        headline = f"{options.model} on {news.description}: {right}"
        record(f"train_{options.model}", news, metrics, headline, options.seed, folder=folder)
    return metrics


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 1 after an error that a sentence on stderr explains."""
    options = parse_arguments(arguments)
    state = PartialState(cpu=pick_device().type == "cpu")
    try:
        with nullcontext() if state.is_main_process else redirect_stdout(io.StringIO()):
            print(json.dumps(train(options, state.is_main_process)), flush=True)
        state.wait_for_everyone()  # a process that leaves early would end the others
    except (ValueError, OSError) as error:
        print(f"python -m agnews_utils.train: {error}", file=sys.stderr)
        return 1
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
