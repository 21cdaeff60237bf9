"""Chapter 5, BERT, what `python -m agnews_utils.pretrain` trains: network, tasks, time budget.

Two tasks without labels take turns. In the first, of BERT, the network names hidden pieces. In the
second it says which description belongs to which title among those of its batch, from the pooled
[CLS] of each (in the place of BERT's next-sentence task; the loss is that of van den Oord et al.,
2018): [CLS] so learns what a text is about, which classification will ask of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertConfig, BertForPreTraining

Batch = dict[str, Tensor]
_STEEPEST = 100.0


@dataclass(frozen=True)
class Recipe:
    """The settings of a pre-training run; its numbers depend on these, the texts and the time.

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
    whole_words : bool
        Hide all pieces of a word together.
    counted : bool
        Begin with embeddings made of counted neighbors (`counted_embeddings`), not of chance.
    learning_rate, warmup : float
        Peak of the schedule, and share of the time before it.
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
    whole_words: bool = False
    counted: bool = True
    learning_rate: float = 1.5e-3
    warmup: float = 0.06
    round_steps: int = 200
    seed: int = 42

    def config(self, vocab_size: int) -> BertConfig:
        """Return the configuration of the network; without dropout, since time is short."""
        return BertConfig(
            vocab_size=vocab_size,
            hidden_size=self.hidden,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=4 * self.hidden,
            max_position_embeddings=max(128, self.max_length),
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            # BERT's 0.02 is meant for 768 units; narrow layers need more to pass a signal on.
            initializer_range=0.02 * (768 / self.hidden) ** 0.5,
            pad_token_id=0,
        )


class PretrainingModel(nn.Module):
    """A BERT that learns both tasks; `fit` trains it (chapter 5, "Pre-training").

    Parameters
    ----------
    config : BertConfig
        Its form.
    """

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
        titles, descriptions = (
            self.represent(input_ids, attention_mask),
            self.represent(pair_ids, pair_mask),
        )
        similar = titles @ descriptions.T * self.log_scale.exp().clamp(max=_STEEPEST)
        return torch.stack([similar, similar.T], dim=1)

    def represent(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the pooled [CLS] of each text, of length 1, float32, shape (batch, hidden)."""
        pooled = self.network.bert(input_ids, attention_mask=attention_mask)[1]
        with torch.autocast(pooled.device.type, enabled=False):
            return F.normalize(pooled.float(), dim=-1)


class TimeBudget:
    """A learning rate that follows the clock and ends when the time does (chapter 5, "The budget").

    The rate rises for a share of the time and then falls linearly to 0. It is a function of the
    time that has passed, not of the steps: on a machine that slows down, fewer steps are taken.

    Parameters
    ----------
    minutes : float
        The time for training.
    warmup : float
        Share of the time before the peak.
    used : float
        Seconds that an interrupted run has used already.
    """

    def __init__(self, minutes: float, warmup: float = 0.06, used: float = 0.0) -> None:
        if minutes <= 0:
            raise ValueError(f"minutes={minutes}: expected a positive number")
        self.seconds, self.warmup, self.used = 60 * minutes, warmup, used
        self.start: float | None = None

    def passed(self) -> float:
        """Return the share of the time that has passed, 0 to 1; the clock starts with `factor`."""
        running = 0.0 if self.start is None else time.perf_counter() - self.start
        return min(1.0, (self.used + running) / self.seconds)

    def factor(self, step: int, steps: int) -> float:
        """Return what the peak is multiplied with now; the `schedule` of `fit`."""
        if self.start is None and steps > 1:  # `fit` tries the schedule with (0, 1) beforehand
            self.start = time.perf_counter()
        share = self.passed()
        # Never 0: a first step with the rate 0 would be lost.
        return max(1e-3, min(share / self.warmup if self.warmup else 1.0, 1 - share))
