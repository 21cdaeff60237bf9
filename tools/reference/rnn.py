"""The reference runs of chapter rnn: all of its models, and the search (``tools.reference``)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader

from agnews_utils.data.loading import News
from agnews_utils.rnn.networks import (
    BagOfEmbeddings,
    RecurrentClassifier,
    TextCNN,
    count_parameters,
)
from agnews_utils.runtime import record, recorded, seed_everything
from agnews_utils.training.history import History
from agnews_utils.training.inference import evaluate
from agnews_utils.training.loop import fit
from agnews_utils.vocabulary.batching import make_loader
from agnews_utils.vocabulary.vocab import Vocab, build_vocab, encode, tokenize_all
from tools.builder.chapters import ROOT
from tools.reference.store import (
    RESULTS,
    finished,
    half_width,
    has_predictions,
    split,
    store,
)


@dataclass(frozen=True)
class Recipe:
    """How one model is made and trained; chosen on validation rows."""

    label: str
    make: Callable[[int], nn.Module]
    epochs: int = 5
    learning_rate: float = 2e-3
    batch_size: int = 64
    label_smoothing: float = 0.1
    weight_decay: float = 0.01
    seeds: tuple[int, ...] = (1, 2, 3)
    few: dict[str, Any] = field(default_factory=lambda: {"epochs": 12, "batch_size": 32})
    """What is different on a few thousand rows."""


def _recurrent(cell: str, bidirectional: bool = False) -> Callable[[int], nn.Module]:
    return lambda vocab_size: RecurrentClassifier(
        vocab_size,
        cell=cell,
        embedding_size=128,
        hidden_size=128,
        bidirectional=bidirectional,
        pooling="max",
        dropout=0.5,
        word_dropout=0.4,
    )


RECIPES: dict[str, Recipe] = {
    "bag": Recipe(
        "bag of embeddings, bigrams",
        lambda size: BagOfEmbeddings(size, embedding_size=16, buckets=300_000),
        epochs=4,
        learning_rate=1e-2,
        batch_size=128,
        label_smoothing=0.0,
        weight_decay=0.05,
    ),
    "cnn": Recipe(
        "TextCNN",
        lambda size: TextCNN(size, embedding_size=128, filters=100, word_dropout=0.4),
        epochs=4,
        seeds=(1,),
    ),
    "rnn": Recipe("RNN", _recurrent("rnn"), epochs=4, learning_rate=1e-3, seeds=(1,)),
    "gru": Recipe("GRU", _recurrent("gru"), epochs=4, seeds=(1,)),
    "lstm": Recipe("LSTM", _recurrent("lstm"), epochs=4, seeds=(1,)),
    "bilstm": Recipe("BiLSTM", _recurrent("lstm", bidirectional=True)),
}
RECURRENT = ("rnn", "gru", "lstm", "bilstm")


@dataclass(frozen=True)
class Splits:
    """Loaders of the three splits, and the vocabulary, built on the rows to fit."""

    fit: DataLoader
    valid: DataLoader
    test: DataLoader
    vocab: Vocab


@lru_cache(maxsize=1)
def _encoded(news: News) -> tuple[list[list[list[int]]], list[pd.Series], Vocab]:
    """Return texts as numbers, labels and vocabulary; it takes a while, so once for all models."""
    fit_rows, valid_rows = split(news)
    frames = (fit_rows, valid_rows, news.test)
    tokens = [tokenize_all(frame["text"]) for frame in frames]
    vocab = build_vocab(tokens[0], min_freq=3 if len(fit_rows) > 10_000 else 2)
    ids = [encode(texts, vocab, max_length=128) for texts in tokens]
    return ids, [frame["label"] for frame in frames], vocab


def prepare(news: News, batch_size: int, seed: int) -> Splits:
    """Make the loaders of the three splits (rnn, "A classifier")."""
    ids, labels, vocab = _encoded(news)
    sizes, shuffled = (batch_size, 256, 256), (True, False, False)
    loaders = [
        make_loader(texts, classes, size, seed, shuffle)
        for texts, classes, size, shuffle in zip(ids, labels, sizes, shuffled, strict=True)
    ]
    return Splits(*loaders, vocab)


def train_one(
    name: str, seed: int, news: News, resume: bool = True
) -> tuple[nn.Module, History, Splits]:
    """Train one model with one seed, or take it from its checkpoint if that run is finished."""
    recipe = RECIPES[name]
    changed = recipe.few if len(news.train) <= 10_000 else {}
    splits = prepare(news, changed.get("batch_size", recipe.batch_size), seed)
    seed_everything(seed)
    model = recipe.make(len(splits.vocab))
    history = fit(
        model,
        splits.fit,
        splits.valid,
        epochs=changed.get("epochs", recipe.epochs),
        learning_rate=recipe.learning_rate,
        label_smoothing=recipe.label_smoothing,
        weight_decay=recipe.weight_decay,
        seed=seed,
        checkpoint_folder=ROOT / "build" / "reference" / f"{name}-{news.name}-{seed}",
        resume=resume,
    )
    return model, history, splits


def run_one(name: str, seed: int, news: News, resume: bool = True) -> dict[str, Any]:
    """Train one model with one seed, store its predictions; the best epoch on validation counts."""
    model, history, splits = train_one(name, seed, news, resume)
    parameters = count_parameters(model)["total"]
    cost = {"parameters": parameters, "train_cpu_seconds": sum(history.epochs["cpu_seconds"])}
    store(news, name, seed, model, (splits.valid, splits.test), cost)
    return {
        "parameters": parameters,
        "epochs": len(history.epochs["epoch"]),
        "best_epoch": history.best_epoch,
        "fit_rows": len(splits.fit.dataset),
        "valid_rows": len(splits.valid.dataset),
        "cpu_seconds_per_epoch": statistics.mean(history.epochs["cpu_seconds"]),
        "valid_accuracy": evaluate(model, splits.valid)["accuracy"],
        "test_accuracy": evaluate(model, splits.test)["accuracy"],
    }


def summary(runs: dict[str, dict[str, Any]], news: News) -> dict[str, Any]:
    """Return what tables and prose need: medians over the seeds, with intervals."""
    from agnews_utils.data.exploration import accuracy_interval

    rows, table, middle = len(news.test), [], {}
    for name, recipe in RECIPES.items():
        if name not in runs:
            continue
        seeds = list(runs[name].values())
        test = statistics.median(run["test_accuracy"] for run in seeds)
        valid = statistics.median(run["valid_accuracy"] for run in seeds)
        middle[name] = (valid, test)
        low, high = accuracy_interval(test, rows)
        table.append(
            {
                "model": recipe.label,
                "seeds": len(seeds),
                "parameters": seeds[0]["parameters"],
                "CPU seconds an epoch": statistics.median(
                    run["cpu_seconds_per_epoch"] for run in seeds
                ),
                "valid accuracy": valid,
                "test accuracy": test,
                "+-95 %": (high - low) / 2,
            }
        )
    linear = recorded("exploration", news.name)
    table.insert(0, _linear_row(linear, rows))
    content: dict[str, Any] = {"train_rows": len(news.train), "runs": runs, "table": table}
    recurrent = [name for name in RECURRENT if name in middle]
    if recurrent:
        best = max(recurrent, key=lambda name: middle[name])
        content |= {
            "best_recurrent": RECIPES[best].label,
            "best_recurrent_accuracy": middle[best][1],
            "seeds": len(runs[best]),
        }
        content |= _reading(middle[best][1], linear["linear_accuracy"], rows)
    if "bag" in middle:
        content["bag_accuracy"] = middle["bag"][1]
    content["readme_rows"] = [
        {
            "model": f"{row['model']} (chapter rnn, median of {row['seeds']} seeds)",
            "accuracy": row["test accuracy"],
            "interval": accuracy_interval(row["test accuracy"], rows),
        }
        for row in table[1:]
        if row["seeds"] > 1
    ]
    return content


def _linear_row(linear: dict[str, Any], rows: int) -> dict[str, Any]:
    accuracy = linear["linear_accuracy"]
    return {
        "model": "linear model (chapter exploration)",
        "seeds": 1,
        "parameters": None,
        "CPU seconds an epoch": None,
        "valid accuracy": linear["linear_valid_accuracy"],
        "test accuracy": accuracy,
        "+-95 %": half_width(accuracy, rows),
    }


def _reading(network: float, linear: float, rows: int) -> dict[str, Any]:
    """Return the sentence that reads the comparison with the linear model, and its margin."""
    half = half_width(network, rows)
    if abs(network - linear) < half:
        text = "The network and the linear model cannot be told apart on these test rows."
    elif network < linear:
        text = "The linear model wins."
    else:
        text = "The network is ahead of the linear model by more than its own interval."
    return {"half_width": half, "reading": text}


def rnn_peers(news: News, only: Sequence[str], again: bool) -> None:
    """Train every model with all of its seeds; store the results after each."""
    for name in only or RECIPES:
        for seed in RECIPES[name].seeds:
            done = str(seed) in finished("rnn_peers", news).get("runs", {}).get(name, {})
            if not again and done and has_predictions(news, name, seed):
                continue
            started = time.process_time()
            run = run_one(name, seed, news, resume=not again)
            # Read again: another command may have finished another model meanwhile.
            runs = finished("rnn_peers", news).get("runs", {})
            runs.setdefault(name, {})[str(seed)] = run
            content = summary(runs, news)
            record(
                "rnn_peers",
                news,
                content,
                f"{name}, seed {seed}: test {run['test_accuracy']:.2%}, "
                f"valid {run['valid_accuracy']:.2%}, {time.process_time() - started:.0f} s",
                seed=seed,
                cpu_seconds=sum(
                    done["cpu_seconds_per_epoch"] * done["epochs"]
                    for by_seed in runs.values()
                    for done in by_seed.values()
                ),
                folder=RESULTS,
            )


def rnn_search(news: News, only: Sequence[str], again: bool, trials: int = 16) -> None:
    """Search dropout, word dropout, size and rate of a GRU with Optuna on validation rows."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows = news.train.sample(min(len(news.train), 4_000), random_state=0)
    small = News(news.name, news.folder, rows.reset_index(drop=True), news.test, news.md5)
    splits = prepare(small, 32, 1)

    def objective(trial: optuna.Trial) -> float:
        torch.manual_seed(0)
        size = trial.suggest_categorical("size", [32, 64, 128])
        model = RecurrentClassifier(
            len(splits.vocab),
            cell="gru",
            embedding_size=size,
            hidden_size=size,
            pooling="max",
            dropout=trial.suggest_float("dropout", 0.0, 0.7),
            word_dropout=trial.suggest_float("word_dropout", 0.0, 0.6),
        )
        rate = trial.suggest_float("learning_rate", 5e-4, 1e-2, log=True)
        history = fit(model, splits.fit, splits.valid, epochs=4, learning_rate=rate, seed=1)
        return history.best["valid_accuracy"]

    started = time.process_time()
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=6)
    )
    study.optimize(objective, n_trials=trials)
    done = [{"valid_accuracy": trial.value, **trial.params} for trial in study.trials]
    record(
        "rnn_search",
        news,
        {
            "rows": len(rows),
            "trials": done,
            "best": study.best_params | {"accuracy": study.best_value},
        },
        f"search: {study.best_value:.2%} on validation rows",
        seed=0,
        cpu_seconds=time.process_time() - started,
        folder=RESULTS,
    )
