"""The reference runs of chapter bert: fine-tuning on all rows, on few, and with many rates."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from torch import nn
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from agnews_utils.bert.encoder import BUNDLED, MANIFEST, MINILM, WEIGHTS, bundled_encoder
from agnews_utils.bert.fine_tuning import encode_for_bert
from agnews_utils.cleaning.pipeline import repair_frame
from agnews_utils.data.exploration import accuracy_interval
from agnews_utils.data.loading import News
from agnews_utils.evaluation.comparing import McNemar, mcnemar
from agnews_utils.evaluation.predictions import MODELS, stored_predictions
from agnews_utils.runtime import recorded
from agnews_utils.training.history import History
from tools.pretraining.pretrain import faster_precision
from tools.reference import store
from tools.reference.draws import Rows
from tools.reference.fine_tuning import Recipe, evaluation_loader, make_network, train

KEYS = {"fine-tuned": "bert", "random": "bert-random", "minilm": "minilm"}
"""How the chapter calls its networks -> their keys among all models."""

SEEDS = (1, 2, 3)

TEXTS = "repaired"
"""Which texts are read: those of `repair_frame`, as in pre-training. Older runs say "raw"."""


ALL_ROWS = {
    "bert": Recipe(6, 5e-4, 128),
    "bert-random": Recipe(9, 7e-4, 128),
    "minilm": Recipe(),
}
FEW_THOUSAND = {
    "bert": Recipe(6, 5e-4, 32, pooling="cls"),
    "bert-random": Recipe(10, 1e-3, 32, pooling="cls"),
    "minilm": Recipe(5, 1e-4, 32),
}


def recipes_for(news: News) -> dict[str, Recipe]:
    """Return how each network is trained on all rows of a data set, by the number of these."""
    return FEW_THOUSAND if store.is_small(news) else ALL_ROWS


def encoder_version(key: str = "bert") -> str:
    """Return what tells one encoder from another: the start of the bundled one's SHA-256."""
    if key == "minilm":
        return MINILM
    manifest = json.loads((bundled_encoder() / MANIFEST).read_text(encoding="utf-8"))
    return manifest["files"][WEIGHTS]["sha256"][:12]


@lru_cache(maxsize=1)
def precision() -> str:
    """Return the precision that is faster here: that of mixed precision, or "no"."""
    return faster_precision()


def encoded(frame: pd.DataFrame, tokenizer: Any) -> Rows:
    """Return news rows as ids; their texts are repaired here."""
    texts = repair_frame(frame)["text"]
    return Rows(encode_for_bert(texts, tokenizer), frame["label"].to_numpy())


def few_rows(frame: pd.DataFrame, per_class: int, draw: int) -> pd.DataFrame:
    """Draw the same number of rows from each class; the same number always draws the same."""
    return frame.groupby("label", group_keys=False).sample(per_class, random_state=draw)


def train_one(
    name: str, seed: int, news: News, resume: bool = True
) -> tuple[nn.Module, History, tuple[DataLoader, DataLoader], PreTrainedTokenizerFast]:
    """Fine-tune with one seed, or take the model from its checkpoint if that run is finished."""
    recipe = recipes_for(news)[name]
    encoder = MINILM if name == "minilm" else BUNDLED
    network, tokenizer = make_network(encoder, recipe, seed, random=name == "bert-random")
    fit_rows, valid, test = (encoded(rows, tokenizer) for rows in (*store.split(news), news.test))
    # Another encoder is another run: its checkpoints must not be taken for this one's.
    folder = f"{name}-{news.name}-{seed}-{encoder_version(name)}-{TEXTS}"
    history = train(
        network,
        tokenizer,
        fit_rows,
        valid,
        recipe,
        seed,
        mixed_precision=precision(),
        checkpoint_folder=store.CHECKPOINTS / folder,
        checkpoint_every=200,
        resume=resume,
    )
    pad = tokenizer.pad_token_id
    loaders = evaluation_loader(valid, pad), evaluation_loader(test, pad)
    return network, history, loaders, tokenizer


def full_run(name: str, seed: int, news: News, resume: bool = True) -> dict[str, Any]:
    """Fine-tune on all rows, store the predictions, return what was measured."""
    model, history, loaders, _ = train_one(name, seed, news, resume)
    predictions = store.store(news, name, seed, model, loaders, history)
    right = predictions.test.argmax(1) == news.test["label"].to_numpy()
    columns = ["epoch", "loss", "accuracy", "valid_loss", "valid_accuracy"]
    columns += ["seconds", "cpu_seconds"]
    return {
        "parameters": predictions.cost["parameters"],
        "best_epoch": history.best_epoch,
        "valid_accuracy": history.best["valid_accuracy"],
        "test_accuracy": float(right.mean()),
        "curve": pd.DataFrame(history.epochs)[columns].to_dict("records"),
        "encoder": encoder_version(name),
        "texts": TEXTS,
        "precision": precision(),
    }


def full_summary(runs: store.Runs, news: News) -> dict[str, Any]:
    """Return medians over the seeds with their intervals, and the gap that pre-training makes.

    Runs on other texts, or with an earlier encoder, are called so in the table of README.
    """
    rows = len(news.test)
    recipes = recipes_for(news)
    texts = {run["texts"] for by_seed in runs.values() for run in by_seed.values()}
    content: dict[str, Any] = {
        "train_rows": len(news.train),
        "texts": " and ".join(sorted(texts)),
        "runs": runs,
        "models": {},
        "paired": paired(news),
    }
    for name, key in KEYS.items():
        if not runs.get(key):
            continue
        seeds = list(runs[key].values())
        accuracy = statistics.median(run["test_accuracy"] for run in seeds)
        seconds, cpu = _of_epochs("seconds", seeds), _of_epochs("cpu_seconds", seeds)
        if key != "minilm":
            content["parameters"] = seeds[0]["parameters"]
        content["models"][name] = {
            "seeds": len(seeds),
            "parameters": seeds[0]["parameters"],
            "epochs": recipes[key].epochs,
            "learning_rate": recipes[key].learning_rate,
            "test_accuracy": accuracy,
            "valid_accuracy": statistics.median(run["valid_accuracy"] for run in seeds),
            "test_accuracies": [run["test_accuracy"] for run in seeds],
            "interval": accuracy_interval(accuracy, rows),
            "best_epochs": [run["best_epoch"] for run in seeds],
            "minutes": seconds and statistics.median(sum(one) for one in seconds) / 60,
            "cpu_seconds_per_epoch": statistics.mean(one for run in cpu for one in run)
            if cpu
            else None,
        }
    found = {name: entry["test_accuracy"] for name, entry in content["models"].items()}
    content["curves"] = {name: runs[KEYS[name]][min(runs[KEYS[name]])]["curve"] for name in found}
    content["linear_accuracy"] = recorded("exploration", news.name)["linear_accuracy"]
    if "fine-tuned" in found:
        content["fine_tuned_accuracy"] = found["fine-tuned"]
        content["half_width"] = store.half_width(found["fine-tuned"], rows)
    if "random" in found:
        content["random_accuracy"] = found["random"]
    if {"fine-tuned", "random"} <= set(found):
        content["gap"] = found["fine-tuned"] - found["random"]
    content["readme_rows"] = [
        store.readme_row(
            MODELS[KEYS[name]] + _note(KEYS[name], runs[KEYS[name]]),
            "bert",
            entry["seeds"],
            entry["test_accuracy"],
            rows,
        )
        for name, entry in content["models"].items()
    ]
    return content


def _of_epochs(name: str, seeds: Sequence[dict[str, Any]]) -> list[list[float]] | None:
    """Return what was measured of each epoch, a list for each seed; None where it was not."""
    found = [[epoch.get(name) for epoch in run["curve"]] for run in seeds]
    return found if all(found) and not any(None in one for one in found) else None


def _note(key: str, seeds: dict[str, dict[str, Any]]) -> str:
    """Say in what a model's runs differ from those of today: the encoder, the texts."""
    texts = sorted({run["texts"] for run in seeds.values()} - {"repaired"})
    earlier = any(run["encoder"] != encoder_version(key) for run in seeds.values())
    note = ", an earlier encoder" if earlier else ""
    return f"{note}, {' and '.join(texts)} texts" if texts else note


def paired(news: News) -> dict[str, Any]:
    """Compare the fine-tuned network's stored predictions with other models', on the same rows.

    Returns
    -------
    dict
        For "random" and "linear", as far as they are stored: McNemar's test of each seed against
        the other model's same seed, or its only one; and the difference of the mean accuracies with
        its 95 % interval over the test rows.
    """
    stored = stored_predictions(news, store.RESULTS / "predictions")
    truth = news.test["label"].to_numpy()
    right = {
        model: {one.seed: one.test.argmax(1) == truth for one in predictions}
        for model, predictions in stored.items()
    }
    found: dict[str, Any] = {}
    for name, key in {"random": "bert-random", "linear": "linear", "minilm": "minilm"}.items():
        if "bert" not in right or key not in right:
            continue
        tests, difference = compared(right["bert"], right[key])
        found[name] = {
            "only_fine_tuned_right": [test.only_a for test in tests],
            "only_other_right": [test.only_b for test in tests],
            "p_values": [test.p_value for test in tests],
            "largest_p": max(test.p_value for test in tests),
            "smallest_p": min(test.p_value for test in tests),
        } | difference
    return found


def compared(
    ours: dict[int, np.ndarray], others: dict[int, np.ndarray]
) -> tuple[list[McNemar], dict[str, float]]:
    """Compare two models on the same rows; seed -> which rows a run gets right.

    Returns McNemar's test of each seed against the other's same seed, or its first; and the
    difference of the mean accuracies with its 95 % interval over the rows.
    """
    tests = [mcnemar(own, others.get(seed, others[min(others)])) for seed, own in ours.items()]
    by_row = np.mean(list(ours.values()), axis=0) - np.mean(list(others.values()), axis=0)
    reach = 1.96 * by_row.std(ddof=1) / len(by_row) ** 0.5
    mean = float(by_row.mean())
    return tests, {"difference": mean, "low": float(mean - reach), "high": float(mean + reach)}


def _up_to_date(run: dict[str, Any]) -> bool:
    return run["texts"] == TEXTS and run["encoder"] in (encoder_version(), MINILM)


def bert_full(news: News, only: Sequence[str], again: bool) -> None:
    """Fine-tune on all rows with every seed."""
    chosen = [key for name, key in KEYS.items() if not only or name in only or key in only]
    store.run_models(
        "bert_full",
        news,
        product(chosen, SEEDS),
        again,
        measure=lambda key, seed: full_run(key, seed, news, resume=not again),
        summarize=full_summary,
        cpu_seconds=lambda run: sum(epoch.get("cpu_seconds", 0.0) for epoch in run["curve"]),
        up_to_date=_up_to_date,
    )
