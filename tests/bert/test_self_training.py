"""Self-training: clusters that few labels name, and the limits of the arguments."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from agnews_utils.bert.encoder import BUNDLED, load_encoder
from agnews_utils.bert.fine_tuning import pooled_states, self_train


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    with threadpool_limits(1):  # small matrices: a second thread would only wait
        yield


def clusters(rng, rows, spread=0.35):
    """Points around four directions of the plane's axes, with their true classes."""
    classes = rng.integers(0, 4, rows)
    points = np.eye(4)[classes] + spread * rng.standard_normal((rows, 4))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), classes


def test_unlabeled_points_help_where_classes_are_clusters():
    rng = np.random.default_rng(0)
    gains = []
    for _ in range(6):
        unlabeled, _ = clusters(rng, 2_000)
        test, truth = clusters(rng, 1_000)
        labeled, labels = clusters(rng, 200)
        few = np.concatenate([np.flatnonzero(labels == c)[:2] for c in range(4)])
        scores = [
            self_train(labeled[few], labels[few], unlabeled, rounds=r).score(test, truth)
            for r in (0, 5)
        ]
        gains.append(scores[1] - scores[0])
    assert np.mean(gains) > 0.01
    assert min(gains) > -0.02


def test_no_round_is_plain_logistic_regression():
    rng = np.random.default_rng(1)
    states, labels = clusters(rng, 80)
    other, _ = clusters(rng, 50)
    expected = LogisticRegression(max_iter=2_000, tol=1e-3).fit(states, labels).predict_proba(other)
    np.testing.assert_allclose(
        self_train(states, labels, other, rounds=0).predict_proba(other), expected
    )


def test_classes_need_not_be_numbers_from_zero():
    rng = np.random.default_rng(2)
    states, labels = clusters(rng, 80)
    names = np.array(["World", "Sports", "Business", "Sci/Tech"])[labels]
    model = self_train(states, names, clusters(rng, 300)[0])
    assert set(model.predict(states)) == set(names)
    assert (model.predict(states) == names).mean() > 0.8


@pytest.mark.parametrize("bad", [{"rounds": -1}, {"share": 0.0}, {"share": 1.5}, {"weight": 0.0}])
def test_impossible_numbers_are_named(bad):
    states, labels = clusters(np.random.default_rng(3), 20)
    with pytest.raises(ValueError, match=next(iter(bad))):
        self_train(states, labels, states, **bad)
    with pytest.raises(ValueError, match="do not fit together"):
        self_train(states, labels[:5], states)


def test_states_keep_the_order_of_the_texts():
    model, tokenizer = load_encoder(BUNDLED)
    texts = ["Oil prices rise again as supply falls short", "Cup final", "New chip", "Talks resume"]
    found = pooled_states(model, tokenizer, texts)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    for text, row in zip(texts, found, strict=True):
        encoded = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            alone = model.base_model(**encoded).pooler_output[0]
        np.testing.assert_allclose(row, alone / alone.norm(), atol=1e-5)
