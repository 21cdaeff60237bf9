"""Files of labelled texts as tables of rows: CSV, JSON, JSON lines, Parquet; plain, in gzip or ZIP.

What a file *is* counts, not only what it is called: a workbook that is named `train.csv` is refused
as a workbook. CSV is read with the standard library's `csv`, which, unlike pandas, can be strict
about quotes and knows the line of each record; Parquet with pyarrow.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agnews_utils.files import shown_path

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
"""What may stand between the columns of a CSV file, by its name in messages."""

_KINDS = {
    "csv": "CSV", "tsv": "CSV", "tab": "CSV", "txt": "CSV", "": "CSV",
    "jsonl": "JSON", "ndjson": "JSON", "json": "JSON", "parquet": "Parquet",
}  # fmt: skip
_HTML = re.compile(rb"\s*<(!doctype html|html|head|body)", re.IGNORECASE)
_UNPACK = "Unpack it first."
_STARTS = (
    (b"\x1f\x8b", "a gzip archive", f"{_UNPACK} Or name it so that it ends in .gz."),
    (b"BZh", "a bzip2 archive", _UNPACK),
    (b"\xfd7zXZ", "an xz archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", _UNPACK),
    (b"7z\xbc\xaf", "a 7z archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"PAR1", "Parquet", "Name it so that it ends in .parquet."),
    (b"ARROW1", "an Arrow file", "Save the table as Parquet or CSV."),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook (.xls)", "Save the sheet as CSV in UTF-8."),
    (b"%PDF", "a PDF document", "Save the rows as CSV in UTF-8."),
    (b"{\\rtf", "an RTF document", "Save it as plain text in UTF-8."),
    (b"SQLite format 3", "an SQLite database", "Save the table as CSV in UTF-8."),
    (b"version https://git-lfs", "a Git LFS pointer", "Run `git lfs pull` to get the file."),
    (b"\x80\x03", "a Python pickle", "Save the table as CSV or Parquet."),
    (b"\x80\x04", "a Python pickle", "Save the table as CSV or Parquet."),
    (b"\x80\x05", "a Python pickle", "Save the table as CSV or Parquet."),
)
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class NewsFormatError(ValueError):
    """A file cannot be read, or not in one way only; the message names the file, and the line."""


@dataclass(frozen=True)
class Part:
    """One file of a data set, on the disk or inside a ZIP archive.

    Attributes
    ----------
    path : Path
        The file on the disk.
    member : str
        Its name inside the ZIP archive at `path`; "" if it is the file itself.
    """

    path: Path
    member: str = ""

    @property
    def file_name(self) -> str:
        """The name without folders, lower case, without the ending of a compressed file."""
        name = (self.member.rsplit("/", 1)[-1] or self.path.name).lower()
        return name.removesuffix(".gz")

    @property
    def shown(self) -> str:
        """The name in messages."""
        return shown_path(self.path) + (f"/{self.member}" if self.member else "")

    @property
    def kind(self) -> str | None:
        """CSV, JSON or Parquet, by the ending; None for a file of another kind."""
        stem, dot, suffix = self.file_name.rpartition(".")
        return _KINDS.get(suffix if dot and stem else "")

    def read(self) -> bytes:
        """Return the bytes, unpacked.

        Raises
        ------
        NewsFormatError
            If the archive is damaged, encrypted, or none.
        """
        data = self.path.read_bytes() if not self.member else _member(self.path, self.member)
        if not (self.member or self.path.name).lower().endswith(".gz"):
            return data
        if not data.startswith(b"\x1f\x8b"):
            kind = (foreign_kind(data) or ("plain text", ""))[0]
            raise NewsFormatError(
                f"{self.shown} is no gzip archive, in spite of its name, but {kind}: rename it."
            )
        try:
            return gzip.decompress(data)
        except Exception as error:  # zlib.error, EOFError, BadGzipFile, ...
            raise NewsFormatError(
                f"{self.shown} is a damaged gzip archive ({error}): download it again."
            ) from None


def _member(path: Path, member: str) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(member)
    except Exception as error:  # the formats inside raise many kinds, RuntimeError for a password
        raise NewsFormatError(
            f"{shown_path(path)}/{member} cannot be unpacked ({error}): download it again, or "
            "unpack it with another program."
        ) from None


def archived_parts(path: Path) -> list[Part]:
    """Return the files of a ZIP archive that may hold rows; NewsFormatError if it is damaged."""
    if (kind := foreign_kind(path.read_bytes())) and kind[0] != "a ZIP archive":
        raise NewsFormatError(f"{shown_path(path)} is no ZIP archive but {kind[0]}. {kind[1]}")
    try:
        with zipfile.ZipFile(path) as archive:
            names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    except Exception as error:
        raise NewsFormatError(
            f"{shown_path(path)} is a damaged ZIP archive ({error}): download it again."
        ) from None
    plain = [name for name in names if not re.search(r"(^|/)(\.|__MACOSX)", name)]
    return [Part(path, name) for name in sorted(plain)]


def foreign_kind(data: bytes) -> tuple[str, str] | None:
    """Return what a file is and what to do, if it is none of the texts that CSV is made of."""
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _kind_of_zip(data)
    for start, kind, advice in _STARTS:
        if data.startswith(start):
            return kind, advice
    if data[257:262] == b"ustar":
        return "a tar archive", _UNPACK
    start_of_text = data.removeprefix(b"\xef\xbb\xbf")
    if _HTML.match(start_of_text):
        return "an HTML page", (
            "It is probably the error page of a failed download: delete it, and download the file "
            "again."
        )
    if start_of_text.lstrip()[:5].lower() == b"<?xml":
        return "XML", "Save the rows as CSV in UTF-8."
    return _kind_of_json(start_of_text)


def _kind_of_zip(data: bytes) -> tuple[str, str]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except Exception:  # cut off: the list of names stands at the end
        names = []
    if any(name.startswith("xl/") for name in names) or b"xl/workbook" in data[:4096]:
        return "an Excel workbook", "Save the sheet as CSV in UTF-8."
    if any(name.startswith("word/") for name in names):
        return "a Word document", "Save the rows as CSV in UTF-8."
    if "content.xml" in names:
        return "an OpenDocument file", "Save the sheet as CSV in UTF-8."
    return "a ZIP archive", f"{_UNPACK} Or name it so that it ends in .zip."


def _kind_of_json(data: bytes) -> tuple[str, str] | None:
    start = data.lstrip()
    if start[:1] not in (b"{", b"["):
        return None
    for kind, part in (("JSON lines", start.splitlines()[0]), ("JSON", start)):
        try:
            found = json.loads(part)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) or (isinstance(found, list) and kind == "JSON"):
            one_line = kind == "JSON lines" and len(start.splitlines()) == 1
            ending = ".jsonl" if kind == "JSON lines" else ".json"
            return "JSON" if one_line else kind, f"Name it so that it ends in {ending}."
    return None


# ---------------------------------------------------------------------------------- bytes to text


def decoded(data: bytes, name: str, wanted: str, encoding: str | None = None) -> str:
    """Return the text of a file that has to be one.

    Parameters
    ----------
    data : bytes
        The file, unpacked.
    name, wanted : str
        Its name, and the kind that it should be, for messages.
    encoding : str, optional
        Any that Python knows; by default UTF-8, with or without a byte-order mark.

    Raises
    ------
    NewsFormatError
        If the file is empty, of another kind, or not in this encoding.
    """
    if not data.strip(b"\xef\xbb\xbf \t\r\n"):
        raise NewsFormatError(f"{name} is empty: expected {wanted}. Download it again.")
    is_json = wanted == "JSON" and data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")
    if not is_json and (foreign := foreign_kind(data)):
        raise NewsFormatError(f"{name} is {foreign[0]}, not {wanted}. {foreign[1]}")
    return as_text(data, name, encoding)


def as_text(data: bytes, name: str, encoding: str | None = None) -> str:
    """Return bytes as the text that they are; NewsFormatError if they are not in this encoding."""
    if encoding is None and data.startswith(_UTF_16):
        raise NewsFormatError(
            f"{name} is not in UTF-8. This looks like UTF-16: save the file as UTF-8, or say "
            'encoding="utf-16".'
        )
    try:
        text = data.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        position = f"the byte at offset {error.start:,} is 0x{data[error.start]:02x}"
        if encoding is not None:
            raise NewsFormatError(
                f"{name}, line {_line_at(data, error.start)}: not {encoding}, {position}."
            ) from None
        raise NewsFormatError(
            f"{name}, line {_line_at(data, error.start)}: not UTF-8, {position}. Save the file as "
            'UTF-8, or say how it is written, as in encoding="cp1252".'
        ) from None
    except (LookupError, UnicodeError, ValueError) as error:
        raise NewsFormatError(f"{name}: encoding={encoding!r} does not work ({error}).") from None
    if not isinstance(text, str):  # codecs such as rot13 are no encodings of text
        raise NewsFormatError(f"{name}: encoding={encoding!r} is no encoding of text.")
    if (offset := text.find("\0")) >= 0:
        before = text[:offset].encode("utf-8", "replace")
        raise NewsFormatError(
            f"{name}, line {_line_at(before, len(before))}: a NUL byte at offset {len(before):,}. "
            "The file is damaged or not text: download it again."
        )
    return text.removeprefix("\ufeff")


def _line_at(data: bytes, offset: int) -> int:
    """Line number, counted from 1, of a byte; old Mac files have no newline but a return."""
    return data.count(b"\n" if b"\n" in data else b"\r", 0, offset) + 1


# ---------------------------------------------------------------------------------- text to tables


@dataclass
class Table:
    """The rows of a file, before anybody has said what they mean.

    Attributes
    ----------
    name : str
        The file, as in messages.
    form : str
        What it was read as: the separator of a CSV file, "JSON lines", "JSON", "Parquet".
    columns : list of str or None
        Names of the columns; None as long as it is open whether the first record holds them.
    rows : list of sequences
        The records; strings, or what JSON and Parquet have.
    lines : sequence of int
        Line of each record, from 1; where a file has no lines, its number.
    unit : str
        "line" or "row": what `lines` counts.
    class_names : dict
        Column -> names of its numbers from 0, where the file itself has them (Hugging Face).
    """

    name: str
    form: str
    columns: list[str] | None
    rows: Sequence[Sequence[Any]]
    lines: Sequence[int]
    unit: str = "line"
    class_names: dict[str, list[str]] = field(default_factory=dict)

    def place(self, row: int) -> str:
        """Return the file and line of a record, as in messages."""
        line = self.lines[row]
        other = "" if self.unit == "row" or line == row + 1 else f" (record {row + 1})"
        return f"{self.name}, {self.unit} {line}{other}"


def read_table(part: Part, separator: str | None = None, encoding: str | None = None) -> Table:
    """Read one file as a table.

    Parameters
    ----------
    part : Part
        The file.
    separator : str, optional
        The character between the columns of a CSV file; by default it is found out.
    encoding : str, optional
        As in `decoded`.

    Raises
    ------
    NewsFormatError
        If the file is of another kind, damaged, or can be read in two ways.
    """
    data = part.read()
    if part.kind == "Parquet":
        return _read_parquet(data, part.shown)
    if part.kind == "JSON":
        return _read_json(decoded(data, part.shown, "JSON", encoding), part.shown)
    text = decoded(data, part.shown, "CSV", encoding)
    if told := re.match(r"sep=([^\r\n])(?=[\r\n])", text):  # Excel's own first line
        text, separator = text[told.end() :], separator or told[1]
    if separator is not None:
        return _read_csv(text, part.shown, separator)
    return _read_csv(text, part.shown, _found_separator(text, part))


@contextmanager
def fields_of_any_length() -> Iterator[None]:
    """Let `csv` read fields of more than 131,072 characters; its limit is one for all readers."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def records(
    text: str, separator: str, quoting: int = csv.QUOTE_MINIMAL
) -> Iterator[tuple[int, list[str]]]:
    """Yield line and cells of each record that is not blank; csv.Error for a wrong quote."""
    # newline="" leaves line ends inside quoted fields to the csv module, and strict=True turns a
    # stray quote into an error where the default would glue two records together.
    reader = csv.reader(_lines(text), delimiter=separator, strict=True, quoting=quoting)  # type: ignore[arg-type]
    line = 1
    for record in reader:
        if len(record) > 1 or (record and record[0].strip()):
            yield line, record
        line = reader.line_num + 1


def _lines(text: str) -> io.TextIOWrapper:
    """Return the lines of a text; a StringIO would need four bytes a character."""
    data = io.BytesIO(text.encode("utf-8", "surrogatepass"))
    return io.TextIOWrapper(data, encoding="utf-8", errors="surrogatepass", newline="")


def named_separator(separator: str) -> str:
    """Return the name of a separator, as in messages."""
    names = {character: name for name, character in SEPARATORS.items()}
    return names.get(separator, repr(separator))


def unclosed_quote(place: str, error: object) -> NewsFormatError:
    """Return the error for a record whose quotes do not fit."""
    return NewsFormatError(
        f"{place}: a quote is not closed or not doubled in the record that starts here ({error}). "
        'Write a quote inside a field twice, as in "He said ""yes""", and close every field.'
    )


_HEAD = 200  # records that are looked at to find the separator


def _head(text: str, separator: str, quoting: int = csv.QUOTE_MINIMAL) -> list[list[str]] | None:
    """Return the first records, None if a quote is wrong among them."""
    found: list[list[str]] = []
    try:
        with fields_of_any_length():
            for _, record in records(text, separator, quoting):
                found.append(record)
                if len(found) == _HEAD:
                    break
    except csv.Error:
        return None
    return found


def _width(head: list[list[str]] | None) -> tuple[int, float]:
    """Return the most frequent number of columns, and the share of the records that have it."""
    if not head:
        return 0, 0.0
    width, count = Counter(map(len, head)).most_common(1)[0]
    return width, count / len(head)


def _found_separator(text: str, part: Part) -> str:
    heads = {mark: _head(text, mark) for mark in SEPARATORS.values()}
    if _width(heads["\t"])[1] < 1:  # files with tabs often leave quotes as they are
        heads["\t"] = _head(text, "\t", csv.QUOTE_NONE)
    widths = {mark: _width(head) for mark, head in heads.items()}
    even = [mark for mark, (width, share) in widths.items() if width > 1 and share == 1]
    if "\t" in even and part.file_name.endswith((".tsv", ".tab")):
        return "\t"
    if len(even) > 1:
        # A comma that every text has by chance separates nothing that repeats itself.
        sensible = [mark for mark in even if _has_few_values(heads[mark] or [])]
        even = sensible if sensible else even
    if len(even) > 1:
        readings = " or ".join(
            f"{widths[mark][0]} columns with a {named_separator(mark)} between them"
            for mark in even
        )
        raise NewsFormatError(
            f"{part.shown} can be read in two ways: {readings}. Say which one is right, as in "
            f"separator={even[0]!r}."
        )
    if even:
        return even[0]
    uneven = {mark: share for mark, (width, share) in widths.items() if width > 1}
    if uneven:
        return max(uneven, key=lambda mark: uneven[mark])
    first = text.lstrip().split("\n", 1)[0]
    counts = {mark: first.count(mark) for mark in SEPARATORS.values()}
    best = max(counts, key=lambda mark: counts[mark])
    if counts[best]:
        return best  # a quote is wrong: reading says where
    raise NewsFormatError(
        f"{part.shown}, line 1: one column only, with no comma, semicolon or tab in it; expected a "
        "column with the class and one with the text. Say separator=... if it is another "
        "character. Texts without classes are no training or test rows."
    )


def _has_few_values(head: list[list[str]]) -> bool:
    """Tell whether a column repeats its values, two or more, as one with classes does."""
    columns = list(zip(*head[1:], strict=True))
    return any(4 <= 2 * len(set(column)) <= len(column) for column in columns)


def _read_csv(text: str, name: str, separator: str) -> Table:
    if len(separator) != 1 or separator in '"\r\n':
        raise NewsFormatError(
            f"separator={separator!r}: expected one character, such as ';' or '\\t'."
        )
    form = named_separator(separator)
    if separator == "\t":
        found, literal = _tab_records(text, name)
        form += ", quotes as they are" if literal else ""
    else:
        found = _all_records(text, name, separator)
    lines, rows = [line for line, _ in found], [cells for _, cells in found]
    table = Table(name, form, None, rows, lines)
    width = Counter(map(len, rows)).most_common(1)[0][0]
    for row, cells in enumerate(rows):
        if len(cells) != width:
            raise NewsFormatError(
                f"{table.place(row)}: {len(cells)} columns, expected {width} as in most records "
                f"(separator: {form}). A field that holds the separator has to stand in quotes."
            )
    if width == 1:
        raise NewsFormatError(
            f"{name}, line {lines[0]}: one column only (separator: {form}); expected a column with "
            "the class and one with the text."
        )
    return table


def _all_records(
    text: str, name: str, separator: str, quoting: int = csv.QUOTE_MINIMAL
) -> list[tuple[int, list[str]]]:
    found: list[tuple[int, list[str]]] = []
    try:
        with fields_of_any_length():
            found.extend(records(text, separator, quoting))
    except csv.Error as error:
        raise unclosed_quote(_next_place(text, name, separator), error) from None
    return found


def _next_place(text: str, name: str, separator: str) -> str:
    """Return the place of the record behind the last whole one."""
    reader = csv.reader(_lines(text), delimiter=separator, strict=True)
    line, record = 1, 1
    try:
        with fields_of_any_length():
            for cells in reader:
                line = reader.line_num + 1
                record += len(cells) > 1 or bool(cells and cells[0].strip())
    except csv.Error:
        pass
    return f"{name}, line {line}" + ("" if record == line else f" (record {record})")


def _tab_records(text: str, name: str) -> tuple[list[tuple[int, list[str]]], bool]:
    """Return the records of a file with tabs, and whether its quotes are ordinary characters.

    They are if each line is a record of its own, but not each record a line once quotes count.
    """
    plain = _all_records(text, name, "\t", csv.QUOTE_NONE)
    if len({len(cells) for _, cells in plain}) > 1:
        return _all_records(text, name, "\t"), False
    try:
        quoted = _all_records(text, name, "\t")
    except NewsFormatError:
        return plain, True
    literal = [len(cells) for _, cells in quoted] != [len(cells) for _, cells in plain]
    return (plain, True) if literal else (quoted, False)


# ---------------------------------------------------------------------------------- JSON, Parquet


def _read_json(text: str, name: str) -> Table:
    if not text.lstrip().startswith(("{", "[")):
        raise NewsFormatError(
            f"{name}, line 1: no JSON: expected an object such as "
            '{"text": "...", "label": "..."} on each line, or a list of them.'
        )
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.lstrip().startswith("["):
            raise _no_json(name, getattr(error, "lineno", 1), error) from None
        return _read_json_lines(text, name)
    found = _json_rows(whole)
    if found is None:
        raise NewsFormatError(
            f"{name}, line 1: JSON, but no rows: expected a list of objects such as "
            '[{"text": "...", "label": "..."}].'
        )
    form = "JSON lines" if isinstance(whole, dict) and found == [whole] else "JSON"
    return _table_of_objects(found, range(1, len(found) + 1), name, form, "row")


def _no_json(name: str, line: int, error: Exception) -> NewsFormatError:
    reason = str(error) if isinstance(error, ValueError) else "nested too deeply"
    return NewsFormatError(f"{name}, line {line}: no JSON ({reason}).")


def _json_rows(whole: Any) -> list[dict] | None:
    """Return the objects in a JSON document: a list of them, or pandas' table by columns."""
    if isinstance(whole, list):
        return whole if whole and all(isinstance(row, dict) for row in whole) else None
    if not isinstance(whole, dict) or not whole:
        return None
    columns = list(whole.values())
    if len(columns) == 1 and isinstance(columns[0], list):
        return _json_rows(columns[0])
    if all(isinstance(column, dict) for column in columns):
        keys = list(columns[0])
        if not all(list(column) == keys for column in columns):
            return None
        columns = [list(column.values()) for column in columns]
    if all(isinstance(column, list) for column in columns):
        if len({len(column) for column in columns}) > 1:
            return None
        return [dict(zip(whole, row, strict=True)) for row in zip(*columns, strict=True)]
    return [whole]


def _read_json_lines(text: str, name: str) -> Table:
    found, lines = [], []
    for line, content in enumerate(io.StringIO(text, newline=None), start=1):
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise _no_json(name, line, error) from None
        if not isinstance(row, dict):
            raise NewsFormatError(
                f'{name}, line {line}: no JSON object: expected one such as {{"text": "...", '
                '"label": "..."}.'
            )
        found.append(row)
        lines.append(line)
    return _table_of_objects(found, lines, name, "JSON lines", "line")


def _table_of_objects(
    found: list[dict], lines: Sequence[int], name: str, form: str, unit: str
) -> Table:
    columns = list(dict.fromkeys(str(key) for row in found for key in row))
    rows = [[row.get(column) for column in columns] for row in found]
    return Table(name, form, columns, rows, lines, unit)


def _read_parquet(data: bytes, name: str) -> Table:
    if not data.startswith(b"PAR1"):
        kind = "empty" if not data else (foreign_kind(data) or ("another file", ""))[0]
        raise NewsFormatError(f"{name} is {kind}, not Parquet: download it again.")
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise NewsFormatError(
            f"{name} is Parquet, which needs pyarrow: `pip install pyarrow`, or save the table as "
            f"CSV or JSON lines ({error})."
        ) from None
    try:
        table = parquet.read_table(arrow.BufferReader(data))
        columns = [column.to_pylist() for column in table.columns]
    except Exception as error:  # pyarrow raises many kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0][:150]
        raise NewsFormatError(
            f"{name} is a damaged Parquet file ({reason}): download it again."
        ) from None
    rows = list(zip(*columns, strict=True))
    names = _hugging_face_names(table.schema.metadata or {})
    return Table(
        name, "Parquet", list(table.column_names), rows, range(1, len(rows) + 1), "row", names
    )


def _hugging_face_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Return the names of class numbers, which Hugging Face's `datasets` stores in the file."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {
            column: [str(name) for name in kind["names"]]
            for column, kind in features.items()
            if isinstance(kind, dict) and kind.get("_type") == "ClassLabel" and kind.get("names")
        }
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
