"""Chapter 6, "The same rows for all": chapter 1's linear model, and stand-ins for stored runs."""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy.special import softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from agnews_utils.data.loading import News
from agnews_utils.data.splitting import train_valid_split
from agnews_utils.predictions import Predictions
from agnews_utils.rnn.networks import BagOfEmbeddings, count_parameters
from agnews_utils.runtime import seed_everything
from agnews_utils.training.inference import predict
from agnews_utils.training.loop import fit
from agnews_utils.vocabulary.batching import make_loader
from agnews_utils.vocabulary.vocab import build_vocab, encode, tokenize_all

MOST_ROWS = 20_000
"""Rows that a stand-in learns from at most: a chapter has to end in minutes."""


class LinearClassifier:
    """TF-IDF weights of words and pairs of words, and a linear support vector machine on top.

    The model of chapter 1, "The score to beat". A support vector machine gives margins, no
    probabilities: `predict_proba` puts them through a softmax as they are, and section
    "Calibration" of chapter 6 shows what that is worth.

    Parameters
    ----------
    c : float
        How hard it tries to fit the training rows.
    least_rows : int
        Terms that fewer training rows hold are left out.
    """

    def __init__(self, c: float = 1.0, least_rows: int = 2) -> None:
        self.features = TfidfVectorizer(
            ngram_range=(1, 2), sublinear_tf=True, min_df=least_rows, dtype=np.float32
        )
        self.machine = LinearSVC(C=c, random_state=0)

    def fit(self, texts: Iterable[str], labels: ArrayLike) -> LinearClassifier:
        """Learn from texts and their labels; returns itself."""
        self.machine.fit(self.features.fit_transform(texts), labels)
        return self

    def predict_proba(self, texts: Iterable[str]) -> np.ndarray:
        """Return the softmax of the margins, shape (texts, classes)."""
        return softmax(self.machine.decision_function(self.features.transform(texts)), axis=1)

    @property
    def parameters(self) -> int:
        """How many numbers the machine has learned."""
        return self.machine.coef_.size + self.machine.intercept_.size


def quick_predictions(news: News, seeds: Iterable[int] = (1, 2)) -> dict[str, list[Predictions]]:
    """Train two small models on the spot, for data whose predictions are not stored.

    The linear model and a bag of embeddings, on at most 20,000 training rows. What comes back has
    the form of `stored_predictions`.

    Parameters
    ----------
    news : News
        Any data set with four classes.
    seeds : iterable of int
        Runs of the bag of embeddings.
    """
    fit_rows, valid_rows = train_valid_split(news.train, 0.05, seed=42)
    fit_rows = fit_rows.sample(min(len(fit_rows), MOST_ROWS), random_state=0)
    frames = (fit_rows, valid_rows, news.test)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the arrays are small, and costs are stated for one core
    try:
        bags = [_bag(frames, news, seed) for seed in seeds]
    finally:
        torch.set_num_threads(threads)
    return {"linear": [linear_run(*frames, trained_on=news.description)], "bag": bags}


def linear_run(
    fit_rows: pd.DataFrame,
    valid_rows: pd.DataFrame,
    test: pd.DataFrame,
    c: float = 1.0,
    trained_on: str = "",
) -> Predictions:
    """Train the linear model; return its predictions with what it cost.

    Parameters
    ----------
    fit_rows, valid_rows, test : DataFrame
        News rows to learn from, and those to predict.
    c : float
        See `LinearClassifier`.
    trained_on : str
        The data, for the record.
    """
    started = time.process_time()
    model = LinearClassifier(c).fit(fit_rows["text"], fit_rows["label"])
    trained = time.process_time()
    answers = model.predict_proba(test["text"])
    cost = _cost(model.parameters, trained - started, len(test), time.process_time() - trained)
    valid = model.predict_proba(valid_rows["text"])
    labels = valid_rows["label"].to_numpy()
    return Predictions("linear", 1, answers, valid, labels, cost, trained_on)


def _bag(frames: tuple, news: News, seed: int) -> Predictions:
    tokens = [tokenize_all(frame["text"]) for frame in frames]
    vocab = build_vocab(tokens[0], min_freq=2)
    fit_loader, valid_loader, test_loader = (
        make_loader(encode(texts, vocab, max_length=128), frame["label"], 64, seed, shuffle)
        for texts, frame, shuffle in zip(tokens, frames, (True, False, False), strict=True)
    )
    seed_everything(seed)
    model = BagOfEmbeddings(len(vocab), embedding_size=16, buckets=50_000)
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
