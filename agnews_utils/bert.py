"""Chapter 5, BERT: load an encoder, make its batches, fine-tune it layer by layer.

The by-hand parts stand in `attention`, `wordpiece` and `masking`, the encoder's files in
`encoder_loading` and `encoder_files`, learning rates by layer in `layerwise`, and pre-training in
`pretrain` and the modules that it names; what the chapter teaches is
importable from here. Fine-tuning itself is `agnews_utils.training.loop`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase

from agnews_utils.attention import (
    attention,
    encoder_layer,
    gelu,
    layer_norm,
    layer_parameters,
    merge_heads,
    multi_head_attention,
    sinusoidal_positions,
    split_heads,
)
from agnews_utils.encoder_files import BUNDLED, EncoderError, bundled_encoder, save_encoder
from agnews_utils.encoder_loading import load_encoder
from agnews_utils.layerwise import attention_maps, layerwise_parameter_groups, unfreeze
from agnews_utils.masking import asked_positions, corrupt, word_starts
from agnews_utils.training.inference import predict
from agnews_utils.vocabulary.batching import make_loader, pad_batch
from agnews_utils.wordpiece import train_tokenizer, wordpiece

__all__ = [
    "BUNDLED",
    "FINE_TUNING",
    "EncoderError",
    "asked_positions",
    "attention",
    "attention_maps",
    "bert_loader",
    "bundled_encoder",
    "corrupt",
    "encode_for_bert",
    "encoder_layer",
    "gelu",
    "layer_norm",
    "layer_parameters",
    "layerwise_parameter_groups",
    "load_encoder",
    "merge_heads",
    "multi_head_attention",
    "predict_texts",
    "save_encoder",
    "sinusoidal_positions",
    "split_heads",
    "text_batches",
    "train_tokenizer",
    "unfreeze",
    "word_starts",
    "wordpiece",
]

MAX_LENGTH = 64
"""Pieces per text, as in pre-training: later positions were never trained. The rest is cut."""

FINE_TUNING: dict[str, Any] = {
    "epochs": 5,
    "learning_rate": 5e-4,
    "schedule": "linear",
    "warmup": 0.1,
}
"""Arguments of `fit` that suit the bundled encoder on a few thousand rows."""

Batch = dict[str, Tensor]


def encode_for_bert(
    texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, max_length: int = MAX_LENGTH
) -> list[list[int]]:
    """Turn texts into ids with special tokens, cut at `max_length` (chapter 5, "Into ids").

    Parameters
    ----------
    texts : iterable of str
        Cleaned texts.
    tokenizer : PreTrainedTokenizerBase
        The one that belongs to the encoder.
    max_length : int
        Pieces per text, special tokens included.

    Returns
    -------
    list of list of int
        Without padding, which each batch gets for itself.

    Raises
    ------
    ValueError
        If the texts are one string, or something in them is no text, or `max_length` leaves no
        place for a piece.
    """
    if isinstance(texts, str):
        raise ValueError("texts is one string: give a list or a column of texts.")
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
    tokenizer: PreTrainedTokenizerBase,
    batch_size: int = 32,
    *,
    max_length: int = MAX_LENGTH,
    seed: int = 42,
    shuffle: bool = True,
) -> DataLoader:
    """Return length-bucketed batches for `fit` and `evaluate` (chapter 5, "Into batches").

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


def text_batches(
    texts: Iterable[str],
    tokenizer: PreTrainedTokenizerBase,
    batch_size: int = 128,
    max_length: int = MAX_LENGTH,
) -> list[Batch]:
    """Return batches without labels; `index` tells `predict` which row each document was."""
    sequences = encode_for_bert(texts, tokenizer, max_length)
    order = sorted(range(len(sequences)), key=lambda row: len(sequences[row]))
    batches = []
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        ids, mask, lengths = pad_batch([sequences[row] for row in rows], tokenizer.pad_token_id)
        names = ("input_ids", "attention_mask", "lengths", "index")
        batches.append(dict(zip(names, (ids, mask, lengths, torch.tensor(rows)), strict=True)))
    return batches


def predict_texts(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    texts: Iterable[str],
    max_length: int = MAX_LENGTH,
) -> np.ndarray:
    """Return the probability of each class for each text, in the order of the texts.

    Clean the texts as those that the network was trained on, and use the same `max_length`
    (chapter 5, "A new article").
    """
    return predict(model, text_batches(texts, tokenizer, max_length=max_length))
