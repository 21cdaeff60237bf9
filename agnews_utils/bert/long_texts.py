"""Texts longer than an encoder reads: which pieces to keep, or all of them in windows."""

from __future__ import annotations

from collections.abc import Sequence

KEPT = ("head", "tail", "both")


def cut_ids(ids: Sequence[int], max_length: int, keep: str = "head") -> list[int]:
    """Shorten the ids of one text, [CLS] and [SEP] included, to what an encoder reads.

    Parameters
    ----------
    ids : sequence of int
        [CLS], pieces, [SEP].
    max_length : int
        Most ids that are kept, the two special ones included; at least 4.
    keep : {"head", "tail", "both"}
        The first pieces, the last, or a quarter of the first and three quarters of the last (Sun
        et al., 2019, found the end of a review to say more than its beginning).

    Raises
    ------
    ValueError
        If `keep` is none of the three, or `max_length` too small.
    """
    if keep not in KEPT:
        raise ValueError(f"keep={keep!r}: expected one of {', '.join(KEPT)}.")
    if max_length < 4:
        raise ValueError(f"max_length={max_length}: expected at least 4.")
    ids = list(ids)
    if len(ids) <= max_length:
        return ids
    pieces, room = ids[1:-1], max_length - 2
    first = {"head": room, "tail": 0, "both": room // 4}[keep]
    kept = pieces[:first] + pieces[len(pieces) - (room - first) :]
    return [ids[0], *kept, ids[-1]]


def windows(ids: Sequence[int], max_length: int, overlap: int = 32) -> list[list[int]]:
    """Cut the ids of one text into pieces that overlap, each with [CLS] and [SEP] of its own.

    Parameters
    ----------
    ids : sequence of int
        [CLS], pieces, [SEP].
    max_length : int
        Ids of a window, the two special ones included.
    overlap : int
        Pieces that a window shares with the one before.

    Raises
    ------
    ValueError
        If a window would not get further than the one before it.
    """
    room = max_length - 2
    if not 0 <= overlap < room:
        raise ValueError(
            f"overlap={overlap}: expected 0 to {room - 1} with windows of {max_length}."
        )
    ids = list(ids)
    pieces, step = ids[1:-1], room - overlap
    starts = range(0, max(1, len(pieces) - overlap), step)
    return [[ids[0], *pieces[start : start + room], ids[-1]] for start in starts]
