"""Bring what the jobs measured into ``results/`` (``python -m tools.gpu.collect WORK``)."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from agnews_utils.bert.encoder import BUNDLED, MINILM, load_encoder
from agnews_utils.bert.fine_tuning import predict_texts
from agnews_utils.cleaning.pipeline import repair_frame
from agnews_utils.data.exploration import accuracy_interval
from agnews_utils.data.loading import News, load_news
from agnews_utils.evaluation.predictions import (
    MODELS,
    Predictions,
    store_predictions,
    stored_predictions,
)
from agnews_utils.files import written_whole
from tools.gpu.rows import frames
from tools.gpu.tuning import PROBABILITIES, average_teacher, finished
from tools.reference import imdb, store
from tools.reference.bert import TEXTS, compared, encoder_version, full_summary
from tools.reference.draws import Rows
from tools.reference.few import few_point, record_points
from tools.reference.fine_tuning import Recipe, make_network

FULL = {"bert": "mini-mean", "bert-random": "random-mean", "minilm": "minilm-mean"}
"""Key of a model -> the jobs that fine-tuned it on all rows, one a seed."""
ENCODERS = {"mini": "bundled", "minilm": "minilm"}
RECIPES = {
    "bundled": {
        "as chosen before": "mini-mean",
        "[CLS] instead of the mean": "mini-cls",
        "twice the learning rate, 20 % hidden": "mini-larger",
        "nine epochs, 25 % hidden": "mini-hidden mini-best",
    },
    "minilm": {
        "as chosen before": "minilm-mean",
        "[CLS] instead of the mean": "minilm-cls",
        "with R-Drop": "minilm-agreement",
    },
}
STUDENTS = {
    "student-own": ("bundled", "bundled and linear"),
    "student-all": ("bundled", "MiniLM and linear"),
    "minilm-taught": ("minilm", "MiniLM and linear"),
}
"""Jobs that learn from a teacher -> the student's encoder, and the teacher's members."""
KEYS_OF_ENCODERS = {"bundled": "bert", "minilm": "minilm"}
IN_WORDS = {
    "bundled and linear": "itself and the linear model",
    "MiniLM and linear": "MiniLM and the linear model",
}
TEACHERS = {
    "bundled and linear": ["mini-fold", "linear-fold"],
    "MiniLM and linear": ["minilm-fold", "linear-fold"],
}
MEMBERS = {
    "bundled": "mini-mean",
    "bundled, taught": "student-own",
    "minilm": "minilm-mean",
    "minilm with R-Drop": "minilm-agreement",
}
"""Members of the averages, besides the linear model; those of minilm have seen other texts."""
OWN_MEMBERS = ("bundled", "bundled, taught", "linear")
"""Members that have seen nothing but AG News."""


def _number(name: str) -> int:
    return int(name.rsplit("-", 1)[1])


def _runs(work: Path, prefix: str) -> dict[int, dict[str, Any]]:
    """Return the finished runs of the jobs with a prefix, or several, by seed."""
    return {_number(name): run for name, run in _jobs(work, prefix).items()}


def _jobs(work: Path, prefix: str) -> dict[str, dict[str, Any]]:
    return finished(work, [f"{one}-[0-9]" for one in prefix.split()])


def _answers(work: Path, prefix: str) -> dict[int, dict[str, np.ndarray]]:
    return {_number(name): load_file(work / name / PROBABILITIES) for name in _jobs(work, prefix)}


def collect_full(work: Path, news: News) -> None:
    """Record what was fine-tuned on all rows, and store its predictions."""
    recorded_runs: store.Runs = store.finished("bert_full", news).get("runs", {})
    speeds = {name: speed_on_one_core(name, news) for name in (BUNDLED, MINILM)}
    for key, prefix in FULL.items():
        speed = speeds[MINILM if key == "minilm" else BUNDLED]
        for seed, run in _runs(work, prefix).items():
            found = load_file(work / f"{prefix}-{seed}" / PROBABILITIES)
            recorded_runs.setdefault(key, {})[str(seed)] = _kept(key, seed, run, found, speed, news)
    content = full_summary(recorded_runs, news)
    headline = ", ".join(
        f"{name}: {entry['test_accuracy']:.2%}" for name, entry in content["models"].items()
    )
    store.record_run("bert_full", news, content, headline, seed=1, cpu_seconds=0.0)


def _kept(
    key: str,
    seed: int,
    run: Mapping[str, Any],
    found: Mapping[str, np.ndarray],
    speed: float,
    news: News,
) -> dict[str, Any]:
    """Store the predictions of a run, and return what is recorded of it."""
    cost = {"parameters": run["parameters"], "megabytes": 4 * run["parameters"] / 1e6}
    cost |= {"train_cpu_seconds": None, "documents_per_second": speed}
    labels = store.split(news)[1]["label"].to_numpy()
    made = Predictions(key, seed, found["test"], found["valid"], labels, cost)
    store_predictions(news, made, store.RESULTS / "predictions")
    told = ("parameters", "best_epoch", "valid_accuracy", "test_accuracy", "curve", "recipe")
    content = {name: run[name] for name in (*told, "seconds", "rows") if name in run}
    device = run["environment"]["device"]
    return content | {"device": device, "encoder": encoder_version(key), "texts": TEXTS}


BRIEFS = "briefs-minilm"
"""The job that fine-tuned MiniLM on News Briefs with several recipes."""


def collect_briefs(work: Path, news: News) -> None:
    """Record MiniLM on News Briefs: the recipe that was listed first, and all of them beside it.

    Validation rows are too few there to choose by: the first recipe was set down before.
    """
    runs: store.Runs = store.finished("bert_full", news).get("runs", {})
    speed, found, entries = speed_on_one_core(MINILM, news), finished(work, [BRIEFS]), []
    tried = found[BRIEFS]["runs"] if found else []
    for one in tried:
        if one["number"] == 0:
            run = {"best_epoch": None, "curve": [], **found[BRIEFS], **one}
            run["parameters"] = _parameters(one["recipe"])
            answers = load_file(work / BRIEFS / f"0-{one['seed']}.safetensors")
            kept = _kept("minilm", one["seed"], run, answers, speed, news)
            runs.setdefault("minilm", {})[str(one["seed"])] = kept
    for number in sorted({one["number"] for one in tried}):
        own = {one["seed"]: one for one in tried if one["number"] == number}
        recipe = next(iter(own.values()))["recipe"]
        told = ("epochs", "learning_rate", "hidden", "pooling")
        words = {name: recipe[name] for name in told}
        entries.append({"encoder": "minilm", **words} | _scores(own, news))
    content = full_summary(runs, news)
    headline = f"MiniLM: {content['models']['minilm']['test_accuracy']:.2%}"
    store.record_run("bert_full", news, content, headline, seed=1, cpu_seconds=0.0)
    tried_recipes = {"recipes": entries, "valid_rows": len(store.split(news)[1])}
    headline = f"{len(entries)} recipes"
    store.record_run("bert_recipes", news, tried_recipes, headline, seed=1, cpu_seconds=0.0)


def _parameters(recipe: dict[str, Any]) -> int:
    network, _ = make_network(MINILM, Recipe(**recipe), seed=1)
    return sum(value.numel() for value in network.parameters())


def speed_on_one_core(encoder: str, news: News, rows: int = 400) -> float:
    """Return how many documents an encoder answers in a CPU second; its weights do not matter."""
    model, tokenizer = load_encoder(encoder, quiet=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        texts = repair_frame(news.test[:rows])["text"]
        started = time.process_time()
        predict_texts(model, tokenizer, texts)
        return rows / (time.process_time() - started)
    finally:
        torch.set_num_threads(threads)


def collect_recipes(work: Path, news: News) -> None:
    """Record how much the recipe changes: each tried with the same seed on all rows."""
    entries = [
        {"encoder": encoder, "recipe": words} | _scores(_runs(work, prefix), news)
        for encoder, recipes in RECIPES.items()
        for words, prefix in recipes.items()
        if _runs(work, prefix)
    ]
    valid_rows = len(store.split(news)[1])
    content = {"recipes": entries, "valid_rows": valid_rows}
    headline = f"{len(entries)} recipes"
    store.record_run("bert_recipes", news, content, headline, seed=1, cpu_seconds=0.0)


def _scores(runs: dict[int, dict[str, Any]], news: News) -> dict[str, Any]:
    accuracies = [run["test_accuracy"] for run in runs.values()]
    median = statistics.median(accuracies)
    return {
        "seeds": len(runs),
        "valid_accuracies": [run["valid_accuracy"] for run in runs.values()],
        "test_accuracies": accuracies,
        "test_accuracy": median,
        "interval": accuracy_interval(median, len(news.test)),
    }


def collect_students(work: Path, news: News) -> None:
    """Record what networks learned from the answers of others, against the same without them."""
    parts = _labels(news)
    truth = news.test["label"].to_numpy()
    teachers = {}
    for name, folds in TEACHERS.items():
        answers = average_teacher(work, folds, parts)[: len(parts["fit"])]
        teachers[name] = float((answers.argmax(1) == parts["fit"].labels).mean())
    students = []
    for prefix, (encoder, teacher) in STUDENTS.items():
        alone = _answers(work, "mini-mean" if encoder == "bundled" else "minilm-mean")
        taught = _answers(work, prefix)
        if not taught:
            continue
        right = [
            {seed: answer["test"].argmax(1) == truth for seed, answer in one.items()}
            for one in (taught, alone)
        ]
        tests, difference = compared(*right)
        students.append(
            {
                "student": encoder,
                "teacher": teacher,
                "alone": statistics.median(float(one.mean()) for one in right[1].values()),
                "p_values": [test.p_value for test in tests],
            }
            | difference
            | _scores(_runs(work, prefix), news)
        )
    longer = _runs(work, RECIPES["bundled"]["nine epochs, 25 % hidden"])
    minilm, student = (_runs(work, prefix) for prefix in ("minilm-mean", "student-own"))

    def student_against(prefix: str) -> dict[str, float]:
        runs = [
            {seed: one["test"].argmax(1) == truth for seed, one in _answers(work, jobs).items()}
            for jobs in ("student-own", prefix)
        ]
        return compared(*runs)[1]

    content = {
        "against": {
            "longer": student_against(RECIPES["bundled"]["nine epochs, 25 % hidden"]),
            "minilm": student_against("minilm-mean"),
            "other teacher": student_against("student-all"),
        },
        "longer": statistics.median(run["test_accuracy"] for run in longer.values()),
        "times_parameters": minilm[1]["parameters"] / student[1]["parameters"],
        "students": students,
        "teachers": teachers,
        "rows": len(parts["fit"]),
        "unlabeled_rows": len(parts["extra"]),
    }
    content["readme_rows"] = [
        store.readme_row(
            f"{MODELS[KEYS_OF_ENCODERS[one['student']]]}, taught by {IN_WORDS[one['teacher']]}",
            "evaluation",
            one["seeds"],
            one["test_accuracy"],
            len(truth),
        )
        for one in students
    ]
    headline = ", ".join(f"{one['teacher']}: {one['test_accuracy']:.2%}" for one in students)
    store.record_run("students", news, content, headline, seed=1, cpu_seconds=0.0)


def collect_ensembles(work: Path, news: News) -> None:
    """Record averages of all seeds of the members, for every choice of members."""
    truth, valid = news.test["label"].to_numpy(), store.split(news)[1]["label"].to_numpy()
    (linear, *_) = stored_predictions(news, store.RESULTS / "predictions")["linear"]
    groups = {name: [*_answers(work, prefix).values()] for name, prefix in MEMBERS.items()}
    groups = {name: answers for name, answers in groups.items() if answers}
    groups["linear"] = [{"valid": linear.valid, "test": linear.test}]
    averages = []
    for size in range(1, len(groups) + 1):
        for members in combinations(groups, size):
            answers = [one for name in members for one in groups[name]]
            valid_mean = np.mean([one["valid"] for one in answers], axis=0)
            test_mean = np.mean([one["test"] for one in answers], axis=0)
            accuracy = float((test_mean.argmax(1) == truth).mean())
            averages.append(
                {
                    "members": list(members),
                    "networks": len(answers),
                    "valid_accuracy": float((valid_mean.argmax(1) == valid).mean()),
                    "test_accuracy": accuracy,
                    "interval": accuracy_interval(accuracy, len(truth)),
                }
            )
    own = [one for one in averages if set(one["members"]) <= set(OWN_MEMBERS)]

    def best(among: list[dict[str, Any]]) -> dict[str, Any]:
        return max(among, key=lambda one: (one["valid_accuracy"], -one["networks"]))

    content = {
        "averages": averages,
        "best": best(averages),
        "best_own": best(own),
        "tried": len(averages),
        "tried_own": len(own),
        "valid_rows": len(valid),
        "readme_rows": [
            _readme_row("average of members chosen on validation rows", best(averages), truth),
            _readme_row("the same, of members that saw only AG News", best(own), truth),
        ],
    }
    headline = f"best on validation rows: {content['best']['test_accuracy']:.2%}"
    store.record_run("ensembles", news, content, headline, seed=1, cpu_seconds=0.0)


def _readme_row(label: str, average: dict[str, Any], truth: np.ndarray) -> dict[str, Any]:
    networks = f"{label}, {average['networks']} models"
    return store.readme_row(networks, "evaluation", 1, average["test_accuracy"], len(truth)) | {
        "model": f"{networks} (chapter evaluation)"
    }


def collect_speed(work: Path, news: News) -> None:
    """Record how fast MiniLM learns and answers on the GPU."""
    found = finished(work, ["speed"])
    if not found:
        return
    wanted = ("device", "documents", "tokens", "matrix_teraflops", "answering")
    speed = found["speed"]
    content = {name: speed[name] for name in wanted if name in speed}
    content["training_documents_per_second"] = speed["training_documents_per_second"]
    best = content["answering"][max(content["answering"], key=int)]
    content["best"] = best | {"share_of_matrix_rate": None}
    if "matrix_teraflops" in content:
        content["best"]["share_of_matrix_rate"] = best["teraflops"] / content["matrix_teraflops"]
    headline = f"{best['documents_per_second']:,.0f} documents a second on {content.get('device')}"
    store.record_run("gpu_speed", news, content, headline, seed=1, cpu_seconds=0.0)


def collect_curves(work: Path, news: News) -> None:
    """Record accuracy against the number of rows, as far as it was measured."""
    measured = []
    for path in sorted(work.glob("curve-*/partial.json")):
        _, encoder, _ = path.parent.name.split("-", 2)
        for point in json.loads(path.read_text(encoding="utf-8")):
            size, accuracies = point["per_class"], point["accuracies"]
            name, way = ENCODERS[encoder], point["way"]
            measured.append(few_point(name, way, size, accuracies, len(news.test)))
    record_points(news, measured)


def _labels(news: News) -> dict[str, Rows]:
    return {
        name: Rows([[]] * len(frame), frame["label"].to_numpy())
        for name, frame in frames(news).items()
    }


def collect_teacher(work: Path, news: News) -> Path:
    """Store what networks say of rows that they have not learned from, to teach others.

    Rows are those to learn from, in the order of `tools.reference.store.split`, then those of
    `unlabelled_extra.csv`. Fold models of MiniLM and the linear model, averaged.
    """
    parts = _labels(news)
    probabilities = average_teacher(work, TEACHERS["MiniLM and linear"], parts)
    right = (probabilities[: len(parts["fit"])].argmax(1) == parts["fit"].labels).mean()
    target = store.RESULTS / f"teacher.{news.name}.safetensors"
    about = {"train_md5": news.md5["train.csv"], "accuracy": f"{right:.4f}"}
    with written_whole(target) as partial:
        save_file({"probabilities": probabilities.astype(np.float16)}, partial, metadata=about)
    print(f"teacher: {right:.2%} of the rows to learn from")
    return target


COLLECTED = {
    "full": collect_full,
    "briefs": collect_briefs,
    "recipes": collect_recipes,
    "students": collect_students,
    "ensembles": collect_ensembles,
    "curves": collect_curves,
    "speed": collect_speed,
    "teacher": collect_teacher,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.gpu.collect", description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--data", default="ag_news")
    parser.add_argument("--reviews", help="film reviews (imdb, a folder, an archive): only these")
    parser.add_argument("--only", nargs="*", choices=[*COLLECTED], help="all without")
    options = parser.parse_args(arguments)
    if options.reviews:
        imdb.take_in(options.work, load_news(options.reviews))
        return 0
    news = load_news(options.data)
    everything = (
        ["briefs"] if store.is_small(news) else [one for one in COLLECTED if one != "briefs"]
    )
    for name in options.only or everything:
        COLLECTED[name](options.work, news)
    return 0


if __name__ == "__main__":
    sys.exit(main())
