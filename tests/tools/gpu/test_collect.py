"""What is brought from the jobs on a GPU into the results: against numbers made by hand."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from agnews_utils.data.loading import News, load_news
from agnews_utils.evaluation.predictions import Predictions, store_predictions
from agnews_utils.files import write_text
from tools.gpu import collect
from tools.gpu.tuning import PROBABILITIES, RESULT
from tools.reference import store


@pytest.fixture(scope="module")
def news():
    whole = load_news("newsbriefs")
    train = whole.train.sample(200, random_state=0).reset_index(drop=True)
    return News("newsbriefs", whole.folder, train, whole.test.head(40), whole.md5)


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(collect, "speed_on_one_core", lambda encoder, news: 10.0)
    monkeypatch.setattr(collect, "_parameters", lambda recipe: 7)  # MiniLM need not be there
    return tmp_path / "results"


def answers(labels, wrong, doubt=0.0):
    """Return probabilities that miss the rows `wrong`, and are not too sure of the others."""
    found = np.full((len(labels), 4), doubt / 3)
    chosen = np.where(np.isin(np.arange(len(labels)), wrong), (labels + 1) % 4, labels)
    found[np.arange(len(labels)), chosen] = 1 - doubt
    return found


def add_job(work, name, news, wrong_test, wrong_valid=(), doubt=0.0):
    truth, valid = news.test["label"].to_numpy(), store.split(news)[1]["label"].to_numpy()
    found = {"test": answers(truth, wrong_test, doubt), "valid": answers(valid, wrong_valid, doubt)}
    (work / name).mkdir(parents=True)
    save_file(found, work / name / PROBABILITIES)
    result = {
        "parameters": 5,
        "rows": 190,
        "recipe": {"epochs": 1},
        "best_epoch": 1,
        "seconds": 9.0,
        "curve": [{"epoch": 1, "seconds": 2.0}],
        "valid_accuracy": 1 - len(wrong_valid) / len(valid),
        "test_accuracy": 1 - len(wrong_test) / len(truth),
        "environment": {"device": "cuda"},
    }
    write_text(work / name / RESULT, json.dumps(result))


def add_linear(news, wrong_test, wrong_valid):
    truth, valid = news.test["label"].to_numpy(), store.split(news)[1]["label"].to_numpy()
    test, on_valid = answers(truth, wrong_test, 0.3), answers(valid, wrong_valid, 0.3)
    store_predictions(
        news, Predictions("linear", 1, test, on_valid, valid), store.RESULTS / "predictions"
    )


def read(results, run):
    return json.loads((results / f"{run}.newsbriefs.json").read_text(encoding="utf-8"))["metrics"]


def test_full_runs_carry_their_device_and_their_median(news, results, tmp_path):
    for seed, wrong in ((1, [0]), (2, [0, 1, 2, 3]), (3, [0, 1])):
        add_job(tmp_path, f"mini-mean-{seed}", news, wrong)
    collect.collect_full(tmp_path, news)
    content = read(results, "bert_full")
    assert content["models"]["fine-tuned"]["test_accuracies"] == [0.975, 0.9, 0.95]
    assert content["fine_tuned_accuracy"] == 0.95
    assert content["models"]["fine-tuned"]["cpu_seconds_per_epoch"] is None
    assert content["runs"]["bert"]["2"]["device"] == "cuda"
    assert len(list((results / "predictions").glob("bert-*"))) == 3


def test_the_average_is_chosen_on_validation_rows(news, results, tmp_path):
    add_linear(news, wrong_test=[5, 6], wrong_valid=[0])
    add_job(tmp_path, "mini-mean-1", news, [0, 1], [1, 2], doubt=0.6)  # doubts where it is wrong
    add_job(tmp_path, "minilm-mean-1", news, [], [3, 4, 5], doubt=0.0)
    collect.collect_ensembles(tmp_path, news)
    content = read(results, "ensembles")
    assert (content["tried"], content["tried_own"]) == (7, 3)
    by_members = {tuple(one["members"]): one for one in content["averages"]}
    assert by_members["minilm",]["test_accuracy"] == 1.0
    # The surer linear model decides wherever it meets the other: wrong on its own rows only.
    both = by_members["bundled", "linear"]
    assert both["test_accuracy"] == pytest.approx(38 / 40)
    assert content["best_own"]["valid_accuracy"] == max(
        one["valid_accuracy"] for one in content["averages"] if "minilm" not in one["members"]
    )
    assert content["best"]["valid_accuracy"] >= by_members["minilm",]["valid_accuracy"]
    assert content["best"]["members"] != ["minilm"]  # the best on test rows is not what is chosen


def test_points_of_curves_are_named_by_their_encoder(news, results, tmp_path):
    point = {"way": "frozen", "per_class": 3, "accuracies": [0.5, 0.6]}
    write_text(tmp_path / "curve-mini-frozen" / "partial.json", json.dumps([point]))
    collect.collect_curves(tmp_path, news)
    (stored,) = read(results, "few_labels")["points"]
    assert (stored["encoder"], stored["way"], stored["draws"]) == ("bundled", "frozen", 2)


def test_a_recipe_can_be_several_jobs(news, tmp_path):
    for name in ("mini-hidden-1", "mini-best-2"):
        add_job(tmp_path, name, news, [0])
    assert sorted(collect._runs(tmp_path, "mini-hidden mini-best")) == [1, 2]


def test_the_speed_is_that_of_the_largest_batches(news, results, tmp_path):
    collect.collect_speed(tmp_path, news)  # nothing measured, nothing recorded
    assert not results.exists()
    answering = {
        size: {"documents_per_second": rate, "teraflops": rate / 100}
        for size, rate in {"64": 100.0, "512": 400.0}.items()
    }
    speed = {"answering": answering, "matrix_teraflops": 40.0, "training_documents_per_second": 9.0}
    write_text(tmp_path / "speed" / RESULT, json.dumps(speed))
    collect.collect_speed(tmp_path, news)
    best = read(results, "gpu_speed")["best"]
    assert best["documents_per_second"] == 400.0
    assert best["share_of_matrix_rate"] == pytest.approx(0.1)


def test_on_few_rows_the_first_recipe_is_recorded_whatever_validation_rows_say(
    news, results, tmp_path, monkeypatch
):
    truth, valid = news.test["label"].to_numpy(), store.split(news)[1]["label"].to_numpy()
    folder, runs = tmp_path / "briefs-minilm", []
    folder.mkdir()
    recipe = {"epochs": 5, "learning_rate": 1e-4, "hidden": 0.1, "pooling": "mean"}
    for number, right in ((0, 0.9), (1, 1.0)):
        wrong = [0, 1, 2, 3] if number == 0 else []
        found = {"test": answers(truth, wrong), "valid": answers(valid, [])}
        save_file(found, folder / f"{number}-1.safetensors")
        scores = {"valid_accuracy": right, "test_accuracy": right}
        runs.append({"recipe": recipe, "number": number, "seed": 1} | scores)
    result = {"runs": runs, "environment": {"device": "cuda"}}
    write_text(folder / RESULT, json.dumps(result))
    collect.main([str(tmp_path), "--data", "newsbriefs", "--only", "speed"])  # nothing to collect
    collect.collect_briefs(tmp_path, news)
    assert read(results, "bert_full")["models"]["minilm"]["test_accuracy"] == 0.9
    recipes = read(results, "bert_recipes")["recipes"]
    assert [one["test_accuracies"] for one in recipes] == [[0.9], [1.0]]
