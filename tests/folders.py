"""Folders of labelled texts such as people bring, and a run of a chapter's cells on one of them.

`python -m tests.folders exploration tiny` runs one chapter on one folder and names the first cell
that fails; without names it runs all chapters on all folders and prints a table.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import csv
import functools
import io
import json
import linecache
import os
import random
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import matplotlib as mpl
import matplotlib.pyplot as plt
import torch
from IPython.core.inputtransformer2 import TransformerManager

from agnews_utils import training
from agnews_utils.data.corpus import CLASS_NAMES
from tools.builder import generated
from tools.builder.chapters import read_chapters
from tools.builder.generated import takes_any_encoder

ROOT = Path(__file__).parent.parent


class Row(NamedTuple):
    """One labelled text."""

    label: str
    title: str
    description: str
    topic: str = ""

    @property
    def text(self) -> str:
        """The title with the description."""
        return f"{self.title} {self.description}".strip()


# ------------------------------------------------------------------------------- how they are kept


def as_ag_news(folder: Path, train: list[Row], test: list[Row]) -> None:
    """Write both files in the format of AG News."""
    for name, rows in (("train.csv", train), ("test.csv", test)):
        with open(folder / name, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL)
            writer.writerows((CLASS_NAMES.index(r.label) + 1, r.title, r.description) for r in rows)


def as_one_csv(folder: Path, train: list[Row], test: list[Row]) -> None:
    """Write one file with a header, two columns and semicolons; test rows are not told apart."""
    with open(folder / "train.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["label", "text"])
        writer.writerows((row.label, row.text) for row in train + test)


def as_json_lines(folder: Path, train: list[Row], test: list[Row]) -> None:
    """Write JSON lines with the fields of the Hugging Face hub."""
    for name, rows in (("train.jsonl", train), ("test.jsonl", test)):
        lines = [
            json.dumps({"text": row.text, "label": row.label}, ensure_ascii=False) for row in rows
        ]
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


# -------------------------------------------------------------------------------- what is in them


@functools.cache
def briefs() -> tuple[Row, ...]:
    """Return the clean texts of News Briefs, in a drawn order."""
    lines = (ROOT / "data" / "newsbriefs" / "briefs.jsonl").read_text(encoding="utf-8").splitlines()
    fields = [json.loads(line) for line in lines]
    rows = [Row(f["label"], f["title"], f["description"], f["topic"]) for f in fields]
    random.Random(0).shuffle(rows)
    return tuple(rows)


def even(rows: tuple[Row, ...] | list[Row], count: int) -> list[Row]:
    """Return `count` rows, of each class as many as of the others, in a drawn order."""
    labels = sorted({row.label for row in rows})
    wanted = -(-count // len(labels))
    chosen = [row for label in labels for row in [r for r in rows if r.label == label][:wanted]]
    random.Random(1).shuffle(chosen)
    return chosen[:count]


def clean() -> list[Row]:
    """1,250 clean rows of four classes."""
    return even(briefs(), 1_250)


def tiny() -> list[Row]:
    """120 rows."""
    return even(briefs(), 120)


def two_classes() -> list[Row]:
    """Two classes with names of their own."""
    names = {"Sports": "sport", "Business": "money"}
    return even([r._replace(label=names[r.label]) for r in briefs() if r.label in names], 600)


def three_classes() -> list[Row]:
    """Three classes, two of them with names of AG News."""
    names = {"World": "World", "Sports": "Sports", "Sci/Tech": "Science & Technology"}
    return even([r._replace(label=names[r.label]) for r in briefs() if r.label in names], 600)


def twenty_classes() -> list[Row]:
    """Twenty classes, each of ten topics of News Briefs."""
    topics = sorted({(row.label, row.topic) for row in briefs()})
    of_topic = {topic: f"{label.lower()} {number % 50 // 10 + 1}"
                for number, (label, topic) in enumerate(topics)}  # fmt: skip
    return even([row._replace(label=of_topic[row.topic]) for row in briefs()], 600)


def one_large_class() -> list[Row]:
    """82 % of the rows belong to one class of two, one class after the other, as in two folders."""
    named = [row._replace(label="spam" if row.label == "Business" else "ham") for row in briefs()]
    spam, ham = ([row for row in named if row.label == label] for label in ("spam", "ham"))
    return ham[:492] + spam[:108]


def one_word() -> list[Row]:
    """Texts of one word."""
    draw = random.Random(3)
    rows = [row._replace(title="", description=draw.choice(row.title.split()))
            for row in briefs()]  # fmt: skip
    return even(rows, 800)


def thousand_words() -> list[Row]:
    """Texts of a thousand words and more, made of many of the same class."""
    draw = random.Random(4)
    by_class = {label: [r.text.split() for r in briefs() if r.label == label]
                for label in CLASS_NAMES}  # fmt: skip
    rows = []
    for number in range(240):
        label = CLASS_NAMES[number % 4]
        words: list[str] = []
        while len(words) < 1_000:
            words += draw.choice(by_class[label])
        rows.append(Row(label, "", " ".join(words)))
    return rows


def wrong_labels() -> list[Row]:
    """30 % of the rows have the label of another class."""
    draw = random.Random(5)
    return [
        row._replace(label=draw.choice([name for name in CLASS_NAMES if name != row.label]))
        if draw.random() < 0.3 else row
        for row in even(briefs(), 1_000)
    ]  # fmt: skip


WORDS = {
    "Chinese": {
        "体育": "球队 比赛 冠军 进球 教练 联赛 决赛 球员 门将 胜利 主场 世界杯",
        "财经": "股市 银行 利率 油价 公司 利润 投资 市场 上涨 下跌 贸易 美元",
        "科技": "电脑 软件 互联网 卫星 科学家 手机 芯片 研究 太空 病毒 机器人 数据",
    },
    "Hindi": {
        "खेल": "टीम मैच क्रिकेट कप्तान गोल जीत खिलाड़ी कोच विकेट फाइनल",
        "व्यापार": "बाज़ार शेयर बैंक कंपनी मुनाफ़ा तेल क़ीमत निवेश रुपया व्यापार",
        "दुनिया": "सरकार चुनाव शांति सेना राष्ट्रपति सीमा वार्ता देश संसद मंत्री",
    },
    "Arabic": {
        "رياضة": "الفريق المباراة هدف المدرب الدوري الكأس لاعب فوز الحارس النهائي",
        "اقتصاد": "السوق البنك النفط أسعار الشركة أرباح استثمار الدولار تجارة الأسهم",
        "سياسة": "الحكومة الانتخابات الرئيس السلام الحدود الوزير البرلمان الجيش اتفاق",
    },
}
"""Words of the classes of each language."""


def other_language(language: str) -> list[Row]:
    """Texts of drawn words: six of the own class, four of any."""
    draw = random.Random(6)
    words = {label: listed.split() for label, listed in WORDS[language].items()}
    everything = [word for of_class in words.values() for word in of_class]
    space, end = {"Chinese": ("", "。"), "Hindi": (" ", " ।"), "Arabic": (" ", ".")}[language]
    rows = []
    for number in range(600):
        label = list(words)[number % len(words)]
        drawn = draw.sample(words[label], 6) + draw.sample(everything, 4)
        draw.shuffle(drawn)
        rows.append(Row(label, "", space.join(drawn) + end))
    return rows


def emoji() -> list[Row]:
    """Short messages with emoji, some of nothing else; skin tones and joined signs too."""
    signs = {"happy": "😀 😂 🎉 ❤️ 👍🏽 🥳 😍 👨‍👩‍👧", "sad": "😢 💔 😭 👎🏿 😞 🌧️ 😔 🇺🇸"}
    words = {"happy": "love great thanks party today", "sad": "miss lost sorry rain alone today"}
    draw, rows = random.Random(7), []
    for number in range(600):
        label = list(signs)[number % 2]
        drawn = draw.choices(signs[label].split(), k=draw.randint(1, 4))
        if number % 10:
            either = f"{words[label]} {words['happy']}".split()
            drawn += draw.choices(either, k=draw.randint(1, 6))
        rows.append(Row(label, "", " ".join(drawn)))
    return rows


@dataclass(frozen=True)
class Folder:
    """One kind of data: how its rows are made, and how they are kept."""

    rows: Callable[[], list[Row]]
    keep: Callable[[Path, list[Row], list[Row]], None]


FOLDERS = {
    "clean": Folder(clean, as_ag_news),
    "tiny": Folder(tiny, as_ag_news),
    "two classes": Folder(two_classes, as_one_csv),
    "three classes": Folder(three_classes, as_json_lines),
    "twenty classes": Folder(twenty_classes, as_one_csv),
    "one large class": Folder(one_large_class, as_one_csv),
    "one word": Folder(one_word, as_ag_news),
    "thousand words": Folder(thousand_words, as_json_lines),
    "wrong labels": Folder(wrong_labels, as_ag_news),
    "Chinese": Folder(functools.partial(other_language, "Chinese"), as_json_lines),
    "Hindi": Folder(functools.partial(other_language, "Hindi"), as_one_csv),
    "Arabic": Folder(functools.partial(other_language, "Arabic"), as_json_lines),
    "emoji": Folder(emoji, as_json_lines),
}
"""The kinds of data, by name."""


def write_folder(name: str, parent: Path) -> Path:
    """Write one of the data sets into a folder of its name, four rows in five for training."""
    folder = parent / name.replace(" ", "_")
    folder.mkdir(parents=True, exist_ok=True)
    rows = FOLDERS[name].rows()
    border = len(rows) * 4 // 5
    FOLDERS[name].keep(folder, rows[:border], rows[border:])
    return folder


# --------------------------------------------------------------------------------- running chapters


class CellError(Exception):
    """A cell of a chapter failed; the message holds the cell and the error."""


class Ran(NamedTuple):
    """What a chapter took, in CPU seconds, and what it printed."""

    seconds: float
    printed: str


def run_chapter(
    run: str,
    folder: Path | str,
    record: Path,
    failures: list[str] | None = None,
    epochs: int | None = None,
) -> Ran:
    """Execute all cells of the chapter with this run name on a folder, in this process.

    It does what a kernel does, without starting one: the value of a last line is shown, a cell with
    the tag raises-exception has to raise.

    Parameters
    ----------
    run, folder
        The chapter, and the data.
    record
        Folder for the results.
    failures
        Goes on behind a cell that fails, and says here what failed.
    epochs
        Networks that the cells train get no more epochs than that, for tests in a hurry.

    Raises
    ------
    CellError
        At the first cell that fails.
    """
    chapter = next(c for c in read_chapters() if c.contract.run == run)
    setup = generated.setup("", takes_any_encoder(chapter))
    cells = [(setup, False)] + [
        (cell.source, "raises-exception" in cell.metadata.get("tags", []))
        for cell in chapter.cells
        if cell.cell_type == "code"
    ]
    variables = {"AGNEWS_DATA": str(folder), "AGNEWS_RECORD": str(record)}
    variables |= {"AGNEWS_ENCODER": "bundled", "HF_HUB_OFFLINE": "1"}
    module = ModuleType("chapter")
    started = time.process_time()
    with _as_in_a_kernel(variables, module) as printed, _few_epochs(epochs):
        for number, (source, raises) in enumerate(cells, start=1):
            problem = None
            try:
                _execute(source, f"<{run}, cell {number}>", module)
            except Exception as error:
                if not raises:
                    problem = "".join(traceback.format_exception(error)[-4:])
            else:
                problem = "It raised nothing." if raises else None
            if problem:
                message = f"cell {number} of {run}:\n{source}\n\n{problem}"
                if failures is None:
                    raise CellError(message)
                failures.append(message)
    return Ran(time.process_time() - started, printed.getvalue())


def _execute(source: str, name: str, module: ModuleType) -> None:
    """Execute a cell and show the value of its last line, as a notebook does."""
    source = TransformerManager().transform_cell(source)
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), vars(module))
    if last is not None:
        value = eval(compile(ast.Expression(last.value), name, "eval"), vars(module))
        show = getattr(value, "_repr_html_", None)
        print(show() if show else repr(value))


@contextlib.contextmanager
def _as_in_a_kernel(variables: dict[str, str], module: ModuleType) -> Iterator[io.StringIO]:
    """Set variables and module, catch what is printed, and put all back afterwards."""
    before, threads = dict(os.environ), torch.get_num_threads()
    os.environ.update(variables)
    sys.modules[module.__name__] = module
    torch.set_num_threads(1)
    printed = io.StringIO()
    try:
        with (
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
            warnings.catch_warnings(),
            mpl.rc_context({"backend": "agg", "figure.max_open_warning": 0}),
        ):
            warnings.simplefilter("ignore")  # such as fonts without the letters of a language
            yield printed
    finally:
        plt.close("all")
        os.environ.clear()
        os.environ.update(before)
        torch.set_num_threads(threads)
        del sys.modules[module.__name__]


@contextlib.contextmanager
def _few_epochs(most: int | None) -> Iterator[None]:
    """Let chapters that import `fit` get one that trains for a few epochs only."""
    fit = training.fit

    def shorter(*arguments: Any, epochs: int = 1, **options: Any) -> Any:
        return fit(*arguments, epochs=min(epochs, most or epochs), **options)

    training.fit = shorter
    try:
        yield
    finally:
        training.fit = fit


def main(arguments: list[str] | None = None) -> int:
    """Run chapters on folders and print a line for each."""
    runs = [chapter.contract.run for chapter in read_chapters()]
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join([*runs, *FOLDERS])}; else all")
    parser.add_argument("--all", action="store_true", help="show all cells that fail")
    given = parser.parse_args(arguments)
    chosen = given.names
    if unknown := sorted(set(chosen) - set(runs) - set(FOLDERS)):
        parser.error(f"unknown: {', '.join(unknown)}")
    failed = 0
    with tempfile.TemporaryDirectory() as parent:
        for name in [n for n in FOLDERS if n in chosen] or FOLDERS:
            folder = write_folder(name, Path(parent))
            for run in [r for r in runs if r in chosen] or runs:
                problems: list[str] = []
                seconds = float("nan")
                try:
                    seconds = run_chapter(
                        run, folder, Path(parent), problems if given.all else None
                    ).seconds
                except CellError as error:
                    problems = [str(error)]
                failed += len(problems)
                ran = f"failed: {len(problems)}" if problems else "ran"
                print(f"{name:16} {run:16} {seconds:6.1f} s  {ran}", flush=True)
                print(*problems, sep="\n" + 80 * "-" + "\n", end="\n" if problems else "")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
