"""Reading, loading and splitting the news."""

import csv
import io
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agnews_utils import files
from agnews_utils.data import corpus
from agnews_utils.data import loading as data_module
from agnews_utils.data.ag_news_csv import read_news_csv
from agnews_utils.data.corpus import AG_NEWS_MD5, CLASS_NAMES, bundled_folder
from agnews_utils.data.duplicates import near_duplicate_groups
from agnews_utils.data.formats import NewsFormatError
from agnews_utils.data.loading import News, load_news
from agnews_utils.data.splitting import train_valid_split
from tests.helpers import ROOT, full_data_folder

ROWS = [
    ("3", "Oil, gas up", 'He said "sell"'),
    ("1", "Talks resume", ""),
    ("4", r"A new\moon", "found"),
    ("2", "Cup", "won 3-1"),
]
GOOD = '"3","Oil up","Prices rose"\n"1","Talks","They met"\n'


def as_csv(rows, end="\n"):
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator=end).writerows(rows)
    return buffer.getvalue()


@pytest.fixture
def write(tmp_path):
    def write_file(content, name="train.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def make_folder(folder, train=ROWS, test=ROWS[:2]):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.csv").write_text(as_csv(train), encoding="utf-8", newline="")
    (folder / "test.csv").write_text(as_csv(test), encoding="utf-8", newline="")
    return folder


# ------------------------------------------------------------------------------- reading


def test_columns_labels_and_text(write):
    frame = read_news_csv(write(as_csv(ROWS)))
    assert list(frame.columns) == ["label", "class_name", "title", "description", "text"]
    assert frame["label"].dtype == np.int64
    assert frame["label"].tolist() == [2, 0, 3, 1]
    assert frame["class_name"].tolist() == ["Business", "World", "Sci/Tech", "Sports"]
    assert frame["description"].tolist() == ['He said "sell"', "", "found", "won 3-1"]
    assert frame["text"].tolist() == [
        'Oil, gas up He said "sell"',
        "Talks resume",
        r"A new\moon found",
        "Cup won 3-1",
    ]
    assert frame.attrs["missing_descriptions"] == 1
    assert frame.attrs["path"].endswith("train.csv")
    assert CLASS_NAMES == ["World", "Sports", "Business", "Sci/Tech"]


@pytest.mark.parametrize(
    "content",
    [
        as_csv(ROWS, "\r\n").encode(),
        as_csv(ROWS, "\r").encode(),
        as_csv(ROWS).rstrip("\n").encode(),
        as_csv(ROWS).replace("\n", "\n\n  \n").encode(),
        b"\n\n" + as_csv(ROWS).encode(),
        b"\xef\xbb\xbf" + as_csv(ROWS).encode(),
        b"Class Index,Title,Description\n" + as_csv(ROWS).encode(),
        b'\xef\xbb\xbf\n"label","headline","text"\r\n' + as_csv(ROWS, "\r\n").encode(),
        as_csv(ROWS).replace('"1"', '" 1 "').encode(),
        as_csv(ROWS).replace('"2","Cup","won 3-1"', "2,Cup,won 3-1").encode(),
    ],
    ids=["crlf", "cr", "no last newline", "blank lines", "blank first", "bom", "kaggle header",
         "bom, blank, header", "spaces around class", "unquoted"],
)  # fmt: skip
def test_harmless_variations_read_the_same(write, content):
    expected = read_news_csv(write(as_csv(ROWS), "plain.csv"))
    pd.testing.assert_frame_equal(read_news_csv(write(content)), expected)


def test_line_breaks_inside_a_field_are_kept_and_counted(write):
    content = '"1","A","line one\nline two"\n"9","B","C"\n'
    with pytest.raises(NewsFormatError, match=r"line 3 \(record 2\): class '9'"):
        read_news_csv(write(content))
    frame = read_news_csv(write(content.replace('"9"', '"2"')))
    assert frame["description"][0] == "line one\nline two"


FIELD = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("1234"), FIELD, FIELD), min_size=1, max_size=8))
def test_any_text_comes_back_as_it_was_written(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("any") / "news.csv"
    path.write_bytes(as_csv(rows).encode())
    frame = read_news_csv(path)
    assert list(zip(frame["title"], frame["description"], strict=True)) == [r[1:] for r in rows]
    assert frame["label"].tolist() == [int(row[0]) - 1 for row in rows]


BAD = {
    "empty": (b"", r"news\.csv is empty"),
    "only blank lines": (b"\xef\xbb\xbf\n \n", r"news\.csv is empty"),
    "only a header": (b"Class Index,Title,Description\n", "a header but no rows"),
    "two columns": (GOOD + '"2","Cup"\n', r"line 3: 2 columns, expected 3"),
    "four columns": (GOOD + '"2","Cup","x","y"\n', r"line 3: 4 columns"),
    "semicolons": ('"3";"Oil";"up"\n', r"line 1: .*separated by semicolons: load_news reads"),
    "plain semicolons": ("3;Oil;up\n", r"line 1: 1 columns.*separated by semicolons"),
    "tabs": ("3\tOil\tup\n", r"line 1: 1 columns.*separated by tabs"),
    "zero": (GOOD + '"0","Cup","x"\n', r"line 3: class '0'.*1 World.*counts its classes from 0"),
    "five": (GOOD + '"5","Cup","x"\n', r"line 3: class '5'.*4 Sci/Tech"),
    "word": (GOOD + '"Sports","Cup","x"\n', r"line 3: class 'Sports'"),
    "second header": (GOOD + "Class Index,Title,Description\n", r"line 3: class 'Class Index'"),
    "title first": ('"Oil up","Prices rose","3"\n', r"line 1: class 'Oil up'"),
    "float": (GOOD + '"2.0","Cup","x"\n', r"line 3: class '2.0'"),
    "after blank lines": ("\n\n" + GOOD + '\n"7","Cup","x"\n', r"line 6 \(record 3\): class '7'"),
    "after a header": ("class,title,text\n" + GOOD + "0,a,b\n", r"line 4 \(record 3\): class '0'"),
    "not utf-8": (GOOD.encode() + b'"2","Caf\xe9","x"\n', r"line 3: not UTF-8.* offset 58 is 0xe9"),
    "utf-16": (GOOD.encode("utf-16"), "UTF-16"),
    "zip": (b"PK\x03\x04abc", "is a ZIP archive, not CSV"),
    "gzip": (b"\x1f\x8babc", "is a gzip archive, not CSV"),
    "web page": ("\n <!DOCTYPE html>\n<html><body>404</body></html>", "is an HTML page, not CSV"),
    "web page with bom": (b"\xef\xbb\xbf<HTML>oh</HTML>", "is an HTML page, not CSV"),
    "nul": (GOOD + '"2","C\0p","x"\n', r"line 3: a NUL byte at offset 56"),
    "open quote at the end": (GOOD + '"2","Cup","x\n', r"line 3: a quote is not closed"),
    "open quote in the middle": ('"3","Oil","up\n' + GOOD, r"line 1: a quote is not closed"),
    "single inner quote": ('"3","Oil "up"","x"\n', r"line 1: a quote is not closed or not doubled"),
    "escaped quote": (GOOD + r'"3","Oil \"up\"","x"' + "\n", r"line 3: a quote"),
    "swallowed": (GOOD + '2,Cup,"x\n' + "3,Oil,up\n" * 20_000, r"line 3: a quote is not closed"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_with_its_line(write, case):
    content, message = BAD[case]
    path = write(content, "news.csv")
    with pytest.raises(NewsFormatError, match=message) as caught:
        read_news_csv(path)
    assert "news.csv" in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.csv does not exist"):
        read_news_csv(tmp_path / "no.csv")
    with pytest.raises(IsADirectoryError, match="name the file inside it"):
        read_news_csv(tmp_path)


def test_a_raised_csv_limit_does_not_hide_an_open_quote(write):
    limit = csv.field_size_limit(10_000_000)
    try:
        with pytest.raises(NewsFormatError, match="line 3: a quote is not closed"):
            read_news_csv(write(BAD["swallowed"][0]))
    finally:
        csv.field_size_limit(limit)


def test_reading_the_real_files_takes_little_memory():
    """At most 400 MB, the import of pandas included, and nothing is imported without need."""
    folder = full_data_folder()
    status = Path("/proc/self/status")
    # The peak that getrusage tells a child is at least its parent's size when it was started, and
    # a parent that ran other tests is large; the kernel's own record begins with the program.
    code = (
        "import sys; from agnews_utils.data import load_news;"
        f"train, test = load_news({str(folder)!r});"
        f"lines = open({str(status)!r}).read().split() if {status.exists()} else ['VmHWM:', '0'];"
        "peak = int(lines[lines.index('VmHWM:') + 1]) / 1024;"
        "print(len(train), len(test), peak);"
        "assert not {'torch', 'pooch', 'requests', 'transformers'} & set(sys.modules)"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    train, test, megabytes = map(float, output.splitlines()[-1].split())
    assert train + test >= 87_000
    assert megabytes < 400, f"{megabytes:.0f} MB"


# ------------------------------------------------------------------------------- loading


@pytest.fixture
def no_ag_news(tmp_path, monkeypatch):
    """Pretend that AG News' folder is an empty one, and that AGNEWS_DATA is not set."""
    folder = tmp_path / "data" / "ag_news"
    monkeypatch.setattr(data_module, "ag_news_folder", lambda: folder)
    monkeypatch.delenv("AGNEWS_DATA", raising=False)
    return folder


def test_the_bundled_corpus_is_the_default(no_ag_news, capsys):
    news = load_news()
    assert news.name == "newsbriefs"
    assert news.description == "News Briefs (1,800 training rows, 400 test rows)"
    assert not news.complete
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert out.startswith("Loaded News Briefs (1,800 training rows, 400 test rows), bundled")
    for frame, rows in zip(news, (1800, 400), strict=True):
        assert len(frame) == rows
        assert set(frame["label"]) == {0, 1, 2, 3}
    missing = news.train.attrs["missing_descriptions"]
    assert f"{missing} training" in out


def test_what_is_chosen_and_in_which_order(no_ag_news, tmp_path, monkeypatch, capsys):
    mine = make_folder(tmp_path / "mine")
    monkeypatch.setenv("AGNEWS_DATA", str(mine))
    assert load_news().name == "mine"
    assert load_news("newsbriefs").name == "newsbriefs"  # the argument beats the variable
    assert load_news(mine).folder == mine
    monkeypatch.setenv("AGNEWS_DATA", " ")
    assert load_news().name == "newsbriefs"  # empty counts as not set
    make_folder(no_ag_news)
    assert load_news().folder == no_ag_news  # downloaded data beats the bundled one
    monkeypatch.setenv("AGNEWS_DATA", "newsbriefs")
    assert load_news().name == "newsbriefs"
    capsys.readouterr()


def test_unpacking_md5_and_repr(tmp_path, capsys):
    news = load_news(make_folder(tmp_path / "mine"))
    train, test = news
    assert (len(train), len(test)) == (4, 2)
    assert train is news.train
    assert set(news.md5) == {"train.csv", "test.csv"}
    assert repr(news) == "News(mine (4 training rows, 2 test rows))"
    out = capsys.readouterr().out
    assert out == (
        f"Loaded mine (4 training rows, 2 test rows), from {tmp_path.name}/mine; read as: AG News' "
        "format, 4 classes: World, Sports, Business, Sci/Tech; no test row of 'Sports', "
        "'Sci/Tech'; no description in 1 training and 1 test rows.\n"
    )
    with pytest.raises(AttributeError):
        news.name = "other"


def test_a_folder_that_only_looks_like_ag_news_is_not_called_so(tmp_path):
    assert load_news(make_folder(tmp_path / "ag_news")).name == "ag_news (own files)"


def test_missing_data_say_what_to_do(no_ag_news, tmp_path, monkeypatch, capsys):
    with pytest.raises(FileNotFoundError, match=r"make data.*download_ag_news\(\)"):
        load_news("ag_news")
    with pytest.raises(FileNotFoundError, match=r"'nowhere', from the argument.*does not exist"):
        load_news("nowhere")
    monkeypatch.setenv("AGNEWS_DATA", "nowhere")
    with pytest.raises(FileNotFoundError, match="from the environment variable AGNEWS_DATA"):
        load_news()
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "train.csv").write_text(as_csv(ROWS))
    with pytest.raises(NewsFormatError, match=r"no file with test rows.*or a test\.csv"):
        load_news(tmp_path / "half")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"train\.csv and test\.csv.*there is nothing"):
        load_news(tmp_path / "empty")
    assert capsys.readouterr().out == ""


def test_half_a_download_is_mentioned(no_ag_news, capsys, monkeypatch):
    no_ag_news.mkdir(parents=True)
    (no_ag_news / "test.csv").write_text(as_csv(ROWS))
    assert load_news().name == "newsbriefs"
    out = capsys.readouterr().out
    assert "lacks train.csv" in out
    assert out.count("\n") == 1


def test_a_bad_row_in_a_folder_names_its_file(tmp_path):
    folder = make_folder(tmp_path / "mine", test=[("0", "a", "b")])
    with pytest.raises(NewsFormatError, match=r"mine/test\.csv, line 1: class '0'"):
        load_news(folder)


def test_descriptions_of_whole_and_partial_ag_news():
    frame = pd.DataFrame({"label": [0]})
    whole = News("ag_news", Path("x"), *(frame.loc[[0] * n] for n in (120_000, 7600)), AG_NEWS_MD5)
    assert whole.complete
    assert whole.description == "AG News (120,000 training rows, 7,600 test rows)"
    changed = News("ag_news", Path("x"), whole.train, whole.test, AG_NEWS_MD5 | {"train.csv": "0"})
    assert not changed.complete
    assert "changed file" in changed.description


def test_real_ag_news_is_recognized(capsys):
    news = load_news(full_data_folder())
    if news.md5["test.csv"] != AG_NEWS_MD5["test.csv"]:
        pytest.skip("the AG News folder does not hold the official test file")
    assert news.name == "ag_news"
    assert news.test["label"].value_counts().to_dict() == dict.fromkeys(range(4), 1900)
    assert news.complete == (news.md5["train.csv"] == AG_NEWS_MD5["train.csv"])
    if not news.complete:
        assert f"{len(news.train):,} of 120,000 training rows, 7,600 test rows" in news.description


def test_shown_paths_hold_no_machine_path(tmp_path, monkeypatch):
    assert files.shown_path(ROOT / "data" / "ag_news") == "data/ag_news"
    assert files.shown_path("/home/somebody/course/data/ag_news/") == "data/ag_news"
    assert files.shown_path("/data") == "data"
    monkeypatch.chdir(tmp_path)
    assert files.shown_path("here/news") == "here/news"
    assert files.shown_path(tmp_path / "here") == "here"
    monkeypatch.chdir(ROOT / "tests")
    assert files.shown_path("../data/ag_news") == "data/ag_news"


def test_an_installed_package_finds_its_bundled_data(tmp_path, monkeypatch):
    """Without a repository the wheel's copy is used, and AG News goes under the working folder."""
    package = tmp_path / "site-packages" / "agnews_utils"
    make_folder(package / "bundled" / "data" / "newsbriefs")
    monkeypatch.setattr(files, "_PACKAGE", package)
    monkeypatch.chdir(tmp_path)
    assert files.repository_root() is None
    assert corpus.bundled_folder() == package / "bundled" / "data" / "newsbriefs"
    assert corpus.ag_news_folder() == tmp_path / "data" / "ag_news"
    (package / "bundled" / "data" / "newsbriefs" / "test.csv").unlink()
    with pytest.raises(FileNotFoundError, match="'newsbriefs' is incomplete"):
        corpus.bundled_folder()


def test_constants_agree_with_each_other():
    assert set(corpus.NEWS_FILES) == set(AG_NEWS_MD5) == set(corpus.AG_NEWS_ROWS)


# ------------------------------------------------------------------------------ splitting


def frame_of(labels):
    texts = [f"{name} story number {n} about case {n * 7}" for n, name in enumerate(labels)]
    return pd.DataFrame({"label": labels, "text": texts}, index=np.arange(len(labels)) * 3 + 5)


@settings(max_examples=60, deadline=None)
@given(
    label_group=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60)), min_size=1, max_size=80),
    fraction=st.sampled_from([0.1, 0.2, 0.35, 0.5]),
    seed=st.integers(0, 5),
)
def test_a_split_is_a_partition_with_whole_groups(label_group, fraction, seed):
    # 30 rows of each class without twins keep every class splittable.
    label_group = label_group + [(n % 4, 1000 + n) for n in range(120)]
    labels, groups = (np.array(part) for part in zip(*label_group, strict=True))
    frame = frame_of(labels)
    train, valid = train_valid_split(frame, fraction, seed, groups)
    position = pd.Series(groups, index=frame.index)
    assert sorted([*train.index, *valid.index]) == frame.index.tolist()
    assert train.index.is_monotonic_increasing
    assert valid.index.is_monotonic_increasing
    assert not set(position[train.index]) & set(position[valid.index])
    for label in range(4):
        wanted = fraction * (labels == label).sum()
        # The twinless rows fill each class's share to the row, unless groups have crowded them out.
        assert abs((valid["label"] == label).sum() - wanted) <= 0.5 + 1e-9
    again = train_valid_split(frame, fraction, seed, groups)[1]
    pd.testing.assert_frame_equal(valid, again)


def test_near_duplicates_stay_on_one_side_by_default():
    story = "the harbor of Oslo froze over for the first time in forty years on Monday"
    frame = frame_of([0, 1, 2, 3] * 40)
    twins = frame.index[::7]
    frame.loc[twins, "text"] = [f"{story} report {n}" for n in range(len(twins))]
    seen = set()
    for seed in range(12):
        valid = train_valid_split(frame, 0.5, seed)[1]
        on_valid = set(twins) & set(valid.index)
        assert on_valid in (set(), set(twins))
        seen.add(bool(on_valid))
    assert seen == {True, False}  # either side can get them: they are not simply dropped


def test_a_giant_group_goes_to_train():
    frame = frame_of([0, 1] * 100)
    groups = np.arange(200)
    groups[:120] = -1
    train, valid = train_valid_split(frame, 0.1, groups=groups)
    assert set(frame.index[:120]) <= set(train.index)
    assert valid["label"].value_counts().to_dict() == {0: 10, 1: 10}


def test_seeds_differ_and_rows_keep_their_attributes():
    frame = frame_of([0, 1, 2, 3] * 50)
    frame["description"] = ""
    frame.attrs = {"path": "x.csv", "missing_descriptions": 200}
    first, second = (train_valid_split(frame, seed=seed)[1] for seed in (1, 2))
    assert first.index.tolist() != second.index.tolist()
    assert first.attrs == {"path": "x.csv", "missing_descriptions": 20}
    assert frame.attrs["missing_descriptions"] == 200
    first["label"] = 9  # a copy: the frame that was split stays as it is
    assert set(frame["label"]) == {0, 1, 2, 3}


def test_any_rows_are_equally_likely_to_be_drawn():
    """Over many seeds each row is a validation row about one time in five."""
    frame = frame_of([0, 1] * 20)
    groups = np.arange(40)
    groups[[0, 2]] = 100
    drawn = pd.Series(0, index=frame.index)
    for seed in range(400):
        drawn[train_valid_split(frame, 0.2, seed, groups)[1].index] += 1
    assert drawn.between(400 * 0.2 - 40, 400 * 0.2 + 40).all(), drawn.describe()


def test_the_split_is_the_same_in_every_environment():
    """Drawn with Python's generator, whose stream is fixed: not with numpy's, which may change."""
    frame = frame_of([0, 1] * 10)
    valid = train_valid_split(frame, 0.2, seed=42)[1]
    order = list(range(20))
    random.Random(42).shuffle(order)
    drawn = [n for n in order if n % 2 == 0][:2] + [n for n in order if n % 2 == 1][:2]
    assert valid.index.tolist() == frame.index[sorted(drawn)].tolist() == [17, 20, 47, 62]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"valid_fraction": 0}, "valid_fraction is 0"),
        ({"valid_fraction": 10}, "between 0 and 1"),
        ({"groups": [1, 2]}, r"groups has the shape \(2,\)"),
        ({"valid_fraction": 0.01}, "Label 0 has only 20 rows.*no validation row"),
        ({"valid_fraction": 0.99}, "Label 0 has only 20 rows.*no training row"),
        ({"groups": [7] * 40}, "No validation row left for label 0"),
    ],
)
def test_impossible_splits_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        train_valid_split(frame_of([0, 1] * 20), **options)


def test_splitting_needs_its_columns_and_rows():
    frame = frame_of([0, 1] * 20)
    with pytest.raises(ValueError, match="no column 'text'"):
        train_valid_split(frame[["label"]])
    with pytest.raises(ValueError, match="no column 'label' and no column 'text'"):
        train_valid_split(pd.DataFrame({"x": [1]}))
    with pytest.raises(ValueError, match="no rows"):
        train_valid_split(frame.iloc[:0])


def test_the_bundled_training_rows_split_cleanly():
    frame = read_news_csv(bundled_folder() / "train.csv")
    train, valid = train_valid_split(frame)
    assert len(valid) == pytest.approx(180, abs=4)
    groups = pd.Series(near_duplicate_groups(frame["text"]), index=frame.index)
    assert groups.nunique() < len(frame)  # there are near duplicates to keep together
    assert not set(groups[train.index]) & set(groups[valid.index])


def test_reading_leaves_the_environment_alone():
    before = dict(os.environ)
    load_news("newsbriefs")
    assert dict(os.environ) == before
