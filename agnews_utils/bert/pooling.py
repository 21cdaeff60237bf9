"""Chapter bert, from the states of a text's pieces to one vector: pooling, and contrastive tuning.

BERT's own head reads the first state, [CLS]; sentence encoders such as all-MiniLM-L6-v2 were
trained to put a text's meaning into the mean of all states (Reimers and Gurevych, 2019).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertForSequenceClassification, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from agnews_utils.runtime import pick_device
from agnews_utils.training.inference import device_of
from agnews_utils.training.optimizers import AdamW
from agnews_utils.vocabulary.batching import pad_batch


def mean_pool(states: Tensor, attention_mask: Tensor) -> Tensor:
    """Return the mean state of each text's pieces, padding left out (bert, "Pooling").

    Parameters
    ----------
    states : Tensor, shape (batch, length, hidden)
        Of the last layer.
    attention_mask : Tensor, shape (batch, length)
        1 for a piece, 0 for padding.

    Returns
    -------
    Tensor, shape (batch, hidden)
    """
    mask = attention_mask.unsqueeze(-1).to(states.dtype)
    return (states * mask).sum(1) / mask.sum(1).clamp(min=1)


class MeanPooledClassifier(BertForSequenceClassification):
    """A BERT whose head reads the mean of the states in the place of [CLS] (bert, "Pooling")."""

    @classmethod
    def of(cls, model: PreTrainedModel, *, keep_head: bool = False) -> MeanPooledClassifier:
        """Return a classifier with the encoder of `model`, shared, and a new head.

        With `keep_head` the head is shared, too: for what such a classifier was saved as.

        Raises
        ------
        TypeError
            If the model is no BERT of transformers.
        """
        if not isinstance(model, BertForSequenceClassification):
            raise TypeError(
                f"{type(model).__name__} is no BERT: mean pooling is written for "
                "BertForSequenceClassification, as load_encoder returns it for one."
            )
        pooled = cls(model.config)
        pooled.bert = model.bert
        if keep_head:
            pooled.classifier = model.classifier
        return pooled.train(model.training)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None
    ) -> SequenceClassifierOutput:
        """Return the logits, shape (batch, classes), and the loss if labels are there."""
        states = self.bert(input_ids, attention_mask=attention_mask)[0]
        logits = self.classifier(self.dropout(mean_pool(states, attention_mask)))
        loss: Any = None if labels is None else F.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)


def contrastive_loss(states: Tensor, labels: Tensor, temperature: float = 0.1) -> Tensor:
    """Return the supervised contrastive loss of Khosla et al. (2020) (bert, "Few labels").

    Each text asks which of the others is of its class; the answer is a softmax over their cosines.

    Parameters
    ----------
    states : Tensor, shape (texts, hidden)
        One vector a text, of any length.
    labels : LongTensor, shape (texts,)
        Their classes; a class with one text asks nothing.
    temperature : float
        Divides the cosines: the smaller, the more the nearest texts count.

    Returns
    -------
    Tensor
        The mean over the texts that have another of their class, in nats; 0 if none has.
    """
    unit = F.normalize(states.float(), dim=-1)
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    scores = (unit @ unit.T / temperature).masked_fill(itself, float("-inf"))
    log_share = scores.log_softmax(1).masked_fill(itself, 0.0)
    same = (labels.unsqueeze(0) == labels.unsqueeze(1)) & ~itself  # (texts, texts)
    asks = same.any(1)
    each = -(log_share * same).sum(1) / same.sum(1).clamp(min=1)
    return each[asks].sum() / asks.sum().clamp(min=1)


def contrastive_tuning(
    model: PreTrainedModel,
    sequences: Sequence[Sequence[int]],
    labels: Iterable[int],
    *,
    steps: int = 60,
    learning_rate: float = 5e-5,
    temperature: float = 0.1,
    texts_per_class: int = 16,
    pad_index: int = 0,
    seed: int = 42,
) -> list[float]:
    """Pull texts of one class together and those of others apart (bert, "Few labels").

    The idea of SetFit (Tunstall et al., 2022): few labels make many pairs. Dropout is on, so that a
    text is never the same twice. The encoder is trained in place, its head is not used.

    Parameters
    ----------
    model : PreTrainedModel
        Its `base_model` is tuned.
    sequences : sequence of sequences of int
        The ids of each text, special tokens included.
    labels : iterable of int
        Their classes.
    steps, learning_rate
        Of AdamW; the learning rate falls linearly to 0 after a tenth of the steps.
    temperature : float
        See `contrastive_loss`.
    texts_per_class : int
        Texts of each class in a step; all of them if there are fewer.
    pad_index : int
        The id of [PAD].
    seed : int
        Of dropout and of the texts drawn.

    Returns
    -------
    list of float
        The loss of each step, in nats.
    """
    classes = np.asarray(list(labels))
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    body: nn.Module = model.base_model
    body.to(pick_device())
    device = device_of(body)
    optimizer = AdamW(body.parameters(), lr=learning_rate)
    rising = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / rising, (steps - step) / steps)
    )
    autocast: Any = torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
    losses = []
    was_training = body.training
    body.train()
    for _ in range(steps):
        chosen = _some_of_each(classes, texts_per_class, rng)
        ids, mask, _ = pad_batch([sequences[row] for row in chosen], pad_index)
        ids, mask = ids.to(device), mask.to(device)
        with autocast:
            states = body(input_ids=ids, attention_mask=mask)[0]
        loss = contrastive_loss(
            mean_pool(states, mask), torch.from_numpy(classes[chosen]).to(device), temperature
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(body.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    body.train(was_training)
    return losses


def _some_of_each(classes: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Draw row numbers: of each class so many, or all it has."""
    rows = [rng.permutation(np.flatnonzero(classes == one))[:most] for one in np.unique(classes)]
    return np.concatenate(rows)
