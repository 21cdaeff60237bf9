"""All long runs on one GPU, side by side, within a budget of time (``make gpu-all``).

    python -m tools.gpu run --data ../my/ag_news --seconds 780     everything, the best first
    python -m tools.gpu run ... --skip curve-mini-random           but for some
    python -m tools.gpu pack OUTPUT                                the inputs as two archives

Each job is a process of its own and leaves a folder under WORK; what is finished is kept when a
later one fails or the time is up, and not done again. `python -m tools.gpu.collect` brings the
results into `results/`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import traceback
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from agnews_utils.files import write_text
from agnews_utils.runtime import code_version, environment
from tools.gpu import jobs, tuning
from tools.gpu.plan import Job, make_plan
from tools.gpu.tuning import RESULT

ROOT = Path(__file__).resolve().parents[2]
KINDS: dict[str, Callable[[Path, str, dict[str, Any]], dict[str, Any]]] = {
    "texts": jobs.texts,
    "rows": jobs.rows,
    "own_rows": jobs.own_rows,
    "long_rows": jobs.long_rows,
    "pretraining": jobs.pretraining,
    "linear": jobs.linear,
    "speed": jobs.speed,
    "notebooks": jobs.notebooks,
    "tune": tuning.tune,
    "few_search": tuning.few_search,
    "curves": tuning.curves,
    "briefs": tuning.briefs,
    "reviews": tuning.reviews,
}
PIECE = 16_000_000
"""Bytes of a part of a large file: what many places accept as one."""


def run_job(work: Path, name: str, kind: str, settings: dict[str, Any]) -> None:
    """Do one job in this process and write its result."""
    import torch

    torch.set_num_threads(1 if torch.cuda.is_available() else 2)
    torch.set_float32_matmul_precision("high")
    started = time.perf_counter()
    result = KINDS[kind](work, name, settings)
    result |= {
        "settings": settings,
        "environment": environment(),
        "commit": code_version(),
        "job_seconds": time.perf_counter() - started,
    }
    write_text(work / name / RESULT, json.dumps(result, indent=1) + "\n")


class Scheduler:
    """Starts jobs in their order as soon as what they wait for is there.

    Parameters
    ----------
    plan : list of Job
        The most valuable first.
    work : Path
        Folder of all jobs.
    most : int
        Processes at a time.
    deadline : float
        When all end, by `clock`.
    clock : callable
        Returns seconds.
    most_failures : int
        With more than these all end at once: the machine costs time.
    """

    def __init__(
        self,
        plan: list[Job],
        work: Path,
        most: int,
        deadline: float,
        clock: Callable[[], float] = time.monotonic,
        most_failures: int = 1_000,
    ) -> None:
        self.plan, self.work, self.most, self.deadline = plan, work, most, deadline
        self.clock, self.most_failures = clock, most_failures
        self.running: dict[str, subprocess.Popen] = {}
        self.failed: set[str] = set()
        self.started: dict[str, float] = {}

    def done(self, name: str) -> bool:
        """Tell whether a job has its result."""
        return (self.work / name / RESULT).is_file()

    def run(self) -> None:
        """Run until nothing is left or the time is up; then end what still runs."""
        while self.clock() < self.deadline:
            self._reap()
            if not self._start_ready() and not self.running:
                return
            if len(self.failed) > self.most_failures:
                break
            time.sleep(0.2)
        for process in self.running.values():
            process.kill()
        for process in self.running.values():
            process.wait()

    def _reap(self) -> None:
        for name, process in list(self.running.items()):
            if process.poll() is None:
                continue
            del self.running[name]
            seconds = self.clock() - self.started[name]
            if self.done(name):
                print(f"{name}: {seconds:.0f} s  {self._headline(name)}", flush=True)
                continue
            self.failed.add(name)
            log = (self.work / name / "log").read_text(errors="replace").strip()
            print(f"{name}: FAILED after {seconds:.0f} s\n{log[-1500:]}", flush=True)

    def _headline(self, name: str) -> str:
        result = json.loads((self.work / name / RESULT).read_text(encoding="utf-8"))
        shown = ("valid_accuracy", "test_accuracy", "passed")
        return ", ".join(f"{key} {result[key]:.4f}" for key in shown if key in result)

    def _start_ready(self) -> bool:
        """Start what can be started; return whether there is something that may still run."""
        left = False
        for job in self.plan:
            if job.name in self.running or job.name in self.failed or self.done(job.name):
                continue
            if any(self._lost(name) for name in job.after):
                self.failed.add(job.name)
                print(f"{job.name}: left out, since it needs what failed", flush=True)
                continue
            left = True
            if len(self.running) < self.most and all(self.done(name) for name in job.after):
                self._start(job)
        return left

    def _lost(self, name: str) -> bool:
        planned = any(job.name == name for job in self.plan)
        return name in self.failed or not (planned or self.done(name))

    def _start(self, job: Job) -> None:
        folder = self.work / job.name
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "tools.gpu", "job", job.name, job.kind]
        command += ["--settings", json.dumps(dict(job.settings)), "--work", str(self.work)]
        with open(folder / "log", "w", encoding="utf-8") as log:
            self.running[job.name] = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
            )
        self.started[job.name] = self.clock()


KEPT = (".json", "log", ".safetensors")


def pack_results(work: Path, output: Path, weights: Sequence[str]) -> None:
    """Pack what jobs left into one archive, and weights, which are large, into parts."""
    output.mkdir(parents=True, exist_ok=True)
    with tarfile.open(output / "results.tar.gz", "w:gz") as archive:
        for path in sorted(work.glob("*/*")):
            large = path.is_dir() or path.parent.name in ("rows", "encoders")
            if not large and path.name.endswith(KEPT):
                archive.add(path, path.relative_to(work).as_posix())
        for path in sorted(work.glob("*/encoder/*")):
            if path.name != "model.safetensors":
                archive.add(path, path.relative_to(work).as_posix())
    for name in weights:
        if name.startswith("best:"):
            name = f"{best_job(work, name.removeprefix('best:'))}/model"
        source = work / name / "model.safetensors"
        if not source.is_file():
            print(f"{name} has no weights", flush=True)
            continue
        content = source.read_bytes()
        for part, start in enumerate(range(0, len(content), PIECE)):
            target = output / f"{name.replace('/', '_')}.{part}"
            target.write_bytes(content[start : start + PIECE])


def best_job(work: Path, pattern: str) -> str:
    """Return the job with kept weights that is best on validation rows; "" if there is none."""
    found = {
        name: result["valid_accuracy"]
        for name, result in tuning.finished(work, [pattern]).items()
        if (work / name / "model").is_dir()
    }
    return max(found, key=found.__getitem__, default="")


def pack_inputs(output: Path, data: Path, encoder: Path) -> list[Path]:
    """Pack code, rows and the downloaded encoder, in 16 bits, into two archives."""
    output.mkdir(parents=True, exist_ok=True)
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    code, weights = output / "code-and-data.tar.xz", output / "encoder.tar.gz"
    with tarfile.open(code, "w:xz") as archive:
        for name in listed.stdout.splitlines():
            if not name.startswith("notebooks/"):
                archive.add(ROOT / name, name)
        for path in sorted(data.glob("*.csv")):
            archive.add(path, f"data/ag_news/{path.name}")
    half = encoder_in_half(encoder, output / "half")
    with tarfile.open(weights, "w:gz") as archive:
        for path in sorted(half.iterdir()):
            archive.add(path, f"build/gpu/encoders/minilm/{path.name}")
    shutil.rmtree(half)
    return [code, weights]


def encoder_in_half(encoder: Path, target: Path) -> Path:
    """Write an encoder with its weights in 16 bits."""
    import torch
    from safetensors.torch import load_file, save_file

    target.mkdir(parents=True, exist_ok=True)
    tensors = load_file(encoder / "model.safetensors")
    half = {k: v.half() if v.dtype == torch.float32 else v for k, v in tensors.items()}
    save_file(half, target / "model.safetensors", metadata={"format": "pt"})
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(encoder / name, target / name)
    return target


def run(options: argparse.Namespace) -> int:
    """Run the jobs of the stages asked for; return 0 if all are done."""
    deadline = time.monotonic() + options.seconds
    work: Path = options.work.resolve()
    source = work / "encoders" / "minilm"
    if not source.is_dir():
        source.parent.mkdir(parents=True, exist_ok=True)
        source.symlink_to(options.encoder.resolve())
    folder = Path(options.data)
    sources = {"ag_news": str(folder.resolve()) if folder.is_dir() else options.data}
    sources["newsbriefs"] = "newsbriefs"
    if options.reviews:
        sources["imdb"] = str(options.reviews.resolve())
    chapters = [str(path) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    plan = make_plan(sources, options.minutes, chapters if options.notebooks else [])
    if options.tiny:
        plan = [tiny(job) for job in plan]
    if options.only:
        plan = [job for job in plan if any(fnmatch(job.name, one) for one in options.only)]
    plan = [job for job in plan if not any(fnmatch(job.name, skip) for skip in options.skip)]
    scheduler = Scheduler(
        plan,
        work,
        options.processes,
        deadline - options.reserve,
        most_failures=options.most_failures,
    )
    try:
        scheduler.run()
    except Exception:
        traceback.print_exc()
    missing = [job.name for job in plan if not scheduler.done(job.name)]
    print(f"not done: {', '.join(missing) or 'nothing'}", flush=True)
    if options.output:
        pack_results(work, options.output, options.weights)
    return int(bool(missing))


def tiny(job: Job) -> Job:
    """Return a job with the smallest numbers, to try the whole course of a run on a CPU."""
    settings = dict(job.settings)
    if "recipe" in settings:
        settings["recipe"] = settings["recipe"] | {"epochs": 1}
    if job.kind in ("few_search", "curves"):
        settings["sizes"] = 1
    if job.kind == "texts":
        settings["vocab_size"] = 600
    if job.kind == "pretraining":
        arguments = settings["arguments"]
        settings["vocab_size"] = 600
        settings["arguments"] = [
            *arguments[: arguments.index("--minutes")], "--layers", "1", "--hidden", "32",
            "--heads", "2", "--workers", "1", "--batch-size", "32", "--pairs", "32",
            "--round-steps", "4", "--steps", "8",
        ]  # fmt: skip
    settings |= {"draws": 1, "ways": 9, "recipes": 1, "seeds": 1, "rows": 40}
    return Job(job.name, job.kind, settings, job.after)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("run").add_argument
    add("--data", default="data/ag_news", help="folder with train.csv and test.csv")
    add("--encoder", type=Path, default=ROOT / "data" / "pretrained" / "all-MiniLM-L6-v2")
    add("--reviews", type=Path, help="folder with film reviews")
    add("--work", type=Path, default=ROOT / "build" / "gpu")
    add("--output", type=Path, help="folder for the packed results")
    add("--seconds", type=float, default=780, help="for everything")
    add("--reserve", type=float, default=15, help="of these, for packing")
    add("--minutes", type=float, default=4, help="for each pre-training")
    add("--processes", type=int, default=14, help="at a time")
    add("--most-failures", type=int, default=1_000, help="end at once with more than these")
    add("--only", nargs="*", help="patterns of names of jobs")
    add("--skip", nargs="*", default=[], help="patterns of names of jobs")
    add("--weights", nargs="*", default=[], help="folders whose weights are packed, too")
    add("--notebooks", action="store_true", help="run nbval over all notebooks, too")
    add("--tiny", action="store_true", help="smallest numbers: tries the whole course on a CPU")
    add = commands.add_parser("job").add_argument
    add("name")
    add("kind", choices=[*KINDS])
    add("--settings", type=json.loads, default={})
    add("--work", type=Path, required=True)
    add = commands.add_parser("pack").add_argument
    add("output", type=Path)
    add("--data", type=Path, default=ROOT / "data" / "ag_news")
    add("--encoder", type=Path, default=ROOT / "data" / "pretrained" / "all-MiniLM-L6-v2")
    options = parser.parse_args(arguments)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    if options.command == "job":
        run_job(options.work, options.name, options.kind, options.settings)
        return 0
    if options.command == "pack":
        for path in pack_inputs(options.output, options.data, options.encoder):
            print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
        return 0
    return run(options)


if __name__ == "__main__":
    sys.exit(main())
