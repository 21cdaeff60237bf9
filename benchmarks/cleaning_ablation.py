"""Measure what each cleaning step does to a linear model: `python -m benchmarks.cleaning_ablation`.

Takes five minutes on one core for AG News. A run that was broken off goes on where it stopped:
what was measured stands in `build/cleaning_ablation.<data>.json`. The result is written to
`results/cleaning_ablation.<data>.json`, which chapter cleaning_study plots.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from agnews_utils.cleaning.experiments import (
    C_GRID,
    MARGIN,
    REPAIRED,
    Measured,
    cleaning_variants,
    compare,
    draw_folds,
    measure,
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
    parser.add_argument("--rows", type=int, default=40_000, help="training rows to draw")
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=ROOT, help="holds build/ and results/")
    options = parser.parse_args(arguments)
    news = load_news(options.data)
    rows = news.train.sample(min(options.rows, len(news.train)), random_state=0)
    tuning, folds = draw_folds(rows, options.folds)
    fit_rows, valid_rows = len(folds[0][0]), sum(len(valid) for _, valid in folds)
    settings = {"folds": len(folds), "fit_rows": fit_rows, "valid_rows": valid_rows}
    settings |= {"tuning_rows": len(tuning[1]), "grid": list(C_GRID)}
    settings["stop_words"] = stop_words()[1]
    state_path = options.folder / "build" / f"cleaning_ablation.{news.name}.json"
    state = _read_state(state_path, {**settings, "md5": news.md5["train.csv"]})
    variants = cleaning_variants()
    for number, variant in enumerate(variants, 1):
        if variant.name in state["measured"]:
            continue
        started = time.process_time()
        result = measure(rows, variant, tuning, folds)
        wrong = np.flatnonzero(~result.right).tolist()
        state["measured"][variant.name] = {"c": result.c, "wrong": wrong}
        seconds = time.process_time() - started
        state["cpu_seconds"] += seconds
        write_text(state_path, json.dumps(state))
        line = f"{number}/{len(variants)} {variant.name}: {result.right.mean():.4f}"
        print(f"{line} with C={result.c} ({seconds:.0f} s)", flush=True)
    measured = {
        name: Measured(stored["c"], ~np.isin(np.arange(valid_rows), stored["wrong"]))
        for name, stored in state["measured"].items()
    }
    table = compare(measured)
    summary = {"comparisons": sum(name != row["against"] for name, row in table.items())}
    summary |= {"margin": MARGIN, "variants": table}
    record(
        "cleaning_ablation",
        news.with_training_rows(rows),
        {**settings, **summary},
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
    return {"settings": settings, "measured": {}, "cpu_seconds": 0.0}


if __name__ == "__main__":
    raise SystemExit(main())
