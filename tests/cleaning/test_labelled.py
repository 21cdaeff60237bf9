"""Repairs against labels that were given by hand to rows of AG News."""

import re

import pandas as pd
import pytest

from agnews_utils.cleaning.labelled import (
    labelled_quality,
    labelled_rows,
    read_repair_labels,
    text_key,
)
from agnews_utils.cleaning.pipeline import DEFAULT_STEPS, Step

FRAME = pd.DataFrame(
    {
        "title": ["Oil up (AP)", "Talks resume", "Not labelled"],
        "description": ["AP - Oil rose.", "GENEVA: Talks resumed.", "AP - It went on."],
    },
    index=[4, 7, 9],
)
LABELS = {
    "rows": [
        {
            "key": text_key("Oil up (AP)\nAP - Oil rose."),
            "right": {
                "title": {"datelines": text_key("Oil up")},
                "description": {"datelines": text_key("Oil rose.")},
            },
        },
        {
            "key": text_key("Talks resume\nGENEVA: Talks resumed."),
            "right": {"description": {"datelines": text_key("Talks resumed.")}},
        },
    ]
}


def test_rows_are_found_by_their_text_wherever_they_stand():
    rows = labelled_rows(FRAME, LABELS)
    assert rows.index.tolist() == [4, 7]
    assert labelled_rows(FRAME.iloc[2:], LABELS).empty


def test_misses_and_false_alarms_are_counted():
    quality = labelled_quality(labelled_rows(FRAME, LABELS)).loc["datelines"]
    assert quality[["dirty", "changed", "repaired"]].tolist() == [3, 2, 2]
    assert quality["precision"] == 1
    assert quality["recall"] == pytest.approx(2 / 3)
    assert quality["recall_low"] < 2 / 3 < quality["recall_high"]


def test_another_rule_is_judged_by_the_same_labels():
    eager = Step("datelines", lambda text: text.replace("Talks", "").replace("AP - ", ""), "")
    quality = labelled_quality(labelled_rows(FRAME, LABELS), [eager]).loc["datelines"]
    assert quality[["dirty", "changed", "repaired"]].tolist() == [3, 3, 1]


def test_the_labels_of_ag_news_hold_no_text():
    labels = read_repair_labels()
    assert len(labels["rows"]) == len({row["key"] for row in labels["rows"]}) == 100
    names = {step.name for step in DEFAULT_STEPS}
    keys = list(labels["places_alone"]["not_a_dateline"])
    for row in labels["rows"]:
        keys.append(row["key"])
        for field, right in row["right"].items():
            assert field in ("title", "description")
            assert set(right) <= names
            keys += right.values()
    assert all(re.fullmatch("[0-9a-f]{16}", key) for key in keys)
