"""Few labels: what `tools.gpu` measured as points of a curve, and a linear model beside it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from agnews_utils.cleaning.pipeline import repair_frame
from agnews_utils.data.loading import News
from tools.reference import store
from tools.reference.draws import DRAWS, draw_rows

ALL_ROWS = {
    "minilm fine-tuned": "minilm",
    "bundled fine-tuned": "fine-tuned",
    "bundled random": "random",
}
"""Curves that go on to all rows -> the model in `bert_full`."""
PICTURED = (
    "words linear",
    "bundled frozen",
    "bundled fine-tuned",
    "minilm frozen",
    "minilm contrastive",
    "minilm fine-tuned",
)
"""Curves in the picture of README."""


def few_labels(news: News, only: Sequence[str], again: bool) -> None:
    """Add a linear model on words to the points of `tools.gpu`: the same draws of the same rows."""
    fit_rows, _ = store.split(news)
    fit_rows, test_rows = repair_frame(fit_rows), repair_frame(news.test)
    labels = fit_rows["label"].to_numpy()
    for per_class, draws in sorted(DRAWS.items()):
        if not again and _has_few(news, "words", "linear", per_class, draws):
            continue
        accuracies = []
        for draw in range(1, draws + 1):
            train = fit_rows.iloc[draw_rows(labels, per_class, draw)]
            features = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
            model = LinearSVC(C=1.0, random_state=0)
            model.fit(features.fit_transform(train["text"]), train["label"])
            unseen = features.transform(test_rows["text"])
            accuracies.append(float(model.score(unseen, test_rows["label"])))
        record_points(news, [few_point("words", "linear", per_class, accuracies, len(test_rows))])


def record_points(news: News, measured: Sequence[dict[str, Any]]) -> None:
    """Store points, in the place of older ones of the same encoder, way and number of rows."""
    points = {_key(one): one for one in store.finished("few_labels", news).get("points", [])}
    points |= {_key(one): one for one in measured}
    ordered = [points[key] for key in sorted(points)]
    content = {"points": ordered, "texts": "repaired"} | few_summary(ordered, news)
    headline = f"{len(ordered)} points"
    store.record_run("few_labels", news, content, headline, seed=1, cpu_seconds=time.process_time())


def _key(point: dict[str, Any]) -> tuple[str, str, int]:
    return point["encoder"], point["way"], point["per_class"]


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

    Beside them what was fine-tuned on all rows.
    """
    curves = [
        {
            "model": f"{point['encoder']} {point['way']}",
            "rows": 4 * point["per_class"],
            "accuracies": point["accuracies"],
        }
        for point in points
        if "self-trained" not in point["way"]
    ]
    few = {curve["model"].replace(" ", "_"): curve for curve in curves if curve["rows"] == 40}
    rows = len(store.split(news)[0])
    full = store.finished("bert_full", news).get("models", {})
    for model, name in ALL_ROWS.items():
        if name in full:
            accuracies = full[name]["test_accuracies"]
            curves.append({"model": model, "rows": rows, "accuracies": accuracies})
    return {
        "curves": curves,
        "picture": [curve for curve in curves if curve["model"] in PICTURED],
        "few": {name: float(np.mean(curve["accuracies"])) for name, curve in few.items()},
    }


def _has_few(news: News, encoder: str, way: str, per_class: int, draws: int) -> bool:
    points = store.finished("few_labels", news).get("points", [])
    return any(
        _key(point) == (encoder, way, per_class) and point["draws"] >= draws for point in points
    )
