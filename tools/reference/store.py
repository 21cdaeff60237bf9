"""What all reference runs share: where results lie, stored predictions, intervals."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader

from agnews_utils.data.exploration import accuracy_interval
from agnews_utils.data.loading import News
from agnews_utils.data.splitting import train_valid_split
from agnews_utils.evaluation.predictions import Predictions, store_predictions
from agnews_utils.training.inference import predict
from tools.builder.chapters import ROOT

RESULTS = ROOT / "results"
VALID_FRACTION = 0.05


@lru_cache(maxsize=2)
def split(news: News) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows that all models learn from, and the validation rows, the same for all."""
    return train_valid_split(news.train, VALID_FRACTION, seed=42)


def store(
    news: News,
    name: str,
    seed: int,
    model: nn.Module,
    loaders: tuple[DataLoader, DataLoader],
    cost: dict[str, Any],
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
    cost = cost | {
        "megabytes": sum(value.numel() * value.element_size() for value in values) / 1e6,
        "documents_per_second": len(test_probabilities) / seconds,
    }
    labels = torch.tensor(valid.dataset.labels).numpy()
    predictions = Predictions(name, seed, test_probabilities, valid_probabilities, labels, cost)
    store_predictions(news, predictions, RESULTS / "predictions")
    return predictions


def has_predictions(news: News, name: str, seed: int) -> bool:
    """Tell whether a model's predictions are stored."""
    return (RESULTS / "predictions" / f"{name}-{seed}.{news.name}.safetensors").is_file()


def finished(run: str, news: News) -> dict[str, Any]:
    """Return the metrics of a run as far as they are recorded; {} before the first."""
    path = RESULTS / f"{run}.{news.name}.json"
    if not path.is_file():
        return {}
    return json.loads(path.read_text(encoding="utf-8"))["metrics"]


def half_width(accuracy: float, rows: int) -> float:
    """Return half the width of the normal 95 % interval of an accuracy."""
    return 1.96 * (accuracy * (1 - accuracy) / rows) ** 0.5


def interval_of_mean(accuracies: Sequence[float], rows: int) -> tuple[float, float, float]:
    """Return mean and 95 % interval of an accuracy over several draws of training rows.

    With several draws, Student's interval of their mean; with one, that of its test rows.
    """
    from scipy.stats import t

    mean = statistics.mean(accuracies)
    if len(accuracies) == 1:
        return (mean, *accuracy_interval(mean, rows))
    spread = statistics.stdev(accuracies) / len(accuracies) ** 0.5
    reach = t.ppf(0.975, len(accuracies) - 1) * spread
    return mean, max(0.0, mean - reach), min(1.0, mean + reach)
