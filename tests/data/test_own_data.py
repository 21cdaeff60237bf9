"""Any labelled texts: each form comes back as it was written, or ends in one clear sentence."""

import csv
import gzip
import io
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agnews_utils.cleaning.pipeline import clean_frame
from agnews_utils.data.ag_news_csv import read_news_csv
from agnews_utils.data.columns import Options
from agnews_utils.data.duplicates import near_duplicate_groups
from agnews_utils.data.formats import NewsFormatError
from agnews_utils.data.loading import News, load_news
from tests.helpers import ROOT

_STORY = "the quick brown fox jumps over a lazy dog while rain falls on harbor town and people"
WORDS = _STORY.split()
TRAIN, TEST = 60, 12


def some_texts(count, seed=0):
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=9)) + f" {n}, ok" for n in range(count)]


def pairs(classes, count=TRAIN, seed=0):
    """Return (class, text) in turn: each class about as often."""
    texts = some_texts(count, seed)
    return [(classes[n % len(classes)], text) for n, text in enumerate(texts)]


def as_csv(rows, separator=",", header=None, quoting=csv.QUOTE_MINIMAL):
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator, quoting=quoting, lineterminator="\n")
    writer.writerows([header, *rows] if header else rows)
    return buffer.getvalue()


def as_json_lines(rows, columns=("label", "text")):
    return "\n".join(json.dumps(dict(zip(columns, row, strict=True))) for row in rows)


def as_json(rows, columns=("label", "text")):
    return json.dumps([dict(zip(columns, row, strict=True)) for row in rows])


@pytest.fixture
def folder(tmp_path):
    """Return a function that writes files, by name, into a new folder."""

    def write(files, name="mine"):
        for file_name, content in files.items():
            path = tmp_path / name / file_name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / name

    return write


SPAM, SPAM_TEST = pairs(["ham", "spam"]), pairs(["ham", "spam"], TEST, 1)


def both(form, ending):
    return {f"train{ending}": form(SPAM), f"test{ending}": form(SPAM_TEST)}


def packed(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


# ----------------------------------------------------------------------- every form, there and back


def swapped(rows):
    return [row[::-1] for row in rows]


def numbers(start):
    return lambda rows: [(["ham", "spam"].index(label) + start, text) for label, text in rows]


def with_names(rows):
    return [(["ham", "spam"].index(label), label, text) for label, text in rows]


FORMS = {
    "label, text": (both(as_csv, ".csv"), "comma, no header, text in column 2"),
    "text, label": (both(lambda r: as_csv(swapped(r)), ".csv"), "no header, text in column 1"),
    "header": (
        both(lambda r: as_csv(swapped(r), header=["text", "label"]), ".csv"),
        'comma, header, text in "text"',
    ),
    "semicolon": (
        both(lambda r: as_csv(swapped(r), ";", ["Message", "Category"]), ".csv"),
        'semicolon, header, text in "Message"',
    ),
    "Excel's first line": (
        both(lambda r: "sep=;\r\n" + as_csv(swapped(r), ";", ["Message", "Category"]), ".csv"),
        'semicolon, header, text in "Message"',
    ),
    "tab": (both(lambda r: as_csv(r, "\t"), ".tsv"), "tab, no header, text in column 2"),
    "a header of unknown words": (
        both(lambda r: as_csv(r, ";", ["Etikett", "Nachricht"]), ".csv"),
        'semicolon, header, text in "Nachricht"',
    ),
    "all in quotes": (
        both(lambda r: as_csv(r, quoting=csv.QUOTE_ALL), ".csv"),
        "comma, no header, text in column 2",
    ),
    "a byte-order mark, CRLF": (
        both(lambda r: "\ufeff" + as_csv(r, header=["label", "text"]).replace("\n", "\r\n"),
             ".csv"),
        'comma, header, text in "text"',
    ),
    "pandas' index column": (
        both(lambda r: pd.DataFrame(r, columns=["label", "text"]).to_csv(), ".csv"),
        'comma, header, text in "text"',
    ),
    "JSON lines": (both(as_json_lines, ".jsonl"), 'JSON lines, text in "text"'),
    "JSON": (both(as_json, ".json"), 'JSON, text in "text"'),
    "JSON by columns": (
        both(lambda r: pd.DataFrame(r, columns=["label", "text"]).to_json(), ".json"),
        'JSON, text in "text"',
    ),
    "gzip": (both(lambda r: gzip.compress(as_csv(r).encode()), ".csv.gz"), "comma, no header"),
    "zip of each": (
        {f"{split}.csv.zip": packed({f"{split}.csv": as_csv(rows)})
         for split, rows in (("train", SPAM), ("test", SPAM_TEST))},
        "comma, no header",
    ),
    "zip of both": (
        {"archive.zip": packed({"x/train.csv": as_csv(SPAM), "x/test.csv": as_csv(SPAM_TEST),
                                "__MACOSX/x/._train.csv": "\0"})},
        "comma, no header",
    ),
    "other names": (
        {"sms_Train.csv": as_csv(SPAM), "sms_Test.csv": as_csv(SPAM_TEST), "README.txt": "hello"},
        "comma, no header",
    ),
    "pieces in a folder": (
        {"README.md": "hello", "data/train-00000-of-00002.jsonl": as_json_lines(SPAM[:20]),
         "data/train-00001-of-00002.jsonl": as_json_lines(swapped(SPAM[20:]), ("text", "label")),
         "data/test-00000-of-00001.jsonl": as_json_lines(SPAM_TEST)},
        "JSON lines",
    ),
    "a validation file for a test file": (
        {"train.csv": as_csv(SPAM), "validation.csv": as_csv(SPAM_TEST)},
        "no test file: the rows of mine/validation.csv are the test rows",
    ),
    "a validation file too many": (
        {"train.csv": as_csv(SPAM), "dev.csv": as_csv(SPAM[:4]), "test.csv": as_csv(SPAM_TEST)},
        "mine/dev.csv not read",
    ),
    "two forms": (
        {"train.jsonl": as_json_lines(SPAM),
         "test.csv": as_csv(swapped(SPAM_TEST), ";", ["Text", "LABEL"])},
        "JSON lines",
    ),
    "numbers and names": (
        both(lambda r: as_json_lines(with_names(r), ("label", "label_text", "text")), ".jsonl"),
        'JSON lines, text in "text", 2 classes: ham, spam',
    ),
    "number, name, text without a header": (
        both(lambda r: as_csv(with_names(r)), ".csv"),
        "comma, no header, text in column 3, 2 classes: ham, spam",
    ),
    "classes.txt, numbers from 0": (
        both(lambda r: as_csv(numbers(0)(r)), ".csv") | {"classes.txt": "ham\nspam\n"},
        "2 classes: ham, spam",
    ),
    "classes.txt, numbers from 1": (
        both(lambda r: as_csv(numbers(1)(r)), ".csv") | {"classes.txt": "\ufeffham\r\nspam"},
        "2 classes: ham, spam",
    ),
    "classes.txt with numbers": (
        both(lambda r: as_csv(numbers(1)(r)), ".csv") | {"classes.txt": "1 ham\n2 spam\n"},
        "2 classes: ham, spam",
    ),
    "dataset.toml": (
        both(lambda r: as_csv(numbers(5)(r)), ".csv")
        | {"dataset.toml": '[classes]\n5 = "ham"\n6 = "spam"\n'},
        "2 classes: ham, spam",
    ),
    "floats": (
        both(lambda r: as_csv([(f"{n}.0", t) for n, t in numbers(0)(r)]), ".csv")
        | {"classes.txt": "ham\nspam\n"},
        "2 classes: ham, spam",
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_as_it_was_written(form, folder, capsys):
    files, read_as = FORMS[form]
    news = load_news(folder(files))
    for frame, rows in ((news.train, SPAM), (news.test, SPAM_TEST)):
        assert frame["text"].tolist() == [text for _, text in rows]
        assert frame["class_name"].tolist() == [label for label, _ in rows]
        assert frame["label"].tolist() == [["ham", "spam"].index(label) for label, _ in rows]
        assert frame["label"].dtype == "int64"
        assert set(frame["title"]) == {""}
        assert frame["description"].tolist() == frame["text"].tolist()
    assert news.classes == ("ham", "spam")
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert f"Loaded mine ({TRAIN} training rows, {TEST} test rows)" in printed
    assert "; read as: " in printed
    assert read_as in printed


@pytest.fixture
def parquet():
    return pytest.importorskip("pyarrow.parquet", exc_type=ImportError)


@pytest.mark.parametrize("stored_names", [True, False])
def test_parquet_comes_back_with_the_names_that_it_stores(stored_names, parquet, folder, capsys):
    import pyarrow as arrow

    def form(rows):
        labels, texts = zip(*numbers(0)(rows), strict=True)
        table = arrow.table({"text": arrow.array(texts), "label": arrow.array(labels)})
        feature = {"label": {"names": ["ham", "spam"], "_type": "ClassLabel"}, "text": {}}
        if stored_names:
            about = json.dumps({"info": {"features": feature}})
            table = table.replace_schema_metadata({"huggingface": about})
        buffer = io.BytesIO()
        parquet.write_table(table, buffer)
        return buffer.getvalue()

    news = load_news(folder(both(form, "-00000-of-00001.parquet")))
    assert news.train["text"].tolist() == [text for _, text in SPAM]
    assert news.test["label"].tolist() == [["ham", "spam"].index(label) for label, _ in SPAM_TEST]
    assert news.classes == (("ham", "spam") if stored_names else ("0", "1"))
    assert 'read as: Parquet, text in "text", 2 classes: ' in capsys.readouterr().out
    cut = {"train.parquet": form(SPAM)[:-20], "test.parquet": form(SPAM_TEST)}
    with pytest.raises(NewsFormatError, match=r"cut/train\.parquet is a damaged Parquet file"):
        load_news(folder(cut, "cut"))


def test_parquet_without_pyarrow_gets_a_sentence(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(NewsFormatError, match="pip install pyarrow"):
        load_news(folder({"train.parquet": b"PAR1"}))


def test_the_course_reads_the_rows_that_it_wrote(tmp_path):
    news = load_news("newsbriefs")
    for name, frame in (("train", news.train), ("test", news.test)):
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    again = load_news(tmp_path)
    assert again.classes == news.classes
    for one, other in zip(news, again, strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_a_spam_file_of_kaggle_needs_its_encoding_only(folder, capsys):
    rows = [(*row, "", "", "") for row in [*SPAM, ("ham", "un caf\u00e9, s'il vous pla\u00eet")]]
    content = as_csv(rows, header=["v1", "v2", "", "", ""]).encode("cp1252")
    place = folder({"spam.csv": content})
    with pytest.raises(NewsFormatError, match=r'line 62: not UTF-8.*encoding="cp1252"'):
        load_news(place)
    news = load_news(place, encoding="cp1252")
    assert any("caf\u00e9" in text for frame in news for text in frame["text"])
    assert 'text in "v2", 2 classes: ham, spam' in capsys.readouterr().out


def test_quotes_in_a_file_with_tabs_may_be_ordinary_characters(folder, capsys):
    lines = [f"{label}\t{text}" for label, text in SPAM]
    lines[3] = 'spam\t"To be or not, she said'
    lines[8] = 'ham\tThe "best" of all'
    place = folder({"SMSSpamCollection": "\n".join(lines), "readme": "about"})
    texts = {text for frame in load_news(place) for text in frame["text"]}
    assert {'"To be or not, she said', 'The "best" of all'} <= texts
    assert "tab, quotes as they are" in capsys.readouterr().out
    quoted = as_csv([("ham", 'a "b"\tc\nd'), *SPAM], "\t")
    texts = {t for frame in load_news(folder({"all.tsv": quoted}, "b")) for t in frame["text"]}
    assert 'a "b"\tc\nd' in texts


def test_fields_may_be_of_any_length(folder):
    long = "word " * 100_000
    limit = csv.field_size_limit()
    news = load_news(folder(both(lambda rows: as_csv([("ham", long), *rows]), ".csv")))
    assert news.train["description"][0] == long
    ag = [(n % 4 + 1, "title", long if n == 5 else text) for n, (_, text) in enumerate(SPAM)]
    news = load_news(folder({"train.csv": as_csv(ag), "test.csv": as_csv(ag)}, "ag"))
    assert news.test["description"][5] == long
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize("count", [2, 3, 20, 100])
@pytest.mark.parametrize("start", [0, 1, None])
def test_2_to_100_classes(count, start, folder):
    classes = [f"class {n:03d}" if start is None else str(n + start) for n in range(count)]
    rows = pairs(classes, 5 * count)
    random.Random(1).shuffle(rows)
    news = load_news(folder({"train.csv": as_csv(rows), "test.csv": as_csv(rows[:9])}))
    assert news.classes == tuple(classes)
    assert [news.classes[label] for label in news.train["label"]] == [label for label, _ in rows]


def test_short_texts_and_other_scripts(folder):
    words = [(label, text.split()[0]) for label, text in SPAM]
    news = load_news(folder({"train.csv": as_csv(words), "test.csv": as_csv(words)}))
    assert news.train["text"].tolist() == [word for _, word in words]
    rows = [(["体育", "财经"][n % 2], f"新闻 {n} 标题") for n in range(40)]
    news = load_news(folder({"新闻.csv": as_csv(rows, ",", ["类别", "文本"])}, "zh"))
    assert news.classes == ("体育", "财经")


def test_words_beside_numbers_are_the_texts(folder):
    """Also where the texts are so short that they repeat themselves, as classes do."""
    draw = random.Random(0)
    rows = [(n % 3, draw.choice(WORDS)) for n in range(TRAIN)]
    news = load_news(folder({"train.csv": as_csv(rows), "test.csv": as_csv(rows)}))
    assert news.train["text"].tolist() == [word for _, word in rows]
    three = [(label + 1, draw.choice("ab"), word) for label, word in rows if label < 2]
    news = load_news(folder({"train.csv": as_csv(three), "test.csv": as_csv(three)}, "b"))
    assert news.train["title"].tolist() == [title for _, title, _ in three]
    ids = [(f"id{n}", *row) for n, row in enumerate(SPAM)]
    news = load_news(folder({"train.csv": as_csv(ids), "test.csv": as_csv(ids)}, "c"))
    assert news.train["text"].tolist() == [text for _, text in SPAM]


def test_a_text_without_a_title_is_cleaned_into_the_text(folder):
    news = load_news(folder(both(lambda r: as_csv([*r, ("ham", "Kenya #39;s  team")]), ".csv")))
    assert clean_frame(news.train)["text"].iloc[-1] == "Kenya's team"


def test_the_wheel_is_not_reinvented_for_the_names_of_columns(folder):
    """A title and a text are kept apart, as in AG News; options name columns of any name."""
    rows = [(label, f"Title {n}", text) for n, (label, text) in enumerate(SPAM)]
    files = {"train.csv": as_csv(rows, header=["topic", "Headline", "Body"])}
    news = load_news(folder(files))
    assert news.train["title"].str.startswith("Title").all()
    rows = [(text, text[::-1], label) for label, text in SPAM]
    place = folder({"train.csv": as_csv(rows, header=["a", "b", "c"])}, "b")
    with pytest.raises(
        NewsFormatError, match=r'the text may stand in "a" or in "b"\. Say text="a"'
    ):
        load_news(place)
    by_name, by_number = load_news(place, text="b"), load_news(place, text=2, label=3)
    pd.testing.assert_frame_equal(by_name.train, by_number.train)
    (place / "dataset.toml").write_text('text = "b"\n')
    pd.testing.assert_frame_equal(load_news(place).train, by_name.train)
    assert load_news(place, text="a").train["text"][0] != by_name.train["text"][0]


# ------------------------------------------------------------------------------------ AG News' form


def ag_rows(classes, count=TRAIN):
    return [(label, f"Title {n}", text) for n, (label, text) in enumerate(pairs(classes, count))]


def test_ag_news_form_has_the_names_of_ag_news_or_those_of_a_class_file(folder, capsys):
    files = {"train.csv": as_csv(ag_rows("1234")), "test.csv": as_csv(ag_rows("123", 6))}
    assert load_news(folder(files)).classes == ("World", "Sports", "Business", "Sci/Tech")
    printed = capsys.readouterr().out
    assert "read as: AG News' format, 4 classes: World, Sports" in printed
    assert "no test row of 'Sci/Tech'" in printed
    news = load_news(folder(files | {"classes.txt": "a\nb\nc\nd\n"}, "named"))
    assert news.classes == ("a", "b", "c", "d")
    assert news.train["class_name"].tolist()[:4] == ["a", "b", "c", "d"]
    assert news.train.attrs["classes"] == news.classes
    semicolons = {name: as_csv(ag_rows("1234"), ";") for name in files}
    assert load_news(folder(semicolons, "semicolons")).classes[0] == "World"


def test_other_numbers_in_that_form_are_other_classes(folder):
    for name, labels in (("two", "12"), ("five", "12345"), ("zero", "0123")):
        news = load_news(folder({"train.csv": as_csv(ag_rows(labels)),
                                 "test.csv": as_csv(ag_rows(labels, 10))}, name))  # fmt: skip
        assert news.classes == tuple(labels)
        assert news.train["title"][0] == "Title 0"


def test_sports_does_not_become_world_silently(folder):
    """The labels 0 to 3 of the Hugging Face copy, of which no row is 0."""
    place = folder({"train.csv": as_csv(ag_rows("123")), "test.csv": as_csv(ag_rows("123", 6))})
    with pytest.raises(NewsFormatError) as caught:
        load_news(place)
    assert "two ways" in str(caught.value)
    assert "{1: 'World', 2: 'Sports', 3: 'Business'}" in str(caught.value)
    assert "{1: 'Sports', 2: 'Business', 3: 'Sci/Tech'}" in str(caught.value)
    news = load_news(place, classes={1: "Sports", 2: "Business", 3: "Sci/Tech"})
    assert news.classes == ("Sports", "Business", "Sci/Tech")
    assert load_news(place, classes=["a", "b", "c"]).classes == ("a", "b", "c")


def test_one_wrong_class_in_that_form_is_named_with_its_line(folder):
    rows = [*ag_rows("1234", 200), ("9", "x", "y z")]
    place = folder({"train.csv": as_csv(rows), "test.csv": as_csv(ag_rows("1234", 8))})
    with pytest.raises(NewsFormatError, match=r"train\.csv, line 201: class '9'"):
        load_news(place)


def test_two_rows_are_enough_to_tell_a_name_from_a_title(folder):
    content = "1,ham,see you\n2,spam,win cash\n"
    news = load_news(folder({"train.csv": content, "test.csv": content}))
    assert news.classes == ("ham", "spam")
    assert news.train["text"].tolist() == ["see you", "win cash"]


# ----------------------------------------------------------- nothing is guessed, nothing is silent


def spoiled(**files):
    return {"train.csv": as_csv(SPAM), "test.csv": as_csv(SPAM_TEST)} | files


HTML = "<!DOCTYPE html><html><body>404</body></html>"
BAD = {
    "a workbook": ({"train.csv": packed({"xl/workbook.xml": ""})}, "an Excel workbook, not CSV"),
    "an old workbook": ({"train.csv": b"\xd0\xcf\x11\xe0\xa1\xb1"}, r"Excel workbook \(\.xls\)"),
    "a ZIP archive": ({"train.csv": packed({"train.csv": "1,a"})}, "a ZIP archive, not CSV"),
    "a gzip archive": ({"test.csv": gzip.compress(b"ham,x")}, r"test\.csv is a gzip archive"),
    "a web page": ({"train.csv": HTML}, "an HTML page, not CSV"),
    "JSON": ({"train.csv": as_json(SPAM)}, r"is JSON, not CSV.*ends in \.json"),
    "JSON lines": ({"train.csv": as_json_lines(SPAM)}, r"JSON lines, not CSV.*\.jsonl"),
    "Parquet": ({"train.csv": b"PAR1abc"}, r"is Parquet, not CSV"),
    "a pointer": ({"train.csv": "version https://git-lfs.github.com/spec/v1\n"}, "git lfs pull"),
    "UTF-16": ({"train.csv": as_csv(SPAM).encode("utf-16")}, "UTF-16"),
    "a class only in test": (
        {"test.csv": as_csv([*SPAM_TEST, ("eggs", "with bacon")])},
        r"test\.csv, line 13: the class 'eggs' is only among the test rows",
    ),
    "hidden classes": (
        {"train.csv": as_csv(pairs("01")), "test.csv": as_csv([("-1", t) for _, t in SPAM_TEST])},
        r"test\.csv, line 1: the class '-1' is only among the test rows",
    ),
    "a named class without rows": (
        {"classes.txt": "ham\nspam\neggs"}, r"no row of the class 'eggs'"),
    "an unnamed class": ({"classes.txt": "ham\neggs"}, r"train\.csv, line 2: the class 'spam'"),
    "one class": ({"train.csv": as_csv([("ham", t) for _, t in SPAM])}, "no column with 2 to 100"),
    "a gap": (
        dict.fromkeys(("train.csv", "test.csv"), as_csv(pairs("023"))),
        r"no row has the class 1.*classes=\{0: "),
    "numbers from 2": (
        dict.fromkeys(("train.csv", "test.csv"), as_csv(pairs("23"))), "neither 0 nor 1"),
    "capitals": ({"train.csv": as_csv(SPAM + pairs(["Ham"], 9))}, "'Ham' and 'ham' differ in cap"),
    "no class": ({"train.csv": as_csv([*SPAM, ("", "text")])}, r"line 61: no class in 'column 1'"),
    "an uneven row": ({"train.csv": as_csv(SPAM) + "ham,a,b\n"}, r"line 61: 3 columns, expected 2"),
    "an open quote": ({"train.csv": as_csv(SPAM) + 'ham,"a\n'}, r"line 61: a quote is not closed"),
    "a second header": (
        {"train.csv": as_csv([*SPAM, ("label", "text")], header=["label", "text"])},
        "line 62: the header stands here again",
    ),
    "one column": ({"train.csv": "ham\nspam\n"}, "line 1: one column only"),
    "empty": ({"train.csv": " \n"}, r"train\.csv is empty"),
    "NUL": ({"train.csv": as_csv(SPAM) + "ham,a\0b\n"}, r"line 61: a NUL byte"),
    "two separators": (
        {"train.csv": "".join(f"{a},{a};{t.split()[0]}\n" for a, t in SPAM)},
        r"two ways: 2 columns with a comma .* 2 columns with a semicolon .*separator=",
    ),
    "two label columns": (
        {"train.csv": as_csv([(a, "xyz"[n % 3], t) for n, (a, t) in enumerate(SPAM)],
                             header=["category", "topic", "text"])},
        r'two ways: the class may stand in "category" or in "topic".*label="category"',
    ),
    "a test file without classes": (
        {"train.csv": as_csv([(n, *row) for n, row in enumerate(SPAM)],
                             header=["id", "label", "text"]),
         "test.csv": as_csv([(n, t) for n, (_, t) in enumerate(SPAM)], header=["id", "text"])},
        r'test\.csv has no column "label".*move the file away',
    ),
    "an unknown setting": ({"dataset.toml": "txt = 'a'\n"}, r"dataset\.toml: 'txt' is no option"),
    "a broken settings file": ({"dataset.toml": "text = \n"}, r"dataset\.toml is no TOML.*line 1"),
    "a wrong setting": ({"dataset.toml": "header = 'yes'\n"}, r"dataset\.toml: header='yes'"),
    "a column that is not there": ({"dataset.toml": "text = 'Body'\n"}, "no column 'Body'"),
    "names twice": ({"classes.txt": "ham\nham\n"}, r"classes\.txt: .*'ham' stands there twice"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_read_is_refused_in_one_sentence(case, folder, capsys):
    files, message = BAD[case]
    with pytest.raises(NewsFormatError, match=message) as caught:
        load_news(folder(spoiled(**files)))
    assert "\n" not in str(caught.value)
    assert "mine/" in str(caught.value)
    assert capsys.readouterr().out == ""


OTHER = {
    "CSV as JSON": ({"train.jsonl": as_csv(SPAM)}, r"train\.jsonl, line 1: no JSON"),
    "a broken line": ({"train.jsonl": as_json_lines(SPAM) + "\n{"}, r"jsonl, line 61: no JSON"),
    "a line with a list": ({"train.jsonl": as_json_lines(SPAM) + "\n[1]"}, "line 61: no JSON obj"),
    "a number for an object": ({"train.json": "[1, 2]"}, "JSON, but no rows"),
    "a text that is a list": (
        {"train.jsonl": as_json_lines([*SPAM, ("ham", True)])}, r'line 61: "text" holds True'),
    "half a character": (
        {"train.jsonl": as_json_lines([*SPAM, ("ham", "\ud800")])}, r"line 61: .*surrogate"),
    "no gzip": ({"train.csv.gz": as_csv(SPAM)}, "no gzip archive, in spite of its name"),
    "half a gzip": ({"train.csv.gz": gzip.compress(as_csv(SPAM).encode())[:-9]}, "damaged gzip"),
    "no ZIP": ({"data.zip": b"abc"}, "damaged ZIP"),
    "two training files": ({"train.csv": "a", "train.json": "b"}, "Both .* leave one of them"),
    "a missing piece": ({"train-00000-of-00002.csv": as_csv(SPAM)}, "one of 2 pieces, but 1"),
    "too many values": (
        {"train.csv": as_csv([(f"c{n}", t) for n, t in enumerate(some_texts(300))],
                             header=["label", "text"])}, "300 different values; expected 2 to 100"),
    "too few rows to set aside": ({"train.csv": as_csv(SPAM[:4])}, "no file with test rows"),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHER)
def test_other_formats_are_refused_as_clearly(case, folder):
    files, message = OTHER[case]
    with pytest.raises(NewsFormatError, match=message) as caught:
        load_news(folder(files))
    assert "\n" not in str(caught.value)


def test_names_and_numbers_that_fit_in_two_ways_are_refused(folder):
    place = folder({name: as_csv(pairs("123"), header=["label", "text"])
                    for name in ("train.csv", "test.csv")})  # fmt: skip
    assert load_news(place).classes == ("1", "2", "3")
    with pytest.raises(NewsFormatError, match=r"both readings fit.*1 is 'b'.*it is 'a'"):
        load_news(place, classes=["a", "b", "c", "d"])
    with pytest.raises(NewsFormatError, match=r"1 to 3, classes names 2.*0 to 1, or from 1 to 2"):
        load_news(place, classes=["a", "b"])
    many = load_news(place, classes={1: "low", 2: "low", 3: "high"})
    assert many.classes == ("low", "high")
    assert set(many.train["label"]) == {0, 1}


def test_a_first_row_with_a_class_of_its_own_may_be_a_header_or_not(folder):
    long = " ".join(WORDS)
    place = folder({"train.csv": as_csv([("eggs", long), *SPAM]), "test.csv": as_csv(SPAM_TEST)})
    with pytest.raises(NewsFormatError, match=r"line 1, can be read in two ways.*header=True"):
        load_news(place)
    assert load_news(place, header=False).classes == ("eggs", "ham", "spam")


def test_what_may_be_a_mistake_is_said(folder, capsys):
    load_news(
        folder({"train.csv": as_csv([*SPAM, ("spma", "win cash")]), "test.csv": as_csv(SPAM)})
    )
    printed = capsys.readouterr().out
    assert "only one training row of 'spma' (line 61)" in printed
    assert "no test row of 'spma'" in printed
    load_news(folder({"train.csv": as_csv(pairs("123")), "test.csv": as_csv(pairs("123"))}, "b"))
    assert "3 classes: 1, 2, 3, counted from 1" in capsys.readouterr().out
    load_news(folder(both(lambda r: as_csv([*r, ("ham", " ")]), ".csv"), "c"))
    assert "no text in 1 training and 1 test rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": 1.5}, "text=1.5: expected a column"),
        ({"label": True}, "label=True"),
        ({"header": "no"}, "header='no': expected True or False"),
        ({"classes": "ham"}, "classes='ham': expected a list"),
        ({"classes": ["ham"]}, "1 names, expected 2 to 100"),
        ({"classes": ["ham", 3]}, "3 is no name"),
        ({"separator": ",,"}, "expected one character"),
        ({"encoding": "utf-99"}, "encoding='utf-99' does not work"),
        ({"encoding": "rot13"}, "rot13"),
        ({"text": 9}, "text=9, but there are columns 1 to 2"),
        ({"text": 1, "label": 1}, "each has to be another column"),
    ],
)
def test_impossible_options_are_named(options, message, folder):
    with pytest.raises(ValueError, match=message):
        load_news(folder(both(as_csv, ".csv")), **options)


def test_numbers_may_belong_to_the_names_in_a_class_file(folder):
    stars = ["1 star", "2 stars", "3 stars"]
    files = {name: as_csv(pairs("123")) for name in ("train.csv", "test.csv")}
    assert load_news(folder(files | {"classes.txt": "\n".join(stars)})).classes == tuple(stars)


def test_the_options_are_those_of_the_docstring():
    import inspect

    named = [name for name in inspect.signature(load_news).parameters if name != "source"]
    assert sorted(named) == sorted(Options.__dataclass_fields__)


def test_the_settings_in_the_data_card_are_read():
    card = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    examples = re.findall(r"```toml\n(.*?)```", card, re.DOTALL)
    assert len(examples) == 2
    given = [Options(**tomllib.loads(example)).given for example in examples]
    assert set(given[0]) == set(Options.__dataclass_fields__)
    assert given[1] == {"classes": {"0": "negative", "4": "positive"}}


def test_make_hands_the_name_of_a_folder_over_as_it_is():
    make = shutil.which("make") or pytest.skip("no make here")
    name = "my data's folder"
    for goal in ("run", "bench"):
        command = [
            make,
            "-n",
            "--no-print-directory",
            "-f",
            str(ROOT / "Makefile"),
            goal,
            f"DATA={name}",
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert shlex.split(done.stdout.splitlines()[-1])[-2:] == ["--data", name]


def test_files_that_are_not_there(folder):
    with pytest.raises(
        FileNotFoundError, match=r"no training rows.*train\.csv.*there is readme\.md"
    ):
        load_news(folder({"readme.md": "x"}))
    with pytest.raises(NewsFormatError, match=r"one of 2 pieces, but 3 are there"):
        load_news(folder({f"train-0000{n}-of-00002.csv": "a" for n in range(3)}, "b"))
    with pytest.raises(NewsFormatError, match=r"its ending is none of"):
        load_news(folder({"a.xlsx": b"PK"}, "c") / "a.xlsx")


# -------------------------------------------------------------------- test rows that nobody brought


def test_train_alone_gives_test_rows_without_near_duplicates_across(folder, capsys):
    rows = pairs(["ham", "spam"], 200)
    rows += [(label, f"{text} again") for label, text in rows[:60]]
    news = load_news(folder({"train.csv": as_csv(rows)}))
    assert news.carved
    assert len(news.train) + len(news.test) == len(rows)
    assert news.test["label"].value_counts().to_dict() == {0: 26, 1: 26}
    joined = pd.concat(list(news))
    groups = near_duplicate_groups(joined["text"])
    assert not set(groups[: len(news.train)]) & set(groups[len(news.train) :])
    again = load_news(folder({"train.csv": as_csv(rows)}))
    pd.testing.assert_frame_equal(news.test, again.test)
    printed = capsys.readouterr().out.splitlines()[0]
    assert "no test file: 52 of the 260 rows set aside as test rows, near duplicates" in printed
    assert "52 test rows set aside from the same file" in news.description


def test_equal_texts_of_other_scripts_stay_on_one_side(folder):
    rows = [("甲乙"[n % 2], f"新闻标题{chr(0x4E00 + n // 4)}" + "内容"[n % 2]) for n in range(200)]
    news = load_news(folder({"train.csv": as_csv(rows, header=["label", "text"])}))
    assert not set(news.train["text"]) & set(news.test["text"])


def test_one_file_can_be_named(folder):
    place = folder({"spam.csv": as_csv(SPAM), "other.csv": as_csv(SPAM)})
    news = load_news(place / "spam.csv")
    assert (news.name, news.carved, set(news.md5)) == ("spam", True, {"spam.csv"})
    assert news.folder == place
    archive = folder({"both.zip": packed(both(as_csv, ".csv"))}, "b") / "both.zip"
    assert len(load_news(archive).test) == TEST
    ag = folder(both(as_csv, ".csv"), "c")
    with pytest.raises(FileNotFoundError, match="name the folder"):
        load_news(ag / "train.csv")


# ----------------------------------------------------------------------------- News, and a terminal


def test_a_part_of_the_rows_says_so():
    news = load_news("newsbriefs")
    part = news.with_training_rows(news.train.head(300))
    assert part.description == "News Briefs (300 of 1,800 training rows, 400 test rows)"
    assert part.with_training_rows(news.train.head(20)).description.startswith(
        "News Briefs (20 of 1,800 "
    )
    assert news.with_training_rows(news.train).description == news.description


def test_test_rows_are_bound_to_the_files_that_they_come_from():
    frame = pd.DataFrame({"label": [0]})
    both_files = {"test.csv": "b", "train.csv": "a"}
    assert News("x", Path(), frame, frame, both_files).test_md5 == "b"
    assert News("x", Path(), frame, frame, {"train.csv": "a"}).test_md5 == "a"
    assert News("x", Path(), frame, frame, {"b.json": "2", "a.json": "1"}).test_md5 == "1+2"
    assert News("x", Path(), frame, frame).test_md5 == ""


def test_a_terminal_that_knows_few_characters_gets_the_line_all_the_same(tmp_path, folder):
    place = folder(both(lambda r: as_csv([("短信" if a == "ham" else a, t) for a, t in r]), ".csv"),
                   "新闻")  # fmt: skip
    code = f"from agnews_utils.data import load_news; load_news({str(place)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"},
        capture_output=True,
        check=True,
    )  # fmt: skip
    assert b"Loaded ?? (60 training rows" in done.stdout
    assert b"2 classes: spam, ??" in done.stdout


# --------------------------------------------------------------------------------- any bytes at all


@settings(max_examples=100)
@given(
    content=st.binary(max_size=300)
    | st.text(alphabet='1234,;"\n\r ab', max_size=200).map(str.encode)
)
def test_any_bytes_in_ag_news_form_end_in_rows_or_in_one_sentence(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "news.csv"
    path.write_bytes(content)
    try:
        frame = read_news_csv(path)
    except NewsFormatError as error:
        message = str(error)
        assert re.search(r"news\.csv(, line \d+| is | has )", message)
        assert "\n" not in message
    else:
        assert len(frame) > 0
        assert frame["label"].between(0, 3).all()


SUFFIXES = [".csv", ".tsv", ".txt", ".json", ".jsonl", ".parquet", ".csv.gz", ".zip", ".json.gz"]
LIKE_A_FILE = st.one_of(
    st.binary(max_size=200),
    st.text(alphabet='01,;\t"\n\r ab{}[]:', max_size=120).map(str.encode),
    st.lists(st.tuples(st.sampled_from(["0", "1", "ham", "", "ham "]), st.text(max_size=12)),
             min_size=1, max_size=30).map(lambda rows: as_csv(rows).encode("utf-8", "replace")),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
        lambda inner: st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["text", "label", "a"]), inner, max_size=3),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode()),
)  # fmt: skip


@settings(max_examples=60)
@given(content=LIKE_A_FILE, compressed=st.booleans())
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_any_bytes_end_in_rows_or_in_one_sentence(suffix, content, compressed, tmp_path_factory):
    if compressed and suffix.endswith(".gz"):
        content = gzip.compress(content)
    if compressed and suffix == ".zip":
        content = packed({"train.csv": content, "test.csv": content})
    if compressed and suffix == ".parquet":
        content = b"PAR1" + content + b"PAR1"
    folder = tmp_path_factory.mktemp("any")
    names = ["data.zip"] if suffix == ".zip" else [f"train{suffix}", f"test{suffix}"]
    for name in names:
        (folder / name).write_bytes(content)
    try:
        news = load_news(folder)
    except (NewsFormatError, FileNotFoundError) as error:
        message = str(error)
        assert folder.name in message
        assert re.search(r"(data|train|test)\.|holds no training rows", message)
        assert len(message) < 1_000
    else:
        for frame in news:
            assert len(frame) > 0
            assert frame["label"].between(0, len(news.classes) - 1).all()
            assert all(isinstance(text, str) for text in frame["text"])
        assert 2 <= len(news.classes) <= 100
