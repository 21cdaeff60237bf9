"""Chapter bert, batches with something added: hidden pieces, two looks at a text, a teacher's view.

Each wraps the batches of a loader and is itself what `fit` takes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from agnews_utils.bert.masking import corrupt
from agnews_utils.training.inference import Batch


class WrappedBatches:
    """The batches of a loader, or of such a wrapper, each changed; the order stays.

    Parameters
    ----------
    loader : DataLoader or WrappedBatches
        From `bert_loader` or `make_loader`.
    """

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.loader:
            yield self.change(batch)

    def change(self, batch: dict[str, Any]) -> Batch:
        """Return the batch that is learned from."""
        return batch

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the coming pass; `fit` calls it."""
        inner = (
            self.loader if isinstance(self.loader, WrappedBatches) else self.loader.batch_sampler
        )
        inner.set_epoch(epoch)


class HiddenPieces(WrappedBatches):
    """Hide a share of the pieces anew in each epoch (bert, "Regularization").

    Word dropout: no single word may decide. Which pieces are hidden depends on torch's generator,
    which `fit` seeds for each epoch.

    Parameters
    ----------
    loader : DataLoader
        From `bert_loader`.
    share : float
        Share of the pieces that show [MASK].
    mask_id, special_ids
        The id of [MASK], and those that are never hidden.
    vocab_size : int
        Number of pieces.
    copies : int
        How often each text stands in a batch, with other pieces hidden: 2 for `agreement_loss`.
    """

    def __init__(
        self,
        loader: Any,
        share: float,
        mask_id: int,
        special_ids: Collection[int],
        vocab_size: int,
        copies: int = 1,
    ) -> None:
        super().__init__(loader)
        self.share, self.copies = share, copies
        self.mask_id, self.special_ids, self.vocab_size = mask_id, special_ids, vocab_size

    def change(self, batch: dict[str, Any]) -> Batch:
        """Hide pieces of each copy of each text."""
        several = {
            name: torch.cat([value] * self.copies) if isinstance(value, Tensor) else value
            for name, value in batch.items()
        }
        several["input_ids"], _ = corrupt(
            several["input_ids"],
            self.vocab_size,
            self.mask_id,
            self.special_ids,
            share=self.share,
            as_mask=1.0,
            as_random=0.0,
        )
        return several


class TaughtBatches(WrappedBatches):
    """Add a teacher's probabilities to each batch, as `teacher` (for `distillation_loss`).

    Parameters
    ----------
    loader : DataLoader
        From `make_loader` or `bert_loader`, whose sampler tells which rows a batch holds.
    probabilities : array, shape (rows, classes)
        What the teacher says of each row.
    """

    def __init__(self, loader: Any, probabilities: np.ndarray) -> None:
        super().__init__(loader)
        self.probabilities = torch.from_numpy(np.asarray(probabilities, dtype=np.float32))
        if len(self.probabilities) != len(loader.dataset):
            raise ValueError(
                f"the teacher knows {len(self.probabilities)} rows, and there are "
                f"{len(loader.dataset)}: give one row of probabilities for each."
            )

    def __iter__(self) -> Iterator[Batch]:
        # The order is a pure function of seed and epoch: read twice, it is the same.
        rows_of_batches = iter(self.loader.batch_sampler)
        for rows, batch in zip(rows_of_batches, self.loader, strict=True):
            yield {**batch, "teacher": self.probabilities[rows]}


def agreement_loss(
    weight: float, label_smoothing: float = 0.0
) -> Callable[[Tensor, Batch], Tensor]:
    """Return R-Drop's loss for batches that hold each text twice (Liang et al., 2021).

    Cross-entropy, plus `weight` times half of the two divergences between the two answers, which
    differ by dropout and by hidden pieces.
    """

    def agreement(logits: Tensor, batch: Batch) -> Tensor:
        first, second = logits.log_softmax(-1).chunk(2)
        apart = _divergence(first, second) + _divergence(second, first)
        wrong = F.cross_entropy(logits, batch["labels"], label_smoothing=label_smoothing)
        return wrong + weight * apart / 2

    return agreement


def _divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    return F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)


def distillation_loss(
    temperature: float = 2.0, hard_share: float = 0.0
) -> Callable[[Tensor, Batch], Tensor]:
    """Return the loss of a student (Hinton et al., 2015) for batches of `TaughtBatches`.

    Parameters
    ----------
    temperature : float
        Divides the logits of both: the higher, the more the teacher's doubts count.
    hard_share : float
        Weight of the true labels, 0 to 1; the teacher has the rest.

    Returns
    -------
    callable
        Takes logits, shape (batch, classes), and a batch; returns the mean loss. The part of the
        teacher is multiplied by the square of the temperature, so that its gradient keeps its size.
    """

    def distillation(logits: Tensor, batch: Batch) -> Tensor:
        teacher = (batch["teacher"].clamp(min=1e-6).log() / temperature).softmax(-1)
        student = (logits / temperature).log_softmax(-1)
        soft = -(teacher * student).sum(-1).mean() * temperature**2
        if not hard_share:
            return soft
        return (1 - hard_share) * soft + hard_share * F.cross_entropy(logits, batch["labels"])

    return distillation
