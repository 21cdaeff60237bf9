"""The reference runs of chapter rnn: all of its models, and the search for settings."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import pandas as pd
import torch
from scipy.stats import binomtest
from torch import nn
from torch.utils.data import DataLoader

from agnews_utils.data.exploration import accuracy_interval
from agnews_utils.data.loading import News
from agnews_utils.data.splitting import train_valid_split
from agnews_utils.evaluation.predictions import Predictions, stored_predictions
from agnews_utils.rnn.networks import BagOfEmbeddings, RecurrentClassifier, TextCNN
from agnews_utils.runtime import recorded, seed_everything
from agnews_utils.training.history import History
from agnews_utils.training.inference import evaluate
from agnews_utils.training.loop import fit
from agnews_utils.vocabulary.batching import make_loader
from agnews_utils.vocabulary.vocab import Vocab, build_vocab, encode, tokenize_all
from tools.reference import store


@dataclass(frozen=True)
class Peer:
    """How one of the models is made and trained; chosen on validation rows."""

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


PEERS: dict[str, Peer] = {
    "bag": Peer(
        "bag of embeddings, bigrams",
        lambda size: BagOfEmbeddings(size, embedding_size=16, buckets=300_000),
        epochs=4,
        learning_rate=1e-2,
        batch_size=128,
        label_smoothing=0.0,
        weight_decay=0.05,
    ),
    "cnn": Peer(
        "TextCNN",
        lambda size: TextCNN(size, embedding_size=128, filters=100, word_dropout=0.4),
        epochs=4,
        seeds=(1,),
    ),
    "rnn": Peer("RNN", _recurrent("rnn"), epochs=4, learning_rate=1e-3, seeds=(1,)),
    "gru": Peer("GRU", _recurrent("gru"), epochs=4, seeds=(1,)),
    "lstm": Peer("LSTM", _recurrent("lstm"), epochs=4, seeds=(1,)),
    "bilstm": Peer("BiLSTM", _recurrent("lstm", bidirectional=True)),
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
    fit_rows, valid_rows = store.split(news)
    frames = (fit_rows, valid_rows, news.test)
    tokens = [tokenize_all(frame["text"]) for frame in frames]
    vocab = build_vocab(tokens[0], min_freq=3 if len(fit_rows) > 10_000 else 2)
    ids = [encode(texts, vocab, max_length=128) for texts in tokens]
    return ids, [frame["label"] for frame in frames], vocab


def prepare(news: News, batch_size: int, seed: int) -> Splits:
    """Make the loaders of the three splits (rnn, "A classifier")."""
    ids, labels, vocab = _encoded(news)
    return Splits(
        fit=make_loader(ids[0], labels[0], batch_size, seed),
        valid=make_loader(ids[1], labels[1], 256, seed, shuffle=False),
        test=make_loader(ids[2], labels[2], 256, seed, shuffle=False),
        vocab=vocab,
    )


def train_one(
    name: str, seed: int, news: News, resume: bool = True
) -> tuple[nn.Module, History, Splits]:
    """Train one model with one seed, or take it from its checkpoint if that run is finished."""
    peer = PEERS[name]
    changed = peer.few if store.is_small(news) else {}
    splits = prepare(news, changed.get("batch_size", peer.batch_size), seed)
    seed_everything(seed)
    model = peer.make(len(splits.vocab))
    history = fit(
        model,
        splits.fit,
        splits.valid,
        epochs=changed.get("epochs", peer.epochs),
        learning_rate=peer.learning_rate,
        label_smoothing=peer.label_smoothing,
        weight_decay=peer.weight_decay,
        seed=seed,
        checkpoint_folder=store.CHECKPOINTS / f"{name}-{news.name}-{seed}",
        resume=resume,
    )
    return model, history, splits


def run_one(name: str, seed: int, news: News, resume: bool = True) -> dict[str, Any]:
    """Train one model with one seed, store its predictions; the best epoch on validation counts."""
    model, history, splits = train_one(name, seed, news, resume)
    predictions = store.store(news, name, seed, model, (splits.valid, splits.test), history)
    fit_rows, valid_rows = store.split(news)
    return {
        "parameters": predictions.cost["parameters"],
        "epochs": len(history.epochs["epoch"]),
        "best_epoch": history.best_epoch,
        "fit_rows": len(fit_rows),
        "valid_rows": len(valid_rows),
        "cpu_seconds_per_epoch": statistics.mean(history.epochs["cpu_seconds"]),
        "valid_accuracy": evaluate(model, splits.valid)["accuracy"],
        "test_accuracy": evaluate(model, splits.test)["accuracy"],
    }


def summary(runs: store.Runs, news: News) -> dict[str, Any]:
    """Return what tables and prose need: medians over the seeds, with intervals."""
    rows, middle = len(news.test), {}
    table = _linear_rows(news)
    for name, peer in PEERS.items():
        if name not in runs:
            continue
        seeds = list(runs[name].values())
        test = statistics.median(run["test_accuracy"] for run in seeds)
        valid = statistics.median(run["valid_accuracy"] for run in seeds)
        middle[name] = (valid, test)
        low, high = accuracy_interval(test, rows)
        table.append(
            {
                "model": peer.label,
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
    content: dict[str, Any] = {"train_rows": len(news.train), "runs": runs, "table": table}
    recurrent = [name for name in RECURRENT if name in middle]
    if recurrent:
        best = max(recurrent, key=lambda name: middle[name])
        content |= {
            "best_recurrent": PEERS[best].label,
            "best_recurrent_accuracy": middle[best][1],
            "seeds": len(runs[best]),
            "half_width": store.half_width(middle[best][1], rows),
        }
        content |= _against_linear(news, best)
    if "bag" in middle:
        content["bag_accuracy"] = middle["bag"][1]
    content["readme_rows"] = [
        store.readme_row(row["model"], "rnn", row["seeds"], row["test accuracy"], rows)
        for row in table
        if row["seeds"] > 1
    ]
    return content


LINEAR = "linear SVM, without the validation rows"
"""The linear model that learned from the same rows as the networks."""


def _linear_rows(news: News) -> list[dict[str, Any]]:
    """Return the rows of the linear SVM: that of chapter exploration, and that of the same rows."""
    accuracy = recorded("exploration", news.name)["linear_accuracy"]
    table = [_linear_row("linear SVM (chapter exploration)", None, accuracy, news)]
    if store.has_predictions(news, "linear", 1):
        linear = _predictions(news)["linear"][0]
        valid = float((linear.valid.argmax(1) == linear.valid_labels).mean())
        test = float((linear.test.argmax(1) == news.test["label"]).mean())
        table.append(_linear_row(LINEAR, valid, test, news))
    return table


def _linear_row(label: str, valid: float | None, test: float, news: News) -> dict[str, Any]:
    return {
        "model": label,
        "seeds": 1,
        "parameters": None,
        "CPU seconds an epoch": None,
        "valid accuracy": valid,
        "test accuracy": test,
        "+-95 %": store.half_width(test, len(news.test)),
    }


def _predictions(news: News) -> dict[str, list[Predictions]]:
    return stored_predictions(news, store.RESULTS / "predictions")


def _against_linear(news: News, name: str) -> dict[str, Any]:
    """Compare each seed of a model with the linear one on the same test rows (McNemar's test)."""
    if not store.has_predictions(news, "linear", 1) or not store.has_predictions(news, name, 1):
        return {}
    stored = _predictions(news)
    labels = news.test["label"].to_numpy()
    linear = stored["linear"][0].test.argmax(1) == labels
    pairs = []
    for one in stored[name]:
        network = one.test.argmax(1) == labels
        wins, losses = int((network & ~linear).sum()), int((linear & ~network).sum())
        p_value = binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
        pairs.append({"seed": one.seed, "wins": wins, "losses": losses, "p_value": p_value})
    return {"against_linear": pairs, "reading": _reading(pairs)}


def _reading(pairs: Sequence[dict[str, Any]]) -> str:
    """Return the sentence that reads the comparison of all seeds with the linear model."""
    clear = [pair for pair in pairs if pair["p_value"] < 0.05]
    ahead = sum(pair["wins"] > pair["losses"] for pair in clear)
    of = f"{len(pairs)} seeds" if len(pairs) > 1 else "one seed"
    if not clear:
        return f"A paired test on the same test rows cannot tell its {of} from the linear model."
    return (
        f"In a paired test on the same test rows, of its {of} {ahead} won clearly against the "
        f"linear model and {len(clear) - ahead} lost clearly."
    )


def rnn_peers(news: News, only: Sequence[str], again: bool) -> None:
    """Train every model with all of its seeds."""
    store.run_models(
        "rnn_peers",
        news,
        [(name, seed) for name in only or PEERS for seed in PEERS[name].seeds],
        again,
        measure=lambda name, seed: run_one(name, seed, news, resume=not again),
        summarize=summary,
        cpu_seconds=lambda run: run["cpu_seconds_per_epoch"] * run["epochs"],
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
    store.record_run(
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
    )


# ------------------------------------------------------------ settings of the chapter's live runs

LEARNING_RATES: dict[str, tuple[float, ...]] = {
    "sgd": (0.3, 1.0, 3.0, 10.0, 30.0),
    "momentum": (0.1, 0.3, 1.0, 3.0, 10.0),
    "rmsprop": (1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    "adadelta": (1.0, 3.0, 10.0, 30.0, 100.0),
    "adam": (1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
}
"""Five learning rates for each optimizer, each about three times the one before."""


def _live_batches(news: News) -> tuple[DataLoader, DataLoader, int]:
    """Return training and validation batches of the chapter's live cells, and the words' number."""
    fit_rows, valid_rows = train_valid_split(news.train, valid_fraction=0.1, seed=42)
    fit_rows = fit_rows.sample(min(len(fit_rows), 2_000), random_state=0)
    valid_rows = valid_rows.sample(min(len(valid_rows), 1_000), random_state=0)
    vocab = build_vocab(tokenize_all(fit_rows["text"]), min_freq=2)

    def batches(rows: pd.DataFrame, size: int, shuffle: bool) -> DataLoader:
        ids = encode(tokenize_all(rows["text"]), vocab, max_length=80)
        return make_loader(ids, rows["label"], size, shuffle=shuffle)

    return batches(fit_rows, 32, True), batches(valid_rows, 128, False), len(vocab)


def rnn_tuning(news: News, only: Sequence[str], again: bool) -> None:
    """Train the chapter's GRU for two epochs with each optimizer and learning rate."""
    train, valid, size = _live_batches(news)
    tuned = store.finished("rnn_tuning", news).get("optimizers", {})
    started = time.process_time()
    for name in only or LEARNING_RATES:
        if name in tuned and not again:
            continue
        tried = []
        for rate in LEARNING_RATES[name]:
            torch.manual_seed(1)
            model = RecurrentClassifier(
                size, cell="gru", embedding_size=64, hidden_size=64, pooling="max"
            )
            fit(model, train, epochs=2, learning_rate=rate, optimizer=name, weight_decay=0.0)
            tried.append({"learning_rate": rate} | evaluate(model, valid))
        best = max(tried, key=lambda run: (run["accuracy"], -run["loss"]))
        tuned[name] = {"tried": tried, "best": best}
        headline = f"{name}: {best['accuracy']:.1%} on validation rows"
        seconds = time.process_time() - started
        content = {"optimizers": tuned}
        store.record_run("rnn_tuning", news, content, headline, seed=1, cpu_seconds=seconds)
