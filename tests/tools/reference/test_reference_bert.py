"""Reference runs of chapter bert: summaries, draws, intervals, and small runs from end to end."""

import json

import numpy as np
import pytest
from scipy import stats
from transformers import BertConfig, BertForSequenceClassification

from agnews_utils.bert.encoder import BUNDLED
from agnews_utils.bert.wordpiece import train_tokenizer
from agnews_utils.cleaning.pipeline import repair_frame
from agnews_utils.data.exploration import accuracy_interval
from agnews_utils.data.loading import News, load_news
from agnews_utils.evaluation.predictions import stored_predictions
from tools.reference import __main__ as reference
from tools.reference import bert as reference_bert
from tools.reference import few as reference_few
from tools.reference import store, text_path
from tools.reference import sweep as reference_sweep
from tools.reference.bert import FineTuning
from tools.reference.draws import draw_rows

QUICK = {"bert": FineTuning(1, 3e-4, 16), "bert-random": FineTuning(1, 1e-3, 16)}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def news():
    whole = load_news("newsbriefs")
    train = whole.train.sample(120, random_state=0).reset_index(drop=True)
    return News("newsbriefs", whole.folder, train, whole.test.head(40), whole.md5)


@pytest.fixture(scope="module")
def tokenizer(news):
    return train_tokenizer(news.train["text"], 500)


@pytest.fixture
def results(tmp_path, monkeypatch, tokenizer):
    """Where the results go; in the place of the course's encoder stands a tiny one."""

    def load_encoder(name, quiet=False):
        assert name == BUNDLED
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=128,
            initializer_range=0.5,  # so that its answers differ
            num_labels=4,
        )
        return BertForSequenceClassification(config).eval(), tokenizer

    for module in (reference_bert, reference_few):
        monkeypatch.setattr(module, "load_encoder", load_encoder)
    for module in (reference_bert, reference_few, reference_sweep):
        monkeypatch.setattr(module, "precision", lambda: "no")
    monkeypatch.setattr(store, "RESULTS", tmp_path)
    monkeypatch.setattr(store, "CHECKPOINTS", tmp_path / "checkpoints")
    monkeypatch.setattr(reference_bert, "FEW_THOUSAND", QUICK)
    monkeypatch.setattr(reference_bert, "SEEDS", (1,))
    monkeypatch.setattr(reference_few, "PER_CLASS", {10: (2, QUICK)})
    return tmp_path


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))["metrics"]


def test_few_rows_are_balanced_and_repeatable(news):
    first = reference_bert.few_rows(news.train, 5, draw=1)
    assert first["label"].value_counts().tolist() == [5] * 4
    assert first.index.equals(reference_bert.few_rows(news.train, 5, draw=1).index)
    assert not first.index.equals(reference_bert.few_rows(news.train, 5, draw=2).index)


def test_interval_of_a_mean_is_students():
    accuracies = [0.7, 0.75, 0.8, 0.72]
    mean, low, high = store.interval_of_mean(accuracies, rows=7600)
    expected = stats.ttest_1samp(accuracies, 0).confidence_interval(0.95)
    assert (mean, low, high) == pytest.approx((np.mean(accuracies), expected.low, expected.high))
    one = store.interval_of_mean([0.9], rows=400)
    assert one == (0.9, *accuracy_interval(0.9, 400))


def test_full_runs_are_stored_with_their_predictions(news, results, monkeypatch):
    reference_bert.bert_full(news, only=[], again=False)
    content = read(results / "bert_full.newsbriefs.json")
    assert set(content["models"]) == {"fine-tuned", "random"}
    stored = stored_predictions(news, results / "predictions")
    for name, key in reference_bert.KEYS.items():
        right = (stored[key][0].test.argmax(1) == news.test["label"]).mean()
        assert content["models"][name]["test_accuracy"] == pytest.approx(right)
    assert content["gap"] == pytest.approx(
        content["fine_tuned_accuracy"] - content["random_accuracy"], abs=1e-5
    )
    assert [row["model"] for row in content["readme_rows"]] == [
        "BERT, pre-trained (chapter bert, one seed)",
        "BERT from random weights (chapter bert, one seed)",
    ]
    assert content["texts"] == "repaired"
    ours, other = (stored[key][0].test.argmax(1) == news.test["label"] for key in stored)
    if list(stored) != ["bert", "bert-random"]:
        ours, other = other, ours
    assert content["paired"]["random"]["only_fine_tuned_right"] == [int((ours & ~other).sum())]
    assert content["paired"]["random"]["difference"] == pytest.approx(content["gap"], abs=1e-5)
    monkeypatch.setattr(reference_bert, "full_run", None)  # would fail if something ran again
    reference_bert.bert_full(news, only=[], again=False)
    monkeypatch.setattr(reference_bert, "encoder_version", lambda: "another")
    with pytest.raises(TypeError):  # what another encoder did is measured again
        reference_bert.bert_full(news, only=[], again=False)


def test_runs_on_raw_texts_are_called_so_and_measured_again(news, results, monkeypatch):
    monkeypatch.setattr(reference_bert, "TEXTS", "raw")
    reference_bert.bert_full(news, only=["fine-tuned"], again=False)
    (row,) = read(results / "bert_full.newsbriefs.json")["readme_rows"]
    assert row["model"] == "BERT, pre-trained, raw texts (chapter bert, one seed)"
    monkeypatch.setattr(reference_bert, "TEXTS", "repaired")
    monkeypatch.setattr(reference_bert, "full_run", None)
    with pytest.raises(TypeError):
        reference_bert.bert_full(news, only=["fine-tuned"], again=False)


def test_batches_hold_repaired_texts(news, tokenizer):
    loader = reference_bert.make_batches(news.test, tokenizer, 8, 1, shuffle=False)
    found = [
        tokenizer.decode(ids, skip_special_tokens=True)
        for batch in loader
        for ids in batch["input_ids"]
    ]
    repaired = tokenizer(repair_frame(news.test)["text"].tolist(), truncation=True, max_length=96)
    expected = [tokenizer.decode(ids, skip_special_tokens=True) for ids in repaired["input_ids"]]
    assert sorted(found) == sorted(expected)


def test_the_difference_of_raw_and_cleaned_texts_is_paired():
    clean, raw = np.zeros(100, dtype=bool), np.zeros(100, dtype=bool)
    clean[:70], raw[5:60] = True, True  # 15 against 0
    content = text_path.summary({"cleaned": [clean, raw], "raw": [raw, raw]})
    assert (content["only_cleaned_right"], content["only_raw_right"]) == ([15, 0], [0, 0])
    assert content["p_values"] == pytest.approx([2 * 0.5**15, 1.0])
    assert content["difference"] == pytest.approx(0.075)
    expected = stats.ttest_1samp(np.mean([clean, raw], axis=0) - raw, 0).confidence_interval(0.95)
    assert (content["low"], content["high"]) == pytest.approx(
        (expected.low, expected.high), abs=2e-3
    )


def test_curves_have_a_point_for_each_model(news, results):
    reference_few.bert_curves(news, only=[], again=False)
    content = read(results / "bert_curves.newsbriefs.json")
    points = {(p["model"], p["per_class"]): p for p in content["points"]}
    assert {model for model, size in points if size == 10} == set(reference_few.CURVES)
    assert {model for model, size in points if size > 10} == {"frozen", "linear"}
    for point in points.values():
        assert point["mean"] == pytest.approx(np.mean(point["accuracies"]), abs=1e-5)
        assert point["low"] <= point["mean"] <= point["high"]
    assert content["few_frozen"] == points["frozen", 10]["mean"]


def test_sweep_of_one_strategy(news, results, monkeypatch):
    monkeypatch.setattr(reference_sweep, "RATES", (1e-3,))
    monkeypatch.setattr(reference_sweep, "SWEEP_ROWS", 48)
    monkeypatch.setattr(reference_sweep, "SWEEP_SEEDS", (1,))
    reference_sweep.bert_sweep(news, only=["gradual", "layer-wise", "head only"], again=False)
    content = read(results / "bert_sweep.newsbriefs.json")
    assert [cell["strategy"] for cell in content["cells"]] == ["head only", "gradual", "layer-wise"]
    assert content["best"] in content["cells"]
    assert content["rows"] == 48


def test_another_encoder_means_other_points(news, results, monkeypatch):
    reference_few._add_point(news, "frozen", 10, [0.5], 1.0)
    assert reference_few._point(reference_few._curves(news), "frozen", 10)
    monkeypatch.setattr(reference_few, "encoder_version", lambda: "another")
    assert reference_few._point(reference_few._curves(news), "frozen", 10) is None


def test_the_rows_that_equal_random_weights_with_all():
    def point(model, rows, mean):
        return {"model": model, "rows": rows, "per_class": rows // 4, "mean": mean}

    points = [point("random", 40, 0.3), point("random", 4000, 0.8),
              point("fine-tuned", 40, 0.7), point("fine-tuned", 400, 0.82)]  # fmt: skip
    assert reference_few._rows_that_equal_random_with_all({"points": points}) == 400
    points.pop()
    assert reference_few._rows_that_equal_random_with_all({"points": points}) is None


def test_only_what_a_run_has_can_be_named(capsys):
    with pytest.raises(SystemExit):
        reference.main(["bert_curves", "--only", "linaer"])
    assert "--only linaer: expected one of fine-tuned, frozen, linear" in capsys.readouterr().err


def test_only_the_named_models_are_measured(news, results, monkeypatch):
    monkeypatch.setattr(reference_few.States, "_of", None)  # would fail if states were computed
    reference_few.bert_curves(news, only=["linear"], again=False)
    points = read(results / "bert_curves.newsbriefs.json")["points"]
    assert {point["model"] for point in points} == {"linear"}


def test_few_labels_are_added_to_the_points_that_are_there(news, results, monkeypatch):
    monkeypatch.setattr(reference_few, "DRAWS", {3: 2})
    old = {"encoder": "minilm", "way": "frozen", "per_class": 3, "draws": 1, "accuracies": [0.5]}
    store.record_run("few_labels", news, {"points": [old]}, "", seed=1)
    reference_few.few_labels(news, only=["linear", "bundled"], again=False)
    content = read(results / "few_labels.newsbriefs.json")
    points = {(point["encoder"], point["way"]): point for point in content["points"]}
    assert set(points) == {("words", "linear"), ("bundled", "frozen"), ("minilm", "frozen")}
    assert points["minilm", "frozen"]["accuracies"] == [0.5]
    assert points["words", "linear"]["draws"] == 2
    assert points["words", "linear"]["test_rows"] == len(news.test)
    monkeypatch.setattr(reference_few, "linear_head", None)  # would fail if measured again
    reference_few.few_labels(news, only=["bundled"], again=False)


def test_few_labels_draw_the_same_number_of_each_class(news):
    drawn = reference_few._draw(news.train, 5, draw=1)
    assert drawn["label"].value_counts().tolist() == [5, 5, 5, 5]
    assert drawn.equals(reference_few._draw(news.train, 5, draw=1))
    assert drawn.equals(news.train.iloc[draw_rows(news.train["label"].to_numpy(), 5, 1)])
