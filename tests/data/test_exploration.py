"""Artifacts, sources, telling words and intervals."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.stats import binomtest
from scipy.stats.contingency import odds_ratio

from agnews_utils.data.corpus import AG_NEWS_MD5, CLASS_NAMES
from agnews_utils.data.exploration import (
    ARTIFACTS,
    NEWS_SOURCES,
    accuracy_interval,
    artifact_counts,
    class_log_odds,
    log_odds,
    news_source,
)
from agnews_utils.data.loading import load_news
from tests.helpers import full_data_folder

# Counted by hand in the official test file: all rows, then World, Sports, Business, Sci/Tech.
OFFICIAL = {
    "#39;": (1900, 336, 674, 526, 364),
    "any #NN;": (1991, 359, 690, 542, 400),
    "quot;": (310, 68, 73, 67, 102),
    "&lt;": (301, 52, 39, 122, 88),
    "&lt;b&gt;": (151, 45, 36, 39, 31),
    "backslash": (808, 113, 54, 402, 239),
    "href": (98, 0, 0, 82, 16),
    "fullquote": (82, 0, 0, 82, 0),
    "(Reuters)": (776, 247, 96, 322, 111),
    "AP -": (496, 192, 195, 16, 93),
    "AFP -": (158, 124, 1, 15, 18),
}


def test_artifacts_of_the_official_test_file():
    news = load_news(full_data_folder())
    if news.md5["test.csv"] != AG_NEWS_MD5["test.csv"]:
        pytest.skip("the AG News folder does not hold the official test file")
    counts = artifact_counts(news.test)
    assert list(counts.index) == list(ARTIFACTS) == list(OFFICIAL)
    for name, numbers in OFFICIAL.items():
        assert tuple(counts.loc[name, ["total", *CLASS_NAMES]].astype(int)) == numbers, name
        assert counts.loc[name, "percent"] == pytest.approx(100 * numbers[0] / 7600)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Pakistan #39;s President", {"#39;", "any #NN;"}),
        ("Pakistan&#39;s President", set()),
        ("the #36;10 million prize", {"any #NN;"}),
        ("&quot;no&quot; he said", set()),
        ("quot;no quot; he said", {"quot;"}),
        ("a &lt;b&gt;...&lt;/b&gt; b", {"&lt;", "&lt;b&gt;"}),
        ("a second\\team", {"backslash"}),
        ("&lt;A HREF=x/fullquote&gt;", {"&lt;", "href", "fullquote"}),
        ("LONDON (Reuters) - Oil", {"(Reuters)"}),
        ("AP - A company", {"AP -"}),
        ("ZAP - A company", set()),
        ("AFP - Talks", {"AFP -"}),
        ("plain text, 39; 5 lt", set()),
    ],
)
def test_which_artifacts_a_text_holds(text, names):
    assert {name for name, pattern in ARTIFACTS.items() if pattern.search(text)} == names


def test_artifact_counts_per_class():
    frame = pd.DataFrame({"label": [0, 0, 3], "text": ["#39; #39;", "x", "a #39;"]}, [7, 7, 9])
    counts = artifact_counts(frame)
    assert counts.loc["#39;"].tolist() == [2, pytest.approx(200 / 3), 1, 0, 0, 1]
    assert list(counts.columns) == ["total", "percent", *CLASS_NAMES]
    assert counts.drop(index=["#39;", "any #NN;"]).to_numpy().sum() == 0
    with pytest.raises(ValueError, match="no column 'text'"):
        artifact_counts(frame[["label"]])
    assert artifact_counts(frame.iloc[:0]).to_numpy().sum() == 0


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("Ky. Company Wins Grant (AP) AP - A company", "AP"),
        ("The Race is On (SPACE.com) SPACE.com - TORONTO", "SPACE.com"),
        ("Oil up LONDON (Reuters) - Oil rose", "Reuters"),
        ("Talks AFP - They met", "AFP"),
        ("A chip (NewsFactor)", "NewsFactor"),
        ("Beltran (Sports Network) - Carlos", "Sports Network"),
        ("A merger Investor's Business Daily - Shares", "Investor's Business Daily"),
        ("Markets (Update3) rise", ""),
        ("Oil rises, Reuters says", ""),
        ("MAP - a new one", ""),
        ("", ""),
    ],
)
def test_news_source(text, source):
    assert news_source(pd.Series([text])).tolist() == [source]


def test_news_source_of_a_frame_and_of_titles():
    frame = pd.DataFrame(
        {"title": ["Oil (AP)", "Oil"], "text": ["Oil (AP) AP - up", "Oil AFP - up"]}, [4, 2]
    )
    assert news_source(frame).to_dict() == {4: "AP", 2: "AFP"}
    assert news_source(frame["title"]).to_dict() == {4: "AP", 2: ""}
    assert news_source(frame).name == "source"
    assert len(set(NEWS_SOURCES)) == len(NEWS_SOURCES)
    with pytest.raises(ValueError, match="no column 'text'"):
        news_source(frame[["title"]])


def test_real_sources_leak_a_little():
    """The source alone beats the 25 % of guessing, but not by much."""
    train, test = load_news(full_data_folder())
    for rows in (train, test):
        assert 0.15 < (news_source(rows) != "").mean() < 0.35
    known = news_source(train["title"])
    best = train["label"].groupby(known).agg(lambda labels: labels.mode()[0])
    guess = news_source(test["title"]).map(best).fillna(0)
    assert 0.29 < (guess == test["label"]).mean() < 0.33


# --------------------------------------------------------------------------- telling words


def log_odds_by_hand(counts_a, counts_b, prior):
    """Monroe, Colaresi and Quinn (2008), term by term, with the variance in full."""
    scores = []
    n_a, n_b, n_prior = sum(counts_a), sum(counts_b), sum(prior)
    for y_a, y_b, alpha in zip(counts_a, counts_b, prior, strict=True):
        odds_a = (y_a + alpha) / (n_a + n_prior - y_a - alpha)
        odds_b = (y_b + alpha) / (n_b + n_prior - y_b - alpha)
        variance = 1 / (y_a + alpha) + 1 / (y_b + alpha)
        variance += 1 / (n_a + n_prior - y_a - alpha) + 1 / (n_b + n_prior - y_b - alpha)
        scores.append((math.log(odds_a) - math.log(odds_b)) / math.sqrt(variance))
    return scores


COUNTS = st.lists(
    st.tuples(st.integers(0, 500), st.integers(0, 500), st.floats(0.01, 50)),
    min_size=2,
    max_size=12,
)


@settings(max_examples=80, deadline=None)
@given(COUNTS)
def test_log_odds_equal_the_formula(terms):
    a, b, prior = (list(part) for part in zip(*terms, strict=True))
    scores = log_odds(a, b, prior)
    np.testing.assert_allclose(scores, log_odds_by_hand(a, b, prior), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(log_odds(b, a, prior), -scores, atol=1e-9)  # antisymmetric


def test_log_odds_of_one_case_worked_by_hand():
    # a uses the first term 9 of 18 times, b 3 of 18, with one pseudo-count each:
    # log(10/10) - log(4/16) = log 4, variance 1/10 + 1/10 + 1/4 + 1/16.
    scores = log_odds([9, 9], [3, 15], 1.0)
    assert scores[0] == pytest.approx(math.log(4) / math.sqrt(0.5125))
    assert scores[1] == pytest.approx(-scores[0])  # of two terms one is what the other is not


def test_log_odds_have_scipys_standard_error():
    """Without a prior it is the logarithm of the sample odds ratio, with Woolf's interval."""
    a, b = [900, 60, 40], [1500, 20, 480]
    scores = log_odds(a, b, 1e-9)
    for term in range(3):
        table = [[a[term], sum(a) - a[term]], [b[term], sum(b) - b[term]]]
        ratio = odds_ratio(table, kind="sample")
        low, high = np.log(ratio.confidence_interval(0.95))
        error = (high - low) / (2 * 1.959964)
        assert scores[term] == pytest.approx(math.log(ratio.statistic) / error, rel=1e-5)


def test_class_log_odds_set_each_class_against_the_rest():
    counts = np.array([[30, 5, 10, 0], [2, 40, 10, 0], [3, 4, 10, 0]])
    scores = class_log_odds(counts, strength=10)
    assert scores.shape == (3, 4)
    assert scores.argmax(axis=1)[:2].tolist() == [0, 1]
    assert (scores[:, 3] == 0).all()  # occurs nowhere
    pooled = counts.sum(axis=0)
    for row in range(3):
        rest = pooled - counts[row]
        expected = log_odds_by_hand(
            counts[row, :3], rest[:3], 10 * pooled[:3].astype(float) / pooled.sum()
        )
        np.testing.assert_allclose(scores[row, :3], expected, rtol=1e-6)
    np.testing.assert_allclose(class_log_odds(csr_array(counts), 10), scores)


@pytest.mark.parametrize("strength", [1, 10, 1000])
def test_a_rare_term_does_not_outrank_a_frequent_one(strength):
    counts = np.array([[3, 400, 1000], [0, 300, 1100]])
    rare, frequent = class_log_odds(counts, strength)[0, :2]
    assert 0 < rare < frequent  # three occurrences prove less than seven hundred


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, -1], [1, 1], 1), "negative"),
        (([1, 1], [1, 1], 0), "greater than 0"),
        (([1], [1], 1), "at least two"),
    ],
)
def test_log_odds_refuse_impossible_counts(arguments, message):
    with pytest.raises(ValueError, match=message):
        log_odds(*arguments)


def test_class_log_odds_refuse_impossible_counts():
    with pytest.raises(ValueError, match="expected two"):
        class_log_odds([1, 2, 3])
    with pytest.raises(ValueError, match="no occurrence"):
        class_log_odds(np.zeros((4, 3)))


# -------------------------------------------------------------------------------- intervals


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 9000), st.floats(0, 1), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_the_interval_is_scipys_wilson_interval(rows, share, confidence):
    right = round(share * rows)
    expected = binomtest(right, rows).proportion_ci(confidence, method="wilson")
    np.testing.assert_allclose(
        accuracy_interval(right / rows, rows, confidence), expected, 1e-6, 1e-9
    )


@pytest.mark.parametrize(("accuracy", "half"), [(0.92, 0.61), (0.95, 0.49)])
def test_half_widths_on_the_test_split(accuracy, half):
    """On 7,600 rows: 0.61 points at 92 %, 0.49 at 95 %."""
    low, high = accuracy_interval(accuracy, 7600)
    assert round(50 * (high - low), 2) == half
    assert low < accuracy < high


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((92.0, 7600), "not percent"), ((-0.1, 9), "from 0"), ((0.5, 0), "rows is 0"),
     ((0.5, 9, 95), "confidence is 95"), ((float("nan"), 9), "accuracy is nan")],
)  # fmt: skip
def test_the_interval_refuses_impossible_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        accuracy_interval(*arguments)


def test_artifact_counts_have_a_column_for_each_class_of_the_data():
    frame = pd.DataFrame({"label": [0, 1, 2], "text": ["a #39;s", "b", "quot;"]})
    frame.attrs["classes"] = ("x", "y", "z")
    counts = artifact_counts(frame)
    assert list(counts.columns) == ["total", "percent", "x", "y", "z"]
    assert counts.loc["#39;", ["x", "y", "z"]].tolist() == [1, 0, 0]
    assert list(artifact_counts(frame, ["p", "q", "r"]).columns[2:]) == ["p", "q", "r"]
    with pytest.raises(TypeError, match="one string"):
        news_source("Oil prices rise (AP)")
