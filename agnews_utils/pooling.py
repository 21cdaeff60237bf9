"""Chapter 4, padding and pooling: what the networks of `rnn` and `peers` share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agnews_utils.vocabulary.vocab import PAD_INDEX, UNK_INDEX

POOLINGS = ("last", "mean", "max")


def text_lengths(
    input_ids: Tensor, attention_mask: Tensor | None = None, lengths: Tensor | None = None
) -> Tensor:
    """Return the number of tokens of each text, shape (batch,), and 1 for an empty text.

    Taken from `lengths`, else from the mask, else from where the ids are not padding. An empty
    text is read as one padding token, so that every network has an answer for it.
    """
    if lengths is None:
        mask = input_ids != PAD_INDEX if attention_mask is None else attention_mask
        lengths = mask.sum(1)
    return lengths.to(input_ids.device).clamp(min=1)


def token_mask(lengths: Tensor, length: int) -> Tensor:
    """Return True where a text has a token and False at padding, shape (batch, length)."""
    return torch.arange(length, device=lengths.device) < lengths.unsqueeze(1)


def reverse_texts(values: Tensor, lengths: Tensor) -> Tensor:
    """Turn each text around and leave its padding at the end (chapter 4, "Two directions").

    Parameters
    ----------
    values : Tensor, shape (batch, length, size)
        Something for each word.
    lengths : LongTensor, shape (batch,)
        Number of words of each text.

    Returns
    -------
    Tensor, shape (batch, length, size)
        The last word first. Doing it twice gives the values back.
    """
    positions = torch.arange(values.shape[1], device=values.device).expand(values.shape[:2])
    last = lengths.unsqueeze(1) - 1
    source = torch.where(positions <= last, last - positions, positions)  # (batch, length)
    return values.gather(1, source.unsqueeze(2).expand_as(values))


def pool_states(states: Tensor, lengths: Tensor, pooling: str = "max") -> Tensor:
    """Make one vector of the states of a text, without its padding (chapter 4, "A classifier").

    Parameters
    ----------
    states : Tensor, shape (batch, length, size)
        The state after each word.
    lengths : LongTensor, shape (batch,)
        Number of words of each text, at least 1.
    pooling : {"last", "mean", "max"}
        The state after the last word, or the mean or the maximum over all words.

    Returns
    -------
    Tensor, shape (batch, size)

    Raises
    ------
    ValueError
        If the pooling is unknown.
    """
    if pooling == "last":
        rows = torch.arange(len(states), device=states.device)
        return states[rows, lengths - 1]
    padding = ~token_mask(lengths, states.shape[1]).unsqueeze(2)  # (batch, length, 1)
    if pooling == "mean":
        return states.masked_fill(padding, 0.0).sum(1) / lengths.unsqueeze(1)
    if pooling == "max":
        return states.masked_fill(padding, -torch.inf).max(1).values
    raise ValueError(f"pooling={pooling!r}: expected one of {', '.join(POOLINGS)}")


@torch.no_grad()
def start_small(embedding: nn.Embedding | nn.EmbeddingBag, scale: float = 0.1) -> None:
    """Draw an embedding's weights from a normal distribution of a small scale; padding stays 0.

    torch draws them with a standard deviation of 1. Most words are rare and get few updates, so
    that their vectors stay mostly noise, of the size they began with; a tenth of it learns faster
    (chapter 4, "A classifier").

    Parameters
    ----------
    embedding : nn.Embedding or nn.EmbeddingBag
        Changed in place.
    scale : float
        Standard deviation.
    """
    nn.init.normal_(embedding.weight, std=scale)
    if embedding.padding_idx is not None:
        embedding.weight[embedding.padding_idx] = 0.0


class WordDropout(nn.Module):
    """Replace words by `<unk>` at random, in training only (chapter 4, "Regularization").

    Parameters
    ----------
    p : float
        Share of the words; padding stays padding (Iyyer et al., 2015, dropped them instead).
    """

    def __init__(self, p: float = 0.0) -> None:
        super().__init__()
        self.p = check_share("word_dropout", p)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Return the ids, shape (batch, length), some of them replaced."""
        if not self.training or self.p == 0.0:
            return input_ids
        chosen = torch.rand(input_ids.shape, device=input_ids.device) < self.p
        return input_ids.masked_fill(chosen & (input_ids != PAD_INDEX), UNK_INDEX)

    def extra_repr(self) -> str:
        """Show p when the model is printed."""
        return f"p={self.p}"


def check_share(name: str, value: float) -> float:
    """Return a share of dropout, or raise a ValueError that names it if it is none."""
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{name}={value}: expected a share from 0 to below 1")
    return value
