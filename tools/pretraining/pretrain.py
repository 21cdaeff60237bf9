"""Pre-train the course's BERT from random weights on the text of a data set (chapter pretraining).

Example: python -m tools.pretraining --data ag_news --minutes 60 --output build/pretraining

Reads the training rows of the folder (never the test rows, never a label) and, where there is one,
its unlabelled_extra.csv. A budget of minutes is spent on whatever device there is, and the learning
rate follows the clock; a budget of steps gives the same run everywhere. What an interrupted run has
done is not lost: --resume goes on from the last round. OUTPUT gets the tokenizer, checkpoints, and
at the end the folder `encoder` with weights in half precision, configuration, tokenizer, model
card, log and hashes of the texts.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agnews_utils.bert.pretraining import (
    MASKING,
    MATCHING,
    EncodedRows,
    PretrainingBatches,
    PretrainingModel,
    Recipe,
    validation_batches,
)
from agnews_utils.bert.wordpiece import pieces_by_id
from agnews_utils.data.loading import load_news
from agnews_utils.files import write_text
from agnews_utils.runtime import pick_device, seed_everything
from agnews_utils.training.checkpoints import (
    Checkpoint,
    CheckpointError,
    load_checkpoint,
)
from agnews_utils.training.history import History
from agnews_utils.training.inference import Batch, evaluate
from agnews_utils.training.loop import fit
from tools.pretraining.budget import Budget, StepBudget, TimeBudget
from tools.pretraining.counted_embeddings import counted_embeddings
from tools.pretraining.export import export_encoder
from tools.pretraining.few_rows import FewRowsScore
from tools.pretraining.texts import Prepared, prepare

_MANY_ROUNDS = 1_000_000  # the budget ends the run, not their number

Clock = Callable[[], float]


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; see `python -m tools.pretraining --help`."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.pretraining",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", help="ag_news, newsbriefs or a folder; default: what load_news() picks")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=float, help="time budget for training")
    budget.add_argument("--steps", type=int, help="budget in steps: the same run everywhere")
    add("--output", type=Path, required=True, help="folder for all that the run writes")
    add("--resume", action="store_true", help="go on from the newest checkpoint in the output")
    add(
        "--export-only",
        action="store_true",
        help="with --resume: write the encoder of the newest checkpoint, without training",
    )
    add("--precision", choices=["auto", "no", "bf16", "fp16"], default="auto")
    add("--workers", type=int, default=0, help="processes that prepare batches, for a GPU")
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


def faster_precision(clock: Clock = time.perf_counter) -> str:
    """Return "bf16" where multiplying matrices is clearly faster in it, else "no"."""
    device = pick_device()
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    seconds = {}
    for kind in (torch.float32, torch.bfloat16):
        left, right = torch.rand(2048, 192).to(kind), torch.rand(192, 768).to(kind)
        times = []
        for _ in range(6):
            started = clock()
            left @ right
            times.append(clock() - started)
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

    def __init__(
        self,
        path: Path,
        done: int,
        pairs: list[Batch],
        batches: PretrainingBatches,
        budget: Budget,
        score: Callable[[PretrainingModel], float],
    ) -> None:
        self.path, self.pairs, self.batches, self.budget = path, pairs, batches, budget
        self.score = score
        self.rounds = _logged_rounds(path, done)

    def __call__(self, history: History, model: PretrainingModel) -> bool:
        """Add a round; tell `fit` to stop when the budget is spent."""
        before = self.rounds[-1] if self.rounds else {"step": 0, "tokens": 0}
        done = history.steps["step"][-1]
        steps = range(before["step"], done)
        losses: dict[int, list[float]] = {MASKING: [], MATCHING: []}
        for step in steps:
            losses[self.batches.plan(step)[0]].append(history.steps["loss"][step])
        matching = evaluate(model, self.pairs) if self.pairs else {}
        self.rounds.append(
            {
                "step": done,
                "seconds": sum(history.epochs["seconds"]),
                "cpu_seconds": sum(history.epochs["cpu_seconds"]),
                "tokens": before["tokens"] + sum(_tokens(self.batches, step) for step in steps),
                "learning_rate": history.epochs["learning_rate"][-1],
                "masking_loss": _mean(losses[MASKING]),
                "matching_loss": _mean(losses[MATCHING]),
                "valid_masking_loss": history.epochs["valid_loss"][-1],
                "valid_masking_accuracy": history.epochs["valid_accuracy"][-1],
                "valid_matching_loss": matching.get("loss"),
                "valid_matching_accuracy": matching.get("accuracy"),
                "few_rows_accuracy": self.score(model),
            }
        )
        write_text(self.path, json.dumps({"rounds": self.rounds}, indent=1) + "\n")
        print(json.dumps(self.rounds[-1]), flush=True)
        return self.budget.spent(done) >= 1


def _logged_rounds(path: Path, done: int) -> list[dict[str, Any]]:
    """Return the rounds up to a checkpoint: a run may be killed before a logged round gets one."""
    if not done:
        return []
    rounds = json.loads(path.read_text(encoding="utf-8"))["rounds"]
    return [entry for entry in rounds if entry["step"] <= done]


def _mean(losses: list[float]) -> float | None:
    return float(np.mean(losses)) if losses else None


def _tokens(batches: PretrainingBatches, step: int) -> int:
    """Return how many pieces a step reads, padding left out."""
    task, numbers = batches.plan(step)
    rows = batches.rows
    parts = [rows.texts] if task == MASKING else [rows.titles, rows.descriptions]
    return sum(len(part[i]) for part in parts for i in numbers)


def pretrain(options: argparse.Namespace, clock: Clock = time.perf_counter) -> Path:
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
    pieces = pieces_by_id(prepared.tokenizer)
    checkpoint = load_checkpoint(output / "checkpoints") if options.resume else None
    model = make_model(prepared.train, recipe, len(pieces), fresh=checkpoint is None)
    print(
        f"{len(prepared.train):,} texts, {len(pieces):,} pieces, precision {precision}", flush=True
    )
    if options.export_only:
        if checkpoint is None:
            raise CheckpointError(f"{output} has no checkpoint to export: train first.")
        model.load_state_dict(checkpoint.weights)
        rounds = _logged_rounds(output / "log.json", _steps_done(checkpoint))
    else:
        score = FewRowsScore(news, prepared.tokenizer, recipe.max_length)
        rounds = _train(model, prepared, recipe, precision, checkpoint, score, options, clock)
    facts = {
        "recipe": asdict(recipe),
        "data": prepared.facts,
        "minutes": options.minutes,
        "steps": options.steps,
        "precision": precision,
        "threads": torch.get_num_threads(),
        "rounds": rounds,
    }
    return export_encoder(model, prepared.tokenizer, facts, prepared.hashes, output / "encoder")


def _steps_done(checkpoint: Checkpoint | None) -> int:
    return checkpoint.state["step"] if checkpoint else 0


def _train(
    model: PretrainingModel,
    prepared: Prepared,
    recipe: Recipe,
    precision: str,
    checkpoint: Checkpoint | None,
    score: FewRowsScore,
    options: argparse.Namespace,
    clock: Clock,
) -> list[dict[str, Any]]:
    """Train until the budget is spent; return the rounds of the log."""
    output, done = options.output, _steps_done(checkpoint)
    pieces = pieces_by_id(prepared.tokenizer)
    valid, pairs = validation_batches(prepared.valid, recipe, pieces)
    budget: Budget
    if options.steps is None:
        earlier = _logged_rounds(output / "log.json", done)
        used = earlier[-1]["seconds"] if earlier else 0.0
        budget = TimeBudget(options.minutes, recipe.warmup, used, clock)
    else:
        budget = StepBudget(options.steps, recipe.warmup)
    batches = PretrainingBatches(
        prepared.train, recipe, pieces, budget.spent, workers=options.workers
    )
    log = Log(output / "log.json", done, pairs, batches, budget, score)
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
    return log.rounds


def main(arguments: Sequence[str] | None = None, clock: Clock = time.perf_counter) -> int:
    """Run the command; return 0, or 1 after an error that a sentence on stderr explains."""
    options = parse_arguments(arguments)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        print(f"wrote {pretrain(options, clock)}", flush=True)
    except (ValueError, OSError) as error:
        print(f"python -m tools.pretraining: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
