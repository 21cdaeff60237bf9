"""The generated parts of README.md: its picture, the table of chapters, the table of results."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from agnews_utils.data.corpus import AG_NEWS_ROWS
from agnews_utils.files import write_text
from tools.builder import picture
from tools.builder.chapters import ROOT, Chapter
from tools.builder.references import references, with_chapter_numbers
from tools.builder.results import Results, fill

README = ROOT / "README.md"
NOTEBOOKS = "notebooks/"  # path of the notebooks, as the README links to them
BLOCK = re.compile(r"(<!-- generated: (?P<name>\w+) -->\n).*?(<!-- end generated -->)", re.DOTALL)
DATA = {"newsbriefs": "News Briefs", "ag_news": "AG News"}
GPU_RUN = "device_cuda"
NOT_MEASURED = "not measured yet"


def update(chapters: list[Chapter], results: Results) -> None:
    """Rewrite the generated parts of README.md, and its picture, if they changed."""
    if README.exists():
        text = README.read_text(encoding="utf-8")
        changed = rendered(text, chapters, results)
        if changed != text:
            write_text(README, changed)
        picture.update(results)


def rendered(text: str, chapters: list[Chapter], results: Results) -> str:
    """Return the README's text with its generated parts as they should be.

    Labels and captions call a chapter by its run name, ``(chapter rnn``; its number is filled in.
    """
    makers = {
        "picture": lambda: picture.LEARNING_CURVES.markdown(results),
        "chapters": lambda: chapter_table(chapters, results),
        "results": lambda: result_table(results),
        "gpu": lambda: gpu_line(results),
    }

    def block(match: re.Match[str]) -> str:
        made = with_chapter_numbers(makers[match["name"]](), chapters)
        return f"{match[1]}{made}\n{match[3]}"

    return BLOCK.sub(block, text)


def chapter_table(chapters: list[Chapter], results: Results) -> str:
    """Return the table of chapters: what is learned, CPU seconds, and seconds on a GPU if known."""
    on_gpu = results.runs.get(GPU_RUN, {})
    heads = ["", "chapter", "what you learn", *(f"CPU seconds, {label}" for label in DATA.values())]
    for data, label in DATA.items():
        if data in on_gpu:
            heads.append(f"seconds on {on_gpu[data]['environment']['device']}, {label}")
    lines = [_line(heads), "|---" * len(heads) + "|"]
    for chapter in chapters:
        contract = chapter.contract
        link = f"[{contract.title}]({NOTEBOOKS}{chapter.notebook_path.name})"
        names = references(chapters, chapter, NOTEBOOKS)
        where = chapter.path.name
        summary = fill(contract.summary, Results({}, {}), contract.run, where, names)
        cells = [str(chapter.number), link, summary]
        for data in DATA:
            content = results.runs.get(contract.run, {}).get(data)
            cells.append(f"{content['cpu_seconds']:.0f}" if content else NOT_MEASURED)
        for data in DATA:
            if data in on_gpu:
                entry = on_gpu[data]["metrics"]["chapters"].get(contract.run)
                cells.append(f"{entry['seconds']:.0f}" if entry else NOT_MEASURED)
        lines.append(_line(cells))
    return "\n".join(lines)


def gpu_line(results: Results) -> str:
    """Return the sentence on times of a GPU: where and when they were measured, or that not."""
    runs = results.runs.get(GPU_RUN, {})
    if not runs:
        return "On a GPU: not measured yet; `make gpu` does it."
    newest = max(runs.values(), key=lambda content: content["date"])
    made_with = newest["environment"]
    return (
        f"On a GPU ({made_with['device']}, torch {made_with['torch']}, {newest['date']}) the "
        "seconds are those of the clock. `make gpu` measures yours."
    )


def _line(cells: list[str]) -> str:
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"


def result_table(results: Results) -> str:
    """Return the table of results, best first: ours with their rows, others' with their source."""
    rows = [*_measured(results), *_published(results)]
    heads = ["model", "AG News, official test", "trained on", "News Briefs", "source"]
    lines = [_line(heads), "|---" * len(heads) + "|"]
    for row in sorted(rows, key=lambda row: -row["accuracy"]):
        lines.append(_line(row["cells"]))
    return "\n".join(lines)


def _measured(results: Results) -> list[dict[str, Any]]:
    """Return a row for each model that a run recorded, its two data sets side by side."""
    models: dict[str, dict[str, tuple[Mapping[str, Any], int]]] = {}
    for by_data in results.runs.values():
        for data, content in by_data.items():
            for row in content["metrics"].get("readme_rows", []):
                train = content["data"]["rows"]["train"]
                models.setdefault(row["model"], {})[data] = (row, train)
    rows = []
    for model, on in models.items():
        row, train = on.get("ag_news", (None, 0))
        briefs, few = on.get("newsbriefs", (None, 0))
        official = AG_NEWS_ROWS["train.csv"]
        number = f"{train:,}" + (f" of {official:,} rows" if train < official else " rows")
        small = f"{_accuracy(briefs)}, {few:,} rows" if briefs else ""
        cells = [model, _accuracy(row, bold=True), number if row else "", small]
        accuracy = row["accuracy"] if row else -1
        rows.append({"accuracy": accuracy, "cells": [*cells, "this course, measured"]})
    return rows


def _accuracy(row: Mapping[str, Any] | None, bold: bool = False) -> str:
    """Return an accuracy with its interval; empty without one."""
    if row is None:
        return ""
    low, high = row["interval"]
    text = f"{100 * row['accuracy']:.1f}%"
    return f"{f'**{text}**' if bold else text} ({100 * low:.1f} to {100 * high:.1f})"


def _published(results: Results) -> list[dict[str, Any]]:
    """Return a row for each published result."""
    return [
        {
            "accuracy": row["accuracy"] / 100,
            "cells": [
                row["model"],
                f"{row['accuracy']:.1f}%",
                row["training"],
                "",
                row["source"],
            ],
        }
        for row in results.published.get("readme_rows", [])
    ]
