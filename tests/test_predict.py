"""`python -m agnews_utils.predict`: texts from anywhere, answers on any terminal."""

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agnews_utils import predict, train
from agnews_utils.data.loading import load_news
from agnews_utils.files import course_path
from agnews_utils.runs import load_run
from tests.training.launch import PATIENCE, quiet_variables

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = ["a/b", "münze", "短信"]
TEXTS = ["word0 rises 0", 'quoted "word1", with a comma', "word2 短信 \U0001f600", "word2 again"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A linear model of three classes whose names few terminals know."""
    base = tmp_path_factory.mktemp("predict")
    own = base / "own"
    own.mkdir()
    rows = [f"{NAMES[n % 3]}\tword{n % 3} number {n}" for n in range(90)]
    for name in ("train.tsv", "test.tsv"):
        (own / name).write_text("\n".join(["label\ttext", *rows]), encoding="utf-8")
    command = ["--model", "linear", "--data", str(own), "--output", str(base / "a run 短信")]
    assert train.main(command) == 0
    return base / "a run 短信"


def command(run, *arguments, given=b"", cwd=None, **variables):
    """Run the command in a fresh process; return status, output and errors."""
    done = subprocess.run(
        [sys.executable, "-m", "agnews_utils.predict", str(run), *map(str, arguments)],
        input=given,
        capture_output=True,
        cwd=cwd,
        env=quiet_variables() | variables,
        timeout=PATIENCE,
    )
    return done.returncode, done.stdout, done.stderr.decode()


def answers(capsys):
    return [line.split("\t") for line in capsys.readouterr().out.splitlines()]


def test_texts_on_the_command_line_get_a_line_each(run, capsys):
    assert predict.main([str(run), *TEXTS]) == 0
    found, probabilities = answers(capsys), load_run(run).predict_proba(TEXTS)
    assert [line[0] for line in found] == load_run(run).predict(TEXTS)
    assert [line[0] for line in found] == ["a/b", "münze", "短信", "短信"]
    assert [line[1] for line in found] == [f"{row.max():.1%}" for row in probabilities]
    assert [line[2] for line in found] == TEXTS
    assert predict.main([str(run), "--no-progress", "a  long\n" * 100]) == 0
    assert len(answers(capsys)[0][2]) == 70


def test_a_fresh_process_reads_standard_input_on_a_terminal_that_knows_few_characters(
    run, tmp_path
):
    given = "\ufeffword2 é\r\n\r\nword1 短信\n".encode()
    status, out, error = command(run, "--progress", given=given, cwd=tmp_path,
                                 PYTHONIOENCODING="cp1252", PYTHONUTF8="0")  # fmt: skip
    assert status == 0, error
    lines = [line.split("\t") for line in out.decode("cp1252").splitlines()]
    assert [(line[0], line[2]) for line in lines] == [("??", "word2 é"), ("münze", "word1 ??")]
    assert "2text" in error  # the bar
    status, out, error = command(run, given=b"caf\xe9\n", cwd=tmp_path)
    assert (status, out) == (1, b"")
    assert error == ("python -m agnews_utils.predict: the input is not UTF-8: convert it, or name "
                     "a file in UTF-8.\n")  # fmt: skip
    status, _, error = command(run, given=b"\n", cwd=tmp_path)
    assert status == 1
    assert "there is no text: the input is empty" in error


def test_a_csv_file_gets_all_probabilities(run, tmp_path, capsys):
    source, target = tmp_path / "texts.csv", tmp_path / "answers.csv"
    with open(source, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id", "Text"], *enumerate([*TEXTS, "two\nlines"])])
    assert predict.main([str(run), "--file", str(source), "--csv", str(target)]) == 0
    assert capsys.readouterr().out == (
        f"5 texts in {predict.shown_path(target)}, by Run(linear, 3 classes, raw texts).\n"
    )
    with open(target, encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["text", "class", *(f"p({name})" for name in NAMES)]
    assert [row[0] for row in rows] == [*TEXTS, "two\nlines"]
    found = np.array([[float(value) for value in row[2:]] for row in rows])
    np.testing.assert_allclose(found, load_run(run).predict_proba([r[0] for r in rows]), atol=1e-6)
    assert [row[1] for row in rows] == load_run(run).predict([row[0] for row in rows])


@pytest.mark.parametrize(
    ("name", "content", "options", "expected"),
    [
        ("a.txt", "one text\n\nanother, with a comma\n", [], [("", "one text"),
                                                            ("", "another, with a comma")]),
        ("a", "\ufeffno ending\r\n", [], [("", "no ending")]),
        ("a.csv", "text\nx\n", ["text"], [("", "x")]),
        ("a.csv", "id;Message\n1;x, y\n", [], [("", "x, y")]),
        ("a.tsv", "label\ttext\nham\ta, b, c\n", [], [("", "a, b, c")]),
        ("a.csv", "Title,Description,text\nt,d,t d\n", [], [("t", "d")]),
        ("a.csv", '"2","t","d ""q"""\n"1","u","e"\n', [], [("t", 'd "q"'), ("u", "e")]),
        ("a.csv", "one,two\nx,y\n", ["two"], [("", "y")]),
        ("a.csv", "text,b\n" + "x" * 200_000 + ",y\n", [], [("", "x" * 200_000)]),
        ("a.csv", "text,b\n,y\n\nx,y\n", [], [("", ""), ("", "x")]),
    ],
)  # fmt: skip
def test_files_are_read_by_their_header(tmp_path, name, content, options, expected):
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    assert list(predict.read_file(tmp_path / name, *options)) == expected


def test_the_course_s_own_files_are_read_as_load_news_reads_them(tmp_path):
    rows = load_news("newsbriefs").test
    found = list(predict.read_file(course_path("data/newsbriefs") / "test.csv"))
    assert [title for title, _ in found] == list(rows["title"])
    assert [text for _, text in found] == list(rows["description"].fillna(""))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"one,two\nx,y\n", r"which column holds the texts\? It has one, two"),
        ("a.csv", b"text,message\nx,y\n", "name one with --column"),
        ("a.csv", b"a text\nx\n", "has one column, called 'a text'"),
        ("a.csv", b"text,b\nx,y,z\n", "line 2: 3 columns instead of 2"),
        ("a.csv", b'text,b\n"x,y\n', "line 2: a quote is not closed"),
        ("a.csv", b"text,b\ncaf\xe9,y\n", "is not UTF-8 .the byte 0xe9"),
        ("a.txt", b"caf\xe9\n", "is not UTF-8"),
        ("a.csv", b"", "there is no text"),
        ("a.txt", b"", "there is no text"),
        ("a.xlsx", b"PK", "none of .txt"),
        ("", b"", "does not exist"),
    ],
)
def test_mistakes_get_a_sentence_and_write_nothing(run, tmp_path, capsys, name, content, words):
    source = tmp_path / (name or "none.csv")
    if name:
        source.write_bytes(content)
    target = tmp_path / "out.csv"
    assert predict.main([str(run), "--file", str(source), "--csv", str(target)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("python -m agnews_utils.predict: ")
    assert error.count("\n") == 1
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(error)
    assert not target.exists()


@given(st.binary(max_size=200), st.sampled_from(["a.csv", "a.tsv", "a.txt"]))
def test_any_bytes_are_texts_or_get_a_sentence(tmp_path_factory, content, name):
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(content)
    found, error = [], path.name
    try:
        found = list(predict.read_file(path))
    except ValueError as refused:
        error = str(refused)
    assert path.name in error
    assert all(isinstance(part, str) for pair in found for part in pair)


def test_wrong_options_are_refused_as_they_are_typed(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("AGNEWS_DEVICE", "cpu")  # to be given back: the option sets it
    for arguments, words in (
        (["--file", "x", "a text"], "not both"),
        (["--column", "x", "a text"], "--column needs --file"),
        ([], "required: RUN"),
    ):
        with pytest.raises(SystemExit):
            predict.main([*([str(run)] if arguments else []), *arguments])
        assert words in capsys.readouterr().err
    assert predict.main([str(run / "nothing"), "a text"]) == 1
    assert "does not exist: name the folder" in capsys.readouterr().err
    source = tmp_path / "a.csv"
    source.write_text("text,b\nx,y\n")
    assert predict.main([str(run), "--file", str(source), "--csv", str(source)]) == 1
    assert "--csv names the file that is read" in capsys.readouterr().err
    assert source.read_text() == "text,b\nx,y\n"
    other = tmp_path / "bag"
    command = ["--model", "bag", "--data", "newsbriefs", "--rows", "80", "--epochs", "1"]
    assert train.main([*command, "--vocab-size", "500", "--output", str(other)]) == 0
    capsys.readouterr()
    assert predict.main([str(other), "--device", "gpu", "a text"]) == 1
    assert "--device gpu is no device that the course knows" in capsys.readouterr().err


def test_ctrl_c_ends_with_130_and_leaves_no_half_file(run, tmp_path, capsys, monkeypatch):
    target, source = tmp_path / "out.csv", tmp_path / "texts.txt"
    source.write_text("a text\n" * 3_000)
    real, calls = predict.Run.in_parts, []

    def interrupted(self, frame):
        calls.append(len(frame))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, frame)

    monkeypatch.setattr(predict.Run, "in_parts", interrupted)
    assert predict.main([str(run), "--file", str(source), "--csv", str(target)]) == 130
    assert capsys.readouterr().err == "python -m agnews_utils.predict: interrupted.\n"
    assert calls == [1000, 1000]
    assert [path.name for path in tmp_path.iterdir()] == ["texts.txt"]


def test_memory_does_not_grow_with_the_number_of_texts(run, tmp_path, monkeypatch):
    """Ten thousand texts come from the input one by one, and are answered in parts."""
    read, most = 0, 0

    class Slow(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            nonlocal read
            if read == 10_000:
                return 0
            line = f"text {read} of many\n".encode()
            buffer[: len(line)] = line
            read += 1
            return len(line)

    real, answered = predict.Run.in_parts, 0

    def watched(self, frame):
        nonlocal answered, most
        most = max(most, read - answered)
        answered += len(frame)
        return real(self, frame)

    class Input:
        buffer = io.BufferedReader(Slow(), 64)

        def isatty(self):
            return False

    monkeypatch.setattr(predict.Run, "in_parts", watched)
    monkeypatch.setattr(sys, "stdin", Input())
    assert predict.main([str(run), "--csv", str(tmp_path / "out.csv")]) == 0
    assert answered == 10_000
    assert most < 3_000  # some more are in the buffers of the reader
    assert len((tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()) == 10_001


def test_the_fresh_process_says_what_the_living_model_says(run, tmp_path):
    status, out, error = command(run.name, *TEXTS[:2], cwd=run.parent)
    assert status == 0, error
    living = load_run(run).predict(TEXTS[:2])
    assert [line.split("\t")[0] for line in out.decode().splitlines()] == living
    about = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert about["classes"] == NAMES
