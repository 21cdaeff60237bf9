"""The reference runs of all chapters, recorded in ``results/`` (``make results``).

    python -m tools.reference                      all runs, hours on a CPU; finished ones are kept
    python -m tools.reference rnn_peers --data ag_news --only bilstm bag

A run that was interrupted goes on: what is finished is in the result file, and an unfinished
training run resumes from its checkpoint under ``build/reference``. ``--again`` measures anew.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

import torch

from agnews_utils.data.loading import News, load_news
from tools.reference.bert import KEYS, bert_full
from tools.reference.few import few_labels
from tools.reference.imdb import MODELS, imdb
from tools.reference.linear import TRANSFERRED, linear_predictions, transfer
from tools.reference.rnn import LEARNING_RATES, PEERS, rnn_peers, rnn_search, rnn_tuning
from tools.reference.sweep import STRATEGIES, bert_sweep

RUNS: dict[str, Callable[[News, Sequence[str], bool], None]] = {
    "linear_predictions": linear_predictions,
    "transfer": transfer,
    "rnn_search": rnn_search,
    "rnn_tuning": rnn_tuning,
    "rnn_peers": rnn_peers,
    "bert_sweep": bert_sweep,
    "few_labels": few_labels,
    "bert_full": bert_full,
}
REVIEWS: dict[str, Callable[[News, Sequence[str], bool], None]] = {"imdb": imdb}
"""Runs on film reviews, which have to be asked for, with their data."""

PARTS: dict[str, tuple[str, ...]] = {
    "transfer": TRANSFERRED,
    "rnn_tuning": tuple(LEARNING_RATES),
    "rnn_peers": tuple(PEERS),
    "bert_sweep": STRATEGIES,
    "bert_full": (*KEYS, *KEYS.values()),
    "imdb": tuple(MODELS),
}
"""What `--only` can name, of the runs that have parts."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.reference",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "run", nargs="*", choices=[[], *RUNS, *REVIEWS], help="runs; without: all of news"
    )
    parser.add_argument("--data", help="ag_news, newsbriefs, imdb or a folder")
    parser.add_argument("--only", nargs="*", default=[], help="parts of the runs; all without")
    parser.add_argument("--again", action="store_true", help="do not keep finished results")
    options = parser.parse_args(arguments)
    known = {name for run in options.run or RUNS for name in PARTS.get(run, ())}
    if unknown := sorted(set(options.only) - known):
        parser.error(f"--only {unknown[0]}: expected one of {', '.join(sorted(known)) or 'none'}")
    torch.set_num_threads(1)  # the models are small; run two commands to use two cores
    news = load_news(options.data)
    for name in options.run or RUNS:
        (RUNS | REVIEWS)[name](news, options.only, options.again)
    return 0


if __name__ == "__main__":
    sys.exit(main())
