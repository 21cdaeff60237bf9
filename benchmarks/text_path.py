"""From CSV files to lists of ids: the course against torchtext, NLTK and spaCy.

Every contestant gets the same files and the same cleaned texts.

- ``course`` walks the whole path with the functions that everybody calls: read both files, clean
  all rows, `tokenize_all` of them, `build_vocab` on the training rows, `encode` all rows.
- ``torchtext`` walks the whole path with `basic_english`, `build_vocab_from_iterator` and its
  `Vocab`. Reading and cleaning are the course's: torchtext's own reader needs torchdata, and it has
  no cleaning.
- ``nltk`` and ``spacy`` tokenize all rows with their tokenizers (NLTKWordTokenizer, the blank
  English pipeline) and build a vocabulary with the course's `build_vocab`. They encode nothing,
  and are compared with a course that does.

The course pauses Python's garbage collector while it makes many small lists, and cuts each
different chunk between white space only once in a call; that is part of its functions. No
contestant remembers anything from an earlier round. They take turns in one process, another one
first in each round; a ratio is the median over the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agnews_utils import runtime
from agnews_utils.cleaning.pipeline import Cleaner
from agnews_utils.data.ag_news_csv import read_news_csv
from agnews_utils.data.loading import News, load_news
from agnews_utils.vocabulary.vocab import build_vocab, encode, tokenize_all
from benchmarks import Target

ROOT = Path(__file__).parent.parent
ROUNDS = 5
STAGES = ("read", "clean", "tokenize", "vocabulary", "encode")
FROM_TEXTS = STAGES[2:]
GOALS = {
    "torchtext_path": ("torchtext", "from files to ids", STAGES, 1.5),
    "torchtext_texts": ("torchtext", "from cleaned texts to ids", FROM_TEXTS, 1.5),
    "nltk": ("nltk", "which stops at the vocabulary", FROM_TEXTS, 5),
    "spacy": ("spacy", "which stops at the vocabulary", FROM_TEXTS, 5),
}
"""Key of the result: other contestant, what is compared, stages, least ratio."""

MOST_MEMORY = 1.5  # GB
Tokens = list[list[str]]


class Stopwatch:
    """CPU seconds of named stages, one after the other."""

    def __init__(self) -> None:
        gc.collect()
        self.seconds: dict[str, float] = {}
        self._last = time.process_time()

    def lap(self, stage: str) -> None:
        """End a stage."""
        now = time.process_time()
        self.seconds[stage] = now - self._last
        self._last = now

    def total(self, stages: tuple[str, ...] = STAGES) -> float:
        """Return the sum over stages."""
        return sum(self.seconds.get(stage, 0.0) for stage in stages)


def read_and_clean(news: News, watch: Stopwatch) -> tuple[list[str], int]:
    """Return the cleaned texts of both files, and the number of training rows."""
    frames = [read_news_csv(news.folder / name) for name in ("train.csv", "test.csv")]
    watch.lap("read")
    texts = [text for frame in frames for text in Cleaner()(frame["text"])]
    watch.lap("clean")
    return texts, len(frames[0])


def course(news: News) -> Stopwatch:
    """Walk the course's path: tokenize_all, build_vocab, encode."""
    watch = Stopwatch()
    texts, train_rows = read_and_clean(news, watch)
    token_lists = tokenize_all(texts)
    watch.lap("tokenize")
    vocab = build_vocab(token_lists[:train_rows])
    watch.lap("vocabulary")
    ids = encode(token_lists, vocab)
    watch.lap("encode")
    assert len(ids) == len(texts)
    return watch


def with_torchtext(news: News) -> Stopwatch:
    """Walk torchtext's path: basic_english, build_vocab_from_iterator, its Vocab."""
    from torchtext.data.utils import get_tokenizer
    from torchtext.vocab import build_vocab_from_iterator

    basic_english = get_tokenizer("basic_english")
    watch = Stopwatch()
    texts, train_rows = read_and_clean(news, watch)
    token_lists = [basic_english(text) for text in texts]
    watch.lap("tokenize")
    vocab = build_vocab_from_iterator(token_lists[:train_rows], specials=["<pad>", "<unk>"])
    vocab.set_default_index(vocab["<unk>"])
    watch.lap("vocabulary")
    ids = [vocab(tokens) for tokens in token_lists]  # as in its tutorials
    watch.lap("encode")
    assert len(ids) == len(texts)
    return watch


def middle(cut: Callable[[list[str]], Tokens], texts: list[str], train_rows: int) -> Stopwatch:
    """Tokenize with another library, and build the vocabulary as the course does."""
    watch = Stopwatch()
    token_lists = cut(texts)
    watch.lap("tokenize")
    build_vocab(token_lists[:train_rows])
    watch.lap("vocabulary")
    return watch


def cut_with_nltk(texts: list[str]) -> Tokens:
    """Tokenize with NLTK's tokenizer for words; it needs no download."""
    from nltk.tokenize import NLTKWordTokenizer

    cut = NLTKWordTokenizer().tokenize
    return [cut(text) for text in texts]


def cut_with_spacy(texts: list[str]) -> Tokens:
    """Tokenize with spaCy's blank English pipeline, in its own batches."""
    import spacy

    return [[token.text for token in doc] for doc in spacy.blank("en").pipe(texts)]


def torchtext_problem() -> str:
    """Return why torchtext cannot take part, or an empty string."""
    try:
        import torchtext
    except (ImportError, OSError) as error:
        return f"torchtext cannot be loaded here: {type(error).__name__}; it needs torch 2.3"
    torchtext.disable_torchtext_deprecation_warning()
    return ""


def measure(news: News, rounds: int) -> dict[str, list[Stopwatch]]:
    """Let the contestants take turns; each round begins with another one."""
    texts, train_rows = read_and_clean(news, Stopwatch())
    contestants: dict[str, Callable[[], Stopwatch]] = {
        "course": lambda: course(news),
        "torchtext": lambda: with_torchtext(news),
        "nltk": lambda: middle(cut_with_nltk, texts, train_rows),
        "spacy": lambda: middle(cut_with_spacy, texts, train_rows),
    }
    if torchtext_problem():
        del contestants["torchtext"]
    order = list(contestants)
    for name in order:  # imports, and libraries that prepare themselves at the first call
        small = texts[:50]
        {"nltk": cut_with_nltk, "spacy": cut_with_spacy}.get(name, list)(small)
    found: dict[str, list[Stopwatch]] = {name: [] for name in order}
    for number in range(rounds):
        for name in order[number % len(order) :] + order[: number % len(order)]:
            found[name].append(contestants[name]())
        print(f"round {number + 1} of {rounds}", flush=True)
    return found


def peak_memory(data: str | None) -> float:
    """Return the peak memory in GB of a process that only walks the course's path."""
    command = [sys.executable, "-m", "benchmarks.text_path", "--peak-memory"]
    command += ["--data", data] if data else []
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["peak_gb"]


def own_peak_memory(data: str | None) -> float:
    """Walk the path once and return this process' peak memory in GB."""
    with contextlib.redirect_stdout(sys.stderr):
        course(load_news(data))
    status = Path("/proc/self/status")
    if status.exists():  # Linux: getrusage would also count the process that started this one
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e9
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9  # macOS counts bytes


def round_ratios(
    found: dict[str, list[Stopwatch]], name: str, stages: tuple[str, ...]
) -> list[float]:
    """Return how many times as fast as another contestant the course was, round by round."""
    pairs = zip(found[name], found["course"], strict=True)
    return [theirs.total(stages) / ours.total(stages) for theirs, ours in pairs]


def run(data: str | None = None, rounds: int = ROUNDS) -> list[Target]:
    """Measure, print the ratios, store them, and return the targets (they are set for AG News)."""
    if data and Path(data).is_dir():
        data = os.path.abspath(data)
    news = load_news(data)
    found = measure(news, rounds)
    rows = len(news.train) + len(news.test)
    metrics: dict[str, Any] = {"rounds": rounds, "rows": rows, "cpu_seconds": medians(found)}
    targets = []
    for key, (name, what, stages, bound) in GOALS.items():
        ratio, remark = None, torchtext_problem()
        if name in found:
            ratios = round_ratios(found, name, stages)
            metrics[f"{key}_ratio"] = ratio = statistics.median(ratios)
            metrics[f"{key}_ratios"] = ratios
            remark = f"rounds from {min(ratios):.2f} to {max(ratios):.2f}"
        targets.append(Target(f"times as fast as {name}, {what}", ratio, bound, remark=remark))
    if sys.platform != "win32":
        metrics["peak_gb"] = peak_memory(data)
        what = "peak memory of the course's path, GB"
        targets.append(Target(what, metrics["peak_gb"], MOST_MEMORY, at_least=False))
    print(table(metrics["cpu_seconds"]))
    shown = [f"{metrics[key + '_ratio']:.1f} x {key}" for key in GOALS if f"{key}_ratio" in metrics]
    headline = f"text path on {rows:,} rows, times as fast: {', '.join(shown).replace('_', ' ')}"
    runtime.record("bench_text_path", news, metrics, headline, folder=ROOT / "results")
    if news.name != "ag_news":
        print("The targets are set for AG News; here they are not judged.")
        return []
    return targets


def medians(found: dict[str, list[Stopwatch]]) -> dict[str, dict[str, float]]:
    """Return the median CPU seconds of each contestant's stages."""
    return {
        name: {
            stage: statistics.median(watch.seconds[stage] for watch in watches)
            for stage in watches[0].seconds
        }
        for name, watches in found.items()
    }


def table(seconds: dict[str, dict[str, float]]) -> str:
    """Return the medians as a table: one line a contestant, CPU seconds of each stage."""
    lines = [f"{'CPU seconds':13}" + "".join(f"{stage:>12}" for stage in STAGES) + f"{'sum':>12}"]
    for name, stages in seconds.items():
        cells = "".join(
            f"{stages[stage]:12.2f}" if stage in stages else f"{'':12}" for stage in STAGES
        )
        lines.append(f"{name:13}{cells}{sum(stages.values()):12.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="ag_news, newsbriefs or a folder")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--peak-memory", action="store_true", help="only the course, once")
    options = parser.parse_args()
    if options.peak_memory:
        print(json.dumps({"peak_gb": own_peak_memory(options.data)}))
    else:
        print("\n".join(map(str, run(options.data, options.rounds))))
