"""Predictions that are stored once and analyzed many times (evaluation, "One table").

One file per model, seed and data set, `results/predictions/<model>-<seed>.<data>.safetensors`: the
logarithms of the probabilities on test and validation rows, in 16 bits, and the labels of the
validation rows. No text is in it, so that a file may travel where AG News may not.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file
from scipy.special import softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from agnews_utils.data.duplicates import list_of_texts
from agnews_utils.data.loading import News
from agnews_utils.data.splitting import train_valid_split
from agnews_utils.evaluation.metrics import checked_probabilities
from agnews_utils.files import course_path, write_text, written_whole
from agnews_utils.rnn.networks import BagOfEmbeddings, count_parameters
from agnews_utils.runtime import seed_everything
from agnews_utils.training.inference import predict
from agnews_utils.training.loop import fit
from agnews_utils.vocabulary.batching import make_loader
from agnews_utils.vocabulary.vocab import build_vocab, encode, tokenize_all

MODELS = {
    "linear": "linear SVM, without the validation rows",
    "bag": "bag of embeddings, bigrams",
    "cnn": "TextCNN",
    "rnn": "RNN",
    "gru": "GRU",
    "lstm": "LSTM",
    "bilstm": "BiLSTM",
    "bert-random": "BERT from random weights",
    "bert": "BERT, pre-trained",
    "minilm": "all-MiniLM-L6-v2",
}
"""Key of each model -> its name in tables, from the cheapest to the dearest chapter.

The linear model of chapter exploration learned from all training rows; the one that is stored left
out the validation rows, as all stored models did: another model, with another name.
"""

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
    """Write predictions made on a data set, bound to its test file by MD5; returns the path.

    `make results` calls it. Without a `folder` they go to the course's `results/predictions`.

    Raises
    ------
    PredictionError
        If the numbers of rows differ, or a value is no probability.
    """
    _check(predictions, len(news.test))
    name = f"{predictions.model}-{predictions.seed}.{news.name}.safetensors"
    target = Path(folder or course_path("results/predictions")) / name
    about = {
        "format": _FORMAT,
        "model": predictions.model,
        "seed": str(predictions.seed),
        "test_md5": news.test_md5,
        "trained_on": news.description,
        "cost": json.dumps(predictions.cost),
    }
    tensors = {
        name: np.log(np.maximum(getattr(predictions, name), np.exp(_LEAST))).astype(np.float16)
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
        By model, in the order of `MODELS`, then those that it does not list; one entry per seed.

    Raises
    ------
    PredictionError
        If there are none for these test rows, or a file is damaged.
    """
    place = course_path("results/predictions") if folder is None else Path(folder)
    paths = sorted(place.glob(f"*.{escape(news.name)}.safetensors"))
    found = [_read(path, news) for path in paths]
    if not found:
        raise PredictionError(
            f"No predictions are stored for {news.description}: there are some for News Briefs and "
            "for AG News. Train models on these rows, and analyze theirs."
        )
    order = {model: place for place, model in enumerate(MODELS)}
    found.sort(key=lambda one: (order.get(one.model, len(order)), one.model, one.seed))
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
    if about.get("format") != _FORMAT or not about.get("model"):
        raise PredictionError(f"{path.name} is no file of predictions of this course.")
    if about["test_md5"] != news.test_md5:
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
        try:
            values = checked_probabilities(getattr(predictions, name), name)
        except ValueError as error:
            raise PredictionError(str(error)) from error
        if len(values) != rows:
            raise PredictionError(f"{name} has {len(values):,} rows: expected {rows:,}.")


# ------------------------------------------------- the linear model, and stand-ins for stored runs

MOST_ROWS = 20_000
"""Rows that a stand-in learns from at most: a chapter has to end in minutes."""


class LinearClassifier:
    """TF-IDF weights of words and pairs of words, and a linear support vector machine on top.

    The model of (exploration, "The score to beat"). A support vector machine gives margins, no
    probabilities: `predict_proba` puts them through a softmax as they are, and section
    "Calibration" of chapter evaluation shows what that is worth.

    Parameters
    ----------
    c : float
        How hard it tries to fit the training rows.
    least_rows : int
        Terms that fewer training rows hold are left out.
    classes : int, optional
        Columns of the probabilities; by default as many as the labels of the training rows ask for.
    """

    def __init__(self, c: float = 1.0, least_rows: int = 2, classes: int | None = None) -> None:
        self.classes = classes
        self.features = TfidfVectorizer(
            ngram_range=(1, 2), sublinear_tf=True, min_df=least_rows, dtype=np.float32
        )
        self.machine = LinearSVC(C=c, random_state=0)

    def fit(self, texts: Iterable[str], labels: ArrayLike) -> LinearClassifier:
        """Learn from texts and their labels, numbers from 0; returns itself.

        Where no term is in as many rows as asked for, as in texts without spaces, all terms count.
        """
        texts = list_of_texts(texts)
        try:
            features = self.features.fit_transform(texts)
        except ValueError:
            features = self.features.set_params(min_df=1).fit_transform(texts)
        self.machine.fit(features, labels)
        return self

    def predict_proba(self, texts: Iterable[str]) -> np.ndarray:
        """Return the softmax of the margins, shape (texts, classes).

        A class that no training row had gets 0.
        """
        features = self.features.transform(list_of_texts(texts))
        margins = self.machine.decision_function(features)
        if margins.ndim == 1:  # two classes share one machine: what speaks for one, speaks against
            margins = np.column_stack([-margins, margins])
        known = self.machine.classes_
        probabilities = np.zeros((len(margins), self.classes or int(known.max()) + 1))
        probabilities[:, known] = softmax(margins, axis=1)
        return probabilities

    @property
    def parameters(self) -> int:
        """How many numbers the machine has learned."""
        return self.machine.coef_.size + self.machine.intercept_.size

    def save(self, weights: Path, terms: Path) -> None:
        """Write what was learned: numbers as safetensors, terms as JSON; never a pickle."""
        numbers = {
            "idf": self.features.idf_,
            "coefficients": self.machine.coef_,
            "intercepts": self.machine.intercept_,
            "known_classes": self.machine.classes_.astype(np.int64),
        }
        with written_whole(weights) as partial:
            save_file({name: np.ascontiguousarray(a) for name, a in numbers.items()}, partial)
        write_text(terms, json.dumps(self.features.get_feature_names_out().tolist()) + "\n")

    @classmethod
    def load(cls, weights: Path, terms: Path, classes: int) -> LinearClassifier:
        """Read what `save` wrote.

        Raises
        ------
        PredictionError
            If the two files do not belong together, or there are other classes.
        """
        numbers, words = load_file(weights), json.loads(terms.read_text(encoding="utf-8"))
        known = numbers["known_classes"]
        machines = 1 if len(known) == 2 else len(known)
        shape = (machines, len(words))
        if numbers["coefficients"].shape != shape or numbers["idf"].shape != shape[1:]:
            raise PredictionError(
                f"{weights.name} has coefficients of the shape {numbers['coefficients'].shape}, "
                f"and {terms.name} asks for {shape}: the two do not belong together."
            )
        if known.max() >= classes:
            raise PredictionError(
                f"{weights.name} knows a class with the number {known.max()}, and there are "
                f"{classes}, counted from 0: another number of classes."
            )
        model = cls(classes=classes)
        model.features.set_params(vocabulary={word: column for column, word in enumerate(words)})
        model.features.idf_ = numbers["idf"]
        model.machine.coef_, model.machine.intercept_ = (
            numbers["coefficients"],
            numbers["intercepts"],
        )
        model.machine.classes_ = known
        return model


def quick_predictions(news: News, seeds: Iterable[int] = (1, 2)) -> dict[str, list[Predictions]]:
    """Train two small models on the spot, for data whose predictions are not stored.

    The linear model and a bag of embeddings, on at most 20,000 training rows. What comes back has
    the form of `stored_predictions`.

    Parameters
    ----------
    news : News
        Any data set.
    seeds : iterable of int
        One run of the bag of embeddings for each.
    """
    fit_rows, valid_rows = train_valid_split(news.train, 0.05, seed=42)
    fit_rows = fit_rows.sample(min(len(fit_rows), MOST_ROWS), random_state=0)
    frames = (fit_rows, valid_rows, news.test)
    news = news.with_training_rows(fit_rows)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the arrays are small, and costs are stated for one core
    try:
        bags = [_bag(frames, news, seed) for seed in seeds]
    finally:
        torch.set_num_threads(threads)
    linear = linear_run(*frames, trained_on=news.description, classes=len(news.classes))
    return {"linear": [linear], "bag": bags}


def linear_run(
    fit_rows: pd.DataFrame,
    valid_rows: pd.DataFrame,
    test: pd.DataFrame,
    c: float = 1.0,
    trained_on: str = "",
    classes: int | None = None,
) -> Predictions:
    """Train the linear model on `fit_rows`; return its predictions with what it cost."""
    started = time.process_time()
    model = LinearClassifier(c, classes=classes).fit(fit_rows["text"], fit_rows["label"])
    trained = time.process_time()
    answers = model.predict_proba(test["text"])
    cost = _cost(model.parameters, trained - started, len(test), time.process_time() - trained)
    valid = model.predict_proba(valid_rows["text"])
    labels = valid_rows["label"].to_numpy()
    return Predictions("linear", 1, answers, valid, labels, cost, trained_on)


def _bag(frames: tuple[pd.DataFrame, ...], news: News, seed: int) -> Predictions:
    tokens = [tokenize_all(frame["text"]) for frame in frames]
    vocab = build_vocab(tokens[0], min_freq=2)
    fit_loader, valid_loader, test_loader = (
        make_loader(encode(texts, vocab, max_length=128), frame["label"], 64, seed, shuffle)
        for texts, frame, shuffle in zip(tokens, frames, (True, False, False), strict=True)
    )
    seed_everything(seed)
    model = BagOfEmbeddings(
        len(vocab), classes=len(news.classes), embedding_size=16, buckets=50_000
    )
    started = time.process_time()
    fit(model, fit_loader, valid_loader, epochs=6, learning_rate=2e-2, seed=seed)
    trained = time.process_time()
    answers = predict(model, test_loader)
    size = count_parameters(model)["total"]
    cost = _cost(size, trained - started, len(answers), time.process_time() - trained)
    valid = predict(model, valid_loader)
    labels = frames[1]["label"].to_numpy()
    return Predictions("bag", seed, answers, valid, labels, cost, news.description)


def _cost(parameters: int, train_seconds: float, documents: int, seconds: float) -> dict:
    return {
        "parameters": parameters,
        "megabytes": 4 * parameters / 1e6,
        "train_cpu_seconds": train_seconds,
        "documents_per_second": documents / max(seconds, 1e-9),
    }
