"""The reference runs of chapter bert with few labeled rows: accuracy against their number."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from torch import nn

from agnews_utils.bert.encoder import BUNDLED, MINILM, load_encoder
from agnews_utils.bert.fine_tuning import (
    MAX_LENGTH,
    bert_loader,
    layerwise_parameter_groups,
    pooled_states,
    predict_texts,
    self_train,
)
from agnews_utils.bert.pooling import MeanPooledClassifier
from agnews_utils.cleaning.pipeline import repair_frame
from agnews_utils.data.loading import News
from agnews_utils.runtime import pick_device, seed_everything
from agnews_utils.training.loop import fit
from agnews_utils.training.optimizers import AdamW
from tools.reference import store
from tools.reference.bert import (
    KEYS,
    TEXTS,
    FineTuning,
    encoder_version,
    few_rows,
    make_batches,
    make_network,
    precision,
)
from tools.reference.draws import DRAWS, draw_rows, linear_head

PER_CLASS = {  # labeled rows a class -> draws of them, and how the networks are trained
    10: (20, {"bert": FineTuning(20, 3e-3, 8, decay=0.1), "bert-random": FineTuning(20, 1e-3, 8)}),
    30: (6, {"bert": FineTuning(15, 3e-3, 8, decay=0.1), "bert-random": FineTuning(15, 1e-3, 8)}),
    100: (
        4,
        {"bert": FineTuning(10, 3e-3, 16, decay=0.3), "bert-random": FineTuning(15, 1e-3, 16)},
    ),
    300: (3, {"bert": FineTuning(6, 5e-4), "bert-random": FineTuning(10, 1e-3)}),
    1000: (2, {"bert": FineTuning(5, 5e-4), "bert-random": FineTuning(8, 1e-3)}),
    4000: (1, {"bert": FineTuning(3, 5e-4, 64), "bert-random": FineTuning(5, 5e-4, 64)}),
}
RANDOM_DRAWS = {30: 3, 100: 2, 300: 1, 1000: 1, 4000: 0}
"""Fewer draws for random weights, which need the most epochs; 0 leaves the point out."""
UNLABELED = 5_000
"""Texts without labels for self-training."""
CURVES = ("random", "frozen", "fine-tuned", "self-trained", "linear")
MOST_FOR_SELF_TRAINING = 1_000
"""Rows a class up to which texts without labels are tried."""


def _linear_accuracy(train: pd.DataFrame, test: pd.DataFrame) -> float:
    features = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    model = LinearSVC(C=1.0, random_state=0)
    texts, unseen = repair_frame(train)["text"], repair_frame(test)["text"]
    model.fit(features.fit_transform(texts), train["label"])
    return float(model.score(features.transform(unseen), test["label"]))


@dataclass(frozen=True)
class States:
    """The encoder's states of the rows to learn from and of the test rows, computed once."""

    fit_rows: pd.DataFrame
    test_rows: pd.DataFrame

    @cached_property
    def fit(self) -> np.ndarray:
        """Shape (rows to fit, hidden)."""
        return self._of(self.fit_rows)

    @cached_property
    def test(self) -> np.ndarray:
        """Shape (test rows, hidden)."""
        return self._of(self.test_rows)

    @staticmethod
    def _of(rows: pd.DataFrame) -> np.ndarray:
        model, tokenizer = load_encoder(BUNDLED, quiet=True)
        network: nn.Module = model  # transformers hides the type of its own `to`
        network.to(pick_device())
        return pooled_states(model, tokenizer, repair_frame(rows)["text"].tolist())

    def accuracy(self, train: pd.DataFrame, rounds: int) -> float:
        """Return the test accuracy of the encoder as it is shipped, with a linear classifier."""
        own = self.fit_rows.index.isin(train.index)
        states, labels = self.fit[own], self.fit_rows["label"].to_numpy()[own]
        others = np.random.default_rng(0).permutation(np.flatnonzero(~own))[:UNLABELED]
        model = self_train(states, labels, self.fit[others], rounds=rounds)
        return float(model.score(self.test, self.test_rows["label"]))


def _tuned_accuracy(
    name: str, recipe: FineTuning, train: pd.DataFrame, test: pd.DataFrame, seed: int
) -> float:
    model, tokenizer = make_network(name, seed)
    loader = make_batches(train, tokenizer, recipe.batch_size, seed, shuffle=True)
    optimizer = AdamW(layerwise_parameter_groups(model, recipe.learning_rate, recipe.decay))
    settings = recipe.settings() | {"optimizer": optimizer, "mixed_precision": precision()}
    fit(model, loader, **settings, seed=seed)
    answers = predict_texts(model, tokenizer, repair_frame(test)["text"]).argmax(1)
    return float((answers == test["label"].to_numpy()).mean())


def bert_curves(news: News, only: Sequence[str], again: bool) -> None:
    """Measure accuracy against the number of labeled rows; store each point at once."""
    fit_rows, _ = store.split(news)
    states = States(fit_rows, news.test)
    least = fit_rows["label"].value_counts().min()
    sizes = [size for size in PER_CLASS if size <= least]
    chosen = [name for name in CURVES if not only or name in only]
    for size, name in product(sizes, chosen):
        done = not again and _point(_curves(news), name, size)
        if done or (name == "self-trained" and size > MOST_FOR_SELF_TRAINING):
            continue
        draws, recipes = PER_CLASS[size]
        if name == "random":
            draws = RANDOM_DRAWS.get(size, draws)
        if not draws:
            continue
        accuracies, started = [], time.process_time()
        for draw in range(1, draws + 1):
            train = few_rows(fit_rows, size, draw)
            if name == "linear":
                accuracies.append(_linear_accuracy(train, news.test))
            elif name in ("frozen", "self-trained"):
                accuracies.append(states.accuracy(train, rounds=5 if name == "self-trained" else 0))
            else:
                key = KEYS[name]
                accuracies.append(_tuned_accuracy(key, recipes[key], train, news.test, draw))
        _add_point(news, name, size, accuracies, time.process_time() - started)
    _add_all_rows(news, fit_rows, states, chosen)


def _curves(news: News) -> dict[str, Any]:
    content = store.finished("bert_curves", news)
    same = (content.get("encoder"), content.get("texts")) == (encoder_version(), TEXTS)
    return content if same else {"points": [], "cpu_seconds": 0.0}


def _point(content: dict[str, Any], name: str, per_class: int) -> dict[str, Any] | None:
    for point in content["points"]:
        if (point["model"], point["per_class"]) == (name, per_class):
            return point
    return None


def _add_point(
    news: News, name: str, per_class: int, accuracies: list[float], seconds: float
) -> None:
    content = _curves(news)  # read again: another command may have added points meanwhile
    mean, low, high = store.interval_of_mean(accuracies, len(news.test))
    points = [p for p in content["points"] if (p["model"], p["per_class"]) != (name, per_class)]
    points.append(
        {
            "model": name,
            "per_class": per_class,
            "rows": 4 * per_class,
            "draws": len(accuracies),
            "mean": mean,
            "low": low,
            "high": high,
            "accuracies": accuracies,
        }
    )
    points.sort(key=lambda p: (CURVES.index(p["model"]), p["per_class"]))
    content = {
        "models": [one for one in CURVES if any(p["model"] == one for p in points)],
        "points": points,
        "cpu_seconds": content["cpu_seconds"] + seconds,
        "encoder": encoder_version(),
        "texts": TEXTS,
        "precision": precision(),
    }
    smallest = min(PER_CLASS)
    for one in CURVES:
        if point := _point(content, one, smallest):
            content[f"few_{one.replace('-', '_')}"] = point["mean"]
            content["few_draws"] = point["draws"]
    content["same_as_random_all"] = _rows_that_equal_random_with_all(content)
    store.record_run(
        "bert_curves",
        news,
        content,
        f"{name}, {per_class} rows a class: {mean:.2%} ({low:.2%} to {high:.2%})",
        seed=1,
        cpu_seconds=content["cpu_seconds"],
    )


def _rows_that_equal_random_with_all(content: dict[str, Any]) -> int | None:
    random = [p for p in content["points"] if p["model"] == "random"]
    if not random:
        return None
    goal = max(random, key=lambda p: p["rows"])
    enough = [
        p["rows"]
        for p in content["points"]
        if p["model"] == "fine-tuned" and p["mean"] >= goal["mean"] and p["rows"] < goal["rows"]
    ]
    return min(enough, default=None)


def _add_all_rows(
    news: News, fit_rows: pd.DataFrame, states: States, chosen: Sequence[str]
) -> None:
    """Add the points with all rows: the seeds of `bert_full`, and the two linear models."""
    per_class = len(fit_rows) // 4
    started = time.process_time()
    runs = store.finished("bert_full", news).get("runs", {})
    for name, key in KEYS.items():
        version = encoder_version(), TEXTS
        seeds = [r for r in runs.get(key, {}).values() if (r["encoder"], r["texts"]) == version]
        if seeds and name in chosen:
            _add_point(news, name, per_class, [run["test_accuracy"] for run in seeds], 0.0)
    if "linear" in chosen and not _point(_curves(news), "linear", per_class):
        accuracy = _linear_accuracy(fit_rows, news.test)
        _add_point(news, "linear", per_class, [accuracy], time.process_time() - started)
    if "frozen" in chosen and not _point(_curves(news), "frozen", per_class):
        accuracy = _frozen_with_all(states)
        _add_point(news, "frozen", per_class, [accuracy], time.process_time() - started)


def _frozen_with_all(states: States) -> float:
    model = LogisticRegression(max_iter=2_000).fit(states.fit, states.fit_rows["label"])
    return float(model.score(states.test, states.test_rows["label"]))


# ---------------------------------------------------------------------- repaired texts, few labels

WAYS = ("linear", "bundled", "fine-tuned")
"""Parts of `few_labels` that are measured here; the others come from `tools.gpu`."""
MOST_FROZEN = 1_000
"""Rows a class up to which the frozen encoder is measured."""
FEW_TUNED = {  # rows a class -> draws, epochs, batch size
    10: (4, 20, 8),
    100: (3, 8, 16),
}
FEW_TUNED_RATE, FEW_TEST_ROWS = 1e-4, 2_000


def few_labels(news: News, only: Sequence[str], again: bool) -> None:
    """Add to the points of `tools.gpu` what a CPU can measure, on the same draws of the same rows.

    A linear model on words, the bundled encoder frozen, and MiniLM fine-tuned, the last one on a
    fixed sample of the test rows.
    """
    fit_rows, _ = store.split(news)
    fit_rows, test_rows = repair_frame(fit_rows), repair_frame(news.test)
    for way in WAYS:
        if not only or way in only:
            measure = {"linear": _few_linear, "bundled": _few_bundled, "fine-tuned": _few_tuned}
            measure[way](news, fit_rows, test_rows, again)


def _draw(fit_rows: pd.DataFrame, per_class: int, draw: int) -> pd.DataFrame:
    """Draw the rows that `tools.gpu` draws: the same number always draws the same."""
    return fit_rows.iloc[draw_rows(fit_rows["label"].to_numpy(), per_class, draw)]


def _add_few(
    news: News, encoder: str, way: str, per_class: int, accuracies: list[float], test_rows: int
) -> None:
    content = store.finished("few_labels", news) or {"points": []}
    key = (encoder, way, per_class)
    points = [
        point
        for point in content["points"]
        if (point["encoder"], point["way"], point["per_class"]) != key
    ]
    points.append(few_point(encoder, way, per_class, accuracies, test_rows))
    for point in points:
        point.setdefault("test_rows", len(news.test))
    points.sort(key=lambda point: (point["encoder"], point["way"], point["per_class"]))
    headline = f"{encoder}, {way}, {per_class} rows a class: {np.mean(accuracies):.2%}"
    content = content | {"points": points, "texts": "repaired"} | few_summary(points, news)
    store.record_run("few_labels", news, content, headline, seed=1, cpu_seconds=time.process_time())


def few_point(
    encoder: str, way: str, per_class: int, accuracies: list[float], test_rows: int
) -> dict[str, Any]:
    """Return what is recorded of one way to learn from so many rows."""
    mean, low, high = store.interval_of_mean(accuracies, test_rows)
    return {
        "encoder": encoder,
        "way": way,
        "per_class": per_class,
        "draws": len(accuracies),
        "mean": mean,
        "low": low,
        "high": high,
        "accuracies": accuracies,
        "test_rows": test_rows,
    }


def few_summary(points: Sequence[dict[str, Any]], news: News) -> dict[str, Any]:
    """Return the curves of the picture in README, and the accuracies with ten rows a class.

    Points on all test rows only, and MiniLM fine-tuned on all rows beside them.
    """
    curves = [
        {
            "model": f"{point['encoder']} {point['way']}",
            "rows": 4 * point["per_class"],
            "accuracies": point["accuracies"],
        }
        for point in points
        if point["test_rows"] == len(news.test) and "self-trained" not in point["way"]
    ]
    few = {curve["model"].replace(" ", "_"): curve for curve in curves if curve["rows"] == 40}
    full = store.finished("minilm_full", news)
    if full:
        runs = full["poolings"]["mean of all pieces"]["test_accuracies"]
        model = "minilm fine-tuned, all rows"
        curves.append({"model": model, "rows": full["rows"], "accuracies": runs})
    return {
        "curves": curves,
        "few": {name: float(np.mean(curve["accuracies"])) for name, curve in few.items()},
    }


def _has_few(news: News, encoder: str, way: str, per_class: int, draws: int) -> bool:
    points = store.finished("few_labels", news).get("points", [])
    return any(
        (point["encoder"], point["way"], point["per_class"]) == (encoder, way, per_class)
        and point["draws"] >= draws
        for point in points
    )


def _few_linear(news: News, fit_rows: pd.DataFrame, test_rows: pd.DataFrame, again: bool) -> None:
    for per_class, draws in sorted(DRAWS.items()):
        if not again and _has_few(news, "words", "linear", per_class, draws):
            continue
        accuracies = []
        for draw in range(1, draws + 1):
            train = _draw(fit_rows, per_class, draw)
            features = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
            model = LinearSVC(C=1.0, random_state=0)
            model.fit(features.fit_transform(train["text"]), train["label"])
            unseen = features.transform(test_rows["text"])
            accuracies.append(float(model.score(unseen, test_rows["label"])))
        _add_few(news, "words", "linear", per_class, accuracies, len(test_rows))


def _few_bundled(news: News, fit_rows: pd.DataFrame, test_rows: pd.DataFrame, again: bool) -> None:
    model, tokenizer = load_encoder(BUNDLED, quiet=True)

    def states(rows: pd.DataFrame) -> np.ndarray:
        return pooled_states(model, tokenizer, rows["text"].tolist(), MAX_LENGTH, "mean")

    test = states(test_rows)
    for per_class, draws in sorted(DRAWS.items()):
        if per_class > MOST_FROZEN:
            continue
        if not again and _has_few(news, "bundled", "frozen", per_class, draws):
            continue
        accuracies = []
        for draw in range(1, draws + 1):
            train = _draw(fit_rows, per_class, draw)
            head = linear_head(states(train), train["label"].to_numpy())
            accuracies.append(float(head.score(test, test_rows["label"])))
        _add_few(news, "bundled", "frozen", per_class, accuracies, len(test_rows))


def _few_tuned(news: News, fit_rows: pd.DataFrame, test_rows: pd.DataFrame, again: bool) -> None:
    """Fine-tune MiniLM, all of it, with the mean of its states; judge it on fewer test rows."""
    seen = test_rows.sample(min(FEW_TEST_ROWS, len(test_rows)), random_state=0)
    for per_class, (draws, epochs, batch_size) in FEW_TUNED.items():
        if not again and _has_few(news, "minilm", "fine-tuned", per_class, draws):
            continue
        accuracies: list[float] = []
        for draw in range(1, draws + 1):
            train = _draw(fit_rows, per_class, draw)
            seed_everything(draw)
            model, tokenizer = load_encoder(MINILM, quiet=True)
            network = MeanPooledClassifier.of(model)
            loader = bert_loader(
                train["text"],
                train["label"],
                tokenizer,
                batch_size,
                seed=draw,
            )
            fit(
                network,
                loader,
                epochs=epochs,
                learning_rate=FEW_TUNED_RATE,
                schedule="linear",
                warmup=0.1,
                seed=draw,
            )
            answers = predict_texts(network, tokenizer, seen["text"]).argmax(1)
            accuracies.append(float((answers == seen["label"].to_numpy()).mean()))
            _add_few(news, "minilm", "fine-tuned", per_class, accuracies, len(seen))
