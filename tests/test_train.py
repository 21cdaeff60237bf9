"""`python -m agnews_utils.train`: alone, under torchrun and under accelerate launch."""

import json
import subprocess
import sys

import pytest
from safetensors.numpy import load_file

from agnews_utils import train
from agnews_utils.data.loading import load_news
from agnews_utils.runs import load_run
from agnews_utils.training.checkpoints import load_weights
from agnews_utils.training.history import History
from agnews_utils.training.inference import evaluate
from agnews_utils.vocabulary.vocab import Vocab
from tests.helpers import ROOT
from tests.training.launch import PATIENCE, quiet_variables, reserved_port

SETTINGS = ["--data", "newsbriefs", "--rows", "300", "--epochs", "2", "--word-dropout", "0",
            "--vocab-size", "2000", "--test"]  # fmt: skip
TORCHRUN = ["torch.distributed.run", "--nproc_per_node=2", "--master_addr=127.0.0.1"]
ACCELERATE = ["accelerate.commands.launch", "--cpu", "--num_cpu_threads_per_process", "1", "-m"]


def run(folder, *launcher):
    """Run the command in one or more new processes; return the JSON of its last line."""
    modules = [*launcher, "agnews_utils.train"]
    command = [sys.executable, "-m", *modules, *SETTINGS, "--output", str(folder)]
    variables = quiet_variables()
    # Whatever the user's own settings of accelerate hold, they are not read here.
    variables["HF_HOME"] = str(folder.parent / "no-settings")
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=variables, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert sum(line.startswith("Loaded News Briefs") for line in lines) == 1
    return json.loads(lines[-1])


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "alone"
    return folder, run(folder)


def numbers(metrics):
    names = ("train_loss", "valid_loss", "valid_accuracy", "test_loss", "test_accuracy")
    return {name: metrics[name] for name in names}


def test_it_writes_all_that_the_run_made(alone):
    folder, metrics = alone
    assert metrics["processes"] == 1
    assert metrics["epochs"] == 2
    assert metrics["train_documents"] + metrics["valid_documents"] == 300
    result = json.loads((folder / "train_bilstm.newsbriefs.json").read_text())
    assert "(300 of 1,800 training rows, 400 test rows)" in result["data"]["description"]
    assert "(300 of 1,800 training rows, 400 test rows)" in result["headline"]
    assert result["data"]["rows"] == {"train": 300, "test": 400}
    assert metrics["classes"] == ["World", "Sports", "Business", "Sci/Tech"]
    assert result["metrics"]["valid_accuracy"] == pytest.approx(metrics["valid_accuracy"], rel=1e-5)
    history = History.from_json(folder / "history.json")
    assert history.epochs["documents"] == [metrics["train_documents"]] * 2
    assert any((folder / "checkpoints").glob("step-*"))


def test_saved_weights_and_vocabulary_give_the_metrics_again(alone):
    folder, metrics = alone
    vocab = Vocab.load(folder / "vocabulary.json")
    model = train.NETWORKS["bilstm"](len(vocab))
    load_weights(model, folder / "model.safetensors")
    options = train.parse_arguments([*SETTINGS, "--output", str(folder)])
    data = train.prepare(load_news("newsbriefs"), options)
    assert data.vocab == vocab
    measured = evaluate(model, data.test)
    assert measured["accuracy"] == metrics["test_accuracy"]
    assert measured["loss"] == pytest.approx(metrics["test_loss"], rel=1e-5)


def test_two_processes_give_the_same_metrics(alone, tmp_path):
    folder, metrics = alone
    with reserved_port() as port:
        shared = run(tmp_path / "two", *TORCHRUN, f"--master_port={port}", "-m")
    assert shared["processes"] == 2
    assert numbers(shared) == pytest.approx(numbers(metrics), rel=1e-3)
    one, two = (History.from_json(path / "history.json") for path in (folder, tmp_path / "two"))
    assert two.steps["documents"] == one.steps["documents"]
    assert two.steps["loss"] == pytest.approx(one.steps["loss"], rel=1e-4)


def test_accelerate_launch_gives_the_same_weights(alone, tmp_path):
    folder, metrics = alone
    launched = run(tmp_path / "launched", *ACCELERATE)
    assert numbers(launched) == numbers(metrics)
    weights = [path / "model.safetensors" for path in (folder, tmp_path / "launched")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("model", sorted(set(train.NETWORKS) - {"bilstm"}))
def test_every_model_trains(model, tmp_path, capsys):
    arguments = [*SETTINGS, "--rows", "120", "--epochs", "1", "--model", model]
    assert train.main([*arguments, "--output", str(tmp_path)]) == 0
    metrics = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert metrics["model"] == model
    assert 0 < metrics["valid_loss"] < 3


@pytest.mark.usefixtures("one_thread")
def test_a_second_run_needs_resume_and_then_changes_nothing(tmp_path, capsys):
    arguments = [*SETTINGS, "--rows", "120", "--model", "bag", "--output", str(tmp_path)]
    assert train.main(arguments) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert train.main(arguments) == 1
    assert "add --resume to go on from them" in capsys.readouterr().err
    assert train.main([*arguments, "--resume"]) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert numbers(again) == numbers(first)


def interrupted(*arguments, **options):
    raise KeyboardInterrupt


@pytest.mark.usefixtures("one_thread")
def test_ctrl_c_ends_with_130_and_the_run_goes_on_with_resume(tmp_path, capsys, monkeypatch):
    folder, after = tmp_path / "run", 5
    arguments = [*SETTINGS, "--rows", "120", "--model", "bag", "--epochs", "3"]
    arguments += ["--batch-size", "32", "--output", str(folder)]
    monkeypatch.setattr(train, "load_news", interrupted)
    assert train.main(arguments) == 130
    assert capsys.readouterr().err == "python -m agnews_utils.train: interrupted.\n"
    monkeypatch.undo()
    monkeypatch.setenv("AGNEWS_DEVICE", "cpu")

    def until(history, model):
        if len(history.steps["step"]) == after:
            raise KeyboardInterrupt

    whole = train.fit
    monkeypatch.setattr(train, "fit", lambda *a, **named: whole(*a, **named, on_step=until))
    assert train.main(arguments) == 130
    captured = capsys.readouterr()
    assert json.loads(captured.out.splitlines()[-1])["interrupted"]
    assert "holds the model as it is now; the same command with --resume" in captured.err
    assert load_run(folder).about["metrics"]["interrupted"]
    monkeypatch.setattr(train, "fit", whole)
    assert train.main([*arguments, "--resume"]) == 0
    metrics = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert not metrics["interrupted"]
    assert metrics["epochs"] == 3


@pytest.mark.usefixtures("one_thread")
def test_an_encoder_of_other_classes_needs_a_new_head(tmp_path, capsys):
    folder = tmp_path / "own"
    folder.mkdir()
    rows = [f"{('ham', 'spam')[n % 2]},text {n} of {n % 7} {n % 11}" for n in range(60)]
    for name in ("train.csv", "test.csv"):
        (folder / name).write_text("\n".join(["label,text", *rows]), encoding="utf-8")
    bert = ["--model", "bert", "--epochs", "1", "--no-progress"]
    first = [*bert, "--data", "newsbriefs", "--rows", "80", "--encoder", "bundled"]
    assert train.main([*first, "--output", str(tmp_path / "news")]) == 0
    second = [*bert, "--data", str(folder), "--encoder", str(tmp_path / "news" / "encoder")]
    second += ["--output", str(tmp_path / "messages")]
    capsys.readouterr()
    assert train.main(second) == 1
    error = capsys.readouterr().err
    assert "a head for 4 classes (World, Sports, Business, Sci/Tech), and the classes" in error
    assert "--new-head puts a new one in its place" in error
    assert train.main([*second, "--new-head"]) == 0
    assert load_run(tmp_path / "messages").classes == ("ham", "spam")
    assert train.main([*second, "--max-length", "5000", "--new-head"]) == 1
    assert "--max-length 5000: this encoder reads" in capsys.readouterr().err


@pytest.mark.parametrize("classes", [["ham", "spam"], ["一", "三", "二"]])
def test_own_classes_are_trained_on_any_terminal(classes, tmp_path):
    """A folder with a space and a Chinese name, semicolons, and a terminal that knows neither."""
    folder = tmp_path / "own 短信"
    folder.mkdir()
    rows = [f"{classes[n % len(classes)]};text {n} of {n % 7} {n % 11}" for n in range(120)]
    for name in ("train.csv", "test.csv"):
        (folder / name).write_text("\n".join(["Kind;Message", *rows]), encoding="utf-8")
    command = [sys.executable, "-m", "agnews_utils.train", "--data", str(folder), "--model", "bag"]
    done = subprocess.run(
        [*command, "--epochs", "1", "--output", str(tmp_path / "run")],
        capture_output=True,
        cwd=ROOT,
        env=quiet_variables() | {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"},
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert b'read as: semicolon, header, text in "Message"' in done.stdout
    assert json.loads(done.stdout.splitlines()[-1])["classes"] == classes
    saved = load_file(tmp_path / "run" / "model.safetensors")
    assert saved["output.weight"].shape[0] == len(classes)


@pytest.mark.usefixtures("one_thread")
def test_mistakes_get_a_sentence(tmp_path, capsys, monkeypatch):
    small = ["--data", "newsbriefs", "--rows", "60", "--model", "bag"]
    output = ["--output", str(tmp_path / "new")]
    assert train.main(["--data", str(tmp_path), *output]) == 1
    error = capsys.readouterr().err
    assert error.startswith("python -m agnews_utils.train: ")
    assert "train.csv" in error
    assert not (tmp_path / "new").exists()
    refused = {
        "'nowhere', from --data, does not exist": ["--data", "nowhere"],
        "--valid-fraction is 2.0: expected a share": [*small, "--valid-fraction", "2"],
        "Give more rows, or change --valid-fraction.": [*small, "--valid-fraction", "0.01"],
        "--word-dropout 3.0: expected a share": [*small, "--word-dropout", "3"],
        "--learning-rate -1.0: expected a positive number": [*small, "--learning-rate", "-1"],
        "--vocab-size 2: expected more than 2, the specials": [*small, "--vocab-size", "2"],
    }
    for words, arguments in refused.items():
        assert train.main([*arguments, *output]) == 1, words
        assert words in capsys.readouterr().err
    own = tmp_path / "own"
    own.mkdir()
    rows = [f"{('ham', 'spam')[n % 2]},see you {n},come home {n}" for n in range(20)]
    (own / "train.csv").write_text("\n".join(["label,text,message", *rows]))
    assert train.main(["--data", str(own), *output]) == 1
    assert "A command reads it from a file dataset.toml" in capsys.readouterr().err
    monkeypatch.setenv("AGNEWS_DEVICE", "cpu")  # to be given back: the option sets it
    assert train.main([*small, "--device", "gpu", *output]) == 1
    assert "--device gpu is no device that the course knows" in capsys.readouterr().err
    monkeypatch.setenv("AGNEWS_DEVICE", "gpu")
    assert train.main([*small, *output]) == 1
    assert "AGNEWS_DEVICE=gpu is no device" in capsys.readouterr().err
    for wrong in (["--epochs", "0"], ["--model", "bert5"], ["--rows", "x"],
                  ["--vocab-size", "50", "--model", "bert"],
                  ["--epochs", "3", "--model", "linear"]):  # fmt: skip
        with pytest.raises(SystemExit):
            train.parse_arguments([*wrong, *output])
        assert wrong[0] in capsys.readouterr().err
