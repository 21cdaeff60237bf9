"""What the columns of a table mean: which holds the class, which the text, and what classes are.

Nothing is guessed where two readings are possible: then a `NewsFormatError` names both, and the
option of `load_news` that decides.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

import pandas as pd

from agnews_utils.data.ag_news_csv import news_frame
from agnews_utils.data.corpus import CLASS_NAMES
from agnews_utils.data.formats import NewsFormatError, Table

MOST_CLASSES = 100
"""More different values than this in a column are no classes."""

_LONGEST_NAME = 80  # characters of a class name
_FEW_ROWS = 20  # with less of them, classes need not come more than once
_LABEL = re.compile(
    r"(.*[ _.-])?(class|label|labels|categor(y|ies|ie)|target|sentiment|topic|intent|polarity"
    r"|emotion|genre|stars?|rating|tag)([ _.-]?(index|id|idx|name|names|text|num|number|str))?"
    r"|type|y|v1|gold|is[ _]?spam|spam"
)
_TEXT = re.compile(
    r"(full|raw|message|review|sms|tweet|article|email|news)?[ _.-]?(text|message|review|body"
    r"|content|contents|comment|sentence|sms|tweet|description|document|article|post|utterance"
    r"|question|abstract|email)s?|v2"
)
_TITLE = re.compile(r"(.*[ _.-])?(title|headline|subject)")
_WHOLE = re.compile(r"[+-]?\d{1,18}(\.0+)?")


@dataclass(frozen=True)
class Options:
    """What the user says about the columns; None where it is to be found out. See `load_news`."""

    text: str | int | None = None
    label: str | int | None = None
    title: str | int | None = None
    classes: Sequence[str] | Mapping[Any, str] | None = None
    separator: str | None = None
    header: bool | None = None
    encoding: str | None = None

    def __post_init__(self) -> None:
        expected: dict[str, Any] = {
            **dict.fromkeys(("text", "label", "title"), (str, int)),
            **dict.fromkeys(("separator", "encoding"), str),
            "header": bool,
        }
        for name, kinds in expected.items():
            value = getattr(self, name)
            wrong = value is not None and not isinstance(value, kinds)
            if wrong or (name != "header" and isinstance(value, bool)):
                wanted = {"header": "True or False"}.get(name, "a text")
                wanted = "a column's name or number" if kinds == (str, int) else wanted
                raise ValueError(f"{name}={value!r}: expected {wanted}.")
        if self.classes is not None:
            _check_names(self.classes)

    @property
    def given(self) -> dict[str, Any]:
        """The options that are not left open."""
        values = {option.name: getattr(self, option.name) for option in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


def _check_names(classes: Any) -> None:
    if isinstance(classes, str) or not isinstance(classes, Sequence | Mapping):
        raise ValueError(
            f"classes={classes!r}: expected a list of names in the order of their numbers, or "
            'what stands in the file -> name, such as {0: "ham", 1: "spam"}.'
        )
    names = list(classes.values()) if isinstance(classes, Mapping) else list(classes)
    if bad := [name for name in names if not isinstance(name, str) or not name.strip()]:
        raise ValueError(f"classes: {bad[0]!r} is no name.")
    count = len(set(names))
    if not isinstance(classes, Mapping) and count < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise ValueError(f"classes: the name {twice!r} stands there twice.")
    if not 2 <= count <= MOST_CLASSES:
        raise ValueError(f"classes: {count} names, expected 2 to {MOST_CLASSES}.")


@dataclass(frozen=True)
class Columns:
    """Positions of the columns that count, from 0; None for one that there is not."""

    label: int
    text: int
    title: int | None = None
    name: int | None = None

    @property
    def used(self) -> list[int]:
        """Those that there are, always in the same order."""
        places = (self.label, self.text, self.title, self.name)
        return [place for place in places if place is not None]


# ------------------------------------------------------------------------------- header and columns


def understood(table: Table, options: Options) -> tuple[Table, Columns]:
    """Return the table with its header apart, and which columns hold class and text."""
    table = _with_header(table, options)
    if not table.rows:
        raise NewsFormatError(f"{table.name} has a header but no rows: download it again.")
    return table, _columns(table, options)


def _with_header(table: Table, options: Options) -> Table:
    if table.columns is not None:
        return table
    first, rest = [str(cell).strip() for cell in table.rows[0]], table.rows[1:]
    header = options.header
    if header is None:
        header = _is_header(table, first, options)
    if not header:
        return replace(table, columns=[f"column {i}" for i in range(1, len(first) + 1)])
    named = [cell or f"column {i}" for i, cell in enumerate(first, start=1)]
    named = [f"{n} ({i})" if named.count(n) > 1 else n for i, n in enumerate(named, start=1)]
    for row, cells in enumerate(rest, start=1):
        if [str(cell).strip() for cell in cells] == first:
            raise NewsFormatError(f"{table.place(row)}: the header stands here again: delete it.")
    return replace(table, columns=named, rows=rest, lines=table.lines[1:])


def _is_header(table: Table, first: list[str], options: Options) -> bool:
    """Tell whether the first record names the columns.

    A data row repeats the class of another row, or has a number where they have numbers.
    """
    wanted = [option for option in (options.text, options.label) if isinstance(option, str)]
    if any(name.strip() in first for name in wanted):
        return True
    rest = table.rows[1:]
    known = any(_fits(_LABEL, cell) for cell in first)
    known = known and any(_fits(_TEXT, cell) or _fits(_TITLE, cell) for cell in first)
    if not rest or (known and any([str(cell).strip() for cell in row] == first for row in rest)):
        return known
    columns = list(zip(*rest, strict=True))
    if isinstance(options.label, int) and 1 <= options.label <= len(columns):
        likely = [options.label - 1]
    else:
        likely = [i for i, column in enumerate(columns) if _like_classes(column)]
    values = {i: {key(cell) for cell in columns[i]} for i in likely}
    if any(key(first[i]) in values[i] for i in likely):
        return known and any(first[i] not in values[i] for i in likely if _fits(_LABEL, first[i]))
    if known:
        return True
    numbers = [i for i in likely if all(map(_WHOLE.fullmatch, values[i]))]
    if any(_WHOLE.fullmatch(first[i]) for i in numbers):
        return False
    like_names = all(len(cell) <= 40 and len(cell.split()) <= 3 for cell in first)
    like_names = like_names and len(set(filter(None, first))) == len(list(filter(None, first)))
    if like_names and likely:
        return True
    if not likely:
        return False
    cell = first[(numbers or likely)[0]]
    raise NewsFormatError(
        f"{table.name}, line {table.lines[0]}, can be read in two ways: as the names of the "
        f"columns, or as a row with the class {cell[:40]!r}, which no other row has. Say "
        "header=True or header=False."
    )


def _columns(table: Table, options: Options) -> Columns:
    columns = list(zip(*table.rows, strict=True))
    chosen = {
        name: _position(table, name, value)
        for name in ("label", "text", "title")
        if (value := getattr(options, name)) is not None
    }
    if len(set(chosen.values())) < len(chosen):
        said = ", ".join(f"{name}={getattr(options, name)!r}" for name in chosen)
        raise ValueError(f"{said}: each has to be another column.")
    free = [i for i in range(len(columns)) if i not in chosen.values()]
    if "label" in chosen:
        label, name = chosen["label"], None
        twins = [i for i in free if _one_to_one(columns[label], columns[i])]
        names = [i for i in twins if _are_names(columns[i])]
        if names and not _are_names(columns[label]):
            name = names[0]
    else:
        label, name, twins = _label_columns(table, columns, free)
    free = [i for i in free if i not in (label, name, *twins)]
    if "text" in chosen:
        return Columns(label, chosen["text"], chosen.get("title"), name)
    text, title = _text_columns(table, columns, label, free, chosen.get("title"))
    return Columns(label, text, title, name)


def _position(table: Table, option: str, value: str | int) -> int:
    columns = table.columns or []
    if isinstance(value, int):
        if 1 <= value <= len(columns):
            return value - 1
        raise NewsFormatError(
            f"{table.name}: {option}={value}, but there are columns 1 to {len(columns)}."
        )
    for wanted in (str.__eq__, lambda a, b: _plain(a) == _plain(b)):
        found = [i for i, column in enumerate(columns) if wanted(column, value)]
        if len(found) == 1:
            return found[0]
    raise NewsFormatError(
        f"{table.name} has no column {value!r} ({option}={value!r}): it has {_listed(columns)}."
    )


def _label_columns(
    table: Table, columns: list[tuple], free: list[int]
) -> tuple[int, int | None, list[int]]:
    """Return the column with the class, that with its name, and others that say the same."""
    names = table.columns or []
    called = [i for i in free if _fits(_LABEL, names[i])]
    likely = [i for i in called if _like_classes(columns[i], repeated=False)]
    if not likely and called:
        raise _no_classes(table, called[0], columns[called[0]])
    if not likely:
        likely = [i for i in free if _like_classes(columns[i])]
    if not likely:  # few rows: numbers will do, or the only column with few values
        likely = [i for i in free if _like_classes(columns[i], repeated=False)]
        numbers = [i for i in likely if not _are_names(columns[i])]
        likely = numbers or (likely if len(table.rows) < _FEW_ROWS else [])
    groups = _groups(columns, likely)
    if len(groups) > 1:
        groups = _more_likely(columns, groups)
    if len(groups) > 1:
        first, second = (names[group[0]] for group in groups[:2])
        raise _two_ways(table, "the class", "label", first, second)
    if not groups:
        raise NewsFormatError(
            f"{table.name} has no column with 2 to {MOST_CLASSES} classes that come more than "
            f"once; it has {_listed(names)}. Say label=... to name it."
        )
    group = groups[0]
    with_names = [i for i in group if _are_names(columns[i])]
    numbers = [i for i in group if not _are_names(columns[i])]
    label = (numbers or with_names)[0]
    if numbers and not with_names:  # few rows: a column of single words, one for each class
        with_names = [
            i
            for i in free
            if _one_to_one(columns[label], columns[i], repeated=False)
            and _are_names(columns[i])
            and all(len(key(value).split()) == 1 for value in columns[i])
        ][: len(free) > 2]
    name = with_names[0] if with_names and numbers else None
    return label, name, group


def _groups(columns: list[tuple], likely: list[int]) -> list[list[int]]:
    """Put columns together that say the same in other words, such as a number and a name."""
    groups: list[list[int]] = []
    for i in likely:
        for group in groups:
            if _one_to_one(columns[group[0]], columns[i]):
                group.append(i)
                break
        else:
            groups.append([i])
    return groups


def _more_likely(columns: list[tuple], groups: list[list[int]]) -> list[list[int]]:
    """Leave out what is rather a text that comes several times."""
    numbers = [g for g in groups if not _are_names(columns[g[0]])]
    if len(numbers) == 1 and (len(columns) == 2 or (len(columns) == 3 and numbers == [[0]])):
        return numbers  # beside a word, a number is no text
    wordy = [g for g in groups if _words(columns[g[0]]) >= 2]
    brief = [g for g in groups if g not in wordy]
    if len(brief) == 1:
        return brief
    if len(columns) == 2:  # one-word texts: they are more different than their classes
        few, many = sorted(groups, key=lambda g: len({key(v) for v in columns[g[0]]}))
        counts = [len({key(v) for v in columns[g[0]]}) for g in (few, many)]
        return [few] if 3 * counts[0] <= counts[1] else groups
    return groups


def _no_classes(table: Table, column: int, values: Sequence[Any]) -> NewsFormatError:
    found = {key(value) for value in values}
    name = (table.columns or [])[column]
    for row, value in enumerate(values):
        if not key(value):
            return NewsFormatError(
                f"{table.place(row)}: no class in {name!r}: fill it in, or delete the row."
            )
    longest = max(found, key=len)
    if len(found) == 1:
        problem = f"only one class, {longest[:40]!r}; expected 2 to {MOST_CLASSES}"
    elif len(found) > MOST_CLASSES:
        problem = f"{len(found):,} different values; expected 2 to {MOST_CLASSES} classes"
    else:
        problem = f"values such as {longest[:40]!r}, too long for the name of a class"
    return NewsFormatError(
        f'{table.name}: the column "{name}" has {problem}. Say label=... if another column holds '
        "the class."
    )


def _text_columns(
    table: Table, columns: list[tuple], label: int, free: list[int], title: int | None
) -> tuple[int, int | None]:
    """Return the column with the text, and that with a title or None."""
    names = table.columns or []
    # A column that never changes, or is empty, says nothing about any class.
    free = [i for i in free if i != title and len({key(v) for v in columns[i][:1000]}) > 1]
    free = [i for i in free if not any(isinstance(v, dict | list) for v in columns[i][:1000])]
    texts = [i for i in free if _fits(_TEXT, names[i])]
    titles = [i for i in free if _fits(_TITLE, names[i])] if title is None else [title]
    plain = {_plain(name): i for i, name in enumerate(names)}
    if {"title", "description", "text"} <= set(plain):  # as the course itself writes its rows
        texts = [plain["description"]]
    if len(texts) > 1:
        raise _two_ways(table, "the text", "text", names[texts[0]], names[texts[1]])
    if texts:
        if len(titles) > 1:
            raise _two_ways(table, "the title", "title", names[titles[0]], names[titles[1]])
        return texts[0], titles[0] if titles else None
    other = [i for i in free if not all(map(_WHOLE.fullmatch, map(key, columns[i][:1000])))]
    ag_form = unnamed(names) and len(names) == 3 and label == 0 and other == [1, 2]
    # Words that all differ are no titles but numbers of the rows, such as "id17".
    if ag_form and (_words(columns[1]) > 1 or not _all_differ(columns[1])):
        return 2, 1
    if len(other) > 1:
        wordy = [i for i in other if _words(columns[i]) >= 2 or _length(columns[i]) >= 20]
        other = wordy or other
    if len(other) == 1:
        return other[0], title
    if not other:
        raise NewsFormatError(
            f"{table.name} has no column with texts beside the class; it has {_listed(names)}."
        )
    raise _two_ways(table, "the text", "text", names[other[0]], names[other[1]])


def _two_ways(table: Table, what: str, option: str, first: str, second: str) -> NewsFormatError:
    def said(name: str) -> str:
        number = re.fullmatch(r"column (\d+)", name)
        return f"{option}={number[1]}" if number else f'{option}="{name}"'

    return NewsFormatError(
        f'{table.name} can be read in two ways: {what} may stand in "{first}" or in "{second}". '
        f"Say {said(first)} or {said(second)}."
    )


def unnamed(columns: Sequence[str] | None) -> bool:
    """Tell whether columns have no names of their own."""
    columns = columns or []
    return list(columns) == [f"column {i}" for i in range(1, len(columns) + 1)]


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(f'"{name[:40]}"' for name in columns[:8])
    return shown + (f" and {len(columns) - 8} more" if len(columns) > 8 else "")


def _plain(name: str) -> str:
    return " ".join(name.lower().split())


def _fits(pattern: re.Pattern[str], name: str) -> bool:
    return len(name) <= 40 and pattern.fullmatch(_plain(name)) is not None


def key(value: Any) -> str:
    """Return what stands in a cell as a class: without spaces around it, "" for nothing."""
    if value is None or value != value:  # nan differs from itself
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value).strip()


def _like_classes(values: Sequence[Any], repeated: bool = True) -> bool:
    """Tell whether values may be classes: few, short, each about twice or more."""
    found: set[str] = set()
    missing = 0
    for value in values:
        if isinstance(value, dict | list):
            return False
        label = key(value)
        missing += label == ""
        found.add(label)
        if len(found) > MOST_CLASSES + 1:
            return False
    found.discard("")  # a row without a class is an error of its own
    if 2 * missing > len(values) or any(_too_long(name) for name in found):
        return False
    fewest = 2 * len(found) if repeated else 0
    return 2 <= len(found) <= MOST_CLASSES and fewest <= len(values)


def _too_long(name: str) -> bool:
    return len(name) > _LONGEST_NAME or "\n" in name or "\r" in name


def _one_to_one(first: Sequence[Any], second: Sequence[Any], repeated: bool = True) -> bool:
    """Tell whether two columns with classes divide the rows in the same way."""
    if not (_like_classes(first, repeated) and _like_classes(second, repeated)):
        return False
    pairs = {(key(a), key(b)) for a, b in zip(first, second, strict=True)}
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def _are_names(values: Sequence[Any]) -> bool:
    return not all(_WHOLE.fullmatch(label) for label in map(key, values) if label)


def _all_differ(values: Sequence[Any]) -> bool:
    return len(set(map(key, values))) == len(values) >= _FEW_ROWS


def _words(values: Sequence[Any]) -> float:
    """Return the mean number of words, of the first rows."""
    head = values[:500]
    return sum(len(key(value).split()) for value in head) / max(1, len(head))


def _length(values: Sequence[Any]) -> float:
    head = values[:500]
    return sum(len(key(value)) for value in head) / max(1, len(head))


# --------------------------------------------------------------------------------- rows and classes


@dataclass(frozen=True)
class Split:
    """The rows of one split: texts, and each row's class as it stands in the file."""

    table: Table
    columns: Columns
    keys: list[str]

    def place(self, label: str) -> str:
        """Return the place of the first row with a class."""
        return self.table.place(self.keys.index(label))


def as_split(table: Table, columns: Columns) -> Split:
    """Take the classes out of a table.

    Raises
    ------
    NewsFormatError
        If a row has none.
    """
    keys = [key(row[columns.label]) for row in table.rows]
    if all(map(_WHOLE.fullmatch, keys)):
        keys = [str(int(label.split(".")[0])) for label in keys]
    for row, label in enumerate(keys):
        name = (table.columns or [])[columns.label]
        if not label:
            raise NewsFormatError(
                f"{table.place(row)}: no class in {name!r}: fill it in, or delete the row."
            )
        if _too_long(label) or isinstance(table.rows[row][columns.label], dict | list):
            raise NewsFormatError(
                f"{table.place(row)}: {label[:40]!r} in {name!r} is no class. Say label=... if "
                "another column holds it."
            )
    return Split(table, columns, keys)


def like_training(table: Table, train: Split, options: Options) -> tuple[Table, Columns]:
    """Find the columns of the training table in another one: by name, else by place."""
    names, columns = train.table.columns or [], train.columns
    wanted = [names[i] for i in columns.used]
    labels = set(train.keys)
    nameless = unnamed(names)
    if table.columns is None:
        first = [str(cell).strip() for cell in table.rows[0]]
        has_names = {_plain(cell) for cell in first} >= {_plain(name) for name in wanted}
        data = len(first) == len(names) and key(first[columns.label]) in labels
        header = options.header
        if header is None:
            at_label = first[columns.label] if columns.label < len(first) else ""
            header = not data and (has_names or not nameless or _fits(_LABEL, at_label))
        table = _with_header(table, replace(options, header=header))
        if not header or (nameless and not has_names):
            _check_width(table, names, train)
            return replace(table, columns=list(names)), columns
    if not table.rows:
        raise NewsFormatError(f"{table.name} has a header but no rows: download it again.")
    found: dict[str, int] = {_plain(name): i for i, name in enumerate(table.columns or [])}
    if nameless:
        _check_width(table, names, train)
        return table, columns
    for name in wanted:
        if _plain(name) not in found:
            advice = ""
            if name == names[columns.label]:
                advice = (
                    " Without classes these rows cannot be test rows: move the file away, and "
                    "test rows are taken from the training rows."
                )
            raise NewsFormatError(
                f'{table.name} has no column "{name}", as {train.table.name} has; it has '
                f"{_listed(table.columns or [])}.{advice}"
            )
    places = {
        place: found[_plain(names[i])]
        for place in ("label", "text", "title", "name")
        if (i := getattr(columns, place)) is not None
    }
    return table, Columns(**places)


def _check_width(table: Table, names: Sequence[str], train: Split) -> None:
    width = len(table.rows[0]) if table.rows else 0
    if width != len(names):
        raise NewsFormatError(
            f"{table.name} has {width} columns, {train.table.name} has {len(names)}: give both "
            "the same columns."
        )


def named_classes(
    train: Split, test: Split | None, options: Options, source: str = "classes"
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return the number of each class that stands in the files, and the names by number.

    Parameters
    ----------
    train, test : Split
        The rows; None for test rows that are still to be taken from the training rows.
    options : Options
        With the names that the user gives.
    source : str
        Where those come from, for messages.

    Raises
    ------
    NewsFormatError
        If numbers or names do not fit together, fit in two ways, or if a class has no training row.
    """
    splits = [train] if test is None else [train, test]
    labels = sorted({label for split in splits for label in set(split.keys)})
    numeric = all(map(_WHOLE.fullmatch, labels))
    if numeric:
        labels.sort(key=int)
    numbers, names = _numbered(train, splits, labels, numeric, options.classes, source)
    _check_complete(train, splits, numbers, names)
    return numbers, names


def _numbered(
    train: Split,
    splits: list[Split],
    labels: list[str],
    numeric: bool,
    given: Sequence[str] | Mapping[Any, str] | None,
    source: str,
) -> tuple[dict[str, int], tuple[str, ...]]:
    label_column = (train.table.columns or [])[train.columns.label]
    if isinstance(given, Mapping):
        names = tuple(dict.fromkeys(given.values()))
        numbers = {key(label): names.index(name) for label, name in given.items()}
        _check_known(splits, labels, numbers, source)
        return numbers, names
    if given is not None:
        names = tuple(given)
        if not numeric or all(map(_WHOLE.fullmatch, names)):
            numbers = {name.strip(): number for number, name in enumerate(names)}
            _check_known(splits, labels, numbers, source)
            return numbers, names
        return _from_zero_or_one(train, labels, names, source), names
    if stored := train.table.class_names.get(label_column):
        numbers = {str(number): number for number in range(len(stored))}
        if numeric:
            _check_known(splits, labels, numbers, f"{train.table.name} itself")
            return numbers, tuple(stored)
    for label in labels:
        if label not in train.keys:
            raise _only_in_test(splits[-1], label, train)
    if train.columns.name is not None:
        named = {
            label: key(row[train.columns.name])
            for label, row in zip(train.keys, train.table.rows, strict=True)
        }
        order = sorted(named, key=int)
        numbers = {label: number for number, label in enumerate(order)}
        _check_known(splits, labels, numbers, train.table.name)
        return numbers, tuple(named[label] for label in order)
    if numeric:
        return _plain_numbers(train, labels)
    by_letters: dict[str, str] = {}
    for label in labels:
        other = by_letters.setdefault(label.casefold(), label)
        if other != label:
            place = next(split.place(label) for split in splits if label in split.keys)
            raise NewsFormatError(
                f"{place}: the classes {other!r} and {label!r} differ in capitals only: are they "
                f"one class or two? Write them alike, or say classes={{{other!r}: {other!r}, "
                f"{label!r}: {other!r}, ...}}."
            )
    return {label: number for number, label in enumerate(labels)}, tuple(labels)


def _plain_numbers(train: Split, labels: list[str]) -> tuple[dict[str, int], tuple[str, ...]]:
    """Give numbers without names their place: from 0 or from 1, without a gap."""
    found = [int(label) for label in labels]
    ag_form = is_ag_form(train)
    if ag_form and found == [1, 2, 3, 4]:
        return {str(n): n - 1 for n in found}, tuple(CLASS_NAMES)
    counts = ", ".join(labels[:12]) + (", ..." if len(labels) > 12 else "")
    if ag_form and found[-1] == 3 and found[0] > 0:
        of_ag_news = "{" + ", ".join(f"{n}: {CLASS_NAMES[n - 1]!r}" for n in found) + "}"
        from_zero = "{" + ", ".join(f"{n}: {CLASS_NAMES[n]!r}" for n in found) + "}"
        raise NewsFormatError(
            f"{train.table.name} has the classes {counts} and can be read in two ways: numbers "
            f"from 1, as in the files of AG News, without a 4, or numbers from 0, as in the "
            f"Hugging Face copy, without a 0. Say classes={of_ag_news}, classes={from_zero}, or "
            "the names of your own classes in the same way."
        )
    if found[0] in (0, 1) and found == list(range(found[0], found[0] + len(found))):
        return {label: number for number, label in enumerate(labels)}, tuple(labels)
    example = ", ".join(f'{label}: "..."' for label in labels[:3])
    more = ", ..." if len(labels) > 3 else ""
    last = next((n for n, after in pairwise(found) if after > n + 1), None)
    problem = "they begin with neither 0 nor 1"
    if found[0] in (0, 1) and last is not None:
        problem = f"no row has the class {last + 1}"
        if str(found[-1]) in train.keys:
            problem += f" ({train.place(str(found[-1]))}, has {found[-1]})"
    raise NewsFormatError(
        f"{train.table.name} has the classes {counts}: {problem}. If these are all, name them: "
        f"classes={{{example}{more}}}."
    )


def is_ag_form(train: Split) -> bool:
    """Tell whether the columns are class, title and description, in this order."""
    places = (train.columns.label, train.columns.title, train.columns.text, train.columns.name)
    return len(train.table.columns or []) == 3 and places == (0, 1, 2, None)


def _from_zero_or_one(
    train: Split, labels: list[str], names: tuple[str, ...], source: str
) -> dict[str, int]:
    lowest, highest = int(labels[0]), int(labels[-1])
    starts = [start for start in (0, 1) if start <= lowest and highest < start + len(names)]
    if len(starts) == 1:
        return {str(number + starts[0]): number for number in range(len(names))}
    listed = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
    said = f"{train.table.name} has the classes {lowest} to {highest}, {source} names {len(names)}"
    if starts:
        raise NewsFormatError(
            f"{said} ({listed}), and both readings fit: numbers from 0, so that {lowest} is "
            f"{names[lowest]!r}, or from 1, so that it is {names[lowest - 1]!r}. Say "
            f"classes={{0: {names[0]!r}, ...}} or classes={{1: {names[0]!r}, ...}}, with all names."
        )
    raise NewsFormatError(
        f"{said} ({listed}): expected numbers from 0 to {len(names) - 1}, or from 1 to "
        f"{len(names)}."
    )


def _check_known(
    splits: list[Split], labels: list[str], numbers: Mapping[str, int], source: str
) -> None:
    for label in labels:
        if label not in numbers:
            place = next(split.place(label) for split in splits if label in split.keys)
            known = ", ".join(list(numbers)[:12]) + (", ..." if len(numbers) > 12 else "")
            raise NewsFormatError(
                f"{place}: the class {label[:40]!r} is none of those that {source} has: {known}."
            )


def _only_in_test(split: Split, label: str, train: Split) -> NewsFormatError:
    return NewsFormatError(
        f"{split.place(label)}: the class {label!r} is only among the test rows, no row of "
        f"{train.table.name} has it: nothing could learn it. Give training rows of it, or delete "
        "these test rows."
    )


def _check_complete(
    train: Split, splits: list[Split], numbers: Mapping[str, int], names: tuple[str, ...]
) -> None:
    if not 2 <= len(names) <= MOST_CLASSES:
        raise NewsFormatError(
            f"{train.table.name}: {len(names)} class{'es' * (len(names) != 1)} "
            f"({', '.join(names[:3])}); expected 2 to {MOST_CLASSES}."
        )
    there = {numbers[label] for label in set(train.keys)}
    for number, name in enumerate(names):
        if number in there:
            continue
        labels = [label for label, n in numbers.items() if n == number]
        for split in splits[1:]:
            if found := [label for label in labels if label in split.keys]:
                raise _only_in_test(split, found[0], train)
        raise NewsFormatError(
            f"{train.table.name} has no row of the class {name!r}: nothing could learn it. Give "
            "training rows of it, or leave its name out."
        )


def frame_of(split: Split, numbers: Mapping[str, int], names: Sequence[str]) -> pd.DataFrame:
    """Return the rows as `read_news_csv` gives them; texts without a title are descriptions."""
    texts = _texts(split, split.columns.text)
    titles = [""] * len(texts)
    if split.columns.title is not None:
        titles = _texts(split, split.columns.title)
    labels = [numbers[label] for label in split.keys]
    return news_frame(labels, titles, texts, names, split.table.name)


def _texts(split: Split, column: int) -> list[str]:
    table, texts = split.table, []
    for row, cells in enumerate(table.rows):
        text = cells[column]
        if text is None or text != text:
            text = ""
        if isinstance(text, int | float) and not isinstance(text, bool):
            text = str(text)
        problem = "" if isinstance(text, str) else f"holds {text!r:.40}"
        if not problem and not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                problem = "holds half a character (a lone surrogate)"
        if problem:
            name = (table.columns or [])[column]
            raise NewsFormatError(f'{table.place(row)}: "{name}" {problem}, not a text.')
        texts.append(text)
    return texts
