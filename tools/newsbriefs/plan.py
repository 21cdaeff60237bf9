"""News Briefs, step 1: which brief goes where, and which rows repeat another one.

Every choice is a sort by a SHA-256 key of (seed, purpose, name), so the plan depends neither on the
order of a set, nor on the Python or NumPy version, and a change of one purpose leaves the others
alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

SEED = 2004  # the year in which AG's corpus was begun
CLASS_NAMES = ("World", "Sports", "Business", "Sci/Tech")
SPLITS = ("train", "test")
ROWS = {"train": 1800, "test": 400}

# Pairs of classes whose labels are swapped for one row of each: wrong labels without a shift of
# the class sizes. 9 swaps are 18 of 1,800 rows, 2 swaps 4 of 400.
LABEL_SWAPS = {
    "train": ((3, 4), (3, 4), (3, 4), (1, 3), (1, 3), (1, 4), (1, 2), (1, 2), (2, 3)),
    "test": ((3, 4), (1, 2)),
}
MISSING_DESCRIPTIONS = {"train": (3, 2, 2, 2), "test": (0, 1, 0, 1)}

# The duplicates of one class: (split of the copy, split of the original, kind of edit).
_NEAR = ("agency", "number", "first_sentence", "update", "lead", "title_case", "number")
DUPLICATES = (
    *(("train", "train", "exact") for _ in range(4)),
    *(("train", "train", edit) for edit in _NEAR * 2),
    ("test", "train", "exact"),
    ("test", "train", "agency"),
    ("test", "train", "number"),
    ("test", "train", "first_sentence"),
    ("test", "train", "lead"),
    ("test", "test", "update"),
)
UPDATED = (2, 3)  # the classes whose feeds wrote "UPDATE 1-"; the others get a "lead" instead
SMALL_WORDS = (
    "a",
    "an",
    "and",
    "as",
    "at",
    "but",
    "by",
    "for",
    "from",
    "in",
    "of",
    "on",
    "or",
    "the",
    "to",
)
LEADS = ("(Adds details) ", "(Adds quotes) ", "(Recasts) ", "(Updates throughout) ")


def key(purpose: str, name: object) -> float:
    """Return a number in [0, 1) that depends on the seed and the two names alone."""
    digest = hashlib.sha256(f"{SEED}:{purpose}:{name}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def ordered(items: Iterable, purpose: str, name: Callable = lambda item: item.name) -> list:
    """Return the items in the random order that belongs to this purpose."""
    return sorted(items, key=lambda item: (key(purpose, name(item)), str(name(item))))


def apportion(total: int, weights: list[float]) -> list[int]:
    """Share out `total` in proportion to the weights, largest remainders first (Hamilton)."""
    scale = total / sum(weights)
    counts = [int(weight * scale) for weight in weights]
    rest = sorted(range(len(weights)), key=lambda i: (counts[i] - weights[i] * scale, i))
    for index in rest[: total - sum(counts)]:
        counts[index] += 1
    return counts


@dataclass(eq=False)
class Item:
    """One row to be: its clean text, and what is planned for it."""

    name: str
    brief: int
    split: str
    label: int
    topic: str
    hard: bool
    title: str
    description: str
    given: int = 0
    original: Item | None = None
    edit: str | None = None
    feed: str = "web"
    source: str = ""
    barred_feed: str = ""
    missing: bool = False
    title_cut: bool = False
    plan: set[str] = field(default_factory=set)

    @property
    def text(self) -> str:
        """Title and description, for searching."""
        return f"{self.title}\n{self.description}"


def read_briefs(path: Path) -> list[dict]:
    """Read the clean briefs; the position in the list is the line number from 0.

    Raises
    ------
    ValueError
        If a line is no JSON object with the five fields, or its label is unknown.
    """
    briefs = []
    for number, line in enumerate(path.read_text(encoding="ascii").splitlines(), 1):
        try:
            brief = json.loads(line)
            brief["number"] = CLASS_NAMES.index(brief["label"]) + 1
            brief = {**brief, "title": str(brief["title"]), "hard": bool(brief["hard"])}
            brief["description"], brief["topic"] = str(brief["description"]), str(brief["topic"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}, line {number}: expected a JSON object with label (one of "
                f"{', '.join(CLASS_NAMES)}), topic, hard, title and description ({error!r}). "
                "Restore the file with `git checkout`."
            ) from None
        briefs.append(brief)
    return briefs


def split_briefs(briefs: list[dict]) -> list[Item]:
    """Divide the briefs 1,800 / 400, stratified by class and by `hard`."""
    items = []
    for label in range(1, 5):
        of_class = [i for i, brief in enumerate(briefs) if brief["number"] == label]
        strata = [[i for i in of_class if briefs[i]["hard"] == hard] for hard in (False, True)]
        shares = apportion(ROWS["test"] // 4, [len(stratum) for stratum in strata])
        for stratum, n_test in zip(strata, shares, strict=True):
            for rank, i in enumerate(ordered(stratum, "split", name=lambda i: i)):
                split = "test" if rank < n_test else "train"
                text = {k: briefs[i][k] for k in ("topic", "hard", "title", "description")}
                items.append(Item(f"b{i:04d}", i, split, label, given=label, **text))
    return items


def sentences(text: str) -> list[str]:
    """Split at a full stop, question or exclamation mark that is followed by a capital."""
    return re.split(r'(?<=[.!?])(?<! [A-Z]\.)(?<!\.[A-Z]\.) (?=["\']?[A-Z0-9])', text)


def edited(item: Item, edit: str) -> tuple[str, str] | None:
    """Return the near duplicate's clean title and description, None where the edit changes nothing.

    `agency` leaves the clean text alone: only the dateline will differ.
    """
    title, text = item.title, item.description
    if edit in ("agency", "exact"):
        return title, text
    if edit == "update":
        return f"UPDATE {1 + int(2 * key('update', item.name))}-{title}", text
    if edit == "lead":
        return title, LEADS[int(len(LEADS) * key("lead", item.name))] + text
    if edit == "first_sentence":
        first = sentences(text)[0]
        return (title, first) if len(first) < len(text) and len(first.split()) >= 12 else None
    if edit == "title_case":
        words = title.split(" ")
        new = " ".join(w if w in SMALL_WORDS else w[0].upper() + w[1:] for w in words)
        return (new, text) if new != title else None
    # number: the first count of two or three digits that is neither a year nor part of a code
    match = re.search(r"(?<=[a-z] )(\d{2,3})(?= [a-z]{4})", text)
    if match is None:
        return None
    step = 1 + int(3 * key("number", item.name))
    return title, f"{text[: match.start()]}{int(match[1]) + step}{text[match.end() :]}"


def add_duplicates(items: list[Item]) -> tuple[list[Item], list[Item]]:
    """Put the duplicates in place of as many briefs of the same split, class and `hard`.

    Returns
    -------
    (kept, left_out)
        The 2,200 rows to be, and the briefs that had to make room.
    """
    kept, left_out = list(items), []
    originals: set[str] = set()
    for label in range(1, 5):
        for slot, (split, source_split, edit) in enumerate(DUPLICATES):
            edit = "lead" if edit == "update" and label not in UPDATED else edit
            hard = slot % 8 == 7  # about the share of hard briefs
            free = [
                item
                for item in kept
                if (item.label, item.hard, item.original) == (label, hard, None)
                and item.name not in originals
            ]
            victim = ordered((i for i in free if i.split == split), "left out")[-1]
            free.remove(victim)
            copy = _copy((i for i in free if i.split == source_split), edit, split)
            originals.add(copy.original.name)
            kept[kept.index(victim)] = copy
            left_out.append(victim)
    return kept, left_out


def _copy(candidates: Iterable[Item], edit: str, split: str) -> Item:
    """Copy the first candidate that the edit can change."""
    for source in ordered(candidates, f"duplicate {edit}"):
        text = edited(source, edit)
        if text is not None:
            name = f"d{source.brief:04d}"
            fixed = (source.label, source.topic, source.hard, *text)
            return Item(name, source.brief, split, *fixed, source.label, source, edit)
    raise ValueError(f"no brief is left which the edit {edit!r} would change: relax edited()")


def set_wrong_labels(items: list[Item]) -> None:
    """Swap the given labels of a few rows; exact copies and their originals stay right.

    The first swap of the training rows takes a near duplicate on its first side, so that one pair
    of twins contradicts itself, as a few do in AG News.
    """
    bound = {i.original.name for i in items if i.original} | {i.name for i in items if i.original}
    for split, swaps in LABEL_SWAPS.items():
        for number, (one, other) in enumerate(swaps):
            pair = []
            for side, label in enumerate((one, other)):
                twin = split == "train" and number == 0 and side == 0
                free = [
                    i
                    for i in items
                    if (i.split, i.label, i.given) == (split, label, label)
                    and ((i.edit or "exact") != "exact" if twin else i.name not in bound)
                ]
                pair.append(ordered(free, "wrong label")[0])
            pair[0].given, pair[1].given = other, one


def set_missing(items: list[Item]) -> None:
    """Choose the rows that lose their description."""
    bound = {i.original.name for i in items if i.original}
    for split, counts in MISSING_DESCRIPTIONS.items():
        for label, count in enumerate(counts, 1):
            free = [
                i
                for i in items
                if (i.split, i.label, i.given) == (split, label, label)
                and i.original is None
                and i.name not in bound
            ]
            for item in ordered(free, "missing")[:count]:
                item.missing = True
