"""Measure cleaning steps against the truth of News Briefs (chapter 2, "How good is a repair?").

News Briefs was clean before dirt was added to it, and `truth.jsonl` keeps, for every row, the
clean fields and the list of what was added. So each repair has a precision and a recall.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd

from agnews_utils.cleaning import DEFAULT_STEPS, Cleaner, normalize_whitespace
from agnews_utils.data.corpus import bundled_folder

REPAIRS: dict[str, tuple[set[str], list[str]]] = {
    "entities": ({"entity_apostrophe", "entity_quote", "entity_dollar"}, ["entities"]),
    "tags and links": ({"tag", "link"}, ["entities", "tags and links"]),
    "backslashes": ({"backslash"}, ["backslashes"]),
    "datelines": ({"dateline", "title_source"}, ["datelines"]),
    "white space": ({"space"}, ["white space"]),
}
"""Name of a repair -> kinds of artifacts in the truth file, steps that should repair them.

Tags come escaped (`&lt;b&gt;`), so their repair takes two steps.
"""


def read_truth(path: Path | None = None) -> list[dict]:
    """Read the truth file of News Briefs: what was added to each row, and the clean text.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    """
    path = bundled_folder() / "truth.jsonl" if path is None else path
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def field_pairs(truth: Sequence[Mapping], kinds: set[str] | None) -> Iterator[tuple[str, str]]:
    """Yield (dirty, clean) for every title and description, with only some kinds of dirt in it.

    Parameters
    ----------
    truth
        Rows of `read_truth`.
    kinds
        Kinds of artifacts that the dirty text shall hold; the others are replaced by the clean
        text that belongs there. None: all kinds.

    Notes
    -----
    The clean text keeps what a reader would *see* of a link or tag: `INTC.O` of
    `<A HREF=...>INTC.O</A>`. Python's own HTML parser decides what that is.
    """
    for row in truth:
        for field in ("title", "description"):
            clean = dirty = row[f"clean_{field}"]
            records = [record for record in row["artifacts"] if record["field"] == field]
            for record in _placed_in_clean_text(records):
                start, end = record["place"], record["place"] + len(record["clean"])
                wanted = kinds is None or record["kind"] in kinds
                dirty = (
                    dirty[:start] + (record["text"] if wanted else record["clean"]) + dirty[end:]
                )
                if wanted and record["kind"] in ("tag", "link"):
                    clean = clean[:start] + visible_text(record["text"]) + clean[end:]
            yield dirty, clean


def _placed_in_clean_text(records: list[Mapping]) -> list[dict]:
    """Add the place of each artifact in the clean text; last one first, so that places hold."""
    placed, grown = [], 0
    for record in records:
        placed.append({**record, "place": record["start"] - grown})
        grown += len(record["text"]) - len(record["clean"])
    return placed[::-1]


class _TextOnly(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def visible_text(escaped: str) -> str:
    """Return what a browser shows of a piece of escaped HTML."""
    parser = _TextOnly()
    parser.feed(unescape(escaped))
    parser.close()
    return "".join(parser.parts)


def repair_quality(truth: Sequence[Mapping]) -> pd.DataFrame:
    """Compute precision and recall of each repair (chapter 2, "How good is a repair?").

    The unit is a field, a title or a description. A field that holds dirt of the kind counts as
    found only if *all* of it was repaired, so that the text equals the clean one; entities to the
    letter, the others but for white space, which is a repair of its own. Every other field that
    was changed is a false alarm.

    Returns
    -------
    DataFrame
        One row a repair, and `all steps` for the whole pipeline on the text with all of its dirt.
        Columns: `dirty` fields, `changed` fields, `repaired` fields, `precision` (repaired /
        changed), `recall` (repaired / dirty).
    """
    steps = {step.name: step for step in DEFAULT_STEPS}
    rows = {}
    for name, (kinds, names) in REPAIRS.items():
        cleaner = Cleaner([steps[step] for step in names])
        exact = name in ("entities", "white space")
        rows[name] = _count(field_pairs(truth, kinds), cleaner, exact)
    rows["all steps"] = _count(field_pairs(truth, None), Cleaner(), exact=False)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["dirty", "changed", "repaired"])
    table["precision"] = table["repaired"] / table["changed"]
    table["recall"] = table["repaired"] / table["dirty"]
    return table.rename_axis("repair")


def _count(pairs: Iterator[tuple[str, str]], cleaner: Cleaner, exact: bool) -> list[int]:
    dirty_fields = changed_fields = repaired_fields = 0
    for dirty, clean in pairs:
        cleaned = cleaner(dirty)
        if not exact:
            dirty, clean, cleaned = map(normalize_whitespace, (dirty, clean, cleaned))
        dirty_fields += dirty != clean
        changed_fields += cleaned != dirty
        repaired_fields += dirty != clean and cleaned == clean
    return [dirty_fields, changed_fields, repaired_fields]
