"""Chapter bert, using an encoder: batches, answers, layer-wise fine-tuning, few labels.

Fine-tuning itself is `fit` of `agnews_utils.training`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from agnews_utils.bert.encoder import quiet_transformers
from agnews_utils.bert.pooling import mean_pool
from agnews_utils.training.inference import Batch, device_of, evaluation_mode, predict, to_device
from agnews_utils.training.optimizers import parameter_groups
from agnews_utils.vocabulary.batching import make_loader, pad_batch

MAX_LENGTH = 96
"""Pieces per text, as in pre-training: later positions were never trained. The rest is cut."""

FINE_TUNING: dict[str, Any] = {
    "epochs": 5,
    "learning_rate": 5e-4,
    "schedule": "linear",
    "warmup": 0.1,
}
"""Arguments of `fit` that suit the bundled encoder on a few thousand rows."""


# --------------------------------------------------------------------------------- texts to batches


def encode_for_bert(
    texts: Iterable[str], tokenizer: PreTrainedTokenizerFast, max_length: int = MAX_LENGTH
) -> list[list[int]]:
    """Turn texts into ids with special tokens, cut at `max_length` (pretraining, "Into ids").

    Returns
    -------
    list of list of int
        Without padding, which each batch gets for itself.

    Raises
    ------
    TypeError
        If the texts are one string.
    ValueError
        If something in them is no text, or `max_length` leaves no place for a piece.
    """
    if isinstance(texts, str):
        raise TypeError("texts is one string: give a list or a column of texts.")
    texts = list(texts)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f'text {row} is {text!r}, not a text: fill missing texts with "".')
    least = tokenizer.num_special_tokens_to_add() + 1
    if max_length < least:
        raise ValueError(f"max_length={max_length}: expected {least} or more, for one piece.")
    if not texts:
        return []
    return tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]


def bert_loader(
    texts: Iterable[str],
    labels: Iterable[int],
    tokenizer: PreTrainedTokenizerFast,
    batch_size: int = 32,
    *,
    max_length: int = MAX_LENGTH,
    seed: int = 42,
    shuffle: bool = True,
) -> DataLoader:
    """Return length-bucketed batches for `fit` and `evaluate` (bert, "Into batches").

    Each is a dict of `input_ids`, `attention_mask`, `lengths` and `labels`; see `make_loader`.
    """
    sequences = encode_for_bert(texts, tokenizer, max_length)
    return make_loader(
        sequences,
        labels,
        batch_size,
        seed=seed,
        shuffle=shuffle,
        pad_index=tokenizer.pad_token_id,
    )


def _text_batches(
    texts: Iterable[str], tokenizer: PreTrainedTokenizerFast, max_length: int, batch_size: int = 128
) -> list[Batch]:
    """Return batches without labels, sorted by length; `index` tells which row a document was."""
    sequences = encode_for_bert(texts, tokenizer, max_length)
    return _id_batches(sequences, tokenizer.pad_token_id, batch_size)


def _id_batches(sequences: Sequence[Sequence[int]], pad_index: int, batch_size: int) -> list[Batch]:
    order = sorted(range(len(sequences)), key=lambda row: len(sequences[row]))
    batches: list[Batch] = []
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        ids, mask, _ = pad_batch([sequences[row] for row in rows], pad_index)
        batches.append({"input_ids": ids, "attention_mask": mask, "index": torch.tensor(rows)})
    return batches


# ------------------------------------------------------------------------------- batches to answers


def predict_texts(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerFast,
    texts: Iterable[str],
    max_length: int = MAX_LENGTH,
) -> np.ndarray:
    """Return the probability of each class for each text, in the order of the texts.

    Clean the texts as those that the network was trained on, with `repair_frame` for the course's
    encoders, and use the same `max_length` (bert, "A new article").
    """
    return predict(model, _text_batches(texts, tokenizer, max_length))


def attention_maps(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, text: str, max_length: int = 128
) -> tuple[list[str], Tensor]:
    """Return who looks at whom in a text (pretraining, "A map of attention").

    Returns
    -------
    pieces : list of str
        The pieces of the text, special tokens included.
    weights : Tensor, shape (layers, heads, length, length)
        Rows are the queries; each adds up to 1.
    """
    encoded = tokenizer(text, return_tensors="pt", truncation=True, max_length=max_length)
    before = model.config._attn_implementation
    with quiet_transformers(), evaluation_mode(model):
        # The fused kernels do not keep their weights. transformers 4 cannot exchange them, warns,
        # and computes the weights all the same.
        model.set_attn_implementation("eager")
        try:
            moved = to_device(encoded, device_of(model))
            found = model.base_model(
                input_ids=moved["input_ids"],
                attention_mask=moved["attention_mask"],
                output_attentions=True,
            )
        finally:
            model.set_attn_implementation(before)
    weights = torch.stack([layer[0].cpu() for layer in found.attentions])
    return encoded.tokens(), weights


# ---------------------------------------------------------------------------------- layer by layer

_LAYER = re.compile(r"(?P<stack>.*?\.layers?\.)(?P<number>\d+)\.")


def _layer_prefixes(model: PreTrainedModel) -> list[str]:
    """Return how the names of each layer's parameters begin, from the lowest layer up."""
    body = f"{model.base_model_prefix}."
    found = {}
    for name, _ in model.named_parameters():
        if name.startswith(body) and (match := _LAYER.match(name)):
            found[int(match["number"])] = match[0]
    if not found:
        raise ValueError(f"{type(model).__name__} has no layers that are named as such.")
    return [found[number] for number in sorted(found)]


def layerwise_parameter_groups(
    model: PreTrainedModel, learning_rate: float, decay: float = 0.8, weight_decay: float = 0.01
) -> list[dict[str, Any]]:
    """Give each layer a smaller learning rate than the one above it (bert, "Layer by layer").

    The head and the pooler get `learning_rate`, the top layer `learning_rate * decay`, and so on
    down to the embeddings (Howard and Ruder, 2018; Sun et al., 2019). Frozen parameters are left
    out. `decay` is above 0; 1 means the same rate everywhere.

    Returns
    -------
    list of dict
        Groups for any optimizer of torch, such as `AdamW(groups)`, which `fit` takes.
    """
    if not 0 < decay <= 1:
        raise ValueError(f"decay={decay}: expected more than 0 and at most 1, such as 0.8")
    trained = [name for name, value in model.named_parameters() if value.requires_grad]
    prefixes = _layer_prefixes(model)
    factors = {prefix: decay ** (i + 1) for i, prefix in enumerate(reversed(prefixes))}
    factors[f"{model.base_model_prefix}.embeddings."] = decay ** (len(prefixes) + 1)
    used = {p: f for p, f in factors.items() if any(name.startswith(p) for name in trained)}
    return parameter_groups(model, learning_rate, weight_decay, used)


def unfreeze(model: PreTrainedModel, layers: int | None = None) -> int:
    """Choose what is trained: the head, some layers, or all (bert, "Layer by layer").

    Gradual unfreezing is a sequence of calls of `fit` with 0, 1, 2, ... layers.

    Parameters
    ----------
    model : PreTrainedModel
        Its parameters are frozen or unfrozen.
    layers : int, optional
        0: only the head; n: the pooler and the n top layers, too; None: everything, with the
        embeddings.

    Returns
    -------
    int
        How many numbers are trained.
    """
    prefixes = _layer_prefixes(model)
    if layers is not None and not 0 <= layers <= len(prefixes):
        raise ValueError(f"layers={layers}: the network has {len(prefixes)} of them")
    body = f"{model.base_model_prefix}."
    opened = tuple(prefixes[len(prefixes) - (layers or 0) :])
    for name, parameter in model.named_parameters():
        pooler = name.startswith(f"{body}pooler.") and bool(layers)
        free = layers is None or not name.startswith(body) or name.startswith(opened) or pooler
        parameter.requires_grad_(free)
    return sum(value.numel() for value in model.parameters() if value.requires_grad)


# -------------------------------------------------------------------------- few labels, many texts


def pooled_states(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    texts: list[str],
    max_length: int = MAX_LENGTH,
    pooling: str = "cls",
) -> np.ndarray:
    """Return what an encoder makes of each text, scaled to length 1 (bert, "Frozen").

    The head of the network is not used. `pooling` is "cls" for the pooler's answer to [CLS], or
    "mean" for the mean of all states of the last layer, padding left out.

    Returns
    -------
    array, shape (texts, hidden), float32
        In the order of the texts; the cosine of two texts is the product of their rows.
    """
    sequences = encode_for_bert(texts, tokenizer, max_length)
    return pooled_ids(model, sequences, tokenizer.pad_token_id, pooling)


def pooled_ids(
    model: PreTrainedModel,
    sequences: Sequence[Sequence[int]],
    pad_index: int,
    pooling: str = "cls",
    batch_size: int = 128,
) -> np.ndarray:
    """Return the same of texts that are ids already; see `pooled_states`."""
    if pooling not in ("cls", "mean"):
        raise ValueError(f"pooling={pooling!r}: expected 'cls' or 'mean'")
    body: nn.Module = model.base_model
    parts, rows = [], []
    with evaluation_mode(body):
        for batch in _id_batches(sequences, pad_index, batch_size):
            moved = to_device(batch, device_of(body))
            found = body(input_ids=moved["input_ids"], attention_mask=moved["attention_mask"])
            pooled = found.pooler_output
            if pooling == "mean":
                pooled = mean_pool(found.last_hidden_state, moved["attention_mask"])
            parts.append(nn.functional.normalize(pooled.float(), dim=-1).cpu())
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
