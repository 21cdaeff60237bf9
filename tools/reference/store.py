"""What all reference runs share: rows, results, stored predictions, rows of README, intervals."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from scipy.stats import t
from torch import nn
from torch.utils.data import DataLoader

from agnews_utils.data.exploration import accuracy_interval
from agnews_utils.data.loading import News
from agnews_utils.data.splitting import train_valid_split
from agnews_utils.evaluation.predictions import Predictions, store_predictions
from agnews_utils.runtime import record
from agnews_utils.training.history import History
from agnews_utils.training.inference import predict

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results"
CHECKPOINTS = ROOT / "build" / "reference"
VALID_FRACTION = 0.05

Runs = dict[str, dict[str, dict[str, Any]]]
"""What was measured, by model and seed."""


# -------------------------------------------------------------------------------------------- rows


@lru_cache(maxsize=2)
def split(news: News) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows that all models learn from, and the validation rows, the same for all."""
    return train_valid_split(news.train, VALID_FRACTION, seed=42)


def is_small(news: News) -> bool:
    """Tell whether a data set has a few thousand rows only, which need more epochs."""
    return len(news.train) <= 10_000


# ----------------------------------------------------------------------------------------- results


def finished(run: str, news: News) -> dict[str, Any]:
    """Return the metrics of a run as far as they are recorded; {} before the first."""
    path = RESULTS / f"{run}.{news.name}.json"
    if not path.is_file():
        return {}
    return json.loads(path.read_text(encoding="utf-8"))["metrics"]


def record_run(
    run: str,
    news: News,
    content: Mapping[str, Any],
    headline: str,
    *,
    seed: int,
    cpu_seconds: float | None = None,
) -> None:
    """Print the headline, and store the metrics of a run."""
    record(run, news, content, headline, seed=seed, cpu_seconds=cpu_seconds, folder=RESULTS)


def run_models(
    run: str,
    news: News,
    wanted: Iterable[tuple[str, int]],
    again: bool,
    measure: Callable[[str, int], dict[str, Any]],
    summarize: Callable[[Runs, News], dict[str, Any]],
    cpu_seconds: Callable[[dict[str, Any]], float],
    up_to_date: Callable[[dict[str, Any]], bool] = bool,
) -> None:
    """Measure models with their seeds, but for what is finished; store the results after each.

    Parameters
    ----------
    run, news
        What is recorded, and on which data.
    wanted : iterable of (str, int)
        Models and seeds.
    again : bool
        Measure what is finished, too.
    measure, summarize : callable
        Take a model and a seed; take all runs. Return what is recorded of them.
    cpu_seconds, up_to_date : callable
        What a recorded run has cost, and whether it is one of today's.
    """
    for name, seed in wanted:
        done = finished(run, news).get("runs", {}).get(name, {}).get(str(seed), {})
        if not again and done and up_to_date(done) and has_predictions(news, name, seed):
            continue
        measured = measure(name, seed)
        # Read again: another command may have finished another model meanwhile.
        runs: Runs = finished(run, news).get("runs", {})
        runs.setdefault(name, {})[str(seed)] = measured
        costs = [cpu_seconds(one) for by_seed in runs.values() for one in by_seed.values()]
        record_run(
            run,
            news,
            summarize(runs, news),
            f"{name}, seed {seed}: test {measured['test_accuracy']:.2%}, "
            f"valid {measured['valid_accuracy']:.2%}",
            seed=seed,
            cpu_seconds=sum(costs),
        )


def readme_row(label: str, chapter: str, seeds: int, accuracy: float, rows: int) -> dict[str, Any]:
    """Return a row of README's table of results; there the chapter's name becomes its number."""
    of = f"median of {seeds} seeds" if seeds > 1 else "one seed"
    interval = accuracy_interval(accuracy, rows)
    return {
        "model": f"{label} (chapter {chapter}, {of})",
        "accuracy": accuracy,
        "interval": interval,
    }


# ------------------------------------------------------------------------------------- predictions


def store(
    news: News,
    name: str,
    seed: int,
    model: nn.Module,
    loaders: tuple[DataLoader, DataLoader],
    history: History,
) -> Predictions:
    """Predict validation and test rows on one core, and store that with what the model costs."""
    valid, test = loaders
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        started = time.process_time()
        test_probabilities = predict(model, test)
        seconds = time.process_time() - started
        valid_probabilities = predict(model, valid)
    finally:
        torch.set_num_threads(threads)
    values = list(model.state_dict().values())
    cost = {
        "parameters": sum(value.numel() for value in model.parameters()),
        "train_cpu_seconds": sum(history.epochs["cpu_seconds"]),
        "megabytes": sum(value.numel() * value.element_size() for value in values) / 1e6,
        "documents_per_second": len(test_probabilities) / seconds,
    }
    labels = split(news)[1]["label"].to_numpy()
    predictions = Predictions(name, seed, test_probabilities, valid_probabilities, labels, cost)
    store_predictions(news, predictions, RESULTS / "predictions")
    return predictions


def has_predictions(news: News, name: str, seed: int) -> bool:
    """Tell whether a model's predictions are stored."""
    return (RESULTS / "predictions" / f"{name}-{seed}.{news.name}.safetensors").is_file()


# --------------------------------------------------------------------------------------- intervals


def half_width(accuracy: float, rows: int) -> float:
    """Return half the width of the normal 95 % interval of an accuracy."""
    return 1.96 * (accuracy * (1 - accuracy) / rows) ** 0.5


def interval_of_mean(accuracies: Sequence[float], rows: int) -> tuple[float, float, float]:
    """Return mean and 95 % interval of an accuracy over several draws of training rows.

    With several draws, Student's interval of their mean; with one, that of its test rows.
    """
    mean = statistics.mean(accuracies)
    if len(accuracies) == 1:
        return (mean, *accuracy_interval(mean, rows))
    spread = statistics.stdev(accuracies) / len(accuracies) ** 0.5
    reach = t.ppf(0.975, len(accuracies) - 1) * spread
    return mean, max(0.0, mean - reach), min(1.0, mean + reach)
