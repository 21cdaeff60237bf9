"""Chapter rnn: the recurrent classifier and its peers, and what they share.

All take a batch as `make_loader` makes it, `model(input_ids, attention_mask, lengths)`, and return
logits, shape (batch, classes), which do not depend on how much padding a batch has.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agnews_utils.vocabulary.vocab import PAD_INDEX, UNK_INDEX

# ----------------------------------------------------------------------------- padding and pooling

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
    """Turn each text around and leave its padding at the end (rnn, "Two directions").

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
    """Make one vector of the states of a text, without its padding (rnn, "A classifier").

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


# --------------------------------------------------------------------- what all classifiers share


@torch.no_grad()
def start_small(embedding: nn.Embedding | nn.EmbeddingBag, scale: float = 0.1) -> None:
    """Draw an embedding's weights anew, with the standard deviation `scale`; padding stays 0.

    torch draws them with a standard deviation of 1. Most words are rare and get few updates, so
    that their vectors stay mostly noise, of the size they began with; a tenth of it learns faster
    (rnn, "A classifier").
    """
    nn.init.normal_(embedding.weight, std=scale)
    if embedding.padding_idx is not None:
        embedding.weight[embedding.padding_idx] = 0.0


class WordDropout(nn.Module):
    """Replace words by `<unk>` at random, in training only (rnn, "Regularization").

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


class Classifier(nn.Module):
    """What all classifiers share: embeddings that start small, two kinds of dropout, the logits.

    A subclass makes the vector of a text, in `text_vectors`, and a layer `output` for it.

    Parameters
    ----------
    embedding : nn.Embedding or nn.EmbeddingBag
        The vectors of the words.
    dropout : float
        Share of zeros in the vector of a text, 0 to below 1.
    word_dropout : float
        See `WordDropout`.
    """

    output: nn.Linear

    def __init__(
        self, embedding: nn.Embedding | nn.EmbeddingBag, dropout: float, word_dropout: float
    ) -> None:
        super().__init__()
        self.word_dropout = WordDropout(word_dropout)
        self.embedding = embedding
        start_small(self.embedding)
        self.dropout = nn.Dropout(check_share("dropout", dropout))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Return the logits, shape (batch, classes), for ids of the shape (batch, length)."""
        lengths = text_lengths(input_ids, attention_mask, lengths)
        vectors = self.text_vectors(self.word_dropout(input_ids), lengths)
        return self.output(self.dropout(vectors))

    def text_vectors(self, input_ids: Tensor, lengths: Tensor) -> Tensor:
        """Return one vector for each text, shape (batch, features)."""
        raise NotImplementedError


def count_parameters(model: nn.Module) -> dict[str, int]:
    """Return how many numbers a model learns: in all, in its embedding, and in the rest."""
    learned = {n: p.numel() for n, p in model.named_parameters() if p.requires_grad}
    embedding = sum(count for name, count in learned.items() if name.startswith("embedding"))
    total = sum(learned.values())
    return {"total": total, "embedding": embedding, "rest": total - embedding}


# ------------------------------------------------------------------------------ recurrent networks

CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class RecurrentClassifier(Classifier):
    """A recurrent network over the words, pooled, and a linear layer (rnn, "A classifier").

    Each direction is a network of its own; the backward one reads every text turned around, with
    the padding still at the end, where it can do no harm. torch's own bidirectional networks need
    packed sequences for that, which cost time on a CPU (rnn, "Two directions").

    Parameters
    ----------
    vocab_size, classes : int
        Number of words, of which index 0 is padding, and of classes.
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
        if cell not in CELLS:
            raise ValueError(f"cell={cell!r}: expected one of {', '.join(CELLS)}")
        if pooling not in POOLINGS:
            raise ValueError(f"pooling={pooling!r}: expected one of {', '.join(POOLINGS)}")
        if layers < 1:
            raise ValueError(f"layers={layers}: expected 1 or more")
        embedding = nn.Embedding(vocab_size, embedding_size, padding_idx=PAD_INDEX)
        super().__init__(embedding, dropout, word_dropout)
        self.pooling = pooling
        directions = 2 if bidirectional else 1
        sizes = [embedding_size, *[directions * hidden_size] * (layers - 1)]

        def networks() -> nn.ModuleList:
            return nn.ModuleList(CELLS[cell](size, hidden_size, batch_first=True) for size in sizes)

        self.forward_layers = networks()
        self.backward_layers = networks() if bidirectional else None
        self.output = nn.Linear(directions * hidden_size, classes)

    def text_vectors(self, input_ids: Tensor, lengths: Tensor) -> Tensor:
        """Return the pooled states of both directions, shape (batch, directions * hidden_size)."""
        directions = self._run(input_ids, lengths)
        return torch.cat([pool_states(states, lengths, self.pooling) for states in directions], 1)

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
        """Return the last layer's states, (batch, length, hidden_size), one Tensor a direction.

        Each is in its reading order: the padding is at the end, and the last word's state is the
        one to classify by, for both directions.
        """
        directions = [self.embedding(input_ids)]  # (batch, length, embedding_size)
        for number, onward in enumerate(self.forward_layers):
            inputs = self.dropout(_side_by_side(directions, lengths))
            directions = [onward(inputs)[0]]
            if self.backward_layers is not None:
                backward = self.backward_layers[number]
                directions.append(backward(reverse_texts(inputs, lengths))[0])
        return directions

    @torch.no_grad()
    def picked(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Return how many entries max pooling took from the state at each word (rnn, "Using it").

        A state knows more than its word: also what was read before it.

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


# -------------------------------------------------------------------------------------- its peers

_BIGRAM_FACTOR = 116_049_371
"""fastText's multiplier for hashing n-grams of words (Joulin et al., 2016)."""


def bigram_ids(input_ids: Tensor, lengths: Tensor, buckets: int) -> Tensor:
    """Return a bucket for each pair of neighboring words (rnn, "Peers in one table").

    Different pairs may share a bucket: that is the hashing trick, which needs no list of pairs.
    From ids of the shape (batch, length) and lengths (batch,) it makes a LongTensor, shape (batch,
    length - 1): 1 to `buckets`, and 0 where there is no pair.
    """
    hashed = (input_ids[:, :-1] * _BIGRAM_FACTOR + input_ids[:, 1:]).remainder(buckets) + 1
    return hashed * token_mask(lengths - 1, hashed.shape[1])


class BagOfEmbeddings(Classifier):
    """fastText's model: the mean of the vectors of words and hashed bigrams, and a linear layer.

    The vectors are averaged by `nn.EmbeddingBag`, which never stores them one by one (chapter rnn,
    "Peers in one table"; Joulin et al., 2016).

    Parameters
    ----------
    vocab_size, classes : int
        Number of words, of which index 0 is padding, and of classes.
    embedding_size : int
        Size of a vector.
    buckets : int
        Number of vectors for bigrams; 0 for a bag of words without order.
    dropout, word_dropout : float
        Share of zeros in the mean vector; see `WordDropout`.
    """

    def __init__(
        self,
        vocab_size: int,
        classes: int = 4,
        embedding_size: int = 64,
        buckets: int = 100_000,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
    ) -> None:
        if buckets < 0:
            raise ValueError(f"buckets={buckets}: expected 0 or more")
        embedding = nn.EmbeddingBag(
            vocab_size + buckets, embedding_size, mode="mean", padding_idx=PAD_INDEX
        )
        super().__init__(embedding, dropout, word_dropout)
        self.vocab_size, self.buckets = vocab_size, buckets
        self.output = nn.Linear(embedding_size, classes)

    def text_vectors(self, input_ids: Tensor, lengths: Tensor) -> Tensor:
        """Return the mean of the vectors of words and pairs, shape (batch, embedding_size)."""
        if self.buckets:
            pairs = bigram_ids(input_ids, lengths, self.buckets)
            pairs = torch.where(pairs > 0, pairs + self.vocab_size - 1, PAD_INDEX)
            input_ids = torch.cat([input_ids, pairs], dim=1)  # (batch, 2 * length - 1)
        return self.embedding(input_ids)


class TextCNN(Classifier):
    """Convolutions over 3, 4 and 5 words, max pooling, and a linear layer (Kim, 2014).

    A text is surrounded by zeros, so that its first word can be the last of a window, too; only
    windows with at least one word of the text count (rnn, "Peers in one table").

    Parameters
    ----------
    vocab_size, classes : int
        Number of words, of which index 0 is padding, and of classes.
    embedding_size : int
        Size of a word's vector.
    filters : int
        Number of filters of each width.
    widths : sequence of int
        Words in a window.
    dropout, word_dropout : float
        Share of zeros in the pooled vector; see `WordDropout`.
    """

    def __init__(
        self,
        vocab_size: int,
        classes: int = 4,
        embedding_size: int = 128,
        filters: int = 100,
        widths: Sequence[int] = (3, 4, 5),
        dropout: float = 0.5,
        word_dropout: float = 0.0,
    ) -> None:
        if not widths or min(widths) < 1:
            raise ValueError(f"widths={tuple(widths)}: expected whole numbers of 1 or more")
        embedding = nn.Embedding(vocab_size, embedding_size, padding_idx=PAD_INDEX)
        super().__init__(embedding, dropout, word_dropout)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(embedding_size, filters, width, padding=width - 1) for width in widths
        )
        self.output = nn.Linear(filters * len(widths), classes)

    def text_vectors(self, input_ids: Tensor, lengths: Tensor) -> Tensor:
        """Return each filter's maximum, shape (batch, filters * number of widths)."""
        words = self.embedding(input_ids)  # (batch, length, embedding_size)
        words = words * token_mask(lengths, words.shape[1]).unsqueeze(2)
        words = words.transpose(1, 2)  # (batch, embedding_size, length): what Conv1d wants
        pooled = [self._pool(layer(words), lengths, layer) for layer in self.convolutions]
        return torch.cat(pooled, dim=1)

    def _pool(self, windows: Tensor, lengths: Tensor, layer: nn.Conv1d) -> Tensor:
        """Return each filter's maximum over a text's windows, (batch, filters)."""
        count = lengths + layer.kernel_size[0] - 1
        outside = ~token_mask(count, windows.shape[2]).unsqueeze(1)  # (batch, 1, windows)
        # After relu nothing is below 0, which is what windows outside of the text get.
        return F.relu(windows).masked_fill(outside, 0.0).amax(2)
