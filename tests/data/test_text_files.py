"""Texts of one file each, in a folder for each class: read whole, or refused in a sentence."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from agnews_utils.data.formats import NewsFormatError
from agnews_utils.data.loading import load_news

TEXTS = {
    f"{split}/{kind}/{number}.txt": f"{kind} {split} text number {number}"
    for split in ("train", "test")
    for kind in ("pos", "neg")
    for number in (2, 10, 1)
}


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def as_tar(path, files, mode="w:gz"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            data = content if isinstance(content, bytes) else content.encode()
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def as_zip(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def expected(split):
    """What a reader by hand gets: the names sorted as texts."""
    names = sorted(name for name in TEXTS if name.startswith(split))
    return [(name.split("/")[1], TEXTS[name]) for name in names]


def found(frame):
    return list(zip(frame["class_name"], frame["text"], strict=True))


@pytest.mark.parametrize("root", ["", "aclImdb/", "./aclImdb/"])
@pytest.mark.parametrize("form", ["folder", "tar.gz", "tgz", "tar", "zip", "tar beside", "zip in"])
def test_the_same_rows_in_any_wrapping(tmp_path, form, root, capsys):
    files = {root + name: text for name, text in TEXTS.items()}
    place = {
        "folder": lambda: write(tmp_path / "mine", files),
        "tar.gz": lambda: as_tar(tmp_path / "mine.tar.gz", files),
        "tgz": lambda: as_tar(tmp_path / "mine.tgz", files),
        "tar": lambda: as_tar(tmp_path / "mine.tar", files, "w"),
        "zip": lambda: as_zip(tmp_path / "mine.zip", files),
        "tar beside": lambda: as_tar(tmp_path / "mine" / "all.tar.gz", files).parent,
        "zip in": lambda: as_zip(tmp_path / "mine" / "all.zip", files).parent,
    }[form]()
    news = load_news(place)
    assert news.classes == ("neg", "pos")
    assert found(news.train) == expected("train")
    assert found(news.test) == expected("test")
    assert news.train["label"].tolist() == [0, 0, 0, 1, 1, 1]
    assert (news.train["title"] == "").all()
    assert not news.carved
    assert "read as: one text a file, its folder is its class, 2 classes" in capsys.readouterr().out


def test_packed_or_not_the_data_have_one_hash(tmp_path):
    folder = load_news(write(tmp_path / "a", TEXTS))
    archive = load_news(as_tar(tmp_path / "b.tar.gz", {f"x/{n}": t for n, t in TEXTS.items()}))
    assert folder.md5 == archive.md5
    assert set(folder.md5) == {"train", "test"}
    changed = load_news(write(tmp_path / "c", TEXTS | {"test/pos/1.txt": "another"}))
    assert changed.md5["train"] == folder.md5["train"]
    assert changed.md5["test"] != folder.md5["test"]
    assert changed.test_md5 != folder.test_md5


def test_names_are_sorted_as_texts(tmp_path):
    news = load_news(write(tmp_path, TEXTS))
    assert [text.split()[-1] for text in news.train["text"][:3]] == ["1", "10", "2"]


def test_what_is_no_class_is_told_apart_and_said(tmp_path, capsys):
    """The layout of the archive of IMDb: texts without labels, lists, a vocabulary."""
    extra = {
        "train/unsup/1_0.txt": "nobody has read it",
        "train/unsup/2_0.txt": "nor this",
        "train/urls_pos.txt": "http://a.example",
        "train/labeledBow.feat": "9 0:9",
        "imdb.vocab": "the\nand",
        "imdbEr.txt": "0.04",
        "README": "about",
        "train/pos/.hidden.txt": "no",
        "__MACOSX/train/pos/1.txt": "no",
    }
    files = {f"aclImdb/{name}": text for name, text in (TEXTS | extra).items()}
    for place in (write(tmp_path / "x", files), as_tar(tmp_path / "y.tar.gz", files)):
        news = load_news(place)
        assert found(news.train) == expected("train")
        said = capsys.readouterr().out
        assert "2 texts in aclImdb/train/unsup/ have no class, not read" in said
        assert "4 other files not read" in said


def side_by_side(count=20):
    stories = (
        "the harbor opens at noon",
        "a quick fox jumps over fences",
        "rain falls on seven hills",
    )
    return {
        f"{kind}/{n:03}": f"{kind} {stories[n % 3]} for {chr(97 + n) * 4} and {chr(98 + n) * 5} {n}"
        for kind in ("sport", "politics", "comp.graphics")
        for n in range(count)
    }


def test_without_test_folder_rows_are_set_aside(tmp_path, capsys):
    """The classes stand side by side, and files have no ending, as in the 20 Newsgroups."""
    files = side_by_side()
    news = load_news(write(tmp_path / "groups", files))
    assert news.carved
    assert news.classes == ("comp.graphics", "politics", "sport")
    assert sorted([*news.train["text"], *news.test["text"]]) == sorted(files.values())
    assert news.test["class_name"].value_counts().to_dict() == dict.fromkeys(news.classes, 4)
    assert "12 of the 60 rows set aside" in capsys.readouterr().out


def test_split_folders_with_longer_names_and_a_validation_folder(tmp_path, capsys):
    names = {"train": "20news-bydate-train", "test": "20news-bydate-test"}
    files = {n.replace(n.split("/")[0], names[n.split("/")[0]]): t for n, t in TEXTS.items()}
    assert found(load_news(write(tmp_path / "a", files)).test) == expected("test")
    files = {name.replace("test/", "dev/"): text for name, text in TEXTS.items()}
    news = load_news(write(tmp_path / "b", files))
    assert found(news.test) == expected("test")
    assert "validation folder are the test rows" in capsys.readouterr().out
    load_news(write(tmp_path / "c", files | TEXTS))
    assert "the validation folder is not read" in capsys.readouterr().out


def test_an_empty_file_is_a_row_without_text(tmp_path, capsys):
    news = load_news(write(tmp_path, TEXTS | {"train/pos/1.txt": "\n"}))
    assert news.train.attrs["missing_descriptions"] == 1
    assert len(news.train) == 6
    assert "no text in 1 training and 0 test rows" in capsys.readouterr().out


def test_texts_may_look_like_other_formats(tmp_path):
    odd = {"train/pos/1.txt": "<html>a page</html>", "train/neg/1.txt": '{"a": 1}'}
    news = load_news(write(tmp_path, TEXTS | odd))
    assert set(odd.values()) < set(news.train["text"])


def test_encoding_and_names(tmp_path):
    files = TEXTS | {"train/pos/1.txt": "café".encode("cp1252")}
    write(tmp_path, files)
    with pytest.raises(NewsFormatError, match=r"train/pos/1\.txt, line 1: not UTF-8, .*cp1252"):
        load_news(tmp_path)
    news = load_news(tmp_path, encoding="cp1252", classes={"neg": "bad", "pos": "good"})
    assert "café" in set(news.train["text"])
    assert news.classes == ("bad", "good")
    (tmp_path / "dataset.toml").write_text('encoding = "cp1252"')
    assert "café" in set(load_news(tmp_path).train["text"])


REFUSED = {
    "a class only in test": (
        TEXTS | {"test/odd/1.txt": "new"}, r"odd/1\.txt: the class 'odd' is only among the"),
    "one class": (
        {name: text for name, text in TEXTS.items() if "neg" not in name}, r"1 class \(pos\); exp"),
    "a NUL byte": (TEXTS | {"train/neg/1.txt": b"a\0b"}, r"train/neg/1\.txt, line 1: a NUL byte"),
    "UTF-16": (
        TEXTS | {"train/neg/1.txt": "a text".encode("utf-16")}, r"neg/1\.txt is not in UTF-8"),
    "nothing but empty files": (dict.fromkeys(TEXTS, ""), "all training files are empty"),
    "too few to set aside": ({"a/1.txt": "one", "b/1.txt": "two"}, "too few different rows"),
    "classes in two places": (
        {"x/a/1.txt": "one", "y/b/1.txt": "two"}, r"several places \(x/ and y/\)"),
    "capitals": (
        TEXTS | {"train/Pos/7.txt": "seven"}, "'Pos' and 'pos' differ in capitals only"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("wrap", ["folder", "tar"])
def test_bad_ones_are_refused_in_one_sentence(tmp_path, case, wrap):
    files, message = REFUSED[case]
    if wrap == "folder":
        place = write(tmp_path / "mine", files)
    else:
        place = as_tar(tmp_path / "mine.tar.gz", files)
    with pytest.raises(NewsFormatError, match=message) as caught:
        load_news(place)
    assert "\n" not in str(caught.value)


def test_options_for_columns_have_no_meaning(tmp_path):
    with pytest.raises(NewsFormatError, match="no columns, so label='x' has no meaning"):
        load_news(write(tmp_path, TEXTS), label="x")


def test_damaged_and_other_archives(tmp_path):
    whole = as_tar(tmp_path / "whole.tar.gz", TEXTS).read_bytes()
    (tmp_path / "half.tar.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "none.tar.gz").write_bytes(b"<html>not found</html>")
    for name in ("half.tar.gz", "none.tar.gz"):
        with pytest.raises(NewsFormatError, match=rf"{name} is a damaged archive .*download it"):
            load_news(tmp_path / name)
    as_tar(tmp_path / "csv.tar.gz", {"train.csv": "1,a,b"})
    with pytest.raises(NewsFormatError, match="archive without folders of texts"):
        load_news(tmp_path / "csv.tar.gz")
    as_tar(tmp_path / "two" / "a.tar.gz", TEXTS)
    as_tar(tmp_path / "two" / "b.tar.gz", TEXTS)
    with pytest.raises(NewsFormatError, match=r"Both .*a\.tar\.gz and .*b\.tar\.gz"):
        load_news(tmp_path / "two")


def test_tables_go_first(tmp_path, capsys):
    rows = "label,text\n" + "".join(f"{'ab'[n % 2]},text {n} of {n * 7}\n" for n in range(6))
    tables = {"train.csv": rows, "test.csv": rows}
    news = load_news(write(tmp_path / "a", TEXTS | tables))
    assert len(news.train) == 6
    assert news.classes == ("a", "b")
    news = load_news(as_zip(tmp_path / "b.zip", TEXTS | tables))
    assert news.classes == ("a", "b")
    lines = {"train.txt": rows, "test.txt": rows, "notes/a/1.txt": "x", "notes/b/1.txt": "y"}
    assert load_news(write(tmp_path / "c", lines)).classes == ("a", "b")
    assert "one text a file" not in capsys.readouterr().out


def test_a_link_out_of_an_archive_is_not_followed(tmp_path):
    (tmp_path / "secret").write_text("secret")
    path = as_tar(tmp_path / "a.tar", TEXTS, "w")
    with tarfile.open(path, "a") as archive:
        entry = tarfile.TarInfo("train/pos/99.txt")
        entry.type, entry.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
        archive.addfile(entry)
    news = load_news(path)
    assert "secret" not in set(news.train["text"])
    assert not Path("train").exists()  # nothing is unpacked
