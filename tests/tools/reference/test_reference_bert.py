"""Reference runs of chapter bert: summaries, draws, intervals, and small runs from end to end."""

import json

import numpy as np
import pytest
from scipy import stats
from transformers import BertConfig, BertForSequenceClassification

from agnews_utils.bert.encoder import BUNDLED, MINILM
from agnews_utils.bert.wordpiece import train_tokenizer
from agnews_utils.cleaning.pipeline import repair_frame
from agnews_utils.data.exploration import accuracy_interval
from agnews_utils.data.loading import News, load_news
from agnews_utils.evaluation.predictions import stored_predictions
from tools.reference import __main__ as reference
from tools.reference import bert as reference_bert
from tools.reference import few as reference_few
from tools.reference import fine_tuning, store
from tools.reference import sweep as reference_sweep
from tools.reference.draws import draw_rows
from tools.reference.fine_tuning import Recipe

QUICK = {
    "bert": Recipe(1, 3e-4, 16),
    "bert-random": Recipe(1, 1e-3, 16, pooling="cls"),
    "minilm": Recipe(1, 3e-4, 16, agreement=1.0),
}


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

    def load_encoder(name, classes=None, quiet=False):
        assert name in (BUNDLED, MINILM)
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

    monkeypatch.setattr(fine_tuning, "load_encoder", load_encoder)
    for module in (reference_bert, reference_sweep):
        monkeypatch.setattr(module, "precision", lambda: "no")
    monkeypatch.setattr(store, "RESULTS", tmp_path)
    monkeypatch.setattr(store, "CHECKPOINTS", tmp_path / "checkpoints")
    monkeypatch.setattr(reference_bert, "FEW_THOUSAND", QUICK)
    monkeypatch.setattr(reference_bert, "SEEDS", (1,))
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
    assert set(content["models"]) == {"fine-tuned", "random", "minilm"}
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
        "all-MiniLM-L6-v2 (chapter bert, one seed)",
    ]
    assert content["texts"] == "repaired"
    ours, other = (
        stored[key][0].test.argmax(1) == news.test["label"] for key in ("bert", "bert-random")
    )
    assert content["paired"]["random"]["only_fine_tuned_right"] == [int((ours & ~other).sum())]
    assert content["paired"]["random"]["difference"] == pytest.approx(content["gap"], abs=1e-5)
    monkeypatch.setattr(reference_bert, "full_run", None)  # would fail if something ran again
    reference_bert.bert_full(news, only=[], again=False)
    monkeypatch.setattr(reference_bert, "encoder_version", lambda key="bert": "another")
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


def test_rows_are_encoded_from_repaired_texts(news, tokenizer):
    rows = reference_bert.encoded(news.test, tokenizer)
    repaired = tokenizer(repair_frame(news.test)["text"].tolist(), truncation=True, max_length=96)
    assert rows.ids == repaired["input_ids"]
    assert rows.labels.tolist() == news.test["label"].tolist()


def test_sweep_of_one_strategy(news, results, monkeypatch):
    monkeypatch.setattr(reference_sweep, "RATES", (1e-3,))
    monkeypatch.setattr(reference_sweep, "SWEEP_ROWS", 48)
    monkeypatch.setattr(reference_sweep, "SWEEP_SEEDS", (1,))
    reference_sweep.bert_sweep(news, only=["gradual", "layer-wise", "head only"], again=False)
    content = read(results / "bert_sweep.newsbriefs.json")
    assert [cell["strategy"] for cell in content["cells"]] == ["head only", "gradual", "layer-wise"]
    assert content["best"] in content["cells"]
    assert content["rows"] == 48


def test_only_what_a_run_has_can_be_named(capsys):
    with pytest.raises(SystemExit):
        reference.main(["bert_full", "--only", "linaer"])
    assert "--only linaer: expected one of bert, bert-random, fine-tuned" in capsys.readouterr().err


def test_a_linear_model_is_added_to_the_points_that_are_there(news, results, monkeypatch):
    monkeypatch.setattr(reference_few, "DRAWS", {3: 2})
    reference_few.record_points(
        news, [reference_few.few_point("minilm", "frozen", 3, [0.5, 0.7], len(news.test))]
    )
    reference_few.few_labels(news, only=[], again=False)
    content = read(results / "few_labels.newsbriefs.json")
    points = {(point["encoder"], point["way"]): point for point in content["points"]}
    assert set(points) == {("words", "linear"), ("minilm", "frozen")}
    assert points["minilm", "frozen"]["accuracies"] == [0.5, 0.7]
    assert points["words", "linear"]["draws"] == 2
    assert {curve["model"]: curve["rows"] for curve in content["curves"]} == {
        "words linear": 12,
        "minilm frozen": 12,
    }
    monkeypatch.setattr(reference_few, "few_point", None)  # would fail if measured again
    reference_few.few_labels(news, only=[], again=False)


def test_curves_end_with_what_learned_from_all_rows(news, results):
    models = {"minilm": {"test_accuracies": [0.9, 0.8]}}
    store.record_run("bert_full", news, {"models": models}, "", seed=1)
    reference_few.record_points(news, [])
    (curve,) = read(results / "few_labels.newsbriefs.json")["curves"]
    rows = len(store.split(news)[0])
    assert curve == {"model": "minilm fine-tuned", "rows": rows, "accuracies": [0.9, 0.8]}


def test_the_same_number_draws_the_same_rows_of_each_class(news):
    labels = news.train["label"].to_numpy()
    drawn = draw_rows(labels, 5, 1)
    assert np.bincount(labels[drawn]).tolist() == [5, 5, 5, 5]
    assert drawn.tolist() == draw_rows(labels, 5, 1).tolist()
