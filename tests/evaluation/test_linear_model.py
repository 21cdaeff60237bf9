"""Stand-ins for stored runs: the linear model is scikit-learn's, and answers are in row order."""

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from agnews_utils.data.loading import News, load_news
from agnews_utils.data.splitting import train_valid_split
from agnews_utils.evaluation.metrics import checked_probabilities
from agnews_utils.evaluation.predictions import LinearClassifier, Predictions, quick_predictions


@pytest.fixture(scope="module")
def news():
    whole = load_news("newsbriefs")
    test = whole.test.sample(150, random_state=0).reset_index(drop=True)
    return News("small", whole.folder, whole.train, test)


@pytest.fixture(scope="module")
def quick(news):
    return quick_predictions(news, seeds=(1,))


def test_predictions_are_those_of_a_pipeline(news):
    model = LinearClassifier(c=0.3).fit(news.train["text"], news.train["label"])
    features = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2, dtype=np.float32)
    theirs = make_pipeline(features, LinearSVC(C=0.3, random_state=0))
    theirs.fit(news.train["text"], news.train["label"])
    answers = checked_probabilities(model.predict_proba(news.test["text"]))
    assert (answers.argmax(1) == theirs.predict(news.test["text"])).all()
    margins = theirs.decision_function(news.test["text"])
    gaps = np.log(answers[:, 0] / answers[:, 1])
    np.testing.assert_allclose(gaps, margins[:, 0] - margins[:, 1], rtol=1e-6, atol=1e-9)
    assert model.parameters == theirs[-1].coef_.size + 4


@pytest.mark.parametrize("labels", [[0, 0, 1, 1], [1, 1, 0, 0], [0, 2, 0, 2], [2, 0, 1, 1]])
def test_each_class_has_a_column(labels):
    """Also of two classes, for which scikit-learn gives one margin, and of those without rows."""
    texts = ["oil price up", "oil price down", "team wins cup", "team loses cup"]
    model = LinearClassifier(least_rows=1).fit(texts, labels)
    answers = checked_probabilities(model.predict_proba(texts))
    assert answers.shape == (4, max(labels) + 1)
    assert (answers.argmax(1) == model.machine.predict(model.features.transform(texts))).all()
    assert set(np.flatnonzero(answers.sum(axis=0))) == set(labels)
    wide = LinearClassifier(least_rows=1, classes=5).fit(texts, labels).predict_proba(texts)
    assert wide.shape == (4, 5)


def test_two_columns_are_those_of_two_opposite_machines():
    texts, labels = ["oil price up", "oil price down", "team wins cup"], [0, 0, 1]
    model = LinearClassifier(least_rows=1).fit(texts, labels)
    margin = model.machine.decision_function(model.features.transform(texts))
    answers = model.predict_proba(texts)
    np.testing.assert_allclose(np.log(answers[:, 1] / answers[:, 0]), 2 * margin)


def test_one_string_is_not_a_list_of_letters():
    model = LinearClassifier(least_rows=1)
    with pytest.raises(TypeError, match="one string: give a list"):
        model.fit("oil prices rise", [0])
    model.fit(["oil", "cup"], [0, 1])
    with pytest.raises(TypeError, match="one string: give a list"):
        model.predict_proba("oil prices rise")


def test_quick_predictions_of_two_classes_say_on_how_many_rows(news, monkeypatch):
    from agnews_utils.evaluation import predictions as linear_model

    monkeypatch.setattr(linear_model, "MOST_ROWS", 300)
    two = [frame[frame["label"] < 2].reset_index(drop=True) for frame in news]
    small = News("two", news.folder, *two, classes=("World", "Sports"))
    for (one,) in quick_predictions(small, seeds=(1,)).values():
        assert checked_probabilities(one.test).shape == (len(two[1]), 2)
        assert f"300 of {len(two[0]):,} training rows" in one.trained_on


def test_quick_predictions_have_the_form_of_stored_ones(news, quick):
    _, valid = train_valid_split(news.train, 0.05, seed=42)
    assert list(quick) == ["linear", "bag"]
    for (one,) in quick.values():
        assert isinstance(one, Predictions)
        assert checked_probabilities(one.test).shape == (len(news.test), 4)
        assert checked_probabilities(one.valid).shape == (len(valid), 4)
        assert one.valid_labels.tolist() == valid["label"].tolist()
        assert all(value > 0 for value in one.cost.values())


def test_answers_stand_in_the_order_of_the_rows(news, quick):
    """Answers in the order of length-sorted batches would be right on about one in four rows."""
    for (one,) in quick.values():
        assert (one.test.argmax(1) == news.test["label"]).mean() > 0.6
        assert (one.valid.argmax(1) == one.valid_labels).mean() > 0.6


def test_a_larger_data_set_is_sampled(monkeypatch):
    from agnews_utils.evaluation import predictions as linear_model

    whole = load_news("newsbriefs")
    monkeypatch.setattr(linear_model, "MOST_ROWS", 200)
    news = News("small", whole.folder, whole.train, pd.DataFrame(whole.test[:20]))
    seen = []
    monkeypatch.setattr(
        linear_model.LinearClassifier,
        "fit",
        lambda self, texts, labels: seen.append(len(texts)) or LinearClassifier.__new__(Fake),
    )
    quick_predictions(news, seeds=())
    assert seen == [200]


class Fake(LinearClassifier):
    parameters = 1

    def predict_proba(self, texts):
        return np.full((len(texts), 4), 0.25)
