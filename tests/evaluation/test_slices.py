"""Error analysis: single rows, groups of rows, what News Briefs knows about itself."""

import json

import numpy as np
import pandas as pd
import pytest

from agnews_utils.data.exploration import accuracy_interval
from agnews_utils.data.loading import load_news
from agnews_utils.evaluation import errors as ours
from tests.helpers import ROOT

FRAME = pd.DataFrame({"label": [0, 1, 2, 3, 0], "text": list("abcde")}, index=[10, 11, 12, 13, 14])
PROBABILITIES = np.array(
    [
        [0.9, 0.1, 0.0, 0.0],  # hit, sure
        [0.8, 0.2, 0.0, 0.0],  # mistake, sure
        [0.3, 0.3, 0.4, 0.0],  # hit, unsure
        [0.0, 0.6, 0.4, 0.0],  # mistake, less sure
        [0.5, 0.1, 0.2, 0.2],  # hit
    ]
)


def test_read_closely_orders_mistakes_and_hits():
    wrong = ours.read_closely(FRAME, PROBABILITIES)
    assert wrong.index.tolist() == [11, 13]
    assert wrong["true"].tolist() == ["Sports", "Sci/Tech"]
    assert wrong["predicted"].tolist() == ["World", "Sports"]
    assert wrong["confidence"].tolist() == [0.8, 0.6]
    assert wrong["text"].tolist() == ["b", "d"]
    unsure = ours.read_closely(FRAME, PROBABILITIES, count=2, mistakes=False)
    assert unsure.index.tolist() == [12, 14]
    assert len(ours.read_closely(FRAME, np.eye(4)[FRAME["label"]])) == 0


def test_read_closely_refuses_other_rows():
    with pytest.raises(ValueError, match="probabilities has 4 rows, the other argument 5"):
        ours.read_closely(FRAME, PROBABILITIES[:4])


def test_slice_table_counts_each_group():
    right = [1, 1, 0, 1, 0]
    length = pd.cut(pd.Series([3, 9, 30, 5, 40], index=FRAME.index), [0, 10, 50],
                    labels=["short", "long"])  # fmt: skip
    table = ours.slice_table(right, {"agency": ["AP", "", "AP", "", ""], "length": length})
    assert table.loc[("agency", "AP"), "accuracy"] == 0.5
    assert table.loc[("agency", ""), ["rows", "accuracy"]].tolist() == [3, 2 / 3]
    assert table.loc["length"].index.tolist() == ["short", "long"]
    assert table.loc[("length", "short"), "accuracy"] == 1
    assert tuple(table.loc[("length", "long"), ["low", "high"]]) == accuracy_interval(0.0, 2)
    with pytest.raises(ValueError, match="agency has 1 rows, the other argument 5"):
        ours.slice_table(right, {"agency": ["AP"]})


def test_near_duplicates_are_found_across_the_border_only():
    story = "oil prices rose to a record on monday after a storm closed several ports in the gulf"
    other = "the home side won the cup final after extra time with a late goal by its captain"
    test = [story.replace("monday", "tuesday"), other, other]
    assert ours.near_duplicates_in_train([story, "nothing of the kind"], test).tolist() == [
        True,
        False,
        False,
    ]


def test_occlusion_of_a_sum_of_weights_gives_the_weights():
    weights = {"oil": 2.0, "rises": -0.5, "again": 0.25}

    def score(texts):
        return [sum(weights[word] for word in text.split()) for text in texts]

    fall = ours.occlusion(score, "oil rises  again oil")
    assert fall.index.tolist() == ["oil", "rises", "again", "oil"]
    assert fall.tolist() == pytest.approx([2.0, -0.5, 0.25, 2.0])
    with pytest.raises(ValueError, match="holds no word"):
        ours.occlusion(score, "  ")


def test_one_text_is_no_list_of_texts():
    for measure in (ours.near_duplicates_in_train, ours.unknown_words):
        with pytest.raises(TypeError, match="texts is one string"):
            measure("oil prices", ["oil prices"])


def test_unknown_words_are_counted_once():
    found = ours.unknown_words(["Oil prices rise"], ["Oil prices fall and fall", "prices RISE"])
    assert found.tolist() == [2, 0]


@pytest.mark.parametrize("split", ["train", "test"])
def test_brief_facts_are_in_the_order_of_the_rows(split):
    news = load_news("newsbriefs")
    facts, frame = ours.brief_facts(split), getattr(news, split)
    assert len(facts) == len(frame)
    changed = facts["true_label"].to_numpy() != frame["label"].to_numpy()
    assert changed.tolist() == facts["wrong_label"].tolist()
    path = ROOT / "data" / "newsbriefs" / "truth.jsonl"
    truth = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    hard = sum(line["hard"] for line in truth if line["split"] == split)
    assert 0 < facts["hard"].sum() == hard


def test_unknown_split():
    with pytest.raises(ValueError, match="split='valid'"):
        ours.brief_facts("valid")


def test_close_reading_names_the_classes_of_the_data():
    frame = pd.DataFrame({"label": [0, 1, 1], "text": ["a", "b", "c"]})
    frame.attrs["classes"] = ("ham", "spam")
    probabilities = [[0.2, 0.8], [0.1, 0.9], [0.7, 0.3]]
    wrong = ours.read_closely(frame, probabilities)
    assert wrong["true"].tolist() == ["ham", "spam"]
    assert wrong["predicted"].tolist() == ["spam", "ham"]
    told = ours.read_closely(frame, probabilities, classes=["good", "bad"])
    assert told["true"].tolist() == ["good", "bad"]
    frame.attrs = {}
    with pytest.raises(ValueError, match=r"2 columns, but there are 4 classes.*news\.classes"):
        ours.read_closely(frame, probabilities)
