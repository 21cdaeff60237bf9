"""Make more rows out of few: insert, swap or delete words (cleaning_study, "Augmentation").

Three of the four operations of Wei and Zou (2019), "EDA: Easy data augmentation techniques for
boosting performance on text classification tasks". The fourth, replacing words by synonyms, needs
a thesaurus, which would have to be downloaded; for the same reason an inserted word is one of the
text itself here, not a synonym.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from agnews_utils.data.duplicates import list_of_texts


def random_deletion(words: Sequence[str], share: float, rng: random.Random) -> list[str]:
    """Delete each word with probability `share`; at least one word stays."""
    kept = [word for word in words if rng.random() >= share]
    return kept or [rng.choice(words)] if words else []


def random_swap(words: Sequence[str], share: float, rng: random.Random) -> list[str]:
    """Exchange two random words, as often as `share` of the words says, at least once."""
    words = list(words)
    for _ in range(_times(words, share)):
        one, other = rng.randrange(len(words)), rng.randrange(len(words))
        words[one], words[other] = words[other], words[one]
    return words


def random_insertion(words: Sequence[str], share: float, rng: random.Random) -> list[str]:
    """Insert random words of the text at random places, `share` of its length, at least one."""
    longer = list(words)
    for _ in range(_times(words, share)):
        longer.insert(rng.randrange(len(longer) + 1), rng.choice(words))
    return longer


def unchanged(words: Sequence[str], share: float, rng: random.Random) -> list[str]:
    """Return the words as they are: the control, which tells copies from changes."""
    return list(words)


def _times(words: Sequence[str], share: float) -> int:
    return max(1, round(share * len(words))) if words else 0


Operation = Callable[[Sequence[str], float, random.Random], list[str]]

OPERATIONS: dict[str, Operation] = {
    "copy": unchanged,
    "insertion": random_insertion,
    "swap": random_swap,
    "deletion": random_deletion,
}


def augment(
    texts: Sequence[str],
    labels: Sequence[int],
    operation: Operation,
    copies: int = 4,
    share: float = 0.1,
    seed: int = 0,
) -> tuple[list[str], list[int]]:
    """Add changed copies of each text, with its label (cleaning_study, "Augmentation").

    For training rows only: a changed copy of a validation row leaks it.

    Parameters
    ----------
    operation : callable
        One of `OPERATIONS`; it touches `share` of the words, 0 to 1.
    copies : int
        Changed copies of each row; the same `seed` makes the same ones.

    Returns
    -------
    texts, labels : lists
        The rows as they were, then their copies; `(1 + copies)` times as many.

    Raises
    ------
    TypeError
        If `texts` is one string, or one of them is no text.
    ValueError
        If the lengths differ, `copies` is negative, or `share` is not between 0 and 1.
    """
    texts = list_of_texts(texts)
    if len(texts) != len(labels):
        raise ValueError(f"{len(texts)} texts and {len(labels)} labels: each text needs one label.")
    if copies < 0 or not 0 <= share <= 1:
        raise ValueError(
            f"copies is {copies} and share {share}: expected no negative number of copies, and a "
            "share between 0 and 1."
        )
    rng = random.Random(seed)
    split = [text.split() for text in texts]
    added = [" ".join(operation(words, share, rng)) for _ in range(copies) for words in split]
    return [*texts, *added], [*labels, *(label for _ in range(copies) for label in labels)]
