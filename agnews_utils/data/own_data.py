"""Read a folder, or one file, of somebody's labelled texts (data card, "Your own data").

Which file holds which rows is told by its name; `formats` reads it, `columns` says what it means.
Texts of one file each are found and read by `text_files`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agnews_utils.data.columns import (
    Options,
    Split,
    as_split,
    frame_of,
    is_ag_form,
    like_training,
    named_classes,
    understood,
    unnamed,
)
from agnews_utils.data.corpus import CLASS_NAMES
from agnews_utils.data.duplicates import near_duplicate_groups, words
from agnews_utils.data.formats import (
    NewsFormatError,
    Part,
    Table,
    archived_parts,
    decoded,
    read_table,
)
from agnews_utils.data.splitting import train_valid_split
from agnews_utils.data.text_files import (
    NO_DATA,
    TAR,
    TextFiles,
    find_texts,
    read_texts,
    split_named,
)
from agnews_utils.files import file_hash, shown_path

SETTINGS_FILE, CLASSES_FILE = "dataset.toml", "classes.txt"
"""Beside the data: the options of `load_news`, and the names of the classes, one a line."""

TEST_FRACTION, TEST_SEED = 0.2, 42
"""Which of the training rows become test rows, where no file holds any."""


@dataclass(frozen=True)
class OwnData:
    """What was read: the rows, the names of the classes, and how, in the words of one line."""

    train: pd.DataFrame
    test: pd.DataFrame
    classes: tuple[str, ...]
    md5: dict[str, str]
    read_as: str
    carved: bool


def settings(place: Path, given: Mapping[str, Any]) -> tuple[Options, str]:
    """Return the options for a folder: those given, else those in its `dataset.toml`.

    Returns
    -------
    options : Options
        With the names in `classes.txt` if there is such a file, and none were given.
    source : str
        Where the names come from, for messages.

    Raises
    ------
    NewsFormatError
        If one of the two files cannot be read.
    """
    path = place / SETTINGS_FILE
    stored: dict[str, Any] = {}
    known = [option.name for option in fields(Options)]
    if path.is_file():
        text = decoded(path.read_bytes(), shown_path(path), "TOML")
        try:
            stored = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise NewsFormatError(f"{shown_path(path)} is no TOML: {error}.") from None
        if unknown := [name for name in stored if name not in known]:
            raise NewsFormatError(
                f"{shown_path(path)}: {unknown[0]!r} is no option; there are {', '.join(known)}."
            )
        try:
            Options(**stored)
        except ValueError as error:
            raise NewsFormatError(f"{shown_path(path)}: {error}") from None
    options = Options(**stored | {k: v for k, v in given.items() if v is not None})
    source = "classes" if given.get("classes") is not None else SETTINGS_FILE
    path = place / CLASSES_FILE
    if options.classes is None and path.is_file():
        names = _class_file(path, options.encoding)
        try:
            options = replace(options, classes=names)
        except ValueError as error:
            raise NewsFormatError(f"{shown_path(path)}: {error}") from None
        source = CLASSES_FILE
    return options, source


def _class_file(path: Path, encoding: str | None) -> list[str] | dict[str, str]:
    """Return the names in a file: one a line, or each behind what stands for it in the data."""
    lines = decoded(path.read_bytes(), shown_path(path), "a list of names", encoding).splitlines()
    lines = [line.strip() for line in lines if line.strip()]
    numbered = [re.fullmatch(r"(\d+)\s*[\t ,;:=]\s*(\S.*)", line) for line in lines]
    named = {match[1]: match[2] for match in numbered if match}
    numbers = [int(number) for number in named]
    in_order = bool(numbers) and numbers == list(range(numbers[0], numbers[0] + len(lines)))
    # "1 star", "2 stars", "3 stars": there the numbers belong to the names.
    return named if in_order and len(set(named.values())) == len(lines) else lines


# ---------------------------------------------------------------------------- which file holds what


def _split_of(part: Part, root: Path) -> str | None:
    """Return train, test or valid, by the words in a file's name, else in that of its folder."""
    folders = [*part.path.relative_to(root).parts[:-1], *part.member.split("/")[:-1]]
    outer = [part.path.name] if part.member else []
    names = (part.file_name, *outer, *reversed(folders))
    return next((split for name in names if (split := split_named(name))), None)


def _parts(root: Path) -> tuple[list[Part], list[Path]]:
    """Return the files that may hold rows, and ZIP archives, of the uppermost level with any."""
    level = [root]
    for _ in range(3):
        paths = sorted(p for folder in level for p in folder.iterdir() if p.name[:1] not in "._")
        plain = [Part(path) for path in paths if path.is_file()]
        parts = [part for part in plain if _may_hold_rows(part)]
        archives = [p.path for p in plain if p.file_name.endswith(".zip")]
        if parts or archives:
            return parts, archives
        level = [path for path in paths if path.is_dir()]
    return [], []


def _may_hold_rows(part: Part) -> bool:
    return part.kind is not None and not NO_DATA.fullmatch(part.file_name)


def _by_split(root: Path) -> dict[str, list[Part]]:
    """Return the files of a folder by what they hold; "" for those whose names do not say."""
    parts, archives = _parts(root)
    found: dict[str, list[Part]] = {}
    for part in parts:
        found.setdefault(_split_of(part, root) or "", []).append(part)
    if not {"train", "test"} <= set(found):
        # A ZIP archive gives what the files beside it do not: it may be where they come from.
        packed: dict[str, list[Part]] = {}
        for path in archives:
            for part in filter(_may_hold_rows, archived_parts(path)):
                packed.setdefault(_split_of(part, root) or "", []).append(part)
        if "train" in packed or "train" in found or not found.get(""):
            found = packed | found
    return found


def _chosen(parts: Sequence[Part], what: str) -> list[Part]:
    """Return the one file of a split, or all of its shards in their order."""
    exact = [part for part in parts if part.file_name.split(".")[0] == what]
    parts = exact or list(parts)
    shards = [re.fullmatch(r"(.*?)(\d+)(?:-of-(\d+))?\.(\w+)", part.file_name) for part in parts]
    kinds = {(shard[1], shard[4]) for shard in shards if shard}
    counted = {int(shard[3]) for shard in shards if shard and shard[3]}
    if all(shards) and len(kinds) == 1 and (len(parts) > 1 or counted):
        numbers = sorted(int(shard[2]) for shard in shards if shard)
        if counted and (counted != {len(parts)} or len(set(numbers)) < len(parts)):
            raise NewsFormatError(
                f"{parts[0].shown} is one of {max(counted)} pieces, but {len(parts)} are there: "
                "download the others."
            )
        order = [int(shard[2]) for shard in shards if shard]
        return [part for _, part in sorted(zip(order, parts, strict=True), key=lambda x: x[0])]
    if len(parts) > 1:
        raise NewsFormatError(
            f"Both {parts[0].shown} and {parts[1].shown} may hold the {what} rows: leave one of "
            "them in the folder."
        )
    return parts


def find_parts(source: Path) -> tuple[list[Part], list[Part], str]:
    """Return the files with training rows, those with test rows (if any), and a remark.

    Raises
    ------
    FileNotFoundError
        If a folder holds no file that can be it.
    NewsFormatError
        If there are two files for the same rows, or a piece is missing.
    """
    if source.is_file():
        part = Part(source)
        if not part.file_name.endswith(".zip"):
            if part.kind is None:
                part.read()
                raise NewsFormatError(
                    f"{part.shown}: its ending is none of .csv, .tsv, .txt, .json, .jsonl and "
                    ".parquet (or one of them with .gz). Rename it, or save it as CSV in UTF-8."
                )
            return [part], [], ""
        packed: dict[str, list[Part]] = {}
        for part in filter(_may_hold_rows, archived_parts(source)):
            packed.setdefault(_split_of(part, source.parent) or "", []).append(part)
        found = packed
    else:
        found = _by_split(source)
    train = found.get("train") or found.get("", [])
    if not train:
        there = ", ".join(sorted(p.name for p in _names(source))[:5]) or "nothing"
        raise FileNotFoundError(
            f"{shown_path(source)} holds no training rows: name a folder that holds train.csv and "
            f"test.csv, or train.csv alone (also .tsv, .json, .jsonl, .parquet, .gz, .zip); there "
            f"is {there}."
        )
    train = _chosen(train, "train")
    test, valid = found.get("test", []), found.get("valid", [])
    if test:
        remark = f"; {valid[0].shown} not read" if valid else ""
        return train, _chosen(test, "test"), remark
    if valid:
        chosen = _chosen(valid, valid[0].file_name.split(".")[0])
        return train, chosen, f"; no test file: the rows of {chosen[0].shown} are the test rows"
    return train, [], ""


def _names(source: Path) -> list[Path]:
    return [source] if source.is_file() else list(source.iterdir())


def texts_in_folders(source: Path) -> TextFiles | None:
    """Return the texts of a place that holds one a file, in folders of classes; None elsewhere.

    Tables go first: such folders are looked for where no file that may be one lies above them.

    Raises
    ------
    NewsFormatError
        If a tar archive holds no such folders, or there are two archives.
    """
    if source.is_file():
        if source.name.lower().endswith(TAR):
            return _in_archive(source)
        return _in_zip(source) if source.name.lower().endswith(".zip") else None
    parts, zips = _parts(source)
    if any(_is_table(part) for part in parts):
        return None
    if found := find_texts(source):
        return found
    if parts:
        return None
    tars = sorted(p for p in source.iterdir() if p.is_file() and p.name.lower().endswith(TAR))
    if len(tars) > 1:
        raise NewsFormatError(
            f"Both {shown_path(tars[0])} and {shown_path(tars[1])} may hold the texts: name one of "
            "them."
        )
    if tars:
        return _in_archive(tars[0])
    return _in_zip(zips[0]) if len(zips) == 1 else None


def _is_table(part: Part) -> bool:
    undecided = part.file_name.endswith(".txt") or "." not in part.file_name
    return not undecided or split_named(part.file_name) is not None


def _in_zip(source: Path) -> TextFiles | None:
    tables = filter(_may_hold_rows, archived_parts(source))
    return None if any(map(_is_table, tables)) else find_texts(source)


def _in_archive(source: Path) -> TextFiles:
    if found := find_texts(source):
        return found
    raise NewsFormatError(
        f"{shown_path(source)} is an archive without folders of texts (train/CLASS/1.txt): unpack "
        "it, and name the folder."
    )


# ------------------------------------------------------------------------------------- the rows


def read_own_texts(files: TextFiles, options: Options, names_from: str) -> OwnData:
    """Read texts that are one file each; the class of a text is its folder.

    Raises
    ------
    NewsFormatError
        If a file is not UTF-8, classes do not fit, or an option has no meaning here.
    """
    if columns := sorted(options.given.keys() - {"classes", "encoding"}):
        name = columns[0]
        raise NewsFormatError(
            f"{shown_path(files.source)} holds one text a file, in a folder for each class: it has "
            f"no columns, so {name}={options.given[name]!r} has no meaning. Leave it out."
        )
    kind = next((kind for kind in ("test", "valid") if kind in files.found), None)
    train, digest = read_texts(files, "train", options)
    md5 = {"train": digest}
    test = None
    if kind is not None:
        test, md5[kind] = read_texts(files, kind, options)
    numbers, classes = named_classes(train, test, options, names_from)
    train_frame = frame_of(train, numbers, classes)
    if not train_frame["text"].str.strip().any():
        raise NewsFormatError(f"{shown_path(files.source)}: all training files are empty.")
    remark = files.remark
    if test is None:
        train_frame, test_frame, said = _set_aside(train_frame, train)
        remark += said
    else:
        test_frame = frame_of(test, numbers, classes)
        if kind == "valid":
            remark += "; no folder test: the texts of the validation folder are the test rows"
        elif "valid" in files.found:
            remark += "; the validation folder is not read"
    remark += _rare(train, numbers, classes, test_frame)
    read_as = f"one text a file, its folder is its class, {classes_in_words(classes)}{remark}"
    return OwnData(train_frame, test_frame, classes, md5, read_as, test is None)


def _set_aside(frame: pd.DataFrame, train: Split) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Return training and test rows, and the remark on it."""
    train_frame, test_frame = carved(frame, train.table.name)
    return train_frame, test_frame, (
        f"; no test file: {len(test_frame):,} of the {len(train.keys):,} rows set aside as test"
        " rows, near duplicates on one side"
    )  # fmt: skip


def read_own_data(source: Path, options: Options, names_from: str) -> OwnData:
    """Read training and test rows in any form that `load_news` takes.

    Raises
    ------
    FileNotFoundError, NewsFormatError
        As `load_news` says.
    """
    if in_folders := texts_in_folders(source):
        return read_own_texts(in_folders, options, names_from)
    train_parts, test_parts, remark = find_parts(source)
    tables = [read_table(part, options.separator, options.encoding) for part in train_parts]
    table, columns = understood(tables[0], options)
    train = as_split(table, columns)
    pieces = [train]
    for piece in tables[1:]:
        pieces.append(as_split(*like_training(piece, train, options)))
    # Options of a CSV file's form are found out anew for each file, columns are those of the first.
    tests = [
        as_split(*like_training(read_table(part, options.separator, options.encoding), train,
                                options)) for part in test_parts
    ]  # fmt: skip
    train, test = _joined(pieces), _joined(tests) if tests else None
    numbers, classes = named_classes(train, test, options, names_from)
    train_frame = frame_of(train, numbers, classes)
    _check_texts(train_frame, train)
    if test is None:
        train_frame, test_frame, said = _set_aside(train_frame, train)
        remark += said
    else:
        test_frame = frame_of(test, numbers, classes)
    remark += _rare(train, numbers, classes, test_frame)
    files = sorted({part.path for part in (*train_parts, *test_parts)})
    md5 = {path.name: file_hash(path, "md5") for path in files}
    read_as = described(table, columns_in_words(table, train), classes) + remark
    return OwnData(train_frame, test_frame, classes, md5, read_as, test is None)


def _joined(pieces: list[Split]) -> Split:
    if len(pieces) == 1:
        return pieces[0]
    first = pieces[0]
    chosen = first.columns.used
    rows: list[Sequence[Any]] = []
    for piece in pieces:
        if piece.columns == first.columns:
            rows += piece.table.rows
            continue
        places = piece.columns.used
        width = max(chosen) + 1
        for cells in piece.table.rows:
            row: list[Any] = [None] * width
            for there, here in zip(places, chosen, strict=True):
                row[here] = cells[there]
            rows.append(row)
    lines = [line for piece in pieces for line in piece.table.lines]
    keys = [label for piece in pieces for label in piece.keys]
    return Split(replace(first.table, rows=rows, lines=lines), first.columns, keys)


def _check_texts(frame: pd.DataFrame, train: Split) -> None:
    if not frame["text"].str.strip().any():
        name = (train.table.columns or [])[train.columns.text]
        raise NewsFormatError(
            f'{train.table.name}: no text in the column "{name}". Say text=... if another column '
            "holds it."
        )


def carved(frame: pd.DataFrame, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Set test rows aside: the same share of each class, near duplicates on one side.

    Raises
    ------
    NewsFormatError
        If a class has too few rows for that.
    """
    groups = near_duplicate_groups(frame["text"])
    # Texts without a word of the letters a-z are near duplicates of nothing: equal ones are, here.
    wordless = np.array([not words(text) for text in frame["text"]])
    if wordless.any():
        equal = pd.factorize(frame["text"])[0] + len(frame)
        groups = np.where(wordless, equal, groups)
    try:
        parts = train_valid_split(frame, TEST_FRACTION, TEST_SEED, groups)
    except ValueError:
        rows = frame["class_name"].value_counts()
        rare = rows.index[-1]
        raise NewsFormatError(
            f"{name}: there is no file with test rows, and too few different rows to set some "
            f"aside (the class {rare!r} has {rows.iloc[-1]:,}). Give more rows, or a test.csv."
        ) from None
    train, test = (part.reset_index(drop=True) for part in parts)
    return train, test


def _rare(
    train: Split, numbers: Mapping[str, int], classes: Sequence[str], test: pd.DataFrame
) -> str:
    """Return remarks on a class that is a single row, as a misspelled one is, or not tested."""
    remark = ""
    counts: dict[str, int] = {}
    for label in train.keys:
        counts[label] = counts.get(label, 0) + 1
    single = [label for label, count in counts.items() if count == 1]
    if single and len(train.keys) >= 20:
        place = train.place(single[0]).rpartition(", ")[2]
        remark += f"; only one training row of {classes[numbers[single[0]]]!r} ({place})"
        remark += f" and of {len(single) - 1} other classes" if len(single) > 1 else ""
    there = set(test["label"])
    if missing := [name for number, name in enumerate(classes) if number not in there]:
        remark += f"; no test row of {', '.join(map(repr, missing[:5]))}"
        remark += f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    return remark


# ------------------------------------------------------------------------------- what is printed


def columns_in_words(table: Table, train: Split) -> str:
    """Return which columns are read, for the printed line."""
    names = train.table.columns or []
    nameless = unnamed(names)
    words_ = [] if table.form.startswith(("JSON", "Parquet")) else ["header"]
    words_ = ["no header"] if nameless else words_

    def shown(column: int) -> str:
        return names[column] if nameless else f'"{_one_line(names[column])}"'

    if is_ag_form(train) and nameless:
        words_.append("class, title and description in this order")
        return ", ".join(words_)
    if train.columns.title is not None:
        words_.append(f"title in {shown(train.columns.title)}")
    words_.append(f"text in {shown(train.columns.text)}")
    return ", ".join(words_)


def described(table: Table, columns: str, classes: Sequence[str]) -> str:
    """Return how a file was read, for the printed line."""
    return f"{table.form}, {columns}, {classes_in_words(classes)}"


def classes_in_words(classes: Sequence[str]) -> str:
    """Return number and names of the classes; of many, the first ten."""
    shown = ", ".join(_one_line(name) for name in classes[:10])
    more = f" and {len(classes) - 10} more" if len(classes) > 10 else ""
    if list(classes) in ([str(n + start) for n in range(len(classes))] for start in (0, 1)):
        more += f", counted from {classes[0]}"
    return f"{len(classes)} classes: {shown}{more}"


def _one_line(name: str) -> str:
    return " ".join(name.split())


def relabelled(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return rows of AG News' form with other names for its four classes."""
    if tuple(names) == tuple(CLASS_NAMES):
        return frame
    frame = frame.assign(class_name=[names[label] for label in frame["label"]])
    frame.attrs["classes"] = tuple(names)
    return frame
