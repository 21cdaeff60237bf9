"""Exported models: the same answers as torch's, whole folders, and refusals with a reason."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from agnews_utils import train
from agnews_utils.bert.encoder import bundled_encoder, load_encoder
from agnews_utils.bert.pooling import MeanPooledClassifier
from agnews_utils.runs import NETWORKS, Encoder, Linear, Run, load_run
from agnews_utils.vocabulary.vocab import TOKEN_PATTERN, build_vocab, tokenize

WHY = "exporting needs onnx and onnxruntime: pip install onnx onnxruntime"
pytest.importorskip("onnx", reason=WHY)
pytest.importorskip("onnxruntime", reason=WHY)

from agnews_utils.serving import export as exporting  # noqa: E402
from agnews_utils.serving.exported import (  # noqa: E402
    ExportError,
    load_export,
    session_of,
    softmax,
)

pytestmark = pytest.mark.usefixtures("one_thread")
WORDS, CLASSES = 300, 3
TEXTS = ["Shares &lt;b&gt;fall&lt;/b&gt; on oil", "", "NEW YORK (Reuters) - The team wins",
         "Die Münze #39;s 短信 \U0001f600 ΣΑΣ", "word " * 400, "   ", "x"]  # fmt: skip


def tiny_bert(mean=False):
    config = BertConfig(
        vocab_size=WORDS, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=48, max_position_embeddings=64, num_labels=CLASSES,
    )  # fmt: skip
    model = BertForSequenceClassification(config).eval()
    return MeanPooledClassifier.of(model) if mean else model


def made(name):
    torch.manual_seed(0)
    if name in NETWORKS:
        model = NETWORKS[name](WORDS, classes=CLASSES)
    else:
        model = tiny_bert(mean=name == "mean")
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(2)  # a new network says little; a mistake should show in its answers
    return model.eval()


@pytest.mark.parametrize("name", [*NETWORKS, "cls", "mean"])
def test_every_network_answers_as_in_torch(name, tmp_path):
    model = made(name)
    path = tmp_path / "model.onnx"
    told = exporting.write_onnx(exporting.exportable(model), path, WORDS, longest=60)
    assert told < 1e-5
    session = session_of(path)
    for batch, length in [(1, 1), (1, 60), (4, 3), (7, 33), (16, 8), (2, 2)]:
        ids, mask = exporting.random_batch(batch, length, WORDS, seed=100 + length)
        with torch.no_grad():
            wanted = model(input_ids=ids, attention_mask=mask)
        wanted = getattr(wanted, "logits", wanted).numpy()
        fed = {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}
        found = session.run(None, fed)[0]
        assert found.shape == (batch, CLASSES)
        np.testing.assert_allclose(found, wanted, atol=1e-5 * max(1, abs(wanted).max()))


class Moody(nn.Module):
    """Decides in Python, which a graph cannot know."""

    def forward(self, input_ids, attention_mask):
        sums = (input_ids * attention_mask).float().sum(1, keepdim=True)
        return torch.cat([sums, -sums], 1) if len(input_ids) == 2 else torch.cat([-sums, sums], 1)


def test_a_network_that_a_graph_does_not_hold_is_refused(tmp_path):
    with pytest.raises(ExportError, match="differ by"):
        exporting.write_onnx(Moody(), tmp_path / "model.onnx", WORDS)


# ------------------------------------------------------------------------------------- whole runs


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """Train a small network with the command; return its folder."""
    folder = tmp_path_factory.mktemp("runs") / "bag"
    command = ["--model", "bag", "--data", "newsbriefs", "--epochs", "2", "--rows", "600"]
    assert train.main([*command, "--output", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """Tune the bundled encoder a little; return its folder."""
    folder = tmp_path_factory.mktemp("runs") / "bert"
    command = ["--model", "bert", "--encoder", "bundled", "--data", "newsbriefs", "--epochs", "1"]
    assert train.main([*command, "--rows", "400", "--output", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("name", ["bag", "tuned"])
def test_an_exported_run_answers_any_text_as_the_run_does(name, request):
    folder = request.getfixturevalue(name)
    exported = load_export(exporting.export_run(folder))
    run = load_run(folder)
    np.testing.assert_allclose(exported.predict_proba(TEXTS), run.predict_proba(TEXTS), atol=1e-5)
    assert exported.predict(TEXTS) == run.predict(TEXTS)
    assert exported.classes == run.classes
    assert exported.predict_proba([]).shape == (0, len(run.classes))
    with pytest.raises(TypeError, match="one string"):
        exported.predict("a text")
    assert load_run(folder).classes == run.classes  # the export in it does no harm
    card = (folder / "export" / "README.md").read_text(encoding="utf-8")
    assert all(part in card for part in (*run.classes, "News Briefs", "validation rows"))


def test_eight_bits_are_a_quarter_of_the_size_and_nearly_the_same(tuned, tmp_path):
    full = exporting.export_run(tuned, tmp_path / "fp32")
    small = exporting.export_run(tuned, tmp_path / "int8", int8=True)
    sizes = [(folder / "model.onnx").stat().st_size for folder in (full, small)]
    assert sizes[1] < 0.3 * sizes[0]
    texts = train.load_news("newsbriefs").test["text"].tolist()[:100]
    answers = [load_export(folder).predict_proba(texts) for folder in (full, small)]
    assert abs(answers[0] - answers[1]).max() < 0.05
    about = json.loads((small / "export.json").read_text(encoding="utf-8"))
    assert (about["precision"], about["texts"]) == ("int8", "repaired")


def test_what_stands_around_a_text_and_where_it_is_cut():
    model, tokenizer = load_encoder(bundled_encoder(), 4, quiet=True)
    parts = exporting.parts_of_encoder(model, tokenizer, ["a", "b", "c", "d"], 10)
    assert parts.tokens == {
        "max_length": 10,
        "pad": tokenizer.pad_token_id,
        "before": [tokenizer.cls_token_id],
        "after": [tokenizer.sep_token_id],
    }
    run = Run("bert", Encoder(model, tokenizer, 10), ("a", "b", "c", "d"), "repaired")
    assert exporting.parts_of_run(run).texts == "repaired"


def test_no_torch_is_needed_to_answer():
    code = "import sys, agnews_utils.serving.exported; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------------------------------------ tokens

VOCAB = build_vocab([tokenize("the u.s. giant's $1,234.50 didn't café o'neill 4th x² . , - --")])
PATTERN = exporting.spelled_out(TOKEN_PATTERN.pattern)
# Which new characters are letters depends on the year of each library's tables.
OLD = st.characters(max_codepoint=0x1FFF, exclude_categories=["Cn", "Cs"])
WORD_TOKENIZER = exporting.word_tokenizer(VOCAB, PATTERN)
PIECES = st.sampled_from(
    [
        "the",
        "U.S.",
        "'s",
        "’",
        "$1,234.50",
        "é",
        "é",
        "½",
        "²",
        "٣",
        "ς",
        "Σ",
        "_",
        "...",
        "--",
        " ",
        "\n",
        "短",
        "\U0001f600",
        "İ",
        "4th",
        "o'neill",
    ]
)


@given(st.lists(PIECES | OLD, max_size=12).map("".join))
def test_words_are_cut_as_the_course_cuts_them(text):
    encoded = WORD_TOKENIZER.encode(text.lower(), add_special_tokens=False)
    wanted = tokenize(text)
    assert [text.lower()[start:end] for start, end in encoded.offsets] == wanted
    assert encoded.ids == VOCAB(wanted)


def test_a_pattern_that_cannot_be_spelled_out_is_refused():
    with pytest.raises(ExportError, match=r"\\W is not known"):
        exporting.spelled_out(r"\w+ | \W")


# ------------------------------------------------------------------------------------ what is wrong


def test_the_linear_model_is_no_network():
    with pytest.raises(ExportError, match="no network"):
        exporting.parts_of_run(Run("linear", Linear(None), ("a", "b"), "raw"))


def test_other_folders_are_left_alone(bag, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(ExportError, match="something else"):
        exporting.export_run(bag, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "model.onnx").unlink(), "lacks model.onnx"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "tokenizer.json was changed"),
        (lambda folder: (folder / "export.json").write_text("{"), "export.json is damaged"),
        (lambda folder: (folder / "export.json").write_text('{"format": 7}'), "its format is 7"),
        (lambda folder: (folder / "export.json").unlink(), "has no export.json"),
    ],
)
def test_a_damaged_export_is_refused(bag, tmp_path, harm, message):
    folder = exporting.export_run(bag, tmp_path / "export")
    harm(folder)
    with pytest.raises(ExportError, match=message):
        load_export(folder)


@pytest.mark.parametrize("library", ["onnx", "onnxruntime"])
def test_a_missing_library_is_named(library, bag, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ExportError, match=f"{library} is not installed"):
        exporting.export_run(bag, tmp_path / "export")
    assert not (tmp_path / "export").exists()


def test_the_command(bag, tmp_path, capsys):
    assert exporting.main([str(bag), "--output", str(tmp_path / "out"), "--int8"]) == 0
    assert "model.onnx of" in capsys.readouterr().out
    assert load_export(tmp_path / "out").about["precision"] == "int8"
    assert exporting.main([str(tmp_path / "none")]) == 1
    assert "does not exist" in capsys.readouterr().err


def test_probabilities_of_large_logits():
    assert softmax(np.array([1e4, 0.0], dtype=np.float32)).tolist() == [1.0, 0.0]
