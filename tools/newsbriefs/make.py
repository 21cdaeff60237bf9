"""Build the bundled corpus News Briefs: `python -m tools.newsbriefs.make [--check]`.

Reads `data/newsbriefs/briefs.jsonl` (the clean text) and writes `train.csv` and `test.csv` in the
format of AG News, `truth.jsonl` (what was done to each row) and the generated part of
`data/README.md`. The result is the same to the byte on every machine.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from pathlib import Path

from agnews_utils.files import write_text
from tools.newsbriefs.card import fill, generated
from tools.newsbriefs.dirt import description_edits, render, title_edits
from tools.newsbriefs.feeds import assign
from tools.newsbriefs.plan import (
    ROWS,
    SPLITS,
    Item,
    add_duplicates,
    ordered,
    read_briefs,
    set_missing,
    set_wrong_labels,
    split_briefs,
)

ROOT = Path(__file__).resolve().parents[2]


def plan(briefs: list[dict]) -> tuple[list[Item], list[Item]]:
    """Return the 2,200 planned rows and the briefs that are left out."""
    items, left_out = add_duplicates(split_briefs(briefs))
    set_wrong_labels(items)
    set_missing(items)
    for split in reversed(SPLITS):  # test first: its agency twins bar a feed for a training row
        for label in range(1, 5):
            cell = [i for i in items if (i.split, i.label) == (split, label) and i.edit != "exact"]
            assign(cell, label, ROWS[split] // 4)
    return items, left_out


def row_of(item: Item) -> dict:
    """Return the dirty fields of one row and the records of its artifacts."""
    origin = item.original if item.edit == "exact" else item
    title, title_records = render(origin.title, title_edits(origin))
    text, records = "", []
    if not origin.missing:
        text, records = render(origin.description, description_edits(origin))
    artifacts = [{"field": "title", **r} for r in title_records]
    artifacts += [{"field": "description", **r} for r in records]
    order = ("kind", "field", "text", "start", "clean")
    return {
        "title": title,
        "description": text,
        "clean_title": origin.title,
        "clean_description": "" if origin.missing else origin.description,
        "artifacts": [{name: record[name] for name in order} for record in artifacts],
        "title_cut": origin.title_cut,
    }


def build(briefs: list[dict], card: str) -> dict[str, str]:
    """Return the text of every generated file by its path from `data/`."""
    items, left_out = plan(briefs)
    by_split = {s: ordered((i for i in items if i.split == s), "row") for s in SPLITS}
    place = {i.name: (s, n) for s in SPLITS for n, i in enumerate(by_split[s], 1)}
    files, truth, texts = {}, [], []
    for split, chosen in by_split.items():
        table = io.StringIO()
        writer = csv.writer(table, quoting=csv.QUOTE_ALL, lineterminator="\n")
        for number, item in enumerate(chosen, 1):
            row = row_of(item)
            dirty = row.pop("title"), row.pop("description")
            writer.writerow([item.given, *dirty])
            texts.append((item.label, *dirty))
            truth.append(truth_of(item, split, number, row, place))
        files[f"newsbriefs/{split}.csv"] = table.getvalue()
    files["newsbriefs/truth.jsonl"] = "".join(json.dumps(line) + "\n" for line in truth)
    files["README.md"] = fill(card, generated(truth, texts, left_out))
    return files


def truth_of(item: Item, split: str, number: int, row: dict, place: dict) -> dict:
    """Return the line of truth.jsonl for one row; `place` maps an item to (split, row)."""
    twin = None
    if item.original is not None:
        other_split, other_row = place[item.original.name]
        exact = item.edit == "exact"
        twin = {
            "split": other_split,
            "row": other_row,
            "kind": "exact" if exact else "near",
            "edit": None if exact else item.edit,
        }
    return {
        "split": split,
        "row": number,
        "brief": item.brief,
        "label": item.given,
        "true_label": item.label,
        "topic": item.topic,
        "hard": item.hard,
        **row,
        "duplicate_of": twin,
        "missing_description": item.missing,
        "wrong_label": item.given != item.label,
    }


def read_text(path: Path) -> str | None:
    """Return a file's text with its line ends as they are, None where it does not exist."""
    return path.read_bytes().decode("utf-8", "replace") if path.is_file() else None


def main(arguments: list[str] | None = None) -> int:
    """Write what differs, or with `--check` only name it; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if a file differs")
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="the folder data/")
    options = parser.parse_args(arguments)
    source, card = options.data / "newsbriefs" / "briefs.jsonl", options.data / "README.md"
    try:
        for path in (source, card):
            if not path.is_file():
                raise ValueError(f"{path} is missing: restore it with `git checkout`.")
        files = build(read_briefs(source), read_text(card))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    stale = [name for name, text in files.items() if read_text(options.data / name) != text]
    for name in stale:
        if not options.check:
            write_text(options.data / name, files[name])
        print(f"{'differs' if options.check else 'wrote'}: {options.data / name}")
    if not stale:
        print(f"News Briefs in {options.data} is up to date.")
    if options.check and stale:
        print("Run `python -m tools.newsbriefs.make` to write it anew.")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
