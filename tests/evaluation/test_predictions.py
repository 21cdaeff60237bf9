"""Stored predictions: what is read is what was written, and never for other rows."""

import numpy as np
import pytest

from agnews_utils.data.loading import News, load_news
from agnews_utils.evaluation.predictions import (
    MODELS,
    PredictionError,
    Predictions,
    store_predictions,
    stored_predictions,
)


@pytest.fixture(scope="module")
def news():
    return load_news("newsbriefs")


def made(news, model="bag", seed=1, rng_seed=0):
    rng = np.random.default_rng(rng_seed)
    return Predictions(
        model,
        seed,
        rng.dirichlet([0.05] * 4, len(news.test)),
        rng.dirichlet([0.5] * 4, 30),
        rng.integers(0, 4, 30),
        {"parameters": 5, "documents_per_second": None},
    )


def test_round_trip(news, tmp_path):
    ours = made(news)
    path = store_predictions(news, ours, tmp_path)
    assert path.name == "bag-1.newsbriefs.safetensors"
    found = stored_predictions(news, tmp_path)["bag"][0]
    # 16 bits of a logarithm of at most 30 are good to about one in a hundred.
    np.testing.assert_allclose(found.test, ours.test, rtol=0.02, atol=1e-9)
    np.testing.assert_allclose(found.test.sum(1), 1, rtol=1e-12)
    assert (found.test.argmax(1) == ours.test.argmax(1)).mean() > 0.999
    assert found.valid_labels.tolist() == ours.valid_labels.tolist()
    assert found.cost == ours.cost
    assert found.trained_on == news.description
    assert found.label == MODELS["bag"]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]  # no partial file is left


def test_nearly_certain_answers_keep_their_order(news, tmp_path):
    ours = made(news)
    doubt = np.geomspace(1e-6, 0.5, len(news.test))
    ours.test[:] = np.stack([1 - doubt, doubt, 0 * doubt, 0 * doubt], axis=1)
    store_predictions(news, ours, tmp_path)
    found = stored_predictions(news, tmp_path)["bag"][0].test[:, 0]
    assert (np.diff(found) <= 0).all()
    assert len(np.unique(found)) > 350  # 16-bit probabilities would leave far fewer


def test_models_come_in_the_order_of_the_course(news, tmp_path):
    for model, seed in (("bert", 1), ("linear", 1), ("bag", 2), ("bag", 1)):
        store_predictions(news, made(news, model, seed), tmp_path)
    found = stored_predictions(news, tmp_path)
    assert list(found) == ["linear", "bag", "bert"]
    assert [one.seed for one in found["bag"]] == [1, 2]


def test_a_model_that_this_version_does_not_know_is_read_and_comes_last(
    news, tmp_path, monkeypatch
):
    with monkeypatch.context() as newer:
        newer.setitem(MODELS, "later", "a later model")
        store_predictions(news, made(news, "later"), tmp_path)
    store_predictions(news, made(news, "bert"), tmp_path)
    found = stored_predictions(news, tmp_path)
    assert list(found) == ["bert", "later"]
    assert found["later"][0].label == "later"


def test_other_rows_are_refused(news, tmp_path):
    store_predictions(news, made(news), tmp_path)
    other = News("newsbriefs", news.folder, news.train, news.test, {"test.csv": "0" * 32})
    with pytest.raises(PredictionError, match="another test file"):
        stored_predictions(other, tmp_path)
    with pytest.raises(PredictionError, match="No predictions are stored for mine"):
        stored_predictions(News("mine", news.folder, news.train, news.test), tmp_path)


def test_damage_is_named(news, tmp_path):
    path = store_predictions(news, made(news), tmp_path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(PredictionError, match=r"bag-1\.newsbriefs\.safetensors is damaged"):
        stored_predictions(news, tmp_path)


def test_what_is_no_probability_is_refused(news, tmp_path):
    wrong = made(news)
    wrong.test[7] = np.nan
    with pytest.raises(PredictionError, match="test, row 7, holds nan"):
        store_predictions(news, wrong, tmp_path)
    wrong.test[7] = [0.5, 0.5, 0.5, 0]
    with pytest.raises(PredictionError, match=r"test, row 7, sums to 1\.5"):
        store_predictions(news, wrong, tmp_path)
    short = Predictions("bag", 1, wrong.test[:5], wrong.valid, wrong.valid_labels)
    with pytest.raises(PredictionError, match="test has 5 rows: expected 400"):
        store_predictions(news, short, tmp_path)
    with pytest.raises(PredictionError, match="model='mine'"):
        store_predictions(news, made(news, "mine"), tmp_path)
    assert not list(tmp_path.iterdir())
