"""Small checks of a training run (rnn, "What could go wrong"); `fit` makes every one of them.

Each check returns nothing if all is well and raises a `CheckError` that says what is wrong, what
was expected and what to do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

IGNORED = -100
"""Label of a position that counts neither for the loss nor for the accuracy, as in torch."""


class CheckError(ValueError):
    """A check of the training run failed; the message says what to do."""


def check_batch(batch: Mapping[str, Any], classes: int | None = None) -> None:
    """Check that the tensors of a batch agree, and that its labels are 0 to classes - 1.

    Parameters
    ----------
    batch : mapping
        `labels` and the inputs, all with one entry or row per document.
    classes : int, optional
        Number of classes; without it the labels' upper end is not checked.

    Raises
    ------
    TypeError
        If the batch is no mapping.
    CheckError
        If there are no labels, no documents, tensors of different sizes, masks or lengths that
        contradict each other, or a label that is no class: AG News' files count from 1 to 4, and
        the loss from 0 to 3.
    """
    wanted = 'a batch is a mapping with inputs and "labels", but this one'
    if not isinstance(batch, Mapping):
        raise TypeError(f"{wanted} is a {type(batch).__name__}.")
    if "labels" not in batch:
        raise CheckError(f"{wanted} has only: {', '.join(map(str, batch)) or 'nothing'}.")
    labels = batch["labels"]
    for name, values in batch.items():
        if isinstance(values, Tensor) and values.shape[:1] != labels.shape[:1]:
            raise CheckError(
                f"the batch has {_rows(labels)} labels but {_rows(values)} rows of {name!r}: "
                "both need one row per document."
            )
    if len(labels) == 0:
        raise CheckError("the batch is empty: leave it out.")
    _check_mask(batch)
    check_labels(labels, classes)


def _rows(values: Tensor) -> str:
    return str(len(values)) if values.ndim else "no"


def _check_mask(batch: Mapping[str, Any]) -> None:
    """Check that the attention mask fits the ids, and the lengths the mask."""
    mask, ids, lengths = (batch.get(key) for key in ("attention_mask", "input_ids", "lengths"))
    if mask is not None and ids is not None and mask.shape != ids.shape:
        raise CheckError(
            f"input_ids has the shape {tuple(ids.shape)}, attention_mask {tuple(mask.shape)}: "
            "the mask needs one entry for each id."
        )
    if mask is not None and lengths is not None and not torch.equal(mask.sum(1), lengths):
        raise CheckError(
            "lengths are not the sums of the attention mask's rows: give both for the same texts."
        )


def check_labels(labels: Tensor, classes: int | None = None) -> None:
    """Check that labels are whole numbers from 0 to classes - 1.

    Parameters
    ----------
    labels : Tensor
        One label per document, shape (batch,), or per position, shape (batch, length); positions
        may be -100, "does not count".
    classes : int, optional
        Number of classes; without it the upper end is not checked.

    Raises
    ------
    CheckError
        If a label is no class.
    """
    if labels.dtype != torch.int64:
        raise CheckError(f"labels are {labels.dtype}: expected torch.int64, so call labels.long().")
    counted = labels[labels != IGNORED] if labels.ndim > 1 else labels
    if counted.numel() == 0:
        return
    lowest, highest = int(counted.min()), int(counted.max())
    if lowest >= 0 and (classes is None or highest < classes):
        return
    wanted = "0 and up" if classes is None else f"0 to {classes - 1}"
    from_one = lowest >= 1 and highest == classes
    advice = " The labels count from 1: subtract 1." if from_one else " Look at the labels."
    raise CheckError(f"labels go from {lowest} to {highest}, expected {wanted}.{advice}")


def check_logits(logits: Tensor, labels: Tensor) -> None:
    """Check that a model's output are logits, one row for each label.

    Parameters
    ----------
    logits : Tensor, shape (batch, classes) or (batch, length, classes)
        What the model returned.
    labels : Tensor, shape (batch,) or (batch, length)
        What they are compared with.

    Raises
    ------
    CheckError
        If the shapes do not fit, or if every row already is a list of probabilities: cross-entropy
        applies the softmax itself, and a second one flattens the gradient.
    """
    if logits.shape[:-1] != labels.shape or logits.ndim < 2:
        raise CheckError(
            f"the model returned the shape {tuple(logits.shape)} for labels of the shape "
            f"{tuple(labels.shape)}: expected one row of logits for each label."
        )
    values = logits.detach().float()
    sums = values.sum(-1)
    if bool((values >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
        raise CheckError(
            "every row of the model's output adds up to 1: these are probabilities, but the loss "
            "takes logits and applies the softmax itself. Remove the softmax from the model."
        )


def check_evaluation_mode(model: nn.Module) -> None:
    """Raise a CheckError if a part of the model is in training mode: its dropout is on."""
    if any(module.training for module in model.modules()):
        raise CheckError("the model is in training mode: call model.eval() before predicting.")


def check_no_gradients(model: nn.Module) -> None:
    """Raise a CheckError if a parameter has a gradient other than zero, from an earlier step."""
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and bool(parameter.grad.any()):
            raise CheckError(
                f"{name} still has the gradient of an earlier step, and backward() adds to it: "
                "call optimizer.zero_grad() after each step."
            )


def check_alignment(batch: Mapping[str, Tensor], labels: Any) -> None:
    """Check that a batch carries the labels of its own documents (not shuffled by themselves).

    Parameters
    ----------
    batch : mapping
        `labels` and `index`, shape (batch,): the row of the data set that each document came from.
    labels : array or Tensor, shape (rows,)
        The labels of the data set.

    Raises
    ------
    CheckError
        If a label is not that of its row; the message names the first one.
    """
    expected = torch.as_tensor(labels)[batch["index"]]
    wrong = (expected != batch["labels"]).nonzero().flatten().tolist()
    if wrong:
        first = wrong[0]
        raise CheckError(
            f"{len(wrong)} of {len(expected)} labels are not those of their documents; the "
            f"first: row {int(batch['index'][first])} has the label {int(expected[first])}, the "
            f"batch says {int(batch['labels'][first])}. Texts and labels were shuffled apart."
        )


def check_finite(value: float, name: str, place: str) -> None:
    """Raise a CheckError if a number is infinite or nan.

    `name` says what it is, such as "loss", and `place` where it arose, such as "step 12".
    """
    if not math.isfinite(value):
        raise CheckError(
            f"the {name} is {value} at {place}: training stopped. Try a learning rate ten times "
            "smaller, or gradient clipping (clip=1.0); if that changes nothing, look at this batch."
        )
