"""How the engine calls a model, and what it makes of the answer (rnn, "The training loop by hand").

The convention is that of transformers: a batch is a mapping of tensors, and the model is called
with those entries that its `forward` names, `model(input_ids=..., attention_mask=...)`. It returns
the logits, shape (batch, classes), or an object that has them as `.logits`.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agnews_utils.runtime import pick_device, say
from agnews_utils.training.checks import IGNORED, check_batch, check_labels, check_logits

Batch = Mapping[str, Any]
"""Tensors with one entry or row per document, by name."""

_NEVER_INPUTS = ("labels", "index")


class Batches(Protocol):
    """Batches that can be counted and read again and again: a DataLoader or a list."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Batch]: ...


def model_inputs(model: nn.Module, batch: Batch) -> dict[str, Any]:
    """Return the entries of a batch that `model.forward` names, without labels and index.

    Raises
    ------
    ValueError
        If the batch lacks an entry that `forward` cannot do without.
    """
    parameters = inspect.signature(getattr(model, "module", model).forward).parameters
    chosen = {
        name: batch[name] for name in parameters if name in batch and name not in _NEVER_INPUTS
    }
    for name, parameter in parameters.items():
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if named and parameter.default is parameter.empty and name not in chosen:
            raise ValueError(
                f"{type(model).__name__}.forward needs {name!r}, but the batch has only "
                f"{', '.join(batch)}: name the model's arguments as the entries of the batch."
            )
    return chosen


def compute_logits(model: nn.Module, batch: Batch) -> Tensor:
    """Call a model with a batch on its device; return the logits, float32 on that device."""
    outputs = model(**model_inputs(model, batch))
    return getattr(outputs, "logits", outputs).float()


def to_device(batch: Batch, device: torch.device) -> dict[str, Any]:
    """Return a batch whose tensors lie on a device."""
    return _each_tensor(batch, lambda tensor: tensor.to(device, non_blocking=True))


def own_rows(batch: Batch, process: int, processes: int) -> tuple[dict[str, Any], int]:
    """Return one process's share of a batch, and its number of documents.

    Process 0 of 2 gets the rows 0, 2, 4, ..., process 1 the others: every row goes to exactly one
    process, and all of them together compute what one would. A process without a row gets the
    first one, and the number 0, since it has to take part in the exchange of gradients.
    """
    documents = len(batch["labels"])
    rows = list(range(process, documents, processes))
    if processes == 1:
        return dict(batch), documents
    pick = torch.tensor(rows or [0])
    return _each_tensor(batch, lambda tensor: tensor[pick]), len(rows)


def _each_tensor(batch: Batch, change: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    return {
        name: change(value) if isinstance(value, Tensor) else value for name, value in batch.items()
    }


def count_targets(labels: Tensor) -> int:
    """Return how many labels count for the loss: documents, or positions that are not -100."""
    return int((labels != IGNORED).sum())


def mean_loss(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy averaged over the labels that count, in nats; nan if none does.

    Shapes are those of `check_logits`; a share of `label_smoothing` of each target is spread over
    all classes (Szegedy et al., 2016).
    """
    return F.cross_entropy(
        logits.flatten(0, -2),
        labels.flatten(),
        ignore_index=IGNORED,
        label_smoothing=label_smoothing,
    )


def count_correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Return how many labels have the highest logit, as a tensor of one number."""
    return (logits.argmax(-1) == labels).sum()


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Switch dropout off and gradients off; give every part of the model its mode back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def evaluate(model: nn.Module, batches: Iterable[Batch]) -> dict[str, Any]:
    """Return loss and accuracy over all documents (rnn, "The training loop by hand").

    The sums are divided once, at the end: a mean over the means of unequal batches would give the
    documents of the small last batch more weight. Among several processes each one computes its
    share of every batch, and all return the same. For mixed precision call it inside of
    `torch.autocast(...)`.

    Parameters
    ----------
    model : nn.Module
        Computes where its parameters lie; its mode is given back.
    batches : iterable of mappings
        Batches with `labels`.

    Returns
    -------
    dict
        `loss` (nats per document), `accuracy` (0 to 1), `correct` and `documents` (counts). Where
        labels are positions in texts, these are what is counted.

    Raises
    ------
    ValueError
        If there is no batch, or a batch is wrong; see `agnews_utils.training.checks`.
    """
    device, (process, processes) = device_of(model), process_numbers()
    sums = [torch.zeros(2, device=device)]
    targets = 0
    with evaluation_mode(model):
        for batch in batches:
            check_batch(batch)
            share, documents = own_rows(batch, process, processes)
            counted = count_targets(share["labels"]) if documents else 0
            if counted:
                sums.append(_batch_sums(model, share, counted, device))
                targets += counted
    loss, correct = torch.stack(sums).cpu().double().sum(0).tolist()
    if processes > 1:
        total = torch.tensor([loss, correct, targets], dtype=torch.float64, device=device)
        torch.distributed.all_reduce(total)
        loss, correct, targets = total.tolist()
    if targets == 0:
        raise ValueError("there is nothing to evaluate: no batch has a label that counts.")
    return {
        "loss": loss / targets,
        "accuracy": correct / targets,
        "correct": int(correct),
        "documents": int(targets),
    }


def _batch_sums(model: nn.Module, batch: Batch, targets: int, device: torch.device) -> Tensor:
    """Return summed loss and number of right answers of a batch, shape (2,), on the device."""
    moved = to_device(batch, device)
    logits = compute_logits(model, moved)
    check_labels(batch["labels"], logits.shape[-1])
    if device.type == "cpu":  # on a GPU this look at the values would wait for it
        check_logits(logits, moved["labels"])
    loss = mean_loss(logits, moved["labels"]) * targets
    return torch.stack([loss, count_correct(logits, moved["labels"]).float()])


def predict(model: nn.Module, batches: Iterable[Batch]) -> np.ndarray:
    """Return the probability of each class for each document (rnn, "Using it").

    Parameters are those of `evaluate`; labels are not needed. If the batches carry `index`, or
    come from `batching.make_loader`, the rows come in the order of the data set, however the
    batches were sorted; else in the order of the batches. Among several processes each one computes
    everything.

    Returns
    -------
    array, shape (documents, classes), float32
        Probabilities; each row adds up to 1.

    Raises
    ------
    ValueError
        If there is no batch.
    """
    device = device_of(model)
    parts: list[Tensor] = []
    rows: list[Tensor] = []
    with evaluation_mode(model):
        for batch in batches:
            logits = compute_logits(model, to_device(batch, device))
            parts.append(logits.softmax(-1).cpu())
            if "index" in batch:
                rows.append(batch["index"])
    if not parts:
        raise ValueError("there is nothing to predict: no batch came.")
    probabilities = torch.cat(parts).numpy()
    if len(rows) == len(parts):
        return probabilities[torch.cat(rows).argsort().numpy()]
    order = getattr(getattr(batches, "batch_sampler", None), "row_order", None)
    return probabilities if order is None else probabilities[order.argsort()]


def device_of(model: nn.Module) -> torch.device:
    """Return the device on which a model's parameters lie; the CPU if it has none."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def usable_device(model: nn.Module, batch: Batch, learn: bool = False) -> torch.device:
    """Return the device for a model: that of `pick_device`, if the model can compute there.

    Only Apple GPUs are tried out, with a copy of the model and a batch, since torch lacks
    operations there. Where one is missing the CPU is returned, and a sentence says so.

    Parameters
    ----------
    model : nn.Module
        Left as it is.
    batch : mapping
        One batch of its data, with `labels` if the model is to learn.
    learn : bool
        Whether gradients are needed.
    """
    device = pick_device()
    if device.type != "mps":
        return device
    try:
        tried = copy.deepcopy(model).to(device)
        with torch.set_grad_enabled(learn):
            logits = compute_logits(tried, to_device(batch, device))
            if learn:
                logits.sum().backward()
            logits.sum().item()
    except (NotImplementedError, RuntimeError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        say(f"Computing on the CPU: torch cannot compute this model on an Apple GPU ({reason}).")
        return torch.device("cpu")
    return device


def process_numbers() -> tuple[int, int]:
    """Return the number of this process and how many there are: (0, 1) in a notebook."""
    group = torch.distributed
    if group.is_available() and group.is_initialized():
        return group.get_rank(), group.get_world_size()
    return 0, 1
