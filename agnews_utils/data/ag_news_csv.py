"""Read one CSV file in the format of AG News, and say exactly what is wrong with a bad one."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from agnews_utils.data.corpus import CLASS_NAMES
from agnews_utils.data.formats import (
    SEPARATORS,
    NewsFormatError,
    decoded,
    fields_of_any_length,
    records,
    unclosed_quote,
)
from agnews_utils.files import shown_path

_LABELS = {str(number): number - 1 for number in range(1, len(CLASS_NAMES) + 1)}
_EXPECTED = '3 columns, "class","title","description", separated by commas'
_HEADER_CLASS = re.compile(r"class|label|categor|target", re.IGNORECASE)


class ForeignClassError(NewsFormatError):
    """A class is none of AG News': the rest of the file may be in its format all the same."""


def read_news_csv(path: str | os.PathLike[str]) -> pd.DataFrame:
    r"""Read and check one CSV file in the format of AG News (exploration, "Labels" and "Fields").

    The file has three columns, class (1 to 4), title and description, and normally no header; a
    header such as Kaggle's `Class Index,Title,Description` is skipped. Quotes inside a field are
    doubled; a backslash is an ordinary character, never an escape. Blank lines are skipped. Other
    files are read by `load_news`.

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
        `shown_path` writes it), `missing_descriptions` (int) and `classes` (tuple of str).

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If there is no such file, or if it is a folder.
    NewsFormatError
        If the file is empty, not UTF-8, a web page, or holds a record that is not three columns
        with a class of 1 to 4. The message gives the line as an editor counts it, and the number
        of the record where that differs.
    """
    name, path = shown_path(path), Path(path)
    if path.is_dir():
        raise IsADirectoryError(
            f"{path} is a folder: name the file inside it, for example {path / 'train.csv'}."
        )
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: check the path of the CSV file.")
    data = path.read_bytes()
    decoded(data, name, "CSV")
    return news_frame(*_checked_columns(data, name), CLASS_NAMES, name)


def news_frame(
    labels: Sequence[int],
    titles: Sequence[str],
    descriptions: Sequence[str],
    classes: Sequence[str],
    name: str,
) -> pd.DataFrame:
    """Return rows in the form of `read_news_csv`, whatever file they come from.

    Texts without a title stand in `description`, with a `title` of "": cleaning joins the two.
    """
    frame = pd.DataFrame(
        {
            "label": pd.Series(labels, dtype="int64"),
            "class_name": [classes[label] for label in labels],
            "title": titles,
            "description": descriptions,
            "text": [_join(*pair) for pair in zip(titles, descriptions, strict=True)],
        }
    )
    missing = sum(not description.strip() for description in descriptions)
    frame.attrs = {"path": name, "missing_descriptions": missing, "classes": tuple(classes)}
    return frame


def looks_like_ag_news(path: Path) -> bool:
    """Tell by its beginning whether a file was meant to be in the format of AG News."""
    with open(path, "rb") as file:
        text = file.read(2**16).decode("utf-8-sig", "replace")
    head: list[list[str]] = []
    try:
        for _, record in records(text, ","):
            head.append(record)
    except csv.Error:
        pass  # the last record is cut off, or a quote is wrong: judge by those before it
    head = head[_is_header(head[0]) :] if head else []
    fitting = sum(len(record) == 3 and record[0].strip() in _LABELS for record in head)
    return len(head) > 0 and 2 * fitting >= len(head)


def foreign_share(path: Path) -> float:
    """Return the share of the records whose class is none of AG News'."""
    found, foreign = 0, 0
    try:
        with fields_of_any_length():
            for _, record in records(path.read_bytes().decode("utf-8-sig", "replace"), ","):
                found += 1
                foreign += record[0].strip() not in _LABELS
    except csv.Error:
        pass  # judge by the records before
    return foreign / max(1, found)


def _join(title: str, description: str) -> str:
    joined = f"{title} {description}"
    return joined if title and description else joined.strip()


def _checked_columns(data: bytes, name: str) -> tuple[list[int], list[str], list[str]]:
    """Labels, titles and descriptions of a file's records; errors name the line and record."""
    labels: list[int] = []
    titles: list[str] = []
    descriptions: list[str] = []
    # The loop of `formats.records`, written out: this one is run on 120,000 rows in each chapter.
    lines = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="")
    reader = csv.reader(lines, strict=True)
    line, first = 1, True
    try:
        with fields_of_any_length():
            for record in reader:
                if len(record) != 3 or record[0] not in _LABELS:
                    if not any(cell.strip() for cell in record) and len(record) <= 1:
                        line = reader.line_num + 1
                        continue
                    if first and _is_header(record):
                        line, first = reader.line_num + 1, False
                        continue
                    place = _place(name, line, len(labels) + 1)
                    record = _repaired(record, place, data if first else b"")
                labels.append(_LABELS[record[0]])
                titles.append(record[1])
                descriptions.append(record[2])
                line, first = reader.line_num + 1, False
    except csv.Error as error:
        place = _place(name, line, len(labels) + 1)
        if first and (advice := _other_separator(data)):
            raise NewsFormatError(f"{place}: no record of {_EXPECTED}.{advice}") from None
        raise unclosed_quote(place, error) from None
    if not labels:
        raise NewsFormatError(f"{name} has a header but no rows: download it again.")
    return labels, titles, descriptions


def _place(name: str, line: int, record: int) -> str:
    return f"{name}, line {line}" + ("" if record == line else f" (record {record})")


def _is_header(record: list[str]) -> bool:
    """Tell whether a first record names the columns: its class is a word about classes."""
    return len(record) == 3 and len(record[0]) <= 20 and bool(_HEADER_CLASS.search(record[0]))


def _other_separator(data: bytes) -> str:
    """Return a remark on the separator, if the first line seems to have another than commas."""
    first = data.lstrip().split(b"\n", 1)[0].decode("utf-8", "replace")
    for name in ("semicolon", "tab"):
        if first.count(SEPARATORS[name]) == 2 and not re.search(r'[^"],|,[^"]', first):
            return f" Its columns are separated by {name}s: load_news reads such a file."
    return ""


def _repaired(record: list[str], place: str, data: bytes) -> list[str]:
    """Accept a class with spaces around it; say what is wrong with any other record."""
    if len(record) != 3:
        advice = _other_separator(data) if len(record) == 1 else ""
        raise NewsFormatError(f"{place}: {len(record)} columns, expected {_EXPECTED}.{advice}")
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
    raise ForeignClassError(
        f"{place}: class {record[0][:40]!r}, but in the files of AG News it is {names}.{advice}"
    )
