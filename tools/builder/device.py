"""nbval over the notebooks on one device, one after the other, timed (``make gpu``).

    python -m tools.builder.device cuda                       News Briefs, and AG News if here
    python -m tools.builder.device cuda --data ../my/ag_news   on other data
    python -m tools.builder.device cpu --data newsbriefs 1    one chapter: times are only printed
    python -m tools.builder.device cuda --check                 is there such a device?

When every chapter passes, ``results/device_<device>.<data>.json`` holds the device's name, the
versions, and each chapter's seconds; the README's table of chapters shows those of a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agnews_utils.data.corpus import ag_news_folder, missing_files
from agnews_utils.data.loading import News, load_news
from agnews_utils.runtime import DEVICE_VARIABLE, pick_device, record, say
from tools.builder.chapters import Chapter
from tools.builder.course import BUILD, RESULTS, ROOT, select, table
from tools.builder.execute import CELL_TIMEOUT, Outcome

DEVICE = re.compile(r"cpu|cuda(:\d+)?")
COURSE_DATA = ("newsbriefs", "ag_news")


def check(device: str) -> None:
    """Ask this process and its children for a device, or end with the sentence that says why not.

    Raises
    ------
    SystemExit
        If the name is unknown, or torch sees no such device.
    """
    if not DEVICE.fullmatch(device):
        raise SystemExit(f"DEVICE={device}: expected cpu or cuda")
    os.environ[DEVICE_VARIABLE] = device
    try:
        pick_device()
    except RuntimeError as error:
        raise SystemExit(str(error)) from None


def run_nbval(chapters: list[Chapter], data: str, folder: Path) -> list[Outcome]:
    """Run nbval over chapters' notebooks on this process's device.

    Parameters
    ----------
    chapters
        The chapters.
    data
        What ``load_news()`` shall load in the notebooks.
    folder
        Receives nbval's report and the results that the notebooks record.

    Returns
    -------
    One outcome a chapter; its seconds, on the clock, count the start of the kernel in.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.*"):
        old.unlink()
    report = folder / "nbval.xml"
    variables = os.environ | {"AGNEWS_TEST_DATA": data, "AGNEWS_TEST_RECORD": str(folder)}
    subprocess.run(
        [sys.executable, "-m", "pytest", *(str(c.notebook_path) for c in chapters), "--nbval-lax",
         "--nbval-current-env", "--nbval-cell-timeout", str(CELL_TIMEOUT), "--quiet",
         f"--junitxml={report}", "-p", "no:cacheprovider"],
        cwd=ROOT, env=variables, check=False,
    )  # fmt: skip
    if not report.exists():
        raise SystemExit("nbval did not run to its end; see the messages above")
    return read_report(report, chapters)


def read_report(report: Path, chapters: list[Chapter]) -> list[Outcome]:
    """Add up pytest's report, which has an entry for each cell, to one outcome a chapter."""
    outcomes = []
    entries = list(ElementTree.parse(report).iter("testcase"))
    for chapter in chapters:
        cells = [e for e in entries if chapter.name in e.get("classname", "").split(".")]
        bad = [e.get("name") for e in cells if e.find("failure") is not None]
        bad += [e.get("name") for e in cells if e.find("error") is not None]
        error = f"failed: {', '.join(map(str, bad))}" if bad else None
        if not cells:
            error = "no cell was run"
        seconds = sum(float(e.get("time", 0)) for e in cells)
        outcomes.append(Outcome(chapter.name, len(cells), seconds, error))
    return outcomes


def chapter_times(
    chapters: list[Chapter], outcomes: list[Outcome], folder: Path, data: str
) -> dict[str, dict[str, Any]]:
    """Join nbval's seconds with what each notebook recorded about itself: CPU seconds, device.

    A chapter's times stand under its run name, which stays when its number changes.

    Raises
    ------
    SystemExit
        If a notebook recorded nothing: its last cell did not do what the other chapters' does.
    """
    times = {}
    for chapter, outcome in zip(chapters, outcomes, strict=True):
        path = folder / f"{chapter.contract.run}.{data}.json"
        if not path.exists():
            raise SystemExit(f"{chapter.notebook_path.name} recorded no {path.name}")
        content = json.loads(path.read_text(encoding="utf-8"))
        times[chapter.contract.run] = {
            "cells": outcome.cells,
            "seconds": outcome.seconds,
            "cpu_seconds": content["cpu_seconds"],
            "device": content["environment"]["device"],
        }
    return times


def measure(chapters: list[Chapter], news: News, data: str, whole: bool) -> bool:
    """Run, print and, for the whole course on its own data, store; return whether all passed."""
    import torch

    device = pick_device()
    folder = BUILD / "device" / f"{device.type}.{news.name}"
    outcomes = run_nbval(chapters, data, folder)
    say(table(outcomes, folder))
    if any(outcome.error for outcome in outcomes):
        return False
    times = chapter_times(chapters, outcomes, folder, news.name)
    seconds = sum(outcome.seconds for outcome in outcomes)
    store = whole and news.name in COURSE_DATA
    record(
        f"device_{device.type}",
        news,
        {"chapters": times, "seconds": seconds, "cuda": torch.version.cuda},
        f"notebooks that passed nbval on {_used(times)}: {len(chapters)}, in {seconds:.0f} seconds",
        cpu_seconds=sum(entry["cpu_seconds"] for entry in times.values()),
        folder=RESULTS if store else BUILD / "results",
    )
    return True


def _used(times: Mapping[str, Mapping[str, Any]]) -> str:
    """Name the devices that the notebooks saw; one that has no use for a GPU names the CPU."""
    return ", ".join(sorted({entry["device"] for entry in times.values()}))


def default_data() -> list[str]:
    """Return the data sets to run on: News Briefs, and AG News if it has been downloaded."""
    if missing_files(ag_news_folder()):
        print("AG News is not in data/ag_news, so this runs on News Briefs only: `make data`")
        return ["newsbriefs"]
    return list(COURSE_DATA)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.builder.device",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("device", help="cpu or cuda")
    parser.add_argument("chapter", nargs="*", help="numbers or run names; all without")
    parser.add_argument("--data", action="append", help="may be given more than once")
    parser.add_argument("--check", action="store_true", help="only look whether it is there")
    options = parser.parse_intermixed_args(arguments)
    check(options.device)
    if options.check:
        return 0
    chapters = select(options.chapter)
    sources = []
    for data in options.data or default_data():
        folder = Path(data)
        sources.append(str(folder.resolve()) if folder.exists() else data)
    loaded = [(load_news(source), source) for source in sources]
    passed = [measure(chapters, news, source, not options.chapter) for news, source in loaded]
    return int(not all(passed))


if __name__ == "__main__":
    sys.exit(main())
