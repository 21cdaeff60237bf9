"""Chapter 5, BERT, learning from few labels and many texts without (section "Few labels").

A classifier that has seen ten labeled texts of each class labels all the others; it is trained anew
on those of which it is surest; and again (Yarowsky, 1995; Lee, 2013). That works where texts of one
class lie close together, which is what pre-training is for.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from agnews_utils.bert import MAX_LENGTH, text_batches
from agnews_utils.training.inference import device_of, evaluation_mode, to_device


def pooled_states(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: list[str],
    max_length: int = MAX_LENGTH,
) -> np.ndarray:
    """Return what an encoder makes of each text: the pooled [CLS], scaled to length 1.

    Parameters
    ----------
    model, tokenizer
        As `load_encoder` returns them; the head is not used.
    texts : list of str
        The texts.
    max_length : int
        Pieces per text.

    Returns
    -------
    array, shape (texts, hidden), float32
        In the order of the texts; the cosine of two texts is the product of their rows.
    """
    body: nn.Module = model.base_model
    parts, rows = [], []
    with evaluation_mode(body):
        for batch in text_batches(texts, tokenizer, max_length=max_length):
            moved = to_device(batch, device_of(body))
            found = body(input_ids=moved["input_ids"], attention_mask=moved["attention_mask"])
            parts.append(nn.functional.normalize(found.pooler_output.float(), dim=-1).cpu())
            rows.append(batch["index"])
    return torch.cat(parts)[torch.cat(rows).argsort()].numpy()


def self_train(
    states: np.ndarray,
    labels: np.ndarray,
    unlabeled: np.ndarray,
    rounds: int = 5,
    share: float = 0.6,
    weight: float = 20.0,
) -> LogisticRegression:
    """Train a linear classifier on few labels, then on its own surest answers.

    Parameters
    ----------
    states : array, shape (labeled texts, hidden)
        From `pooled_states`.
    labels : array, shape (labeled texts,)
        Their classes.
    unlabeled : array, shape (other texts, hidden)
        Texts of which no label is known.
    rounds : int
        How often the other texts are labeled; 0 for the classifier of the few labels.
    share : float
        Of the texts that got a class, how many are believed: the surest, more than 0 and at most 1.
    weight : float
        How much more a true label counts than a guessed one.

    Returns
    -------
    LogisticRegression
        The classifier of the last round.

    Raises
    ------
    ValueError
        If a number is impossible, or the arrays do not fit together.
    """
    labels = np.asarray(labels)
    if rounds < 0 or not 0 < share <= 1 or weight <= 0:
        raise ValueError(
            f"rounds={rounds}, share={share}, weight={weight}: expected rounds of 0 or more, a "
            "share above 0 and at most 1, and a weight above 0."
        )
    if len(states) != len(labels) or states.shape[1] != unlabeled.shape[1]:
        raise ValueError(
            f"states {states.shape}, labels {labels.shape} and unlabeled {unlabeled.shape} do not "
            "fit together: one label for each row of states, and states of the same width."
        )
    model = LogisticRegression(max_iter=2_000, tol=1e-3).fit(states, labels)
    for _ in range(rounds):
        probabilities = model.predict_proba(unlabeled)
        guessed, surety = probabilities.argmax(1), probabilities.max(1)
        classes = range(len(model.classes_))
        of_class = [_surest(np.flatnonzero(guessed == c), surety, share) for c in classes]
        believed = np.concatenate(of_class)
        inputs = np.concatenate([states, unlabeled[believed]])
        targets = np.concatenate([labels, model.classes_[guessed[believed]]])
        weights = np.where(np.arange(len(targets)) < len(labels), weight, 1.0)
        model = LogisticRegression(max_iter=2_000, tol=1e-3).fit(
            inputs, targets, sample_weight=weights
        )
    return model


def _surest(rows: np.ndarray, surety: np.ndarray, share: float) -> np.ndarray:
    """Return the rows with the highest surety, so many of them as the share says."""
    order = np.argsort(-surety[rows], kind="stable")
    return rows[order[: int(np.ceil(share * len(rows)))]]
