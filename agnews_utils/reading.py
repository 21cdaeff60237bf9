"""Read one CSV file in the format of AG News, and say exactly what is wrong with a bad one.

Imported by chapter 1 through `agnews_utils.data`, which re-exports what is public here.
"""

from __future__ import annotations

import csv
import io
import os
import re
from pathlib import Path

import pandas as pd

from agnews_utils.corpus import CLASS_NAMES
from agnews_utils.files import shown_path

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
    r"""Read and check one CSV file in the format of AG News (chapter 1, "Labels" and "Fields").

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
