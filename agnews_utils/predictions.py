"""Predictions that are stored once and analyzed many times (chapter 6, "The same rows for all").

One file per model, seed and data set, `results/predictions/<model>-<seed>.<data>.safetensors`: the
logarithms of the probabilities on test and validation rows, in 16 bits, and the labels of the
validation rows. No text is in it, so that a file may travel where AG News may not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from agnews_utils.data.loading import News
from agnews_utils.files import course_path, written_whole

MODELS = {
    "linear": "linear SVM (chapter 1)",
    "bag": "bag of embeddings, bigrams",
    "cnn": "TextCNN",
    "rnn": "RNN",
    "gru": "GRU",
    "lstm": "LSTM",
    "bilstm": "BiLSTM",
    "bert-random": "BERT from random weights",
    "bert": "BERT, pre-trained",
}
"""Key of each model -> its name in tables, from the cheapest to the dearest chapter."""

_FORMAT = "agnews_utils predictions 1"
_LEAST = -30.0  # logarithm of the smallest probability that is told from 0


class PredictionError(ValueError):
    """Stored predictions are missing, damaged, or belong to other rows."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """What one trained model says about test and validation rows.

    Attributes
    ----------
    model : str
        A key of `MODELS`.
    seed : int
        Of the training run.
    test, valid : array, shape (rows, classes), float64
        Probabilities, in the order of the rows; each row adds up to 1.
    valid_labels : array, shape (valid rows,), int64
        The classes of the validation rows, which the reader's copy of the data may not hold.
    cost : dict
        `parameters`, `megabytes` (32-bit weights), `train_cpu_seconds`, `documents_per_second` (on
        one core); what is not known is None.
    trained_on : str
        The data, with the number of its rows.
    """

    model: str
    seed: int
    test: np.ndarray
    valid: np.ndarray
    valid_labels: np.ndarray
    cost: dict[str, Any] = field(default_factory=dict)
    trained_on: str = ""

    @property
    def label(self) -> str:
        """Name of the model in tables."""
        return MODELS.get(self.model, self.model)


def store_predictions(
    news: News, predictions: Predictions, folder: str | os.PathLike[str] | None = None
) -> Path:
    """Write predictions made on a data set (`make results` calls it).

    Parameters
    ----------
    news : News
        The data; the file is bound to its test file by MD5.
    predictions : Predictions
        What was predicted.
    folder : path, optional
        By default the course's `results/predictions`.

    Raises
    ------
    PredictionError
        If the numbers of rows differ, or a value is no probability.
    """
    _check(predictions, len(news.test))
    target = Path(folder or course_path("results/predictions")) / _file_name(predictions, news.name)
    about = {
        "format": _FORMAT,
        "model": predictions.model,
        "seed": str(predictions.seed),
        "test_md5": news.md5.get("test.csv", ""),
        "trained_on": news.description,
        "cost": json.dumps(predictions.cost),
    }
    with np.errstate(divide="ignore"):
        tensors = {
            name: np.log(getattr(predictions, name)).clip(_LEAST).astype(np.float16)
            for name in ("test", "valid")
        }
    tensors["valid_labels"] = np.asarray(predictions.valid_labels).astype(np.uint8)
    with written_whole(target) as partial:
        save_file(tensors, partial, metadata=about)
    return target


def stored_predictions(
    news: News, folder: str | os.PathLike[str] | None = None
) -> dict[str, list[Predictions]]:
    """Read the predictions of all models on the test rows of a data set.

    Parameters
    ----------
    news : News
        The data; its test file must be the one that the predictions were made on.
    folder : path, optional
        By default the `results/predictions` that comes with the course.

    Returns
    -------
    dict of str to list of Predictions
        By model, in the order of `MODELS`, one entry per seed.

    Raises
    ------
    PredictionError
        If there are none for these test rows, or a file is damaged.
    """
    place = course_path("results/predictions") if folder is None else Path(folder)
    paths = sorted(place.glob(f"*.{news.name}.safetensors"))
    found = [_read(path, news) for path in paths]
    if not found:
        raise PredictionError(
            f"No predictions are stored for {news.description}: there are some for News Briefs and "
            "for AG News. Train models on these rows, and analyze theirs."
        )
    order = list(MODELS)
    found.sort(key=lambda one: (order.index(one.model), one.seed))
    by_model: dict[str, list[Predictions]] = {}
    for one in found:
        by_model.setdefault(one.model, []).append(one)
    return by_model


def _read(path: Path, news: News) -> Predictions:
    try:
        with safe_open(path, framework="numpy") as file:
            about: Mapping[str, str] = file.metadata() or {}
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise PredictionError(f"{path.name} is damaged ({error}): restore it.") from error
    if about.get("format") != _FORMAT or about.get("model") not in MODELS:
        raise PredictionError(f"{path.name} is no file of predictions of this course.")
    if about["test_md5"] != news.md5.get("test.csv", ""):
        raise PredictionError(
            f"{path.name} was made on another test file than the one in {news.folder.name}: its "
            "rows would be compared with labels that are not theirs."
        )
    return Predictions(
        about["model"],
        int(about["seed"]),
        _probabilities(stored["test"]),
        _probabilities(stored["valid"]),
        stored["valid_labels"].astype(np.int64),
        json.loads(about["cost"]),
        about["trained_on"],
    )


def _probabilities(stored: np.ndarray) -> np.ndarray:
    """Undo the logarithm; what rounding to 16 bits has changed is spread over the row."""
    probabilities = np.exp(stored.astype(np.float64))
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def _check(predictions: Predictions, test_rows: int) -> None:
    if predictions.model not in MODELS:
        raise PredictionError(f"model={predictions.model!r}: expected one of {', '.join(MODELS)}")
    expected = {"test": test_rows, "valid": len(predictions.valid_labels)}
    for name, rows in expected.items():
        values = getattr(predictions, name)
        if values.ndim != 2 or len(values) != rows:
            raise PredictionError(
                f"{name} has the shape {values.shape}: expected {rows:,} rows of probabilities."
            )
        bad = ~(np.isfinite(values).all(1) & (abs(values.sum(1) - 1) < 1e-3) & (values >= 0).all(1))
        if bad.any():
            raise PredictionError(
                f"row {int(bad.argmax())} of {name} is {values[bad][0].tolist()}: expected "
                "probabilities that add up to 1."
            )


def _file_name(predictions: Predictions, data: str) -> str:
    return f"{predictions.model}-{predictions.seed}.{data}.safetensors"
