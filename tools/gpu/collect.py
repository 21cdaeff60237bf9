"""Bring what the jobs measured into ``results/`` (``python -m tools.gpu.collect WORK``)."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from agnews_utils.bert.encoder import load_encoder
from agnews_utils.bert.fine_tuning import predict_texts
from agnews_utils.cleaning.pipeline import repair_frame
from agnews_utils.data.exploration import accuracy_interval
from agnews_utils.data.loading import News, load_news
from agnews_utils.evaluation.predictions import Predictions, store_predictions
from agnews_utils.files import written_whole
from tools.gpu.rows import frames
from tools.gpu.tuning import PROBABILITIES, average_teacher, finished
from tools.reference import imdb, store
from tools.reference.draws import Rows
from tools.reference.few import few_point, few_summary

POOLINGS = {"minilm-mean": "mean of all pieces", "minilm-cls": "[CLS]"}
RECIPE = ("epochs", "learning_rate", "batch_size", "hidden", "smoothing")


def collect_full(work: Path, news: News) -> None:
    """Record MiniLM, fine-tuned on all rows, and store its predictions."""
    labels = store.split(news)[1]["label"].to_numpy()
    content: dict[str, Any] = {"poolings": {}, "rows": len(store.split(news)[0])}
    for prefix, pooling in POOLINGS.items():
        runs = finished(work, [f"{prefix}-[0-9]"])
        if not runs:
            continue
        seeds = {int(name.rsplit("-", 1)[1]): run for name, run in runs.items()}
        accuracies = [run["test_accuracy"] for run in seeds.values()]
        median = statistics.median(accuracies)
        first = next(iter(seeds.values()))
        content["poolings"][pooling] = {
            "seeds": len(seeds),
            "test_accuracy": median,
            "test_accuracies": accuracies,
            "interval": accuracy_interval(median, len(news.test)),
            "valid_accuracies": [run["valid_accuracy"] for run in seeds.values()],
            "best_epochs": [run["best_epoch"] for run in seeds.values()],
            "curve": first["curve"],
        } | {name: first["recipe"][name] for name in RECIPE}
        content["parameters"] = first["parameters"]
        content["device"] = first["environment"]["device"]
        if prefix != "minilm-mean":
            continue
        content["readme_rows"] = [
            store.readme_row("all-MiniLM-L6-v2", "bert", len(seeds), median, len(news.test))
        ]
        speed = speed_on_one_core(news)
        for seed in seeds:
            found = load_file(work / f"{prefix}-{seed}" / PROBABILITIES)
            cost = {"parameters": first["parameters"], "megabytes": 4 * first["parameters"] / 1e6}
            cost |= {"train_cpu_seconds": None, "documents_per_second": speed}
            made = Predictions("minilm", seed, found["test"], found["valid"], labels, cost)
            store_predictions(news, made, store.RESULTS / "predictions")
    best = content["poolings"]["mean of all pieces"]
    content["test_accuracy"] = best["test_accuracy"]
    store.record_run(
        "minilm_full",
        news,
        content,
        f"MiniLM on all rows: {best['test_accuracy']:.2%}, median of {best['seeds']} seeds",
        seed=1,
        cpu_seconds=0.0,
    )


def speed_on_one_core(news: News, rows: int = 400) -> float:
    """Return how many documents MiniLM answers in a CPU second; its weights do not matter."""
    model, tokenizer = load_encoder("minilm")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        texts = repair_frame(news.test[:rows])["text"]
        started = time.process_time()
        predict_texts(model, tokenizer, texts)
        return rows / (time.process_time() - started)
    finally:
        torch.set_num_threads(threads)


def collect_curves(work: Path, news: News) -> None:
    """Record accuracy against the number of rows, as far as it was measured."""
    points = []
    for path in sorted(work.glob("curve-*/partial.json")):
        _, encoder, _ = path.parent.name.split("-", 2)
        for point in json.loads(path.read_text(encoding="utf-8")):
            size, accuracies = point["per_class"], point["accuracies"]
            points.append(few_point(encoder, point["way"], size, accuracies, len(news.test)))
    measured = {(point["encoder"], point["way"], point["per_class"]) for point in points}
    points += [  # what a CPU has added
        point
        for point in store.finished("few_labels", news).get("points", [])
        if (point["encoder"], point["way"], point["per_class"]) not in measured
    ]
    points.sort(key=lambda point: (point["encoder"], point["way"], point["per_class"]))
    content = {"points": points, "texts": "repaired"} | few_summary(points, news)
    headline = f"{len(points)} points"
    store.record_run("few_labels", news, content, headline, seed=1, cpu_seconds=0.0)


def collect_teacher(work: Path, news: News) -> Path:
    """Store what networks say of rows that they have not learned from, to teach others.

    Rows are those to learn from, in the order of `tools.reference.store.split`, then those of
    `unlabelled_extra.csv`. Fold models of MiniLM and the linear model, averaged.
    """
    parts = {
        name: Rows([[]] * len(frame), frame["label"].to_numpy())
        for name, frame in frames(news).items()
    }
    probabilities = average_teacher(work, ["minilm-fold", "linear-fold"], parts)
    right = (probabilities[: len(parts["fit"])].argmax(1) == parts["fit"].labels).mean()
    target = store.RESULTS / f"teacher.{news.name}.safetensors"
    about = {"train_md5": news.md5["train.csv"], "accuracy": f"{right:.4f}"}
    with written_whole(target) as partial:
        save_file({"probabilities": probabilities.astype(np.float16)}, partial, metadata=about)
    print(f"teacher: {right:.2%} of the rows to learn from")
    return target


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.gpu.collect", description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--data", default="ag_news")
    parser.add_argument("--reviews", help="film reviews (imdb, a folder, an archive): only these")
    options = parser.parse_args(arguments)
    if options.reviews:
        imdb.take_in(options.work, load_news(options.reviews))
        return 0
    news = load_news(options.data)
    collect_full(options.work, news)
    collect_curves(options.work, news)
    collect_teacher(options.work, news)
    return 0


if __name__ == "__main__":
    sys.exit(main())
