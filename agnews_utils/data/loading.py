"""Load a data set, read one CSV file, and say exactly what is wrong with a bad one."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from agnews_utils.data.corpus import (
    AG_NEWS_MD5,
    AG_NEWS_ROWS,
    CLASS_NAMES,
    NEWS_FILES,
    ag_news_folder,
    bundled_folder,
    missing_files,
)
from agnews_utils.files import file_hash, shown_path


@dataclass(frozen=True, eq=False, repr=False)
class News:
    """A data set with its two splits: `train, test = load_news()` unpacks it.

    Attributes
    ----------
    name : str
        "ag_news" if the test file is the official one, "newsbriefs" for the bundled corpus, else
        the name of the folder.
    folder : Path
        Where the files lie.
    train, test : DataFrame
        The rows as `read_news_csv` gives them.
    md5 : dict of str to str
        MD5 of each file, by file name.
    """

    name: str
    folder: Path
    train: pd.DataFrame
    test: pd.DataFrame
    md5: dict[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether both files are the official AG News files, all 120,000 and 7,600 rows."""
        return self.name == "ag_news" and self.md5 == AG_NEWS_MD5

    @property
    def description(self) -> str:
        """What was loaded, in the words that a result measured on it should carry."""
        titles = {"ag_news": "AG News", "newsbriefs": "News Briefs"}
        train, official = len(self.train), AG_NEWS_ROWS["train.csv"]
        rows = f"{train:,} training rows"
        if self.name == "ag_news" and train < official:
            rows = f"{train:,} of {official:,} training rows"
        elif self.name == "ag_news" and not self.complete:
            rows = f"{train:,} training rows from a changed file"
        return f"{titles.get(self.name, self.name)} ({rows}, {len(self.test):,} test rows)"

    def __iter__(self) -> Iterator[pd.DataFrame]:
        return iter((self.train, self.test))

    def __repr__(self) -> str:
        return f"News({self.description})"


def load_news(source: str | os.PathLike[str] | None = None) -> News:
    """Load the training and test rows, and print one line about them (exploration, "Get the data").

    Nothing is ever downloaded here: `download_ag_news()` or `make data` does that.

    Parameters
    ----------
    source : str or path, optional
        "ag_news", "newsbriefs", or a folder that holds `train.csv` and `test.csv`. Without it the
        environment variable `AGNEWS_DATA` decides; without that, AG News if it has been
        downloaded, else the bundled News Briefs.

    Returns
    -------
    News
        The two splits; `train, test = load_news()` unpacks it.

    Raises
    ------
    FileNotFoundError
        If the data set asked for is not there; the message says how to get it.
    NewsFormatError
        If a file is not in the format of AG News; see `read_news_csv`.
    """
    folder, remark = _chosen_folder(source)
    md5 = {name: file_hash(folder / name, "md5") for name in NEWS_FILES}
    train, test = (read_news_csv(folder / name) for name in NEWS_FILES)
    news = News(_data_set_name(folder, md5), folder, train, test, md5)
    place = "bundled with the course" if news.name == "newsbriefs" else f"from {shown_path(folder)}"
    missing = [frame.attrs["missing_descriptions"] for frame in news]
    gaps = f"; no description in {missing[0]:,} training and {missing[1]:,} test rows"
    print(f"Loaded {news.description}, {place}{gaps if any(missing) else ''}{remark}.")
    return news


def _chosen_folder(source: str | os.PathLike[str] | None) -> tuple[Path, str]:
    """Return the folder to read, and a remark about the choice for the printed line."""
    origin = "the argument of load_news"
    if source is None and os.environ.get("AGNEWS_DATA", "").strip():
        source, origin = os.environ["AGNEWS_DATA"].strip(), "the environment variable AGNEWS_DATA"
    if source is None:
        folder = ag_news_folder()
        missing = missing_files(folder)
        if not missing:
            return folder, ""
        remark = ""
        if len(missing) < len(NEWS_FILES):
            remark = f" ({shown_path(folder)} lacks {missing[0]}: `make data` completes it)"
        return bundled_folder(), remark
    if source == "newsbriefs":
        return bundled_folder(), ""
    if source == "ag_news":
        folder = ag_news_folder()
        if missing := missing_files(folder):
            raise FileNotFoundError(
                f"AG News is not there yet: no {' and '.join(missing)} in {shown_path(folder)}. "
                "Run `make data`, or download_ag_news() from agnews_utils.data in a notebook."
            )
        return folder, ""
    return _named_folder(source, origin), ""


def _named_folder(source: str | os.PathLike[str], origin: str) -> Path:
    folder = Path(source).expanduser()
    wanted = f"{os.fspath(source)!r}, from {origin},"
    if folder.is_dir():
        if missing := missing_files(folder):
            raise FileNotFoundError(
                f"The folder {wanted} holds no {' and no '.join(missing)}: name a folder that "
                "holds train.csv and test.csv."
            )
        return folder
    problem = "is a file" if folder.exists() else "does not exist"
    raise FileNotFoundError(
        f'{wanted} {problem}: expected "ag_news", "newsbriefs", or a folder that holds '
        "train.csv and test.csv."
    )


def _data_set_name(folder: Path, md5: dict[str, str]) -> str:
    """Name a data set by what its files are, since a folder may be called anything."""
    if md5["test.csv"] == AG_NEWS_MD5["test.csv"]:
        return "ag_news"
    try:
        if folder.resolve() == bundled_folder().resolve():
            return "newsbriefs"
    except FileNotFoundError:
        pass
    name = folder.resolve().name
    return f"{name} (own files)" if name in ("ag_news", "newsbriefs") else name


def read_truth(path: Path | None = None) -> list[dict]:
    """Read the truth file of News Briefs: what was added to each row, and the clean text.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    """
    path = bundled_folder() / "truth.jsonl" if path is None else path
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# ------------------------------------------------------------------------- one CSV file


_LABELS = {str(number): number - 1 for number in range(1, len(CLASS_NAMES) + 1)}
_EXPECTED = '3 columns, "class","title","description", separated by commas'
_HEADER_CLASS = re.compile(r"class|label|categor|target", re.IGNORECASE)
_HTML = re.compile(rb"\s*<(!doctype|html|head|body|\?xml)", re.IGNORECASE)
_NOT_TEXT = {
    b"PK\x03\x04": "This is a zip archive: unpack it first.",
    b"\x1f\x8b": "This is a gzip archive: unpack it first.",
    b"\xff\xfe": "This looks like UTF-16: save the file as UTF-8.",
    b"\xfe\xff": "This looks like UTF-16: save the file as UTF-8.",
}


class NewsFormatError(ValueError):
    """A file is not in the format of AG News; the message names the file and the line."""


def read_news_csv(path: str | os.PathLike[str]) -> pd.DataFrame:
    r"""Read and check one CSV file in the format of AG News (exploration, "Labels" and "Fields").

    The file has three columns, class (1 to 4), title and description, and normally no header; a
    header such as Kaggle's `Class Index,Title,Description` is skipped. Quotes inside a field are
    doubled; a backslash is an ordinary character, never an escape. Blank lines are skipped.

    Parameters
    ----------
    path : str or path
        The file: UTF-8, with or without a byte-order mark; any line ends.

    Returns
    -------
    DataFrame
        One row per record with the columns `label` (int64, 0 to 3), `class_name`, `title`,
        `description` and `text`, which is title and description joined by one space (stripped if
        one of them is empty). A missing description is kept as "". `attrs` has `path` (str, as
        `shown_path` writes it) and `missing_descriptions` (int).

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If there is no such file, or if it is a folder.
    NewsFormatError
        If the file is empty, not UTF-8, a web page, or holds a record that is not three columns
        with a class of 1 to 4. The message gives the line as an editor counts it, and the number
        of the record where that differs.
    """
    data = _checked_bytes(path)
    labels, titles, descriptions = _checked_columns(data, shown_path(path))
    texts = [_join(title, text) for title, text in zip(titles, descriptions, strict=True)]
    frame = pd.DataFrame(
        {
            "label": pd.Series(labels, dtype="int64"),
            "class_name": [CLASS_NAMES[label] for label in labels],
            "title": titles,
            "description": descriptions,
            "text": texts,
        }
    )
    missing = sum(not description.strip() for description in descriptions)
    frame.attrs = {"path": shown_path(path), "missing_descriptions": missing}
    return frame


def _join(title: str, description: str) -> str:
    joined = f"{title} {description}"
    return joined if title and description else joined.strip()


def _checked_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a file once they are known to be UTF-8 text that is not a web page."""
    name, path = shown_path(path), Path(path)
    if path.is_dir():
        raise IsADirectoryError(
            f"{path} is a folder: name the file inside it, for example {path / 'train.csv'}."
        )
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: check the path of the CSV file.")
    data = path.read_bytes()
    if not data.strip(b"\xef\xbb\xbf \t\r\n"):
        raise NewsFormatError(f"{name} is empty: expected {_EXPECTED}. Download it again.")
    for start, advice in _NOT_TEXT.items():
        if data.startswith(start):
            raise NewsFormatError(f"{name} is not a CSV file in UTF-8. {advice}")
    if _HTML.match(data.removeprefix(b"\xef\xbb\xbf")):
        raise NewsFormatError(
            f"{name} holds a web page instead of CSV, probably the error page of a failed "
            "download: delete it and download the file again."
        )
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NewsFormatError(
            f"{name}, line {_line_at(data, error.start)}: not UTF-8, the byte at offset "
            f"{error.start:,} is 0x{data[error.start]:02x}. Save the file as UTF-8."
        ) from None
    if (offset := data.find(b"\0")) >= 0:
        raise NewsFormatError(
            f"{name}, line {_line_at(data, offset)}: a NUL byte at offset {offset:,}. The file is "
            "damaged or not text: download it again."
        )
    return data


def _line_at(data: bytes, offset: int) -> int:
    """Line number, counted from 1, of a byte; old Mac files have no newline but a return."""
    return data.count(b"\n" if b"\n" in data else b"\r", 0, offset) + 1


def _checked_columns(data: bytes, name: str) -> tuple[list[int], list[str], list[str]]:
    """Labels, titles and descriptions of a file's records; errors name the line and record."""
    labels: list[int] = []
    titles: list[str] = []
    descriptions: list[str] = []
    # newline="" leaves line ends inside quoted fields to the csv module, and strict=True turns a
    # stray quote into an error where the default would glue two records together.
    lines = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="")
    reader = csv.reader(lines, strict=True)
    line, first = 1, True
    try:
        for record in reader:
            if len(record) != 3 or record[0] not in _LABELS:
                if not any(cell.strip() for cell in record) and len(record) <= 1:
                    line = reader.line_num + 1
                    continue
                if first and _is_header(record):
                    line, first = reader.line_num + 1, False
                    continue
                record = _repaired(record, _place(name, line, len(labels) + 1))
            labels.append(_LABELS[record[0]])
            titles.append(record[1])
            descriptions.append(record[2])
            line, first = reader.line_num + 1, False
    except csv.Error as error:
        raise NewsFormatError(
            f"{_place(name, line, len(labels) + 1)}: a quote is not closed or not doubled in the "
            f"record that starts here ({error}). Write a quote inside a field twice, as in "
            '"He said ""yes""", and close every field.'
        ) from None
    if not labels:
        raise NewsFormatError(f"{name} has a header but no rows: download it again.")
    return labels, titles, descriptions


def _place(name: str, line: int, record: int) -> str:
    return f"{name}, line {line}" + ("" if record == line else f" (record {record})")


def _is_header(record: list[str]) -> bool:
    """Tell whether a first record names the columns: its class is a word about classes."""
    return len(record) == 3 and len(record[0]) <= 20 and bool(_HEADER_CLASS.search(record[0]))


def _repaired(record: list[str], place: str) -> list[str]:
    """Accept a class with spaces around it; say what is wrong with any other record."""
    if len(record) != 3:
        raise NewsFormatError(f"{place}: {len(record)} columns, expected {_EXPECTED}.")
    label = record[0].strip()
    if label in _LABELS:
        return [label, *record[1:]]
    advice = ""
    if label == "0":
        advice = (
            " This file probably counts its classes from 0, as the Hugging Face copy does: "
            "add 1 to its first column."
        )
    names = ", ".join(f"{number} {CLASS_NAMES[index]}" for number, index in _LABELS.items())
    raise NewsFormatError(
        f"{place}: class {record[0][:40]!r}, but in the files of AG News it is {names}.{advice}"
    )
