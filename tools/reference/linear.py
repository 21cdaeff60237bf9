"""Reference runs of evaluation: the linear model's predictions, and models on other news."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from agnews_utils.bert.encoder import load_encoder
from agnews_utils.bert.fine_tuning import predict_texts
from agnews_utils.cleaning.pipeline import repair_frame
from agnews_utils.data.exploration import accuracy_interval
from agnews_utils.data.loading import News, load_news
from agnews_utils.evaluation.predictions import (
    MODELS,
    LinearClassifier,
    linear_run,
    store_predictions,
)
from agnews_utils.runtime import recorded
from agnews_utils.training.inference import predict
from agnews_utils.vocabulary.batching import make_loader
from agnews_utils.vocabulary.vocab import encode, tokenize_all
from tools.reference import bert as reference_bert
from tools.reference import rnn as reference_rnn
from tools.reference import store

TUNED = store.ROOT / "build" / "gpu" / "mini-mean-1"
"""Job of `tools.gpu` that fine-tunes the same network on all rows of AG News with the same seed."""
TRANSFERRED = ("linear", "bag", "bilstm", "bert")


def chosen_c(news: News) -> float:
    """Return the `C` that chapter exploration chose on validation rows."""
    return recorded("exploration", news.name)["linear_c"]


def linear_predictions(news: News, only: Sequence[str], again: bool) -> None:
    """Store the linear model's predictions; its margins go through a softmax as they are."""
    if not again and store.has_predictions(news, "linear", 1):
        return
    made = linear_run(*store.split(news), news.test, chosen_c(news), news.description)
    store_predictions(news, made, store.RESULTS / "predictions")
    print(f"linear: {(made.test.argmax(1) == news.test['label']).mean():.2%} on the test rows")


def transfer(news: News, only: Sequence[str], again: bool) -> None:
    """Test models on the other data set: trained on AG News and tested on News Briefs, and back."""
    other = load_news("newsbriefs")
    if news.name != "ag_news":
        print("transfer needs AG News: name it with --data")
        return
    known = store.finished("transfer", news).get("rows", []) if only else []
    rows = [row for row in known if row["model"] not in only]
    for name in only or TRANSFERRED:
        for home, away in ((news, other), (other, news)):
            answers = _answers(name, home)
            accuracies = {
                data.name: float((answers(data.test) == data.test["label"]).mean())
                for data in (home, away)
            }
            rows.append(
                {
                    "model": name,
                    "label": MODELS[name],
                    "trained_on": home.name,
                    "tested_on": away.name,
                    "home_accuracy": accuracies[home.name],
                    "away_accuracy": accuracies[away.name],
                    "away_interval": accuracy_interval(accuracies[away.name], len(away.test)),
                }
            )
            print(rows[-1], flush=True)
    rows.sort(key=lambda row: TRANSFERRED.index(row["model"]))
    store.record_run("transfer", news, {"rows": rows}, "models on other news", seed=1)


def _answers(name: str, news: News) -> Callable[[pd.DataFrame], np.ndarray]:
    """Return the function from rows to classes of a model that was trained on a data set.

    It reads the texts that the model was trained on: BERT repaired ones, the others those of the
    file.
    """
    if name == "linear":
        fit_rows, _ = store.split(news)
        linear = LinearClassifier(chosen_c(news)).fit(fit_rows["text"], fit_rows["label"])
        return lambda rows: linear.predict_proba(rows["text"]).argmax(1)
    if name == "bert":
        made = TUNED / "model"
        if news.name == "ag_news" and made.is_dir():
            model, tokenizer = load_encoder(made, quiet=True)
        else:
            model, _, _, tokenizer = reference_bert.train_one("bert", 1, news)
        return lambda rows: predict_texts(model, tokenizer, repair_frame(rows)["text"]).argmax(1)
    model, _, splits = reference_rnn.train_one(name, 1, news)

    def answers(rows: pd.DataFrame) -> np.ndarray:
        ids = encode(tokenize_all(rows["text"]), splits.vocab, max_length=128)
        return predict(model, make_loader(ids, [0] * len(ids), 256, shuffle=False)).argmax(1)

    return answers
