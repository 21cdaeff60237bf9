"""The reference runs of chapter rnn: summary, choice of models, one small run from end to end."""

import re

import pandas as pd
import pytest

from agnews_utils.data.loading import News, load_news
from agnews_utils.evaluation.predictions import stored_predictions
from agnews_utils.rnn.networks import RecurrentClassifier
from agnews_utils.runtime import recorded
from tools.reference import rnn as reference
from tools.reference import store

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def news():
    return load_news("newsbriefs")


def run(valid, test):
    return {"parameters": 10, "cpu_seconds_per_epoch": 1.0, "epochs": 2,
            "valid_accuracy": valid, "test_accuracy": test}  # fmt: skip


def test_summary_takes_medians_and_chooses_on_validation_rows(news):
    runs = {
        "bag": {"1": run(0.80, 0.81), "2": run(0.82, 0.90), "3": run(0.81, 0.83)},
        "gru": {"1": run(0.85, 0.86)},
        "bilstm": {"1": run(0.84, 0.99)},
    }
    content = reference.summary(runs, news)
    table = pd.DataFrame(content["table"]).set_index("model")
    assert table.loc["bag of embeddings, bigrams", "test accuracy"] == 0.83
    assert table.loc["bag of embeddings, bigrams", "seeds"] == 3
    # The GRU is best on validation rows, so it is chosen, although the other is better on test.
    assert content["best_recurrent"] == "GRU"
    assert content["best_recurrent_accuracy"] == 0.86
    assert content["bag_accuracy"] == 0.83
    assert [row["accuracy"] for row in content["readme_rows"]] == [0.83]
    linear = recorded("exploration", "newsbriefs")["linear_accuracy"]
    assert table["test accuracy"].iloc[0] == linear
    assert table.index[1] == reference.LINEAR


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([(40, 41, 1.0)], "cannot tell its one seed"),
        (
            [(40, 20, 0.01), (30, 31, 1.0), (20, 40, 0.01)],
            "of its 3 seeds 1 won clearly .* and 1 lost",
        ),
    ],
)
def test_the_reading_follows_the_paired_tests(pairs, words):
    names = ("wins", "losses", "p_value")
    reading = reference._reading([dict(zip(names, pair, strict=True)) for pair in pairs])
    assert re.search(words, reading)


def test_a_model_is_compared_with_the_linear_one_row_by_row(news):
    pairs = reference._against_linear(news, "bilstm")["against_linear"]
    linear = reference._linear_rows(news)[1]["test accuracy"]
    runs = recorded("rnn_peers", "newsbriefs")["runs"]["bilstm"]
    for pair in pairs:
        accuracy = runs[str(pair["seed"])]["test_accuracy"]
        difference = (pair["wins"] - pair["losses"]) / len(news.test)
        assert accuracy - linear == pytest.approx(difference, abs=1e-6)


def test_the_chosen_learning_rates_are_the_most_accurate_ones():
    for data in ("ag_news", "newsbriefs"):
        optimizers = recorded("rnn_tuning", data)["optimizers"]
        assert list(optimizers) == list(reference.LEARNING_RATES)
        for name, tuned in optimizers.items():
            rates = [run["learning_rate"] for run in tuned["tried"]]
            assert rates == list(reference.LEARNING_RATES[name])
            assert tuned["best"] in tuned["tried"]
            assert tuned["best"]["accuracy"] == max(run["accuracy"] for run in tuned["tried"])


def test_one_small_run(news, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "CHECKPOINTS", tmp_path / "checkpoints")
    monkeypatch.setattr(store, "RESULTS", tmp_path)
    train = news.train.sample(200, random_state=0).reset_index(drop=True)
    small = News("newsbriefs", news.folder, train, news.test.head(40), news.md5)

    def make(size):
        return RecurrentClassifier(size, cell="gru", embedding_size=8, hidden_size=8)

    monkeypatch.setitem(
        reference.PEERS,
        "gru",
        reference.Peer("GRU", make, few={"epochs": 1, "batch_size": 32}, seeds=(1,)),
    )
    reference.rnn_peers(small, only=["gru"], again=False)
    content = store.finished("rnn_peers", small)
    result = content["runs"]["gru"]["1"]
    assert result["fit_rows"] + result["valid_rows"] == 200
    assert 0 <= result["test_accuracy"] <= 1
    assert result["best_epoch"] == 1
    stored = stored_predictions(small, tmp_path / "predictions")["gru"][0]
    right = (stored.test.argmax(1) == small.test["label"]).mean()
    assert right == pytest.approx(result["test_accuracy"], abs=1e-6)  # recorded with six digits
    right = (stored.valid.argmax(1) == stored.valid_labels).mean()
    assert right == pytest.approx(result["valid_accuracy"], abs=1e-6)
    assert stored.cost["parameters"] == result["parameters"]
    assert stored.cost["documents_per_second"] > 0
    # From its checkpoint the same model comes back; what is finished is not even loaded.
    again = reference.run_one("gru", 1, small)
    assert again["test_accuracy"] == pytest.approx(result["test_accuracy"], abs=1e-6)
    monkeypatch.setattr(reference, "run_one", None)
    reference.rnn_peers(small, only=["gru"], again=False)


def test_stored_runs_have_as_many_seeds_as_the_recipes_ask_for():
    for data in ("ag_news", "newsbriefs"):
        runs = recorded("rnn_peers", data)["runs"]
        for name, recipe in reference.PEERS.items():
            assert set(runs[name]) == {str(seed) for seed in recipe.seeds}, (data, name)
