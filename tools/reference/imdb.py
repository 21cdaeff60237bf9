"""The reference run on film reviews (own_data, "Texts that are too long"): all models on IMDb.

    python -m tools.reference imdb --data data/imdb
    python -m tools.gpu.collect build/gpu --reviews data/imdb     takes in MiniLM, tuned on a GPU

All read the repaired reviews, learn from the same rows, and choose on the same validation rows.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file

from agnews_utils.bert.encoder import BUNDLED, load_encoder
from agnews_utils.bert.fine_tuning import encode_for_bert
from agnews_utils.bert.long_texts import cut_ids
from agnews_utils.cleaning.pipeline import repair_frame
from agnews_utils.data.exploration import accuracy_interval
from agnews_utils.data.loading import News
from agnews_utils.evaluation.comparing import mcnemar, paired_bootstrap
from agnews_utils.evaluation.predictions import LinearClassifier
from agnews_utils.files import written_whole
from agnews_utils.rnn.networks import RecurrentClassifier
from agnews_utils.runtime import seed_everything
from agnews_utils.training.inference import predict
from agnews_utils.training.loop import fit
from agnews_utils.vocabulary.batching import make_loader
from agnews_utils.vocabulary.vocab import build_vocab, encode, tokenize_all
from tools.reference import store

RUN = "imdb"
CS = (0.1, 0.3, 1.0, 3.0, 10.0)
TOKENS, PIECES = 256, 128
KEPT = "both"
EVERYTHING = 100_000  # pieces: no review is cut before `cut_ids`

Answers = dict[str, np.ndarray]


def rows(news: News) -> dict[str, pd.DataFrame]:
    """Return the repaired rows to learn from, for validation, and for the test."""
    learned, valid = store.split(news)
    parts = {"fit": learned, "valid": valid, "test": news.test}
    return {name: repair_frame(frame) for name, frame in parts.items()}


def linear(news: News) -> tuple[Answers, dict[str, Any]]:
    """Train the linear model with each `C`, and keep the one that is best on validation rows."""
    parts, tried, best = rows(news), {}, None
    for c in CS:
        model = LinearClassifier(c).fit(parts["fit"]["text"], parts["fit"]["label"])
        answers = model.predict_proba(parts["valid"]["text"])
        tried[str(c)] = _right(answers, parts["valid"]).mean()
        if best is None or tried[str(c)] > tried[str(best[0])]:
            best = c, model, answers
    assert best is not None
    c, model, answers = best
    found = {"valid": answers, "test": model.predict_proba(parts["test"]["text"])}
    return found, {"c": c, "tried": {key: float(value) for key, value in tried.items()}}


def gru(news: News) -> tuple[Answers, dict[str, Any]]:
    """Train a recurrent network with the settings of `rnn_peers`, on more tokens."""
    parts = rows(news)
    tokens = {name: tokenize_all(frame["text"]) for name, frame in parts.items()}
    vocab = build_vocab(tokens["fit"], min_freq=3)
    ids = {
        # Two places for special ids, which these texts have not.
        name: [cut_ids([0, *row, 0], TOKENS + 2, KEPT)[1:-1] for row in encode(texts, vocab)]
        for name, texts in tokens.items()
    }
    loaders = {
        name: make_loader(ids[name], frame["label"], 64, seed=1, shuffle=name == "fit")
        for name, frame in parts.items()
    }
    seed_everything(1)
    model = RecurrentClassifier(
        len(vocab),
        len(news.classes),
        cell="gru",
        embedding_size=128,
        hidden_size=128,
        pooling="max",
        dropout=0.5,
        word_dropout=0.4,
    )
    settings: dict[str, Any] = {"epochs": 8, "learning_rate": 2e-3, "label_smoothing": 0.1}
    history = fit(model, loaders["fit"], loaders["valid"], **settings, seed=1)
    found = {name: predict(model, loaders[name]) for name in ("valid", "test")}
    return found, settings | {"best_epoch": history.best_epoch, "max_length": TOKENS, "keep": KEPT}


def bert(news: News) -> tuple[Answers, dict[str, Any]]:
    """Fine-tune the bundled encoder on as many pieces as it reads."""
    parts = rows(news)
    seed_everything(1)
    model, tokenizer = load_encoder(BUNDLED, classes=news.classes, quiet=True)
    loaders = {}
    for name, frame in parts.items():
        ids = [
            cut_ids(row, PIECES, KEPT)
            for row in encode_for_bert(frame["text"].tolist(), tokenizer, EVERYTHING)
        ]
        loaders[name] = make_loader(
            ids,
            frame["label"],
            32,
            seed=1,
            shuffle=name == "fit",
            pad_index=tokenizer.pad_token_id,
        )
    settings: dict[str, Any] = {"epochs": 3, "learning_rate": 5e-4, "label_smoothing": 0.1}
    history = fit(
        model,
        loaders["fit"],
        loaders["valid"],
        **settings,
        schedule="linear",
        warmup=0.1,
        seed=1,
    )
    found = {name: predict(model, loaders[name]) for name in ("valid", "test")}
    return found, settings | {"best_epoch": history.best_epoch, "max_length": PIECES, "keep": KEPT}


MODELS: dict[str, Callable[[News], tuple[Answers, dict[str, Any]]]] = {
    "linear": linear,
    "gru": gru,
    "bert": bert,
}
LABELS = {
    "linear": "linear model",
    "gru": "GRU",
    "bert": "bundled encoder",
    "minilm": "MiniLM",
}


def imdb(news: News, only: Sequence[str], again: bool) -> None:
    """Measure the models that a CPU trains, but for what is finished."""
    for name in only or MODELS:
        if not again and (_folder(news) / name / "1.safetensors").is_file():
            continue
        started = time.process_time()
        answers, about = MODELS[name](news)
        about["cpu_seconds"] = time.process_time() - started
        _keep(news, name, 1, answers)
        _keep_about(news, name, about)
        record_run(news)


def take_in(work: Path, news: News) -> None:
    """Take in what the jobs `reviews-*` have measured on a GPU."""
    for path in sorted(work.glob("reviews-*/result.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        name = f"minilm-{path.parent.name.removeprefix('reviews-')}"
        for run in result["runs"]:
            answers = load_file(path.parent / f"{run['seed']}.safetensors")
            _keep(news, name, run["seed"], answers)
        about = {
            **result["settings"],
            "recipe": result["recipe"],
            "seconds": statistics.median(run["seconds"] for run in result["runs"]),
            "device": result["environment"]["device"],
        }
        _keep_about(news, name, about)
    record_run(news)


# ----------------------------------------------------------------------------- what is recorded


def _folder(news: News) -> Path:
    return store.CHECKPOINTS / f"{RUN}-{news.name}"


def _keep(news: News, name: str, seed: int, answers: Answers) -> None:
    with written_whole(_folder(news) / name / f"{seed}.safetensors") as partial:
        save_file({part: np.ascontiguousarray(found) for part, found in answers.items()}, partial)


def _keep_about(news: News, name: str, about: dict[str, Any]) -> None:
    with written_whole(_folder(news) / name / "about.json") as partial:
        partial.write_text(json.dumps(about), encoding="utf-8")


def _right(answers: np.ndarray, frame: pd.DataFrame) -> np.ndarray:
    return answers.argmax(1) == frame["label"].to_numpy()


def record_run(news: News) -> None:
    """Record accuracies with their intervals, and the paired comparisons."""
    frames = {"valid": store.split(news)[1], "test": news.test}
    models: dict[str, dict[str, Any]] = {}
    right: dict[str, dict[str, np.ndarray]] = {}
    for folder in sorted(_folder(news).iterdir()):
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        by_seed = [load_file(path) for path in sorted(folder.glob("*.safetensors"))]
        right[folder.name] = {
            part: np.stack([_right(seed[part], frames[part.split(".")[0]]) for seed in by_seed])
            for part in by_seed[0]
        }
        models[folder.name] = measured(right[folder.name]) | {"about": about}
    content: dict[str, Any] = {
        "fit_rows": len(store.split(news)[0]),
        "valid_rows": len(frames["valid"]),
        "test_rows": len(news.test),
        "models": models,
    }
    ways = {name: model for name, model in models.items() if name.startswith("minilm")}
    if ways:
        content |= chosen_way(ways)
        best = content["chosen"]
        content["minilm"] = models[best]
        if "linear" in models:
            content["minilm_or_linear"] = against(right[best]["test"], right["linear"]["test"][0])
        others = {name: right[name]["test"] for name in ways if name != best}
        content["chosen_or_other"] = {
            name: difference(right[best]["test"], other) for name, other in others.items()
        }
        if {"minilm-tail-256", "minilm-head-256"} <= set(ways):
            both = (right[f"minilm-{keep}-256"]["test"] for keep in ("tail", "head"))
            content["tail_or_head"] = difference(*both)
        content["windows_or_head"] = {
            name: difference(right[name]["test.windows"], right[name]["test"])
            for name in ways
            if "test.windows" in right[name]
        }
    content["table"] = table(models, content.get("chosen"))
    content["readme_rows"] = []
    seconds = sum(model["about"].get("cpu_seconds", 0.0) for model in models.values())
    said = ", ".join(f"{name} {model['accuracy']:.2%}" for name, model in models.items())
    store.record_run(RUN, news, content, said, seed=1, cpu_seconds=seconds)


def measured(right: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return accuracies by seed, medians, and the interval of the median on the test rows."""
    accuracies = {part: [float(one.mean()) for one in found] for part, found in right.items()}
    content: dict[str, Any] = {"seeds": len(accuracies["test"]), "accuracies": accuracies}
    content["accuracy"] = statistics.median(accuracies["test"])
    content["valid_accuracy"] = statistics.median(accuracies["valid"])
    content["interval"] = accuracy_interval(content["accuracy"], right["test"].shape[1])
    if "test.windows" in accuracies:
        content["windows_accuracy"] = statistics.median(accuracies["test.windows"])
    return content


def chosen_way(ways: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the way of cutting that is best on validation rows, by the median of its seeds."""
    best = max(ways, key=lambda name: ways[name]["valid_accuracy"])
    return {"chosen": best, "ways": len(ways)}


def against(right_a: np.ndarray, right_b: np.ndarray) -> dict[str, Any]:
    """Compare every run of a model with one run of another: the test that says least counts."""
    tests = [mcnemar(one, right_b) for one in right_a]
    return difference(right_a, right_b[None]) | {
        "p_value": max(test.p_value for test in tests),
        "seeds": len(tests),
    }


def difference(right_a: np.ndarray, right_b: np.ndarray) -> dict[str, Any]:
    """Compare two models' middle runs, by accuracy, on the same rows: paired bootstrap."""
    middle_a, middle_b = (
        runs[np.argsort(runs.mean(1), kind="stable")[len(runs) // 2]] for runs in (right_a, right_b)
    )
    found = paired_bootstrap(middle_a, middle_b)
    return {"difference": found.difference, "low": found.low, "high": found.high}


def table(models: dict[str, dict[str, Any]], chosen: str | None) -> list[dict[str, Any]]:
    """Return a line a model: label, seeds, accuracy, interval, what it reads of a review."""
    lines = []
    for name, model in models.items():
        if name.startswith("minilm") and name != chosen:
            continue
        about = model["about"]
        kept = f"{about['keep']}, {about['max_length']}" if "keep" in about else "everything"
        lines.append(
            {
                "model": LABELS[name.split("-")[0]],
                "reads": kept,
                "seeds": model["seeds"],
                "accuracy": model["accuracy"],
                "low": model["interval"][0],
                "high": model["interval"][1],
            }
        )
    return sorted(lines, key=lambda line: line["accuracy"])
