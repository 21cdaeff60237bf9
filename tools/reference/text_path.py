"""The reference run of chapter bert that compares raw with cleaned texts in fine-tuning."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from agnews_utils.bert.fine_tuning import FINE_TUNING, bert_loader
from agnews_utils.cleaning.pipeline import clean_frame
from agnews_utils.data.loading import News
from agnews_utils.evaluation.comparing import mcnemar
from agnews_utils.training.inference import predict
from agnews_utils.training.loop import fit
from tools.reference import store
from tools.reference.bert import encoder_version, few_rows, make_network

PER_CLASS = 100
SEEDS = (1, 2, 3)


def bert_text_path(news: News, only: Sequence[str], again: bool) -> None:
    """Fine-tune on the same rows, raw and cleaned, and compare on the same test rows."""
    if not again and store.finished("bert_text_path", news):
        return
    fit_rows, _ = store.split(news)
    right: dict[str, list[np.ndarray]] = {"cleaned": [], "raw": []}
    started = time.process_time()
    for seed in SEEDS:
        train = few_rows(fit_rows, PER_CLASS, seed)
        for texts in right:
            right[texts].append(_right(texts, train, news.test, seed))
            print(f"{texts}, seed {seed}: {right[texts][-1].mean():.2%}", flush=True)
    content = summary(right) | {"rows": 4 * PER_CLASS, "encoder": encoder_version()}
    store.record_run(
        "bert_text_path",
        news,
        content,
        f"cleaned minus raw: {content['difference']:+.2%}",
        seed=SEEDS[0],
        cpu_seconds=time.process_time() - started,
    )


def _right(texts: str, train: pd.DataFrame, test: pd.DataFrame, seed: int) -> np.ndarray:
    model, tokenizer = make_network("bert", seed)
    if texts == "cleaned":
        train, test = clean_frame(train), clean_frame(test)
    loaders = [
        bert_loader(rows["text"], rows["label"], tokenizer, size, seed=seed, shuffle=rows is train)
        for rows, size in ((train, 32), (test, 256))
    ]
    fit(model, loaders[0], **FINE_TUNING, seed=seed)
    return predict(model, loaders[1]).argmax(1) == test["label"].to_numpy()


def summary(right: dict[str, list[np.ndarray]]) -> dict[str, Any]:
    """Return accuracies, McNemar's test for each seed, and the mean difference with its interval.

    The interval is that of the mean over the test rows, each with the mean over its seeds: it
    speaks of other test rows, with these seeds.
    """
    tests = [mcnemar(clean, raw) for clean, raw in zip(right["cleaned"], right["raw"], strict=True)]
    by_row = np.mean(right["cleaned"], axis=0) - np.mean(right["raw"], axis=0)
    reach = 1.96 * by_row.std(ddof=1) / len(by_row) ** 0.5
    return {
        "seeds": len(tests),
        "test_rows": len(by_row),
        "accuracy": {name: statistics.mean(r.mean() for r in runs) for name, runs in right.items()},
        "accuracies": {name: [r.mean() for r in runs] for name, runs in right.items()},
        "only_cleaned_right": [test.only_a for test in tests],
        "only_raw_right": [test.only_b for test in tests],
        "p_values": [test.p_value for test in tests],
        "difference": by_row.mean(),
        "low": by_row.mean() - reach,
        "high": by_row.mean() + reach,
    }
