"""The bundled messages: what their card says of them."""

import re

import pandas as pd
from sklearn.metrics import recall_score

from agnews_utils.data.corpus import bundled_folder
from agnews_utils.data.duplicates import near_duplicate_pairs
from agnews_utils.data.loading import load_news
from agnews_utils.evaluation.predictions import LinearClassifier


def test_rows_classes_and_the_line(capsys):
    news = load_news("messages")
    assert (news.name, news.classes) == ("messages", ("ham", "spam"))
    assert (len(news.train), len(news.test)) == (400, 200)
    spam = [int((frame["class_name"] == "spam").sum()) for frame in news]
    assert spam == [73, 36]
    card = (bundled_folder("messages") / "README.md").read_text(encoding="utf-8")
    assert f"{sum(spam)} of 600" in card
    assert "Loaded Messages (400 training rows, 200 test rows), bundled" in capsys.readouterr().out
    assert load_news(bundled_folder("messages")).name == "messages"


def test_each_message_is_one_of_its_own():
    texts = pd.concat([frame["text"] for frame in load_news("messages")], ignore_index=True)
    assert texts.str.strip().eq(texts).all()
    assert texts.str.len().between(5, 300).all()
    assert not texts.str.lower().duplicated().any()
    assert len(near_duplicate_pairs(texts)) == 0
    starts = texts.str.split().str[:4].str.join(" ").str.lower()
    assert starts.value_counts().iloc[0] <= 3  # no template


def test_nobody_can_be_called_or_visited():
    for text in pd.concat([frame["text"] for frame in load_news("messages")]):
        for host in re.findall(r"https?://([^/\s]+)", text):
            assert host.endswith(".example"), text
        for number in re.findall(r"\b\d{3}-\d{4}\b", text):
            assert number.startswith("555-01"), text


def test_links_and_prices_are_on_both_sides():
    news = load_news("messages")
    frame = pd.concat([news.train, news.test])
    for pattern in ("http", r"\bfree\b", r"\bwin|\bwon\b", "urgent", r"\d"):
        there = frame["text"].str.contains(pattern, case=False)
        assert set(frame.loc[there, "class_name"]) == {"ham", "spam"}, pattern


def test_a_linear_model_is_better_than_always_ham_and_not_always_right():
    train, test = load_news("messages")
    answers = LinearClassifier(3.0).fit(train["text"], train["label"]).predict_proba(test["text"])
    accuracy = (answers.argmax(1) == test["label"]).mean()
    assert 1 - test["label"].mean() + 0.03 < accuracy < 0.97
    assert 0.2 < recall_score(test["label"], answers.argmax(1)) < 0.9
