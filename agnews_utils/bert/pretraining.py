"""Chapter pretraining: settings, network, and batches of its two tasks.

Two tasks without labels take turns. In the first, of BERT, the network names hidden pieces. In the
second it says which description belongs to which title among those of its batch, from the pooled
[CLS] of each (in the place of BERT's next-sentence task; the loss is that of van den Oord et al.,
2018): [CLS] so learns what a text is about, which classification will ask of it.
`python -m tools.pretraining` trains with them what comes with the course.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from transformers import BertConfig, BertForPreTraining, PreTrainedTokenizerFast

from agnews_utils.bert.masking import MASKED_SHARE, asked_positions, corrupt, word_starts
from agnews_utils.training.inference import Batch
from agnews_utils.vocabulary.batching import pad_batch


@dataclass(frozen=True)
class Recipe:
    """The settings of a pre-training run; its numbers depend on these, the texts and the budget.

    Attributes
    ----------
    layers, hidden, heads : int
        Size of the network; the inner layers of its feed-forward networks have 4 x hidden units.
    vocab_size : int
        Pieces of the tokenizer.
    max_length : int
        Pieces per text, special tokens included; what is longer is cut.
    batch_size, pairs : int
        Texts of a step of masking, and pairs of a step of matching.
    match_share : float
        Share of the steps that match titles and descriptions; 0 for BERT's masking alone.
    mask_share : float
        Share of the pieces that are asked for, or of the words.
    whole_words : bool
        Hide all pieces of a word together.
    dropout : float
        In pre-training: 0 for few passes over the texts, 0.1 for many.
    counted : bool
        Begin with embeddings made of counted neighbors (`counted_embeddings`), not of chance.
    learning_rate, warmup : float
        Peak of the schedule, and share of the budget before it.
    round_steps : int
        Steps between validations, each followed by a checkpoint.
    seed : int
        Of weights, order and masking.
    """

    layers: int = 2
    hidden: int = 256
    heads: int = 4
    vocab_size: int = 8000
    max_length: int = 64
    batch_size: int = 64
    pairs: int = 128
    match_share: float = 0.5
    mask_share: float = MASKED_SHARE
    whole_words: bool = False
    dropout: float = 0.0
    counted: bool = True
    learning_rate: float = 1.5e-3
    warmup: float = 0.06
    round_steps: int = 200
    seed: int = 42

    def config(self, vocab_size: int) -> BertConfig:
        """Return the configuration of the network."""
        return BertConfig(
            vocab_size=vocab_size,
            hidden_size=self.hidden,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=4 * self.hidden,
            max_position_embeddings=max(128, self.max_length),
            hidden_dropout_prob=self.dropout,
            attention_probs_dropout_prob=self.dropout,
            # BERT's 0.02 is meant for 768 units; narrow layers need more to pass a signal on.
            initializer_range=0.02 * (768 / self.hidden) ** 0.5,
            pad_token_id=0,
        )


# ----------------------------------------------------------------------------------------- network

_STEEPEST = 100.0


class PretrainingModel(nn.Module):
    """A BERT that learns both tasks; `fit` trains it (pretraining, "Pre-training")."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.network = BertForPreTraining(config)
        # The pooler starts as wide as its input, so that the tanh is used from the first step.
        nn.init.normal_(self.network.bert.pooler.dense.weight, std=config.hidden_size**-0.5)
        self.log_scale = nn.Parameter(torch.tensor(np.log(20.0), dtype=torch.float32))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        positions: Tensor | None = None,
        pair_ids: Tensor | None = None,
        pair_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the logits of the task that the batch is for.

        Parameters
        ----------
        input_ids, attention_mask : LongTensor, shape (batch, length)
            The texts, or the titles.
        positions : LongTensor, shape (batch, most), optional
            Masking: where logits are wanted.
        pair_ids, pair_mask : LongTensor, shape (batch, other length), optional
            Matching: the descriptions, in the order of their titles.

        Returns
        -------
        Tensor
            Masking: shape (batch, most, vocab). Matching: shape (batch, 2, batch), the similarity
            of each title to all descriptions, and of each description to all titles.
        """
        if positions is not None:
            states = self.network.bert(input_ids, attention_mask=attention_mask)[0]
            wanted = positions.unsqueeze(-1).expand(-1, -1, states.shape[-1])
            return self.network.cls.predictions(states.gather(1, wanted))
        titles = self._represent(input_ids, attention_mask)
        descriptions = self._represent(pair_ids, pair_mask)
        similar = titles @ descriptions.T * self.log_scale.exp().clamp(max=_STEEPEST)
        return torch.stack([similar, similar.T], dim=1)

    def _represent(self, input_ids: Tensor | None, attention_mask: Tensor | None) -> Tensor:
        """Return the pooled [CLS] of each text, of length 1, float32, shape (batch, hidden)."""
        pooled = self.network.bert(input_ids, attention_mask=attention_mask)[1]
        with torch.autocast(pooled.device.type, enabled=False):
            return F.normalize(pooled.float(), dim=-1)


# -------------------------------------------------------------------------------------------- rows


@dataclass(frozen=True)
class EncodedRows:
    """Titles, descriptions, and both as one text: of each row the ids, [CLS] and [SEP] included."""

    titles: list[np.ndarray]
    descriptions: list[np.ndarray]
    texts: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.texts)


def encode_rows(
    frame: pd.DataFrame, tokenizer: PreTrainedTokenizerFast, length: int
) -> EncodedRows:
    """Turn the columns title, description and text into ids, cut at `length` pieces."""
    parts = []
    for name in ("title", "description", "text"):
        ids = tokenizer(frame[name].tolist(), truncation=True, max_length=length)["input_ids"]
        parts.append([np.array(row, dtype=np.int32) for row in ids])
    return EncodedRows(*parts)


# ----------------------------------------------------------------------------------------- batches

Rows = Sequence[int] | np.ndarray
"""Row numbers."""

MASKING, MATCHING = 0, 1
_CHUNK = 50


class PretrainingBatches:
    """Batches of both tasks in rounds, a pure function of recipe, rows and step.

    An "epoch" of `fit` is a round of `round_steps` steps, so that validation and checkpoints come
    every few minutes; the rows go on where the last round left off. Each pass over the rows has an
    order of its own, and each step its own masking: an interrupted run sees what an uninterrupted
    one would have.

    Parameters
    ----------
    rows : EncodedRows
        The training rows.
    recipe : Recipe
        Sizes and seed.
    pieces : sequence of str
        The piece of each id; those in brackets are special.
    spent : callable, optional
        Takes the number of steps done, returns the share of the budget that is spent; a round ends
        early at 1.
    workers : int
        Processes that prepare batches ahead, for a GPU; the batches are the same.
    """

    def __init__(
        self,
        rows: EncodedRows,
        recipe: Recipe,
        pieces: Sequence[str],
        spent: Callable[[int], float] | None = None,
        workers: int = 0,
    ) -> None:
        self.rows, self.recipe, self.pieces, self.spent = rows, recipe, pieces, spent
        self.workers = workers
        self.special = [i for i, piece in enumerate(pieces) if _is_special(piece)]
        self.mask_id = list(pieces).index("[MASK]")
        self.paired = np.array(
            [i for i in range(len(rows)) if min(len(rows.titles[i]), len(rows.descriptions[i])) > 4]
        )
        self.match_share = recipe.match_share if len(self.paired) > 1 else 0.0
        self.round = 0
        self._plan = lru_cache(maxsize=2)(self._make_plan)

    def set_epoch(self, epoch: int) -> None:
        """Choose the round; `fit` calls it."""
        self.round = epoch

    def __len__(self) -> int:
        return self.recipe.round_steps

    def __iter__(self) -> Iterator[Batch]:
        first = self.round * self.recipe.round_steps
        steps = range(first, first + self.recipe.round_steps)
        made: Iterable[Batch] = map(self.batch, steps)
        if self.workers:
            made = DataLoader(
                _Steps(self), batch_size=None, sampler=steps, num_workers=self.workers
            )
        for step, batch in zip(steps, made, strict=True):
            if step > first and self.spent is not None and self.spent(step) >= 1:
                return
            yield batch

    def plan(self, step: int) -> tuple[int, np.ndarray]:
        """Return the task of a step of the run, and its row numbers."""
        plan_of_pass = self._plan(step // self.steps_per_pass)
        return plan_of_pass[step % self.steps_per_pass]

    @property
    def steps_per_pass(self) -> int:
        """Steps of one pass over all texts, with the steps of matching in between."""
        masking = -(-len(self.rows) // self.recipe.batch_size)
        return masking if self.match_share >= 1 else round(masking / (1 - self.match_share))

    def _make_plan(self, number: int) -> list[tuple[int, np.ndarray]]:
        rng = np.random.default_rng([self.recipe.seed, number])
        masking = -(-len(self.rows) // self.recipe.batch_size)
        tasks = np.repeat([MASKING, MATCHING], [masking, self.steps_per_pass - masking])
        lengths = np.array([len(ids) for ids in self.rows.texts])
        queues = {
            MASKING: _buckets(np.arange(len(self.rows)), lengths, self.recipe.batch_size, rng)
        }
        if self.match_share:
            queues[MATCHING] = _buckets(self.paired, lengths, self.recipe.pairs, rng)
        return [(int(task), next(queues[task])) for task in rng.permutation(tasks)]

    def batch(self, step: int) -> Batch:
        """Make the batch of a step of the run."""
        task, numbers = self.plan(step)
        state = np.random.SeedSequence([self.recipe.seed, step]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(state[0]) >> 1)
        make = self.masking_batch if task == MASKING else self.matching_batch
        return make(numbers, generator)

    def masking_batch(self, numbers: Rows, generator: torch.Generator) -> Batch:
        """Make a batch in which hidden pieces are asked for."""
        ids, mask, _ = pad_batch([self.rows.texts[i].tolist() for i in numbers], 0)
        corrupted, labels = self._corrupt(ids, generator)
        positions, targets = asked_positions(labels)
        return {
            "input_ids": corrupted,
            "attention_mask": mask,
            "positions": positions,
            "labels": targets,
        }

    def matching_batch(self, numbers: Rows, generator: torch.Generator | None) -> Batch:
        """Make a batch of titles and descriptions; masked, so that no single word decides."""
        sides = []
        for sequences in (self.rows.titles, self.rows.descriptions):
            ids, mask, _ = pad_batch([sequences[i].tolist() for i in numbers], 0)
            sides += [ids if generator is None else self._corrupt(ids, generator)[0], mask]
        # Each title's own description is the one of the same number, and the other way round.
        labels = torch.arange(len(numbers)).unsqueeze(1).repeat(1, 2)
        names = ("input_ids", "attention_mask", "pair_ids", "pair_mask", "labels")
        return dict(zip(names, (*sides, labels), strict=True))

    def _corrupt(self, ids: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        starts = word_starts(ids, self.pieces) if self.recipe.whole_words else None
        size = len(self.pieces)
        return corrupt(
            ids,
            size,
            self.mask_id,
            self.special,
            share=self.recipe.mask_share,
            starts=starts,
            generator=generator,
        )


class _Steps(Dataset):
    """The batches of a run by the number of their step, for the workers of a `DataLoader`."""

    def __init__(self, batches: PretrainingBatches) -> None:
        self.batches = batches

    def __getitem__(self, step: int) -> Batch:
        return self.batches.batch(step)


def _is_special(piece: str) -> bool:
    return len(piece) > 2 and piece.startswith("[") and piece.endswith("]")


def _buckets(
    rows: np.ndarray, lengths: np.ndarray, size: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield batches of rows of similar length without end, pass after pass."""
    while True:
        order = rng.permutation(rows)
        batches = []
        for start in range(0, len(order), size * _CHUNK):
            chunk = order[start : start + size * _CHUNK]
            chunk = chunk[np.argsort(lengths[chunk], kind="stable")]
            batches += [chunk[first : first + size] for first in range(0, len(chunk), size)]
        for position in rng.permutation(len(batches)):
            yield batches[position]


def validation_batches(
    rows: EncodedRows, recipe: Recipe, pieces: Sequence[str]
) -> tuple[list[Batch], list[Batch]]:
    """Return the same masked batches, and the same batches of pairs, for every validation."""
    batches = PretrainingBatches(rows, recipe, pieces)
    order = np.argsort([len(ids) for ids in rows.texts], kind="stable")
    groups = [order[start : start + 100] for start in range(0, len(order), 100)]
    generator = torch.Generator().manual_seed(0)
    masked = [batches.masking_batch(group, generator) for group in groups]
    masked = [batch for batch in masked if bool((batch["labels"] >= 0).any())]
    paired = batches.paired[: 1000 if batches.match_share else 0]
    starts = range(0, len(paired) - 99, 100)  # all of the same size: a chance of 1 in 100
    return masked, [batches.matching_batch(paired[s : s + 100], None) for s in starts]
