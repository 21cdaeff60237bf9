"""The chapters run to their end on the folders that people bring (`tests/folders.py` makes them).

The light chapters run on every kind of data, the others on three kinds. `make folders` runs all of
them on all, which takes half an hour.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agnews_utils.data import check_needs, load_news
from agnews_utils.data.needs import LEAST_OF_A_CLASS, LEAST_ROWS, missing_needs
from tests.folders import FOLDERS, CellError, Ran, Row, as_one_csv, run_chapter, write_folder
from tools.builder.chapters import read_chapters

LIGHT = ("exploration", "cleaning", "vocabulary")
HEAVY = {
    "cleaning_study": ("tiny", "one large class", "Chinese"),
    "pretraining": ("one word", "thousand words", "Hindi"),
    "rnn": ("tiny", "twenty classes", "one word"),
    "bert": ("twenty classes", "one large class", "emoji"),
    "evaluation": ("tiny", "one large class", "one word"),
    "own_data": ("tiny", "Chinese", "one word"),
}
"""Few rows, many classes, sorted rows, texts without a sentence: three kinds for each."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return the folder of each kind of data, by name."""
    parent = tmp_path_factory.mktemp("folders")
    return {name: write_folder(name, parent) for name in FOLDERS}


def to_its_end(run: str, folder: Path, record: Path) -> Ran:
    """Run a chapter; fail with its first cell that does."""
    try:
        ran = run_chapter(run, folder, record, epochs=2)
    except CellError as error:
        pytest.fail(str(error), pytrace=False)
    stored = json.loads((record / f"{run}.{folder.name}.json").read_text(encoding="utf-8"))
    assert stored["data"]["name"] == folder.name  # the last cell has recorded what was measured
    return ran


class TestLightChapters:
    """Those that train next to nothing, on every kind of data."""

    @pytest.mark.parametrize("run", LIGHT)
    @pytest.mark.parametrize("name", FOLDERS)
    def test_runs_to_its_end(self, name, run, folders, tmp_path):
        """No cell fails."""
        to_its_end(run, folders[name], tmp_path)

    def test_a_lesson_without_an_object_says_so(self, folders, tmp_path):
        """Clean texts have no dirt to count, JSON lines are no raw file of AG News."""
        assert (
            "No apostrophe is broken" in to_its_end("cleaning", folders["clean"], tmp_path).printed
        )
        printed = to_its_end("exploration", folders["three classes"], tmp_path).printed
        assert "None of this dirt is in your texts" in printed
        assert "read those of News Briefs" in printed
        assert "Your own data, 3 classes" in printed


class TestOtherChapters:
    """Those that train networks or many linear models, on three kinds of data."""

    @pytest.mark.parametrize(
        ("run", "name"), [(run, name) for run, names in HEAVY.items() for name in names]
    )
    def test_runs_to_its_end(self, name, run, folders, tmp_path):
        """No cell fails."""
        to_its_end(run, folders[name], tmp_path)


def test_every_chapter_is_in_the_matrix():
    """A new chapter has to run on any folder, too."""
    assert {chapter.contract.run for chapter in read_chapters()} == {*LIGHT, *HEAVY}


@pytest.mark.parametrize("name", FOLDERS)
def test_the_folders_are_what_they_are_called(name, folders, capsys):
    """Counted here, not by what made them."""
    news = load_news(folders[name])
    capsys.readouterr()
    assert not news.measured
    assert missing_needs(news) == ""
    rows = pd.concat([news.train, news.test])
    words = rows["text"].str.split().str.len()
    shares = rows["class_name"].value_counts(normalize=True)
    expected = {
        "clean": (len(news.train) == 1_000, news.as_ag_news),
        "tiny": (len(rows) == 120,),
        "two classes": (news.classes == ("money", "sport"), news.carved),
        "three classes": (len(news.classes) == 3, not news.as_ag_news),
        "twenty classes": (len(news.classes) == 20,),
        "one large class": (abs(shares.max() - 0.82) < 0.001,),
        "one word": (words.max() == 1,),
        "thousand words": (words.min() >= 1_000,),
        "Chinese": (rows["text"].str.contains("[\u4e00-\u9fff]").all(),),
        "Hindi": (rows["text"].str.contains("[\u0900-\u097f]").all(),),
        "Arabic": (rows["text"].str.contains("[\u0600-\u06ff]").all(),),
        "emoji": (rows["text"].str.contains("[\u2600-\u27bf\U0001f1e6-\U0001faff]").all(),),
    }
    assert all(expected.get(name, ()))


def test_three_in_ten_labels_are_wrong(folders, capsys):
    """Held against the labels of the same texts in the clean folder."""
    clean = pd.concat(load_news(folders["clean"])).set_index("text")["label"]
    noisy = pd.concat(load_news(folders["wrong labels"])).set_index("text")["label"]
    both = noisy.index.intersection(clean.index)
    assert 0.25 < (noisy[both] != clean[both]).mean() < 0.35
    assert capsys.readouterr().out.count("Loaded") == 2


# ----------------------------------------------------------------------------------- what it needs


def write_rows(folder: Path, counts: dict[str, int]) -> Path:
    """Write rows of each class, as many as asked for."""
    folder.mkdir(exist_ok=True)
    rows = [
        Row(label, "", f"{label} number {n} of {count}")
        for label, count in counts.items()
        for n in range(count)
    ]
    as_one_csv(folder, rows, [])
    return folder


@pytest.mark.parametrize(
    ("counts", "lacking"),
    [
        ({"ham": 30, "spam": 30}, f"has 48 training rows: the chapters need {LEAST_ROWS}"),
        ({"ham": 300, "spam": 10}, f"training rows of 'spam': .*{LEAST_OF_A_CLASS} of each class"),
    ],
)
def test_too_few_rows_are_refused_in_the_setup_cell(counts, lacking, tmp_path, monkeypatch, capsys):
    """In one sentence, before any other cell runs."""
    folder = write_rows(tmp_path / "mine", counts)
    monkeypatch.setenv("AGNEWS_DATA", str(folder))
    with pytest.raises(ValueError, match=lacking):
        check_needs()
    assert capsys.readouterr().out == ""
    with pytest.raises(CellError, match="cell 1 of cleaning"):
        run_chapter("cleaning", folder, tmp_path)


def test_enough_rows_are_said_in_a_line(tmp_path, monkeypatch, capsys):
    """One line for own data, none for the course's."""
    monkeypatch.setenv("AGNEWS_DATA", str(write_rows(tmp_path / "mine", {"a": 80, "b": 90})))
    check_needs()
    assert capsys.readouterr().out.startswith("Your own data, 2 classes.")
    monkeypatch.setenv("AGNEWS_DATA", "newsbriefs")
    check_needs()
    assert capsys.readouterr().out == ""


def test_rows_of_one_class_after_the_other_are_shuffled(tmp_path, capsys):
    """Chapters take the first rows for an example of all; the same rows come each time."""
    folder = write_rows(tmp_path / "mine", {"ham": 200, "spam": 60})
    news = load_news(folder)
    assert "one class after the other, and were shuffled" in capsys.readouterr().out
    assert set(news.train["label"].head(20)) == {0, 1}
    assert news.train.index.tolist() == list(range(len(news.train)))
    assert np.array_equal(news.train["text"], load_news(folder).train["text"])


@pytest.mark.parametrize("counts", [{"ham": 200, "spam": 60}, {"ham": 990, "spam": 30}])
def test_rows_in_any_order_keep_it(counts, tmp_path, capsys):
    """Also where one class is so frequent that the class seldom changes from row to row."""
    rows = [(label, f"{label} number {n}") for label, count in counts.items() for n in range(count)]
    np.random.default_rng(1).shuffle(rows)
    folder = tmp_path / "mine"
    folder.mkdir()
    as_one_csv(folder, [Row(label, "", text) for label, text in rows], [])
    news = load_news(folder)
    assert "shuffled" not in capsys.readouterr().out
    kept = set(news.train["text"])
    assert news.train["text"].tolist() == [text for _, text in rows if text in kept]
