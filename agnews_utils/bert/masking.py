"""Chapter pretraining, the masked-language-model task: hide some pieces, ask for them.

15 % of the positions are asked for. Of these, 80 % show [MASK], 10 % a random piece and 10 % the
piece itself (Devlin et al., 2019, section 3.1): no piece that is read is sure to be right.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from agnews_utils.training.checks import IGNORED

MASKED_SHARE = 0.15
"""Share of the positions that are asked for."""


def corrupt(
    ids: Tensor,
    vocab_size: int,
    mask_id: int,
    special_ids: Collection[int] = (),
    *,
    share: float = MASKED_SHARE,
    as_mask: float = 0.8,
    as_random: float = 0.1,
    starts: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Hide pieces for masked-language modeling (pretraining, "Hiding pieces").

    Parameters
    ----------
    ids : LongTensor, shape (batch, length)
        The texts; left as they are.
    vocab_size : int
        Random pieces are drawn from 0 to vocab_size - 1, special ids left out.
    mask_id : int
        The id of [MASK].
    special_ids : collection of int
        Ids that are never asked for and never drawn: [PAD], [CLS], [SEP] and the like.
    share : float
        Probability with which a position is asked for, or a whole word with `starts`.
    as_mask, as_random : float
        Shares of the positions asked for that show [MASK] or a random piece.
    starts : BoolTensor, shape (batch, length), optional
        True where a word begins: all pieces of a word are then asked for together.
    generator : torch.Generator, optional
        Source of chance; default: torch's own.

    Returns
    -------
    corrupted : LongTensor, shape (batch, length)
        What the network reads.
    labels : LongTensor, shape (batch, length)
        The original piece where it is asked for, -100 elsewhere.

    Raises
    ------
    ValueError
        If a share is not from 0 to 1, or `starts` has another shape than `ids`.
    """
    _check_shares(share, as_mask, as_random)
    special = _lookup(special_ids, vocab_size, ids.device)  # (vocab,)
    chance = torch.rand(ids.shape, generator=generator, device=ids.device)
    if starts is not None:
        chance = _same_within_words(chance, starts)
    asked = (chance < share) & ~special[ids]
    labels = torch.where(asked, ids, torch.full_like(ids, IGNORED))
    fate = torch.rand(ids.shape, generator=generator, device=ids.device)
    ordinary = (~special).nonzero().flatten()
    draws = torch.randint(len(ordinary), ids.shape, generator=generator, device=ids.device)
    corrupted = torch.where(asked & (fate < as_mask), torch.full_like(ids, mask_id), ids)
    random_here = asked & (fate >= as_mask) & (fate < as_mask + as_random)
    return torch.where(random_here, ordinary[draws], corrupted), labels


def _check_shares(share: float, as_mask: float, as_random: float) -> None:
    for name, value in (("share", share), ("as_mask", as_mask), ("as_random", as_random)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name}={value}: expected a share from 0 to 1, such as 0.15")
    if as_mask + as_random > 1:
        raise ValueError(
            f"as_mask={as_mask} and as_random={as_random} add up to more than 1: the rest of the "
            "positions keep their piece."
        )


def _lookup(special_ids: Collection[int], vocab_size: int, device: torch.device) -> Tensor:
    """Return for each id of the vocabulary whether it is special, shape (vocab,)."""
    special = torch.zeros(vocab_size, dtype=torch.bool, device=device)
    special[list(special_ids)] = True
    if bool(special.all()):
        raise ValueError("all ids are special: no piece is left to hide or to draw.")
    return special


def _same_within_words(chance: Tensor, starts: Tensor) -> Tensor:
    """Give all pieces of a word the chance of its first one."""
    if starts.shape != chance.shape:
        raise ValueError(
            f"starts has the shape {tuple(starts.shape)}, ids {tuple(chance.shape)}: expected one "
            "entry for each piece."
        )
    positions = torch.arange(chance.shape[1], device=chance.device).expand_as(chance)
    first = torch.where(starts, positions, torch.zeros_like(positions)).cummax(1).values
    return chance.gather(1, first)


def word_starts(ids: Tensor, pieces: Sequence[str]) -> Tensor:
    """Return where words begin: at pieces without "##" (pretraining, "Hiding whole words").

    Parameters
    ----------
    ids : LongTensor, shape (batch, length)
        The texts.
    pieces : sequence of str
        The piece of each id.

    Returns
    -------
    BoolTensor, shape (batch, length)
    """
    begins = torch.tensor([not piece.startswith("##") for piece in pieces], device=ids.device)
    return begins[ids]


def asked_positions(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Collect the positions that are asked for, so that only they get logits.

    An output over the whole vocabulary costs more than all else in a small network; computed for
    15 % of the positions it does not (pretraining, "The loss asks for the hidden pieces only").

    Parameters
    ----------
    labels : LongTensor, shape (batch, length)
        As `corrupt` returns them.

    Returns
    -------
    positions : LongTensor, shape (batch, most)
        Columns of the positions asked for; 0 fills the rows that have fewer of them.
    targets : LongTensor, shape (batch, most)
        Their labels; -100 where a row has been filled. `most` is at least 1.
    """
    asked = labels != IGNORED
    most = max(1, int(asked.sum(1).max()))
    # A stable sort brings the asked positions of each row to the front, in their order.
    positions = (~asked).to(torch.uint8).argsort(dim=1, stable=True)[:, :most]
    targets = labels.gather(1, positions)
    return torch.where(targets == IGNORED, torch.zeros_like(positions), positions), targets
