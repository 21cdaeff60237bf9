"""Chapter 5, BERT, the batches of `python -m agnews_utils.pretrain`: two tasks in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from agnews_utils.masking import MASKED_SHARE, asked_positions, corrupt, word_starts
from agnews_utils.pretraining import Recipe, TimeBudget
from agnews_utils.pretraining_data import EncodedRows
from agnews_utils.vocabulary.batching import pad_batch

Batch = dict[str, Tensor]
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
        The piece of each id; the first five are special.
    budget : TimeBudget, optional
        A round ends early when its time is over.
    """

    def __init__(
        self,
        rows: EncodedRows,
        recipe: Recipe,
        pieces: Sequence[str],
        budget: TimeBudget | None = None,
    ) -> None:
        self.rows, self.recipe, self.pieces, self.budget = rows, recipe, pieces, budget
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
        for step in range(first, first + self.recipe.round_steps):
            if step > first and self.budget is not None and self.budget.passed() >= 1:
                return
            yield self.batch(step)

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
        generator = _generator(self.recipe.seed, step)
        if task == MASKING:
            return self.masking_batch(numbers, generator)
        return self.matching_batch(numbers, generator)

    def masking_batch(self, numbers: Sequence[int], generator: torch.Generator) -> Batch:
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

    def matching_batch(self, numbers: Sequence[int], generator: torch.Generator | None) -> Batch:
        """Make a batch of titles and descriptions; masked, so that no single word decides."""
        batch: Batch = {}
        sides = (
            ("input_ids", "attention_mask", "titles"),
            ("pair_ids", "pair_mask", "descriptions"),
        )
        for ids_name, mask_name, side in sides:
            sequences = getattr(self.rows, side)
            ids, mask, _ = pad_batch([sequences[i].tolist() for i in numbers], 0)
            batch[ids_name] = ids if generator is None else self._corrupt(ids, generator)[0]
            batch[mask_name] = mask
        # Each title's own description is the one of the same number, and the other way round.
        batch["labels"] = torch.arange(len(numbers)).unsqueeze(1).repeat(1, 2)
        return batch

    def _corrupt(self, ids: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        starts = word_starts(ids, self.pieces) if self.recipe.whole_words else None
        return corrupt(
            ids,
            len(self.pieces),
            self.mask_id,
            self.special,
            share=MASKED_SHARE,
            starts=starts,
            generator=generator,
        )

    def tokens(self, step: int) -> int:
        """Return how many pieces a step reads, padding left out."""
        task, numbers = self.plan(step)
        if task == MASKING:
            return sum(len(self.rows.texts[i]) for i in numbers)
        return sum(len(self.rows.titles[i]) + len(self.rows.descriptions[i]) for i in numbers)


def _generator(*numbers: int) -> torch.Generator:
    state = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]) >> 1)


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
