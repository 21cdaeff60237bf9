"""Repairs held against labels given by hand to 100 rows of AG News (cleaning, "On real rows").

`data/ag_news_labels/repairs.json` holds no text. It knows a row by a hash, and the right text of a
field by a hash, too: so it can judge any rule, not only the one that was in use when the rows were
read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
from scipy import stats

from agnews_utils.cleaning.pipeline import DEFAULT_STEPS, Step
from agnews_utils.cleaning.repairs import normalize_whitespace
from agnews_utils.files import course_path

FIELDS = ("title", "description")


def text_key(text: str) -> str:
    """Return the first 16 hex digits of a text's SHA-256, white space normalized."""
    return sha256(normalize_whitespace(text).encode()).hexdigest()[:16]


def read_repair_labels(path: Path | None = None) -> dict[str, Any]:
    """Return the labels: `rows`, each with its `key` and what is `right`, and how they were drawn.

    `right[field][step]` is the `text_key` of the text that the step should give. A step that is not
    named there has nothing to do in that field.
    """
    path = course_path("data/ag_news_labels/repairs.json") if path is None else path
    return json.loads(path.read_text(encoding="utf-8"))


def labelled_rows(frame: pd.DataFrame, labels: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows of a frame that were labelled, with their label in the column `right`."""
    right = {row["key"]: row["right"] for row in labels["rows"]}
    keys = (frame["title"] + "\n" + frame["description"]).map(text_key)
    found = frame[keys.isin(right)].copy()
    found["right"] = keys[found.index].map(right)
    return found


def labelled_quality(rows: pd.DataFrame, steps: Sequence[Step] = DEFAULT_STEPS) -> pd.DataFrame:
    """Compute precision and recall of each step on labelled rows (cleaning, "On real rows").

    Each step reads what the steps before it left, as in the pipeline. Steps without any label,
    such as white space, are applied and not judged.

    Parameters
    ----------
    rows : DataFrame
        What `labelled_rows` returns.
    steps : sequence of Step
        The pipeline; a step is judged by its name.

    Returns
    -------
    DataFrame
        One row a step: `dirty` fields (of which the label says that something should change),
        `changed` fields, `repaired` fields (dirty, and right now), `precision` and `recall` as
        intervals `*_low`, the share, `*_high` (Wilson, 95 %).
    """
    judged = {step for right in rows["right"] for field in right.values() for step in field}
    counts = {step.name: [0, 0, 0] for step in steps if step.name in judged}
    for row in rows.to_dict("records"):
        for field in FIELDS:
            text = row[field]
            for step in steps:
                before, text = text, step.function(text)
                if step.name in counts:
                    right = row["right"].get(field, {}).get(step.name, text_key(before))
                    _count(counts[step.name], text_key(before), text_key(text), right)
    table = {name: _shares(*numbers) for name, numbers in counts.items()}
    return pd.DataFrame.from_dict(table, orient="index")


def _count(numbers: list[int], before: str, after: str, right: str) -> None:
    dirty = right != before
    numbers[0] += dirty
    numbers[1] += after != before
    numbers[2] += dirty and after == right


def _shares(dirty: int, changed: int, repaired: int) -> dict[str, float]:
    row: dict[str, float] = {"dirty": dirty, "changed": changed, "repaired": repaired}
    for name, whole in (("precision", changed), ("recall", dirty)):
        if whole == 0:
            row |= dict.fromkeys((f"{name}_low", name, f"{name}_high"), float("nan"))
            continue
        interval = stats.binomtest(repaired, whole).proportion_ci(method="wilson")
        row |= {f"{name}_low": interval.low, name: repaired / whole}
        row |= {f"{name}_high": interval.high}
    return row
