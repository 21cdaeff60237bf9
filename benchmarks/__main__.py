"""Run the benchmarks, then check that no chapter takes too long: ``make bench``."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import subprocess
import sys
from collections.abc import Sequence

import benchmarks
from benchmarks import Target
from tools.builder.chapters import ROOT, read_chapters

CHAPTERS = "chapters"
MOST_CPU_SECONDS = 120


def names() -> list[str]:
    """Return the names of the benchmarks."""
    found = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return sorted(name for name in found if not name.startswith("_"))


def about(name: str) -> str:
    """Return the first line of a benchmark's docstring, and whether it is run by itself."""
    module = importlib.import_module(f"benchmarks.{name}")
    by_itself = "" if hasattr(module, "run") else " (without targets: run it by itself)"
    return (module.__doc__ or "").split("\n")[0] + by_itself


def chapter_targets() -> list[Target]:
    """Execute every chapter on News Briefs and compare its CPU seconds with the limit."""
    before = {chapter.name: _cpu_seconds(chapter.contract.run)[1] for chapter in read_chapters()}
    command = [sys.executable, "-m", "tools.builder", "run", "--data", "newsbriefs"]
    subprocess.run(command, cwd=ROOT, check=False)
    targets = []
    for chapter in read_chapters():
        seconds, written = _cpu_seconds(chapter.contract.run)
        failed = written == before[chapter.name]
        targets.append(
            Target(
                f"{chapter.name} on News Briefs, CPU seconds",
                float("inf") if failed else seconds,
                MOST_CPU_SECONDS,
                at_least=False,
                remark="it did not run to its end" if failed else "",
            )
        )
    return targets


def _cpu_seconds(run: str) -> tuple[float | None, int | None]:
    """Return the CPU seconds in a run's fresh result, and when that file was written."""
    path = ROOT / "build" / "results" / f"{run}.newsbriefs.json"
    if not path.exists():
        return None, None
    content = json.loads(path.read_text(encoding="utf-8"))
    return content["cpu_seconds"], path.stat().st_mtime_ns


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; return 1 if a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--data", help="ag_news, newsbriefs or a folder (chapters: News Briefs)")
    parser.add_argument("--list", action="store_true", help="list the benchmarks and stop")
    parser.add_argument(
        "name", nargs="*", help=f"benchmarks to run; {CHAPTERS}: the chapters' time"
    )
    options = parser.parse_args(arguments)
    with_targets = [
        n for n in names() if hasattr(importlib.import_module(f"benchmarks.{n}"), "run")
    ]
    everything = [*with_targets, CHAPTERS]
    if options.list:
        for name in names():
            print(f"{name:20} {about(name)}")
        print(f"{CHAPTERS:20} CPU seconds of every chapter on News Briefs.")
        return 0
    if unknown := set(options.name) - set(everything):
        parser.error(f"no benchmark {sorted(unknown)[0]!r}; there are: {', '.join(everything)}")
    targets: list[Target] = []
    for name in options.name or everything:
        print(f"\n== {name}", flush=True)
        if name == CHAPTERS:
            targets += chapter_targets()
        else:
            targets += importlib.import_module(f"benchmarks.{name}").run(options.data)
    print("\n" + "\n".join(map(str, targets)))
    return int(not all(target.met for target in targets))


if __name__ == "__main__":
    sys.exit(main())
