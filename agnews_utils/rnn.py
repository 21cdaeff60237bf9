"""Chapter 4, recurrent networks: the classifier, and all else that the chapter teaches.

All classifiers take a batch as chapter 3 makes it, `model(input_ids, attention_mask, lengths)`, and
return logits, shape (batch, classes), which do not depend on how much padding a batch has. The
equations of the cells stand in `rnn_cells`, padding and pooling in `pooling`, the bag of embeddings
and the convolution in `peers`; all are importable from here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from agnews_utils.peers import BagOfEmbeddings, TextCNN, bigram_ids
from agnews_utils.pooling import (
    POOLINGS,
    WordDropout,
    check_share,
    pool_states,
    reverse_texts,
    start_small,
    text_lengths,
    token_mask,
)
from agnews_utils.rnn_cells import (
    STEPS,
    cell_weights,
    gru_step,
    lstm_step,
    rnn_step,
    run_over_time,
)
from agnews_utils.vocabulary.vocab import PAD_INDEX

__all__ = [
    "CELLS",
    "POOLINGS",
    "STEPS",
    "BagOfEmbeddings",
    "RecurrentClassifier",
    "TextCNN",
    "WordDropout",
    "bigram_ids",
    "cell_weights",
    "count_parameters",
    "gru_step",
    "lstm_step",
    "pool_states",
    "reverse_texts",
    "rnn_step",
    "run_over_time",
    "start_small",
    "text_lengths",
    "token_mask",
]

CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class RecurrentClassifier(nn.Module):
    """A recurrent network over the words, pooled, and a linear layer (chapter 4, "A classifier").

    Each direction is a network of its own; the backward one reads every text turned around, with
    the padding still at the end, where it can do no harm. torch's own bidirectional networks need
    packed sequences for that, which take twice the time on a CPU.

    Parameters
    ----------
    vocab_size : int
        Number of rows of the embedding; index 0 is padding.
    classes : int
        Number of classes.
    cell : {"rnn", "gru", "lstm"}
        Kind of network.
    embedding_size, hidden_size : int
        Size of a word's vector, and of the state of one direction.
    layers : int
        Networks on top of each other.
    bidirectional : bool
        Whether a second network reads from the end to the beginning.
    pooling : {"last", "mean", "max"}
        See `pool_states`; "last" is, for the backward direction, the state after the first word.
    dropout : float
        Share of zeros in embeddings, between layers and before the linear layer, 0 to below 1.
    word_dropout : float
        See `WordDropout`.

    Raises
    ------
    ValueError
        If cell or pooling is unknown, or a size or share is impossible.
    """

    def __init__(
        self,
        vocab_size: int,
        classes: int = 4,
        cell: str = "lstm",
        embedding_size: int = 128,
        hidden_size: int = 128,
        layers: int = 1,
        bidirectional: bool = False,
        pooling: str = "last",
        dropout: float = 0.0,
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if cell not in CELLS:
            raise ValueError(f"cell={cell!r}: expected one of {', '.join(CELLS)}")
        if pooling not in POOLINGS:
            raise ValueError(f"pooling={pooling!r}: expected one of {', '.join(POOLINGS)}")
        if layers < 1:
            raise ValueError(f"layers={layers}: expected 1 or more")
        self.pooling = pooling
        self.word_dropout = WordDropout(word_dropout)
        self.embedding = nn.Embedding(vocab_size, embedding_size, padding_idx=PAD_INDEX)
        start_small(self.embedding)
        self.dropout = nn.Dropout(check_share("dropout", dropout))
        directions = 2 if bidirectional else 1
        sizes = [embedding_size, *[directions * hidden_size] * (layers - 1)]

        def networks() -> nn.ModuleList:
            return nn.ModuleList(CELLS[cell](size, hidden_size, batch_first=True) for size in sizes)

        self.forward_layers = networks()
        self.backward_layers = networks() if bidirectional else None
        self.output = nn.Linear(directions * hidden_size, classes)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Return the logits, shape (batch, classes), for ids of the shape (batch, length)."""
        lengths = text_lengths(input_ids, attention_mask, lengths)
        directions = self._run(self.word_dropout(input_ids), lengths)
        pooled = [pool_states(states, lengths, self.pooling) for states in directions]
        return self.output(self.dropout(torch.cat(pooled, dim=1)))

    def states(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Return the last layer's states, shape (batch, length, directions * hidden_size)."""
        lengths = text_lengths(input_ids, attention_mask, lengths)
        return _side_by_side(self._run(input_ids, lengths), lengths)

    def _run(self, input_ids: Tensor, lengths: Tensor) -> list[Tensor]:
        """Return the states of each direction, (batch, length, hidden_size), in reading order.

        In reading order the padding is at the end and the state to classify by is the last one,
        for both directions.
        """
        inputs = self.embedding(input_ids)  # (batch, length, embedding_size)
        for onward, back in zip(self.forward_layers, self._backward(), strict=True):
            inputs = self.dropout(inputs)
            directions = [onward(inputs)[0]]
            if back is not None:
                directions.append(back(reverse_texts(inputs, lengths))[0])
            if onward is not self.forward_layers[-1]:
                inputs = _side_by_side(directions, lengths)
        return directions

    def _backward(self) -> Sequence[nn.Module | None]:
        return self.backward_layers or [None] * len(self.forward_layers)

    @torch.no_grad()
    def picked(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Return how many entries max pooling took from each word (chapter 4, "Using it").

        Returns
        -------
        LongTensor, shape (batch, length)
            Each row adds up to `directions * hidden_size`; 0 at padding.

        Raises
        ------
        ValueError
            If the model does not pool with "max".
        """
        if self.pooling != "max":
            raise ValueError(f'the model pools with {self.pooling!r}: only "max" picks words.')
        lengths = text_lengths(input_ids, attention_mask, lengths)
        states = self.states(input_ids, lengths=lengths)
        padding = ~token_mask(lengths, states.shape[1]).unsqueeze(2)
        winners = states.masked_fill(padding, -torch.inf).argmax(1)  # (batch, features)
        return torch.zeros_like(input_ids).scatter_add_(1, winners, torch.ones_like(winners))


def _side_by_side(directions: Sequence[Tensor], lengths: Tensor) -> Tensor:
    """Join the states of both directions word by word."""
    if len(directions) == 1:
        return directions[0]
    return torch.cat([directions[0], reverse_texts(directions[1], lengths)], dim=2)


def count_parameters(model: nn.Module) -> dict[str, int]:
    """Return how many numbers a model learns: in all, in its embedding, and in the rest."""
    learned = {n: p.numel() for n, p in model.named_parameters() if p.requires_grad}
    embedding = sum(count for name, count in learned.items() if name.startswith("embedding"))
    total = sum(learned.values())
    return {"total": total, "embedding": embedding, "rest": total - embedding}
