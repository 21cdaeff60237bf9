"""Chapter vocabulary, the part with torch: padding, masks, and batches of similar length.

A batch is a mapping with `input_ids`, `attention_mask`, `lengths` and, for labeled rows, `labels`:
the names that chapters rnn and bert and the transformers library use.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from agnews_utils.vocabulary.vocab import PAD_INDEX

Batch = dict[str, Tensor]


def pad_batch(
    sequences: Sequence[Sequence[int]], pad_index: int = PAD_INDEX
) -> tuple[Tensor, Tensor, Tensor]:
    """Stack id sequences of different lengths into one tensor (vocabulary, "Numericalize").

    Parameters
    ----------
    sequences : sequence of sequences of int
        The ids of each text; a text may be empty.
    pad_index : int
        The id that fills the gaps at the end of short texts.

    Returns
    -------
    input_ids : LongTensor, shape (batch, length)
        `length` is that of the longest text, and at least 1.
    attention_mask : LongTensor, shape (batch, length)
        1 for a token, 0 for padding.
    lengths : LongTensor, shape (batch,)
        Number of tokens of each text, 0 for an empty one.

    Raises
    ------
    ValueError
        If there is no sequence at all.
    """
    if len(sequences) == 0:
        raise ValueError("pad_batch needs at least one sequence: the batch is empty")
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    # At least one column, so that an empty text still is a row that a network can read.
    longest = max(1, int(lengths.max()))
    # Padding in Python lists and converting once is several times faster than tensor by tensor.
    rows = [[*sequence, *[pad_index] * (longest - len(sequence))] for sequence in sequences]
    attention_mask = (torch.arange(longest) < lengths.unsqueeze(1)).long()  # (batch, length)
    return torch.tensor(rows), attention_mask, lengths


class NewsDataset(Dataset):
    """Encoded texts and their labels (vocabulary, "Dataset, collate, DataLoader").

    Parameters
    ----------
    sequences : sequence of sequences of int
        The ids of each text, from `encode`.
    labels : sequence of int
        The class of each text, 0 to 3.

    Raises
    ------
    ValueError
        If the numbers of texts and labels differ.
    """

    def __init__(self, sequences: Sequence[Sequence[int]], labels: Iterable[int]) -> None:
        self.sequences = sequences
        self.labels = [int(label) for label in labels]
        if len(self.sequences) != len(self.labels):
            raise ValueError(f"{len(self.sequences)} texts, but {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Sequence[int], int]:
        return self.sequences[index], self.labels[index]

    @property
    def lengths(self) -> list[int]:
        """Number of tokens of each text."""
        return [len(sequence) for sequence in self.sequences]


def collate(rows: Sequence[tuple[Sequence[int], int]], pad_index: int = PAD_INDEX) -> Batch:
    """Make a batch of rows of a `NewsDataset` (vocabulary, "Dataset, collate, DataLoader").

    Returns
    -------
    dict
        `input_ids` and `attention_mask`, shape (batch, length); `lengths` and `labels`, shape
        (batch,). All are LongTensors.
    """
    sequences, labels = zip(*rows, strict=True)
    input_ids, attention_mask, lengths = pad_batch(sequences, pad_index)
    return {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "lengths": lengths,
        "labels": torch.tensor(labels),
    }


class LengthBucketSampler(Sampler[list[int]]):
    """Batches of row numbers with texts of similar length (vocabulary, "Less padding").

    Shuffles all rows, cuts them into chunks of `chunk_batches` batches, sorts each chunk by length,
    cuts it into batches and shuffles the batches. Every row comes exactly once per epoch. The order
    depends on `seed` and `epoch` only.

    Parameters
    ----------
    lengths : sequence of int
        Number of tokens of each text, shape (rows,).
    batch_size : int
        Rows per batch; the last batch may be smaller.
    seed : int
        Seed of the order.
    chunk_batches : int
        Batches per chunk: more mean less padding and less chance.
    shuffle : bool
        False, for evaluation: all rows sorted by length, the same in every epoch. The batches then
        are not in the order of the rows; `row_order` tells which rows they hold.

    Raises
    ------
    ValueError
        If `batch_size` or `chunk_batches` is below 1.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        batch_size: int,
        seed: int = 42,
        chunk_batches: int = 50,
        shuffle: bool = True,
    ) -> None:
        if batch_size < 1 or chunk_batches < 1:
            raise ValueError(
                f"batch_size={batch_size}, chunk_batches={chunk_batches}: expected 1 or more"
            )
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.batch_size = batch_size
        self.seed = seed
        self.chunk_batches = chunk_batches
        self.shuffle = shuffle
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the coming pass; call it before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        rows = np.arange(len(self.lengths))
        chunk_size = max(1, len(rows))
        if self.shuffle:
            rng.shuffle(rows)
            chunk_size = self.batch_size * self.chunk_batches
        batches = []
        for start in range(0, len(rows), chunk_size):
            chunk = rows[start : start + chunk_size]
            chunk = chunk[np.argsort(self.lengths[chunk], kind="stable")]
            for first in range(0, len(chunk), self.batch_size):
                batches.append(chunk[first : first + self.batch_size])
        order = rng.permutation(len(batches)) if self.shuffle else range(len(batches))
        for position in order:
            yield batches[position].tolist()

    @property
    def row_order(self) -> np.ndarray:
        """Row numbers in the order of this epoch's batches, shape (rows,)."""
        return np.array([row for batch in self for row in batch], dtype=np.int64)


def padding_share(lengths: Sequence[int], batches: Iterable[Sequence[int]]) -> float:
    """Return the share of positions that hold padding, 0 to 1 (vocabulary, "Less padding").

    Parameters
    ----------
    lengths : sequence of int
        Number of tokens of each text, shape (rows,).
    batches : iterable of sequences of int
        The row numbers of each batch.

    Raises
    ------
    ValueError
        If no batch holds a token.
    """
    tokens = positions = 0
    for batch in batches:
        in_batch = [lengths[row] for row in batch]
        tokens += sum(in_batch)
        positions += max(in_batch) * len(in_batch)
    if positions == 0:
        raise ValueError("padding_share needs at least one token: all batches are empty")
    return 1 - tokens / positions


def make_loader(
    sequences: Sequence[Sequence[int]],
    labels: Iterable[int],
    batch_size: int,
    seed: int = 42,
    shuffle: bool = True,
    pad_index: int = PAD_INDEX,
) -> DataLoader:
    """Return a `DataLoader` with length-bucketed batches; its `batch_sampler` has `set_epoch`.

    Parameters are those of `NewsDataset`, `LengthBucketSampler` and `collate`.
    """
    dataset = NewsDataset(sequences, labels)
    sampler = LengthBucketSampler(dataset.lengths, batch_size, seed=seed, shuffle=shuffle)
    return DataLoader(
        dataset, batch_sampler=sampler, collate_fn=partial(collate, pad_index=pad_index)
    )
