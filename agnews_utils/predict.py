"""Name the class of texts with a saved model (rnn, "Using it").

    python -m agnews_utils.predict runs/bilstm "Oil prices rise again" "The home team wins"
    python -m agnews_utils.predict runs/bilstm --file texts.txt
    python -m agnews_utils.predict runs/bilstm --file news.csv --column text --csv answers.csv
    cat texts.txt | python -m agnews_utils.predict runs/bilstm

A run is what `python -m agnews_utils.train --output` wrote. A text file holds one text a line; a
CSV or TSV file has the columns `title` and `description`, or one with the texts. One line is
printed for each text: class, probability, text. `--csv` writes the probability of every class.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from agnews_utils.data.formats import fields_of_any_length
from agnews_utils.files import shown_path, written_whole
from agnews_utils.runs import TEXTS_AT_ONCE, Run, load_run
from agnews_utils.runtime import DEVICE_VARIABLE, DeviceError, device_as_typed, say

TEXT_COLUMNS = ("text", "message", "sentence", "review", "content")
"""Names of the column with the texts, in a file that has no `title` and `description`."""
_SHOWN = 70
Pair = tuple[str, str]
"""Title, which may be empty, and text."""


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; see `python -m agnews_utils.predict --help`."""
    parser = argparse.ArgumentParser(
        prog="python -m agnews_utils.predict",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="folder that `python -m agnews_utils.train` wrote")
    add("texts", nargs="*", metavar="TEXT", help="without any: --file, or standard input")
    add("--file", type=Path, help="one text a line, or a CSV or TSV file with a header")
    add("--column", help="name of the column with the texts, in a CSV file")
    add("--csv", type=Path, metavar="OUT", help="write text, class and probabilities to this file")
    add("--device", help="cpu, cuda or mps; default: a GPU if there is one")
    add("--progress", action=argparse.BooleanOptionalAction, help="show a bar")
    options = parser.parse_intermixed_args(arguments)
    if options.texts and options.file:
        parser.error("give texts, or --file, not both")
    if options.column and not options.file:
        parser.error("--column needs --file with a CSV file")
    return options


# ------------------------------------------------------------------------------- reading the texts


def read_lines(lines: Iterable[str]) -> Iterator[Pair]:
    """Yield each line that is not blank as a text without a title."""
    for line in lines:
        if text := line.strip("\ufeff\r\n"):
            yield "", text


def read_table(path: Path, column: str | None = None) -> Iterator[Pair]:
    """Yield title and text of each record of a CSV or TSV file, one record in memory at a time.

    Raises
    ------
    ValueError
        If no column, or more than one, can be the texts', or a quote is wrong; the message names
        the file and the line.
    """
    with fields_of_any_length(), open(path, encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        file.seek(0)
        marks = "\t" if path.suffix.lower() in (".tsv", ".tab") else ",;\t|"
        reader = csv.reader(file, delimiter=max(marks, key=first.count), strict=True)
        pick: Callable[[list[str]], Pair] | None = None
        width, line = 0, 1
        try:
            for record in reader:
                if pick is None:
                    pick, width = _picker(record, column, shown_path(path)), len(record)
                    if _is_ag_form(record, column):
                        yield pick(record)
                elif len(record) == width:
                    yield pick(record)
                elif record:
                    raise ValueError(
                        f"{shown_path(path)}, line {line}: {len(record)} columns instead of "
                        f"{width}. Put a text with a separator in it into quotes."
                    )
                line = reader.line_num + 1
        except csv.Error as error:
            raise ValueError(
                f"{shown_path(path)}, line {line}: a quote is not closed or not doubled ({error})."
            ) from None


def _is_ag_form(record: Sequence[str], column: str | None) -> bool:
    """Tell whether a file has the form of AG News: class, title, description, and no header."""
    return column is None and len(record) == 3 and record[0].strip().isdigit()


def _picker(header: list[str], column: str | None, name: str) -> Callable[[list[str]], Pair]:
    """Return what takes title and text out of a record."""
    if _is_ag_form(header, column):
        return lambda record: (record[1], record[2])
    names = [cell.strip().lower() for cell in header]
    if column is not None:
        if column.strip().lower() not in names:
            raise ValueError(
                f"{name} has no column {column!r}: it has {', '.join(header) or 'none'}. The first "
                "line has to name the columns."
            )
        place = names.index(column.strip().lower())
        return lambda record: ("", record[place])
    if "title" in names and "description" in names:
        title, description = names.index("title"), names.index("description")
        return lambda record: (record[title], record[description])
    found = [names.index(known) for known in TEXT_COLUMNS if known in names]
    if not found and len(names) == 1:
        raise ValueError(
            f"{name} has one column, called {header[0]!r}: say --column {header[0]!r} if that is "
            "its name; a file with one text a line has to end in .txt."
        )
    if len(found) != 1:
        raise ValueError(
            f"{name}: which column holds the texts? It has {', '.join(header) or 'none'}; name one "
            "with --column."
        )
    return lambda record: ("", record[found[0]])


def _open_texts(options: argparse.Namespace) -> Iterator[Pair]:
    """Yield the texts that the command line names."""
    if options.texts:  # bytes that are no UTF-8 come as half characters, which no tokenizer reads
        return (("", text.encode("utf-8", "replace").decode("utf-8")) for text in options.texts)
    if options.file is None:
        if sys.stdin is None or sys.stdin.isatty():
            raise ValueError("there is no text: give some, or --file, or send them to the input.")
        return _standard_input()
    return read_file(options.file, options.column)


def _standard_input() -> Iterator[Pair]:
    lines = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8")  # whatever the terminal is set to
    try:
        yield from read_lines(lines)
    except UnicodeDecodeError:
        raise ValueError("the input is not UTF-8: convert it, or name a file in UTF-8.") from None


def read_file(path: Path, column: str | None = None) -> Iterator[Pair]:
    """Yield title and text of each text in a file: a line, or a record of a CSV or TSV file.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    ValueError
        If it is of another kind, or not in UTF-8; see `read_table`.
    """
    shown, kind = shown_path(path), path.suffix.lower()
    if not path.is_file():
        raise FileNotFoundError(f"{shown} does not exist: name a file with texts.")
    if kind not in (".txt", ".csv", ".tsv", ".tab", ""):
        raise ValueError(
            f"{shown}: its ending is none of .txt (one text a line), .csv and .tsv: save it as one "
            "of these, in UTF-8."
        )
    try:
        if column is None and kind in (".txt", ""):
            with open(path, encoding="utf-8-sig") as file:
                yield from read_lines(file)
        else:
            yield from read_table(path, column)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{shown} is not UTF-8 (the byte 0x{error.object[error.start]:02x}): save it as UTF-8."
        ) from None


def _in_tables(pairs: Iterable[Pair]) -> Iterator[pd.DataFrame]:
    """Gather texts into tables of `TEXTS_AT_ONCE` rows."""
    part: list[Pair] = []
    for pair in pairs:
        part.append(pair)
        if len(part) == TEXTS_AT_ONCE:
            yield pd.DataFrame(part, columns=["title", "description"])
            part = []
    if part:
        yield pd.DataFrame(part, columns=["title", "description"])


# ----------------------------------------------------------------------------- writing the answers


def answer(options: argparse.Namespace, run: Run, pairs: Iterable[Pair], total: int | None) -> int:
    """Answer all texts, on the screen or in a file; return their number."""
    show = sys.stderr.isatty() if options.progress is None else options.progress
    count = 0
    with ExitStack() as stack:
        bar = stack.enter_context(tqdm(total=total, unit="text", disable=not show))
        table: Any = None
        if options.csv:
            partial = stack.enter_context(written_whole(options.csv))
            file = stack.enter_context(open(partial, "w", encoding="utf-8", newline=""))
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["text", "class", *(f"p({name})" for name in run.classes)])
        for frame in _in_tables(pairs):
            for texts, answers in run.in_parts(frame):
                for text, row in zip(texts, answers, strict=True):
                    chosen = run.classes[int(row.argmax())]
                    if table:
                        table.writerow([text, chosen, *(f"{value:.6f}" for value in row)])
                    else:
                        say(_line(chosen, row, text))
                count += len(texts)
                bar.update(len(texts))
        if not count:
            raise ValueError("there is no text: the input is empty.")
    return count


def _line(chosen: str, row: np.ndarray, text: str) -> str:
    text = " ".join(text.split())
    shown = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
    return f"{chosen}\t{row.max():.1%}\t{shown}"


def predict(options: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    total = len(options.texts) or None
    if options.file:  # read twice: mistakes show before the work begins, and the bar has an end
        total = sum(1 for _ in read_file(options.file, options.column))
    pairs = _open_texts(options)
    run = load_run(options.run)
    if options.csv and options.file and options.csv.resolve() == options.file.resolve():
        raise ValueError("--csv names the file that is read: name another one.")
    count = answer(options, run, pairs, total)
    if options.csv:
        say(f"{count:,} texts in {shown_path(options.csv)}, by {run}.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0, 1 after an error that a sentence explains, 130 after Ctrl-C."""
    options = parse_arguments(arguments)
    if options.device:
        os.environ[DEVICE_VARIABLE] = options.device
    try:
        predict(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("python -m agnews_utils.predict: interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, DeviceError) as error:
        message = device_as_typed(str(error)) if options.device else str(error)
        print(f"python -m agnews_utils.predict: {message}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
