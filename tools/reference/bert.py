"""The reference runs of chapter bert: fine-tuning on all rows, on few, and with many rates."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from torch import nn
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from agnews_utils.bert.batches import HiddenPieces
from agnews_utils.bert.encoder import BUNDLED, MANIFEST, WEIGHTS, bundled_encoder, load_encoder
from agnews_utils.bert.fine_tuning import bert_loader
from agnews_utils.cleaning.pipeline import repair_frame
from agnews_utils.data.exploration import accuracy_interval
from agnews_utils.data.loading import News
from agnews_utils.evaluation.comparing import mcnemar
from agnews_utils.evaluation.predictions import MODELS, stored_predictions
from agnews_utils.runtime import recorded, seed_everything
from agnews_utils.training.history import History
from agnews_utils.training.loop import fit
from tools.pretraining.pretrain import faster_precision
from tools.reference import store

KEYS = {"fine-tuned": "bert", "random": "bert-random"}
"""How the chapter calls its two networks -> their keys among all models."""

SEEDS = (1, 2, 3)

TEXTS = "repaired"
"""Which texts are read: those of `repair_frame`, as in pre-training. Older runs say "raw"."""


@dataclass(frozen=True)
class FineTuning:
    """How a network is fine-tuned; chosen on validation rows."""

    epochs: int
    learning_rate: float
    batch_size: int = 32
    decay: float = 1.0
    """Of the learning rate from each layer to the one below it."""
    hidden: float = 0.0
    """Share of the pieces that show [MASK]."""
    smoothing: float = 0.0

    def settings(self) -> dict[str, Any]:
        """Return the arguments of `fit`; the rate falls linearly after a short rise."""
        return {
            "epochs": self.epochs,
            "learning_rate": self.learning_rate,
            "schedule": "linear",
            "warmup": 0.1,
            "label_smoothing": self.smoothing,
        }


ALL_ROWS = {
    "bert": FineTuning(5, 5e-4, 128, hidden=0.15, smoothing=0.1),
    "bert-random": FineTuning(6, 7e-4, 128, hidden=0.1, smoothing=0.1),
}
FEW_THOUSAND = {
    "bert": FineTuning(6, 5e-4, hidden=0.1, smoothing=0.1),
    "bert-random": FineTuning(10, 1e-3, hidden=0.1, smoothing=0.1),
}


def recipes_for(news: News) -> dict[str, FineTuning]:
    """Return how each network is trained on all rows of a data set, by the number of these."""
    return FEW_THOUSAND if store.is_small(news) else ALL_ROWS


def make_network(name: str, seed: int) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Return the bundled encoder with a new head, or the same network with random weights."""
    seed_everything(seed)
    model, tokenizer = load_encoder(BUNDLED, quiet=True)
    if name == "bert-random":
        seed_everything(seed)
        model = type(model)(model.config)
    return model, tokenizer


def encoder_version() -> str:
    """Return what tells one bundled encoder from another: the start of its weights' SHA-256."""
    manifest = json.loads((bundled_encoder() / MANIFEST).read_text(encoding="utf-8"))
    return manifest["files"][WEIGHTS]["sha256"][:12]


@lru_cache(maxsize=1)
def precision() -> str:
    """Return the precision that is faster here: that of mixed precision, or "no"."""
    return faster_precision()


def make_batches(
    frame: pd.DataFrame, tokenizer: Any, batch_size: int, seed: int, shuffle: bool
) -> DataLoader:
    """Return length-bucketed batches of news rows, which are repaired here."""
    texts, labels = repair_frame(frame)["text"], frame["label"]
    return bert_loader(texts, labels, tokenizer, batch_size, seed=seed, shuffle=shuffle)


def hide_pieces(loader: Any, tokenizer: Any, share: float, copies: int = 1) -> Any:
    """Return batches in which a share of the pieces shows [MASK]; the loader itself for none."""
    if not share and copies == 1:
        return loader
    special, size = tokenizer.all_special_ids, len(tokenizer)
    return HiddenPieces(loader, share, tokenizer.mask_token_id, special, size, copies)


def few_rows(frame: pd.DataFrame, per_class: int, draw: int) -> pd.DataFrame:
    """Draw the same number of rows from each class; the same number always draws the same."""
    return frame.groupby("label", group_keys=False).sample(per_class, random_state=draw)


def train_one(
    name: str, seed: int, news: News, resume: bool = True
) -> tuple[nn.Module, History, tuple[DataLoader, DataLoader], PreTrainedTokenizerFast]:
    """Fine-tune with one seed, or take the model from its checkpoint if that run is finished."""
    recipe = recipes_for(news)[name]
    fit_rows, valid_rows = store.split(news)
    model, tokenizer = make_network(name, seed)
    valid = make_batches(valid_rows, tokenizer, 256, seed, shuffle=False)
    test = make_batches(news.test, tokenizer, 256, seed, shuffle=False)
    # Another encoder is another run: its checkpoints must not be taken for this one's.
    folder = f"{name}-{news.name}-{seed}-{encoder_version()}-{TEXTS}"
    history = fit(
        model,
        hide_pieces(
            make_batches(fit_rows, tokenizer, recipe.batch_size, seed, shuffle=True),
            tokenizer,
            recipe.hidden,
        ),
        valid,
        **recipe.settings(),
        seed=seed,
        mixed_precision=precision(),
        checkpoint_folder=store.CHECKPOINTS / folder,
        checkpoint_every=200,
        resume=resume,
    )
    return model, history, (valid, test), tokenizer


def full_run(name: str, seed: int, news: News, resume: bool = True) -> dict[str, Any]:
    """Fine-tune on all rows, store the predictions, return what was measured."""
    model, history, loaders, _ = train_one(name, seed, news, resume)
    predictions = store.store(news, name, seed, model, loaders, history)
    right = predictions.test.argmax(1) == news.test["label"].to_numpy()
    columns = ["epoch", "loss", "accuracy", "valid_loss", "valid_accuracy", "cpu_seconds"]
    return {
        "parameters": predictions.cost["parameters"],
        "best_epoch": history.best_epoch,
        "valid_accuracy": history.best["valid_accuracy"],
        "test_accuracy": float(right.mean()),
        "curve": pd.DataFrame(history.epochs)[columns].to_dict("records"),
        "encoder": encoder_version(),
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
        content["parameters"] = seeds[0]["parameters"]
        content["models"][name] = {
            "seeds": len(seeds),
            "epochs": recipes[key].epochs,
            "learning_rate": recipes[key].learning_rate,
            "test_accuracy": accuracy,
            "valid_accuracy": statistics.median(run["valid_accuracy"] for run in seeds),
            "test_accuracies": [run["test_accuracy"] for run in seeds],
            "interval": accuracy_interval(accuracy, rows),
            "best_epochs": [run["best_epoch"] for run in seeds],
            "cpu_seconds_per_epoch": statistics.mean(
                epoch["cpu_seconds"] for run in seeds for epoch in run["curve"]
            ),
        }
    found = {name: entry["test_accuracy"] for name, entry in content["models"].items()}
    content["curves"] = {name: runs[KEYS[name]][min(runs[KEYS[name]])]["curve"] for name in found}
    content["linear_accuracy"] = recorded("exploration", news.name)["linear_accuracy"]
    if "fine-tuned" in found:
        content["fine_tuned_accuracy"] = found["fine-tuned"]
        content["half_width"] = store.half_width(found["fine-tuned"], rows)
    if "random" in found:
        content["random_accuracy"] = found["random"]
    if len(found) == 2:
        content["gap"] = found["fine-tuned"] - found["random"]
    content["readme_rows"] = [
        store.readme_row(
            MODELS[KEYS[name]] + _note(runs[KEYS[name]]),
            "bert",
            entry["seeds"],
            entry["test_accuracy"],
            rows,
        )
        for name, entry in content["models"].items()
    ]
    return content


def _note(seeds: dict[str, dict[str, Any]]) -> str:
    """Say in what a model's runs differ from those of today: the encoder, the texts."""
    texts = sorted({run["texts"] for run in seeds.values()} - {"repaired"})
    earlier = any(run["encoder"] != encoder_version() for run in seeds.values())
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
    for name, key in {"random": "bert-random", "linear": "linear"}.items():
        if "bert" not in right or key not in right:
            continue
        ours, others = right["bert"], right[key]
        tests = [mcnemar(own, others.get(seed, others[min(others)])) for seed, own in ours.items()]
        by_row = np.mean(list(ours.values()), axis=0) - np.mean(list(others.values()), axis=0)
        reach = 1.96 * by_row.std(ddof=1) / len(by_row) ** 0.5
        found[name] = {
            "only_fine_tuned_right": [test.only_a for test in tests],
            "only_other_right": [test.only_b for test in tests],
            "p_values": [test.p_value for test in tests],
            "largest_p": max(test.p_value for test in tests),
            "smallest_p": min(test.p_value for test in tests),
            "difference": float(by_row.mean()),
            "low": float(by_row.mean() - reach),
            "high": float(by_row.mean() + reach),
        }
    return found


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
        cpu_seconds=lambda run: sum(epoch["cpu_seconds"] for epoch in run["curve"]),
        up_to_date=lambda run: (run["encoder"], run["texts"]) == (encoder_version(), TEXTS),
    )
