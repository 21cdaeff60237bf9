"""Run folders: whole, usable from anywhere, and refused where something is wrong with them."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file, save_file
from sklearn.metrics import f1_score

from agnews_utils import runs, train
from agnews_utils.bert.encoder import load_encoder
from agnews_utils.cleaning.pipeline import clean_frame, repair_frame
from agnews_utils.data.corpus import CLASS_NAMES
from agnews_utils.data.loading import load_news
from agnews_utils.evaluation.predictions import LinearClassifier
from agnews_utils.runs import MODELS, RunError, load_run
from agnews_utils.training.checkpoints import load_weights
from agnews_utils.vocabulary.vocab import Vocab, tokenize
from tests.training.launch import PATIENCE, quiet_variables

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = {"linear": [], "bert": ["--epochs", "1", "--encoder", "bundled"]}
FRESH = """
import json, sys
import pandas as pd
from agnews_utils.runs import load_run
given = json.load(sys.stdin)
for folder in given["runs"]:
    run = load_run(folder)
    table = pd.DataFrame(given["rows"])
    texts = given["texts"]
    answers = [run.predict_proba(table).tolist(), run.predict_proba(texts).tolist()]
    print(json.dumps({"classes": run.classes, "names": run.predict(texts), "answers": answers}))
"""
TEXTS = ["Shares &lt;b&gt;fall&lt;/b&gt; on oil", "", "NEW YORK (Reuters) - The team wins",
         "Die Münze #39;s 短信 \U0001f600", "word " * 400]  # fmt: skip


def write_own(folder, spam=30, ham=90):
    folder.mkdir()
    words = [("win cash prize now", "spam")] * spam + [("see you at home", "ham")] * ham
    rows = [f"{kind};{text} {n} {n * n % 97}" for n, (text, kind) in enumerate(words)]
    for name in ("train.csv", "test.csv"):
        (folder / name).write_text("\n".join(["Kind;Message", *rows]), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train each model with the command; return folder and living model of each."""
    base = tmp_path_factory.mktemp("runs")
    found = {}

    def keep(run, folder, *arguments):
        found[folder.name] = folder, run
        return runs.save_run(run, folder, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "save_run", keep)
        common = ["--data", "newsbriefs", "--rows", "160", "--no-progress"]
        for model in MODELS:
            quick = QUICK.get(model, ["--epochs", "1", "--vocab-size", "900"])
            folder = base / model
            command = ["--model", model, *common, *quick, "--output", str(folder)]
            assert train.main(command) == 0
        own = write_own(base / "own")
        for model in ("linear", "bert"):
            command = ["--model", model, "--data", str(own), *QUICK[model], "--no-progress"]
            assert train.main([*command, "--output", str(base / f"own-{model}")]) == 0
        shutil.rmtree(own)  # a run needs no data
    return found


def test_each_model_answers_in_a_fresh_process_elsewhere_what_the_living_one_does(
    trained, tmp_path
):
    rows = load_news("newsbriefs").test.head(40)[["title", "description"]]
    given = {
        "runs": [str(folder) for folder, _ in trained.values()],
        "rows": rows.to_dict("list"),
        "texts": TEXTS,
    }
    done = subprocess.run(
        [sys.executable, "-c", FRESH],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=quiet_variables() | {"AGNEWS_DATA": "nowhere", "AGNEWS_ENCODER": "nowhere"},
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == len(trained) == len(MODELS) + 2
    for (name, (_, run)), answer in zip(trained.items(), lines, strict=True):
        for source, found in zip((rows, TEXTS), answer["answers"], strict=True):
            living = run.predict_proba(source)
            np.testing.assert_allclose(found, living, atol=1e-5, err_msg=name)
            np.testing.assert_allclose(np.sum(found, axis=1), 1, rtol=1e-5)
        assert answer["names"] == run.predict(TEXTS)
        own = name.startswith("own")
        assert answer["classes"] == (["ham", "spam"] if own else CLASS_NAMES)


def test_it_answers_what_the_parts_of_the_course_do(trained):
    """The text path of each kind, put together by hand from the files."""
    rows = load_news("newsbriefs").test.head(30)
    folder, _ = trained["bilstm"]
    vocab = Vocab.load(folder / "vocabulary.json")
    network = train.NETWORKS["bilstm"](len(vocab))
    load_weights(network, folder / "model.safetensors")
    network.eval()
    expected = []
    for text in clean_frame(rows)["text"]:
        ids = torch.tensor([vocab.lookup_indices(tokenize(text)[:200])])
        with torch.no_grad():
            logits = network(ids, torch.ones_like(ids), torch.tensor([ids.shape[1]]))
        expected.append(logits.softmax(1)[0].numpy())
    np.testing.assert_allclose(load_run(folder).predict_proba(rows), expected, atol=1e-5)

    folder, _ = trained["bert"]
    model, tokenizer = load_encoder(folder / "encoder", quiet=True)
    expected = []
    for text in repair_frame(rows)["text"]:
        batch = tokenizer(text, truncation=True, max_length=96, return_tensors="pt")
        with torch.no_grad():
            logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        expected.append(logits.softmax(1)[0].numpy())
    np.testing.assert_allclose(load_run(folder).predict_proba(rows), expected, atol=1e-5)

    folder, run = trained["linear"]
    expected = run.classifier.model.predict_proba(rows["text"])
    assert np.array_equal(load_run(folder).predict_proba(rows), expected)


def test_a_fine_tuned_encoder_is_a_folder_of_transformers(trained):
    from transformers import pipeline

    folder, run = trained["own-bert"]
    texts = ["win cash prize now", "see you at home"]
    answers = pipeline("text-classification", model=str(folder / "encoder"), top_k=None)(texts)
    for answer, row in zip(answers, run.predict_proba(texts), strict=True):
        found = {one["label"]: one["score"] for one in answer}
        assert found == pytest.approx(dict(zip(["ham", "spam"], row, strict=True)), abs=1e-5)


def test_the_description_names_the_rows_really_used(trained):
    for name in ("linear", "lstm", "bert"):
        about = load_run(trained[name][0]).about
        assert "(160 of 1,800 training rows, 400 test rows)" in about["data"]["description"]
        assert sum(about["data"]["rows"].values()) == 160
        assert set(about["data"]["rows"]) == {"train", "valid"}
        assert {"torch", "transformers", "python"} <= set(about["environment"])
        assert about["metrics"]["valid_documents"] == about["data"]["rows"]["valid"]
        assert about["training"].keys() == train.DEFAULTS[name].keys()
    assert about["training"]["learning_rate"] == 5e-4  # the one that was chosen


def test_majority_share_and_macro_f1_stand_beside_the_accuracy(tmp_path, capsys):
    own = write_own(tmp_path / "own", spam=36, ham=164)
    command = ["--model", "linear", "--data", str(own), "--output", str(tmp_path / "run"), "--test"]
    assert train.main(command) == 0
    headline, last = capsys.readouterr().out.splitlines()[-2:]
    metrics, news = json.loads(last), load_news(own)
    predicted = load_run(tmp_path / "run").predict(news.test)
    expected = f1_score(news.test["class_name"], predicted, average="macro")
    assert metrics["test_macro_f1"] == pytest.approx(expected)
    assert metrics["test_majority_share"] == pytest.approx(164 / 200)
    share = metrics["valid_majority_share"]
    assert share == pytest.approx(16 / 20)  # a tenth of each class
    assert f"macro F1 {metrics['valid_macro_f1']:.1%}; 'ham' alone would be {share:.1%}" in headline
    constant = train.scores([0, 0, 0, 1], np.array([[0.9, 0.1]] * 4), 0.1, 0, "valid")
    assert constant["valid_accuracy"] == constant["valid_majority_share"] == 0.75
    assert constant["valid_macro_f1"] == pytest.approx((6 / 7 + 0) / 2)


# ------------------------------------------------------------------------------ what is refused


@pytest.fixture(params=["linear", "rnn", "own-bert"])
def copied(request, trained, tmp_path):
    """A copy of a run, to be damaged."""
    return shutil.copytree(trained[request.param][0], tmp_path / "copied")


def files_of(folder):
    about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return ["run.json", *about["files"]]


def test_one_wrong_byte_in_any_file_is_refused(copied):
    load_run(copied)
    for name in files_of(copied):
        path = copied / name
        whole = path.read_bytes()
        for place in {1, len(whole) // 3, len(whole) // 2, len(whole) - 2}:
            wrong = bytearray(whole)
            wrong[place] ^= 1
            path.write_bytes(bytes(wrong))
            with pytest.raises(RunError, match=r"was changed|is damaged|has the format") as caught:
                load_run(copied)
            assert path.name in str(caught.value)
            assert "\n" not in str(caught.value)
        path.write_bytes(whole)
    load_run(copied)


def test_a_file_that_is_missing_or_cut_off_is_named(copied):
    for name in files_of(copied):
        path = copied / name
        whole = path.read_bytes()
        path.unlink()
        with pytest.raises(RunError, match=rf"lacks {name}|has no run\.json"):
            load_run(copied)
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(RunError, match=rf"{path.name}.*(was changed|is damaged)"):
            load_run(copied)
        path.write_bytes(whole)


def rewritten(folder, **changes):
    """Write `run.json` anew, with hashes that fit: somebody wanted the change."""
    about = json.loads((folder / "run.json").read_text(encoding="utf-8")) | changes
    for name in about["files"]:
        size = (folder / name).stat().st_size
        about["files"][name] = {"bytes": size, "sha256": runs.file_hash(folder / name)}
    (folder / "run.json").write_text(runs._run_text(about), encoding="utf-8")


def test_another_number_of_classes_is_refused(copied):
    rewritten(copied, classes=["only one"])
    with pytest.raises(RunError, match=r"does not fit the model|classes") as caught:
        load_run(copied)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder.rmdir(), r"does not exist: name the folder that `python -m"),
        (lambda folder: None, r"has no run\.json: name the folder"),
        (lambda folder: (folder / "model.safetensors").touch(), "earlier versions of the course"),
        (lambda folder: (folder / "config.json").touch(), "an encoder, which load_encoder reads"),
        (lambda folder: (folder / "checkpoints").mkdir(), "the same command with --resume"),
        (lambda folder: (folder / "run.json").write_text("[1]"), r"run\.json is damaged"),
        (lambda folder: (folder / "run.json").write_text('{"format": "x 2"}'), "the format 'x 2'"),
        (lambda folder: (folder / "run.json").write_bytes(b"\xff"), r"run\.json is damaged"),
    ],
)
def test_a_folder_that_is_no_run_gets_a_sentence(tmp_path, make, words):
    (tmp_path / "old").mkdir()
    make(tmp_path / "old")
    with pytest.raises(RunError, match=words) as caught:
        load_run(tmp_path / "old")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [{"texts": "stemmed"}, {"model": "mlp"}, {"steps": ["lower"]}])
def test_a_run_of_a_version_that_prepares_texts_otherwise_is_refused(trained, tmp_path, change):
    folder = shutil.copytree(trained["rnn"][0], tmp_path / "copied")
    rewritten(folder, **change)
    with pytest.raises(RunError, match="prepares texts in another way"):
        load_run(folder)


def test_a_run_keeps_its_tokens_when_those_of_the_course_change(trained, tmp_path):
    """A run whose pattern knows whole words only splits texts as that pattern does."""
    folder = shutil.copytree(trained["rnn"][0], tmp_path / "copied")
    rewritten(folder, tokens={"name": "words", "pattern": r" \S+  # up to white space"})
    run = load_run(folder)
    texts = ["Oil, prices: rise; again", "the U.S. #39;s team"]
    asked = [run.classifier.probabilities([text])[0] for text in texts]
    vocab, network = run.classifier.vocab, run.classifier.model
    for text, found in zip(texts, asked, strict=True):
        ids = torch.tensor([vocab.lookup_indices(text.lower().split())])
        with torch.no_grad():
            logits = network(ids, torch.ones_like(ids), torch.tensor([ids.shape[1]]))
        np.testing.assert_allclose(found, logits.softmax(1)[0].numpy(), atol=1e-6)


def test_a_run_that_was_written_over_in_part_is_no_run(trained, tmp_path, monkeypatch):
    folder = shutil.copytree(trained["rnn"][0], tmp_path / "copied")

    def full(*arguments):
        raise OSError("no space left on device")

    monkeypatch.setattr(Vocab, "save", full)
    with pytest.raises(OSError, match="no space"):
        runs.save_run(load_run(folder), folder, load_news("newsbriefs"), {}, {})
    with pytest.raises(RunError, match=r"has no run\.json"):
        load_run(folder)


def test_texts_have_to_be_texts(trained):
    run = load_run(trained["linear"][0])
    with pytest.raises(TypeError, match="one string: give a list"):
        run.predict("Oil prices rise")
    for wrong in (None, 3, float("nan"), b"bytes"):
        with pytest.raises(TypeError, match=r"text 1 is .*not a text"):
            run.predict(["fine", wrong])
    with pytest.raises(ValueError, match="no column 'title'"):
        run.predict(pd.DataFrame({"description": ["x"]}))
    assert run.predict([]) == []
    assert run.predict_proba(iter([])).shape == (0, 4)
    assert run.predict(pd.Series(["win"])) == run.predict(["win"])
    assert run.predict(pd.DataFrame({"title": [None], "description": ["win"]})) == run.predict(
        ["win"]
    )


def test_many_texts_are_in_work_in_parts_only(trained):
    run, seen = load_run(trained["linear"][0]), []

    class Watched:
        def probabilities(self, texts):
            seen.append(len(texts))
            assert taken - sum(seen) <= 0  # nothing is read ahead
            return run.classifier.probabilities(texts)

    taken = 0

    def stream():
        nonlocal taken
        for number in range(10_000):
            taken += 1
            yield f"text {number} of many"

    watched = runs.Run("linear", Watched(), run.classes, "raw")
    assert len(watched.predict(stream())) == 10_000
    assert seen == [runs.TEXTS_AT_ONCE] * 10


@pytest.mark.parametrize("classes", [2, 3])
def test_a_linear_model_is_the_same_after_loading(tmp_path, classes):
    texts = [f"word{n % classes} other{n % 7} more" for n in range(60)]
    labels = [n % classes for n in range(60)]
    model = LinearClassifier(classes=classes + 1).fit(texts, labels)
    paths = tmp_path / "weights.safetensors", tmp_path / "terms.json"
    model.save(*paths)
    again = LinearClassifier.load(*paths, classes + 1)
    asked = [*texts, "", "unknown"]
    assert np.array_equal(again.predict_proba(asked), model.predict_proba(asked))
    assert not again.predict_proba(asked)[:, classes].any()  # a class that no row had
    with pytest.raises(ValueError, match="another number of classes"):
        LinearClassifier.load(*paths, classes - 1)
    numbers = load_file(paths[0])
    save_file(numbers | {"idf": numbers["idf"][1:].copy()}, paths[0])
    with pytest.raises(ValueError, match="do not belong together"):
        LinearClassifier.load(*paths, classes + 1)


def test_every_name_of_a_model_can_be_loaded():
    assert set(MODELS) == set(runs._KINDS) == set(train.DEFAULTS)
