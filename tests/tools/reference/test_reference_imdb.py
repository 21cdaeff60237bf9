"""The run on film reviews: what it makes of the answers of models."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from agnews_utils.data.exploration import accuracy_interval
from agnews_utils.data.loading import load_news
from tools.gpu import collect
from tools.reference import imdb, store


@pytest.fixture
def news(tmp_path, monkeypatch):
    """Thirty reviews to learn from or choose by, twenty for the test; nothing is written else."""
    monkeypatch.setattr(store, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(store, "CHECKPOINTS", tmp_path / "kept")
    for split, count in (("train", 120), ("test", 20)):
        for n in range(count):
            path = tmp_path / "films" / split / ("pos", "neg")[n % 2] / f"{n}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            kind = ("good wonderful", "bad boring")[n % 2]
            path.write_text(
                f"A {kind} film, {chr(97 + n % 26) * 4}{n} and {chr(98 + n % 24) * 5}<br />"
            )
    store.split.cache_clear()
    yield load_news(tmp_path / "films")
    store.split.cache_clear()


def answers_of(news, wrong):
    """Return answers that are wrong on the first rows of the test, and right on all others."""
    found = {}
    for part, frame in (("valid", store.split(news)[1]), ("test", news.test)):
        labels = frame["label"].to_numpy().copy()
        labels[: wrong[part]] = 1 - labels[: wrong[part]]
        found[part] = np.eye(2, dtype=np.float32)[labels]
    return found


def recorded(news):
    path = store.RESULTS / f"imdb.{news.name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["metrics"]


def gpu_job(work, news, name, seeds, windows=None):
    folder = work / f"reviews-{name}"
    folder.mkdir(parents=True)
    keep, length = name.split("-")
    for seed, wrong in enumerate(seeds, start=1):
        answers = answers_of(news, wrong)
        if windows is not None:
            answers["test.windows"] = answers_of(news, {"valid": 0, "test": windows})["test"]
        save_file(answers, folder / f"{seed}.safetensors")
    content = {
        "recipe": {"epochs": 4},
        "runs": [{"seed": seed + 1, "seconds": 10.0 + seed} for seed in range(len(seeds))],
        "settings": {"encoder": "minilm", "keep": keep, "max_length": int(length)},
        "environment": {"device": "a GPU"},
    }
    (folder / "result.json").write_text(json.dumps(content))


def test_the_linear_model_is_measured_and_kept(news):
    imdb.imdb(news, ["linear"], again=False)
    metrics = recorded(news)
    model = metrics["models"]["linear"]
    assert model["accuracy"] == 1.0  # two words tell them apart
    assert model["about"]["c"] in imdb.CS
    assert set(model["about"]["tried"]) == set(map(str, imdb.CS))
    assert model["interval"] == pytest.approx(accuracy_interval(1.0, 20), abs=1e-5)
    assert metrics["fit_rows"] + metrics["valid_rows"] == 120
    before = (
        (store.CHECKPOINTS / f"imdb-{news.name}" / "linear" / "1.safetensors").stat().st_mtime_ns
    )
    imdb.imdb(news, ["linear"], again=False)
    after = (
        (store.CHECKPOINTS / f"imdb-{news.name}" / "linear" / "1.safetensors").stat().st_mtime_ns
    )
    assert before == after


def test_what_a_gpu_measured_is_taken_in(news, tmp_path):
    imdb.imdb(news, ["linear"], again=False)
    wrong = [{"valid": v, "test": t} for v, t in ((1, 4), (0, 2), (2, 3))]
    gpu_job(tmp_path / "gpu", news, "head-256", wrong, windows=1)
    gpu_job(tmp_path / "gpu", news, "tail-256", [{"valid": 0, "test": t} for t in (5, 7, 6)])
    imdb.take_in(tmp_path / "gpu", news)
    metrics = recorded(news)
    head, tail = (metrics["models"][f"minilm-{keep}-256"] for keep in ("head", "tail"))
    assert head["accuracies"]["test"] == pytest.approx([0.8, 0.9, 0.85])
    assert (head["accuracy"], tail["accuracy"]) == pytest.approx((0.85, 0.7))
    assert head["windows_accuracy"] == pytest.approx(0.95)
    assert head["about"]["device"] == "a GPU"
    assert head["about"]["seconds"] == 11.0
    # The validation rows decide, though the test rows would say otherwise.
    assert metrics["chosen"] == "minilm-tail-256"
    assert metrics["ways"] == 2
    assert metrics["tail_or_head"]["difference"] == pytest.approx(-0.15)
    assert metrics["windows_or_head"]["minilm-head-256"]["difference"] == pytest.approx(0.1)
    against = metrics["minilm_or_linear"]
    assert against["difference"] == pytest.approx(-0.3)
    assert against["seeds"] == 3
    assert against["p_value"] == pytest.approx(2 * 0.5**5)  # five rows that one of them lost
    assert [line["model"] for line in metrics["table"]] == ["MiniLM", "linear model"]
    assert metrics["table"][0]["reads"] == "tail, 256"


def test_the_command_that_takes_it_in(news, tmp_path):
    gpu_job(tmp_path / "gpu", news, "head-256", [{"valid": 0, "test": 1}])
    assert collect.main([str(tmp_path / "gpu"), "--reviews", str(news.folder)]) == 0
    assert recorded(news)["models"]["minilm-head-256"]["accuracy"] == pytest.approx(0.95)
