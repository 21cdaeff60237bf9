"""Chapter 4, the recurrent networks' peers: fastText's bag of embeddings, and a convolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agnews_utils.pooling import (
    WordDropout,
    check_share,
    start_small,
    text_lengths,
    token_mask,
)
from agnews_utils.vocabulary.vocab import PAD_INDEX

_BIGRAM_FACTOR = 116_049_371
"""fastText's multiplier for hashing n-grams of words (Joulin et al., 2016)."""


def bigram_ids(input_ids: Tensor, lengths: Tensor, buckets: int) -> Tensor:
    """Return a bucket for each pair of neighboring words (chapter 4, "Peers in one table").

    Different pairs may share a bucket: that is the hashing trick, which needs no list of pairs.

    Parameters
    ----------
    input_ids : LongTensor, shape (batch, length)
        Ids of words.
    lengths : LongTensor, shape (batch,)
        Number of words of each text.
    buckets : int
        Number of buckets.

    Returns
    -------
    LongTensor, shape (batch, length - 1)
        1 to buckets, and 0 where there is no pair.
    """
    hashed = (input_ids[:, :-1] * _BIGRAM_FACTOR + input_ids[:, 1:]).remainder(buckets) + 1
    return hashed * token_mask(lengths - 1, hashed.shape[1])


class BagOfEmbeddings(nn.Module):
    """fastText's model: the mean of the vectors of words and hashed bigrams, and a linear layer.

    The vectors are averaged by `nn.EmbeddingBag`, which never stores them one by one (chapter 4,
    "Peers in one table"; Joulin et al., 2016).

    Parameters
    ----------
    vocab_size : int
        Number of words; index 0 is padding.
    classes : int
        Number of classes.
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
        super().__init__()
        if buckets < 0:
            raise ValueError(f"buckets={buckets}: expected 0 or more")
        self.vocab_size, self.buckets = vocab_size, buckets
        self.word_dropout = WordDropout(word_dropout)
        self.embedding = nn.EmbeddingBag(
            vocab_size + buckets, embedding_size, mode="mean", padding_idx=PAD_INDEX
        )
        start_small(self.embedding)
        self.dropout = nn.Dropout(check_share("dropout", dropout))
        self.output = nn.Linear(embedding_size, classes)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Return the logits, shape (batch, classes), for ids of the shape (batch, length)."""
        lengths = text_lengths(input_ids, attention_mask, lengths)
        input_ids = self.word_dropout(input_ids)
        if self.buckets:
            pairs = bigram_ids(input_ids, lengths, self.buckets)
            pairs = torch.where(pairs > 0, pairs + self.vocab_size - 1, PAD_INDEX)
            input_ids = torch.cat([input_ids, pairs], dim=1)  # (batch, 2 * length - 1)
        return self.output(self.dropout(self.embedding(input_ids)))


class TextCNN(nn.Module):
    """Convolutions over 3, 4 and 5 words, max pooling, and a linear layer (Kim, 2014).

    A text is surrounded by zeros, so that its first word can be the last of a window, too; only
    windows with at least one word of the text count (chapter 4, "Peers in one table").

    Parameters
    ----------
    vocab_size : int
        Number of words; index 0 is padding.
    classes : int
        Number of classes.
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
        super().__init__()
        if not widths or min(widths) < 1:
            raise ValueError(f"widths={tuple(widths)}: expected whole numbers of 1 or more")
        self.word_dropout = WordDropout(word_dropout)
        self.embedding = nn.Embedding(vocab_size, embedding_size, padding_idx=PAD_INDEX)
        start_small(self.embedding)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(embedding_size, filters, width, padding=width - 1) for width in widths
        )
        self.dropout = nn.Dropout(check_share("dropout", dropout))
        self.output = nn.Linear(filters * len(widths), classes)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Return the logits, shape (batch, classes), for ids of the shape (batch, length)."""
        lengths = text_lengths(input_ids, attention_mask, lengths)
        words = self.embedding(self.word_dropout(input_ids))
        words = words * token_mask(lengths, words.shape[1]).unsqueeze(2)
        words = words.transpose(1, 2)  # (batch, embedding_size, length): what Conv1d wants
        pooled = [self._pool(layer(words), lengths, layer) for layer in self.convolutions]
        return self.output(self.dropout(torch.cat(pooled, dim=1)))

    def _pool(self, windows: Tensor, lengths: Tensor, layer: nn.Conv1d) -> Tensor:
        """Return each filter's maximum over a text's windows, (batch, filters)."""
        count = lengths + layer.kernel_size[0] - 1
        outside = ~token_mask(count, windows.shape[2]).unsqueeze(1)  # (batch, 1, windows)
        # After relu nothing is below 0, which is what windows outside of the text get.
        return F.relu(windows).masked_fill(outside, 0.0).amax(2)
