"""Pre-train the course's BERT from random weights on the text of a data set (chapter bert).

Example: python -m tools.pretraining --data ag_news --minutes 60 --output build/pretraining

Reads the training rows of the folder (never the test rows, never a label) and, where there is one,
its unlabelled_extra.csv. The time budget is spent on whatever device there is; the learning rate
follows the clock. What an interrupted run has done is not lost: --resume goes on from the last
round. OUTPUT gets the tokenizer, checkpoints, and at the end the folder `encoder` with weights in
half precision, configuration, tokenizer, model card, log and hashes of the texts.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agnews_utils.bert.pretraining import (
    EncodedRows,
    PretrainingBatches,
    PretrainingModel,
    Recipe,
    TimeBudget,
    validation_batches,
)
from agnews_utils.bert.wordpiece import pieces_by_id
from agnews_utils.data.loading import load_news
from agnews_utils.files import write_text
from agnews_utils.runtime import pick_device, seed_everything
from agnews_utils.training.checkpoints import CheckpointError, load_checkpoint
from agnews_utils.training.history import History
from agnews_utils.training.inference import evaluate
from agnews_utils.training.loop import fit
from tools.pretraining.counted_embeddings import counted_embeddings
from tools.pretraining.export import export_encoder
from tools.pretraining.texts import prepare

_MANY_ROUNDS = 1_000_000  # time ends the run, not their number


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; see `python -m tools.pretraining --help`."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.pretraining",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", help="ag_news, newsbriefs or a folder; default: what load_news() picks")
    add("--minutes", type=float, required=True, help="time budget for training")
    add("--output", type=Path, required=True, help="folder for all that the run writes")
    add("--resume", action="store_true", help="go on from the newest checkpoint in the output")
    add(
        "--export-only",
        action="store_true",
        help="with --resume: write the encoder of the newest checkpoint, without training",
    )
    add("--precision", choices=["auto", "no", "bf16", "fp16"], default="auto")
    add("--progress", action=argparse.BooleanOptionalAction, help="show a bar")
    for field in fields(Recipe):
        flag = "--" + field.name.replace("_", "-")
        if isinstance(field.default, bool):
            add(flag, action=argparse.BooleanOptionalAction, default=field.default)
        else:
            add(flag, type=type(field.default), default=field.default, help=f"{field.default}")
    return parser.parse_args(arguments)


def make_model(
    rows: EncodedRows, recipe: Recipe, vocab_size: int, fresh: bool = True
) -> PretrainingModel:
    """Build the network with its first weights; `fresh=False` if a checkpoint has better ones."""
    seed_everything(recipe.seed)
    model = PretrainingModel(recipe.config(vocab_size))
    if recipe.counted and fresh:
        inner = [ids[1:-1] for ids in rows.texts]  # without [CLS] and [SEP]
        counted = torch.from_numpy(counted_embeddings(inner, vocab_size, recipe.hidden))
        known = counted.any(1)
        model.network.bert.embeddings.word_embeddings.weight.data[known] = counted[known]
    return model


def faster_precision() -> str:
    """Return "bf16" where multiplying matrices is clearly faster in it, else "no"."""
    device = pick_device()
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    seconds = {}
    for kind in (torch.float32, torch.bfloat16):
        left, right = torch.rand(2048, 192).to(kind), torch.rand(192, 768).to(kind)
        times = []
        for _ in range(6):
            started = time.perf_counter()
            left @ right
            times.append(time.perf_counter() - started)
        seconds[kind] = min(times)
    return "bf16" if seconds[torch.bfloat16] < 0.7 * seconds[torch.float32] else "no"


def run_settings(output: Path, recipe: Recipe, options: argparse.Namespace) -> str:
    """Note the settings of a run, or compare them with the noted ones; return its precision.

    Raises
    ------
    CheckpointError
        If the folder holds a run that shall not be gone on from, or one with other settings.
    """
    path = output / "run.json"
    if not path.is_file():
        precision = faster_precision() if options.precision == "auto" else options.precision
        noted = {"recipe": asdict(recipe), "precision": precision}
        write_text(path, json.dumps(noted, indent=1) + "\n")
        return precision
    if not options.resume:
        raise CheckpointError(
            f"{output} holds an earlier run: go on with it by --resume, or name another folder."
        )
    noted = json.loads(path.read_text(encoding="utf-8"))
    wanted = asdict(recipe) | {"precision": options.precision}
    if options.precision == "auto":  # a second measurement might choose otherwise
        wanted["precision"] = noted["precision"]
    for name, value in (noted["recipe"] | {"precision": noted["precision"]}).items():
        if wanted.get(name) != value:
            raise CheckpointError(
                f"the run in {output} has {name}={value!r}, but {name}={wanted.get(name)!r} was "
                "asked for: use the same settings, or another folder."
            )
    return noted["precision"]


class Log:
    """Measures after each round, on the validation rows, and writes `log.json`."""

    def __init__(self, path: Path, valid: list[Any], pairs: list[Any], batches: PretrainingBatches):
        self.path, self.valid, self.pairs, self.batches = path, valid, pairs, batches
        self.rounds: list[dict[str, Any]] = []
        if path.is_file():
            self.rounds = json.loads(path.read_text(encoding="utf-8"))["rounds"]

    def __call__(self, history: History, model: torch.nn.Module) -> bool:
        """Add a round; tell `fit` to stop when the time is over."""
        steps, row = history.steps, {name: c[-1] for name, c in history.epochs.items()}
        done = len(steps["step"])
        first = max(0, done - sum(epoch == row["epoch"] for epoch in steps["epoch"]))
        losses: dict[int, list[float]] = {0: [], 1: []}
        for position in range(first, done):
            losses[self.batches.plan(position)[0]].append(steps["loss"][position])
        matching = evaluate(model, self.pairs) if self.pairs else {}
        self.rounds = self.rounds[: row["epoch"] - 1]
        before = self.rounds[-1]["tokens"] if self.rounds else 0
        self.rounds.append(
            {
                "step": done,
                "seconds": sum(history.epochs["seconds"]),
                "cpu_seconds": sum(history.epochs["cpu_seconds"]),
                "tokens": before + sum(self.batches.tokens(step) for step in range(first, done)),
                "learning_rate": row["learning_rate"],
                "masking_loss": float(np.mean(losses[0])) if losses[0] else None,
                "matching_loss": float(np.mean(losses[1])) if losses[1] else None,
                "valid_masking_loss": row["valid_loss"],
                "valid_masking_accuracy": row["valid_accuracy"],
                "valid_matching_loss": matching.get("loss"),
                "valid_matching_accuracy": matching.get("accuracy"),
            }
        )
        write_text(self.path, json.dumps({"rounds": self.rounds}, indent=1) + "\n")
        print(json.dumps(self.rounds[-1]), flush=True)
        return self.batches.budget.passed() >= 1


def pretrain(options: argparse.Namespace) -> Path:
    """Run the whole pre-training; return the folder of the encoder."""
    recipe = Recipe(**{field.name: getattr(options, field.name) for field in fields(Recipe)})
    output: Path = options.output
    news = load_news(options.data)
    precision = run_settings(output, recipe, options)
    prepared = prepare(
        news,
        output / "prepared",
        vocab_size=recipe.vocab_size,
        max_length=recipe.max_length,
        seed=recipe.seed,
    )
    rows, tokenizer = prepared.train, prepared.tokenizer
    pieces = pieces_by_id(tokenizer)
    checkpoint = load_checkpoint(output / "checkpoints") if options.resume else None
    used = sum(checkpoint.state["history"]["epochs"]["seconds"]) if checkpoint else 0.0
    budget = TimeBudget(options.minutes, recipe.warmup, used)
    batches = PretrainingBatches(rows, recipe, pieces, budget)
    valid, pairs = validation_batches(prepared.valid, recipe, pieces)
    log = Log(output / "log.json", valid, pairs, batches)
    model = make_model(rows, recipe, len(pieces), fresh=checkpoint is None)
    print(f"{len(rows):,} texts, {len(pieces):,} pieces, precision {precision}", flush=True)
    if options.export_only:
        if checkpoint is None:
            raise CheckpointError(f"{output} has no checkpoint to export: train first.")
        model.load_state_dict(checkpoint.weights)
        log.rounds = [entry for entry in log.rounds if entry["step"] <= checkpoint.state["step"]]
    else:
        fit(
            model,
            batches,
            valid,
            epochs=_MANY_ROUNDS,
            learning_rate=recipe.learning_rate,
            schedule=budget.factor,
            keep_best=False,
            seed=recipe.seed,
            mixed_precision=precision,
            checkpoint_folder=output / "checkpoints",
            resume=options.resume,
            progress=options.progress,
            on_epoch=log,
        )
    facts = {
        "recipe": asdict(recipe),
        "data": prepared.facts,
        "minutes": options.minutes,
        "precision": precision,
        "threads": torch.get_num_threads(),
        "rounds": log.rounds,
    }
    return export_encoder(model, tokenizer, facts, prepared.hashes, output / "encoder")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 1 after an error that a sentence on stderr explains."""
    options = parse_arguments(arguments)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        print(f"wrote {pretrain(options)}", flush=True)
    except (ValueError, OSError) as error:
        print(f"python -m tools.pretraining: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
