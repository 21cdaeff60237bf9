"""Chapter pretraining, "Does it help the task?": a score with few labels, for the log of a run."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from transformers import PreTrainedTokenizerFast

from agnews_utils.bert.pooling import mean_pool
from agnews_utils.bert.pretraining import PretrainingModel
from agnews_utils.cleaning.pipeline import repair_frame
from agnews_utils.data.loading import News
from agnews_utils.training.inference import device_of, evaluation_mode
from agnews_utils.vocabulary.batching import pad_batch

PER_CLASS, JUDGED = 25, 1000
_BATCH = 250


class FewRowsScore:
    """Accuracy of a linear model on the frozen states, learned from a hundred training rows.

    Neither the labels nor this score teach the network; they tell whether it is still worth going
    on.

    Parameters
    ----------
    news : News
        Its training rows give both sides: 25 rows a class to learn from, 1,000 others to judge.
    tokenizer : PreTrainedTokenizerFast
        Of the run.
    max_length : int
        Pieces per text.
    """

    def __init__(self, news: News, tokenizer: PreTrainedTokenizerFast, max_length: int) -> None:
        few = news.train.groupby("label").sample(PER_CLASS, random_state=0, replace=True)
        others = news.train.drop(few.index)
        judged = others.sample(min(JUDGED, len(others)), random_state=0)
        self.labels = few["label"].to_numpy(), judged["label"].to_numpy()
        self.ids = [
            tokenizer(repair_frame(rows)["text"].tolist(), truncation=True, max_length=max_length)[
                "input_ids"
            ]
            for rows in (few, judged)
        ]

    def __call__(self, model: PretrainingModel) -> float:
        """Return the accuracy on the rows to judge, 0 to 1."""
        states = [self._states(model, sequences) for sequences in self.ids]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a score needs no last digit
            linear = LogisticRegression(max_iter=300).fit(states[0], self.labels[0])
        return float(linear.score(states[1], self.labels[1]))

    def _states(self, model: PretrainingModel, sequences: list[list[int]]) -> np.ndarray:
        device, parts = device_of(model), []
        with evaluation_mode(model):
            for start in range(0, len(sequences), _BATCH):
                ids, mask, _ = pad_batch(sequences[start : start + _BATCH], 0)
                states = model.network.bert(ids.to(device), attention_mask=mask.to(device))[0]
                parts.append(mean_pool(states.float(), mask.to(device)).cpu())
        return torch.cat(parts).numpy()
