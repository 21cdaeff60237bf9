"""Measure what each cleaning step does to a linear model: `python -m benchmarks.cleaning_ablation`.

Takes about ten minutes on one core for AG News. A run that was broken off goes on where it stopped:
what was measured stands in `build/cleaning_ablation.<data>.json`. The result is written to
`results/cleaning_ablation.<data>.json`, which chapter cleaning plots.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

from agnews_utils.cleaning.experiments import (
    REPAIRED,
    cleaning_variants,
    compare,
    repeated_splits,
    variant_accuracies,
)
from agnews_utils.cleaning.lossy import stop_words
from agnews_utils.data.loading import load_news
from agnews_utils.files import write_text
from agnews_utils.runtime import record

ROOT = Path(__file__).resolve().parents[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison, or what is left of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cleaning_ablation")
    parser.add_argument("--data", help="ag_news, newsbriefs or a folder")
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--fit-rows", type=int, default=40_000)
    parser.add_argument("--valid-fraction", type=float, default=0.25)
    parser.add_argument("--folder", type=Path, default=ROOT, help="holds build/ and results/")
    options = parser.parse_args(arguments)
    news = load_news(options.data)
    splits = repeated_splits(news.train, options.splits, options.fit_rows, options.valid_fraction)
    fit_rows, valid_rows = len(splits[0][0]), len(splits[0][1])
    settings = {"splits": len(splits), "fit_rows": fit_rows, "valid_rows": valid_rows}
    settings["stop_words"] = stop_words()[1]
    state_path = options.folder / "build" / f"cleaning_ablation.{news.name}.json"
    state = _read_state(state_path, {**settings, "md5": news.md5["train.csv"]})
    variants = cleaning_variants()
    for number, variant in enumerate(variants, 1):
        if variant.name in state["accuracies"]:
            continue
        started = time.process_time()
        state["accuracies"][variant.name] = variant_accuracies(news.train, variant, splits)
        state["cpu_seconds"] += time.process_time() - started
        write_text(state_path, json.dumps(state))
        mean = sum(state["accuracies"][variant.name]) / len(splits)
        seconds = time.process_time() - started
        print(f"{number}/{len(variants)} {variant.name}: {mean:.4f} ({seconds:.0f} s)", flush=True)
    table = compare(state["accuracies"], fit_rows, valid_rows)
    record(
        "cleaning_ablation",
        news,
        {**settings, "variants": table, "accuracies": state["accuracies"]},
        headline=f"linear model on repaired text: {table[REPAIRED]['accuracy']:.1%} (validation)",
        seed=0,
        cpu_seconds=state["cpu_seconds"],
        folder=options.folder / "results",
    )
    return 0


def _read_state(path: Path, settings: dict) -> dict:
    """Return what an earlier run with the same settings measured, or an empty state."""
    if path.exists():
        state = json.loads(path.read_text(encoding="utf-8"))
        if state["settings"] == settings:
            return state
    return {"settings": settings, "accuracies": {}, "cpu_seconds": 0.0}


if __name__ == "__main__":
    raise SystemExit(main())
