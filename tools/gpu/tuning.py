"""Jobs that fine-tune: on all rows, on folds, as students of other networks, on few rows."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from agnews_utils.bert.encoder import save_encoder
from agnews_utils.bert.fine_tuning import pooled_ids, self_train
from agnews_utils.bert.long_texts import cut_ids, windows
from agnews_utils.bert.pooling import contrastive_tuning
from agnews_utils.files import write_text, written_whole
from agnews_utils.runtime import pick_device
from agnews_utils.training.inference import device_of, predict
from tools.gpu.rows import read_rows
from tools.reference.draws import DRAWS, Rows, draw_rows, linear_head
from tools.reference.fine_tuning import Recipe, accuracy, evaluation_loader, make_network, train

RESULT, PROBABILITIES = "result.json", "probabilities.safetensors"


def encoder_folder(work: Path, encoder: str) -> Path:
    """Return where an encoder lies: one made here, or a folder beside the data."""
    made = work / f"pretrain-{encoder}" / "encoder"
    return made if made.is_dir() else work / "encoders" / encoder


def rows_of(work: Path, data: str, encoder: str) -> dict[str, Rows]:
    """Return the rows of a data set in the ids of an encoder; those made here share a tokenizer."""
    name = encoder if (work / "rows" / f"{data}.{encoder}.safetensors").is_file() else "mini"
    return read_rows(work / "rows" / f"{data}.{name}.safetensors")


# -------------------------------------------------------------------------------------- whole runs


def tune(work: Path, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Fine-tune on all rows, or all but one fold; keep probabilities, and weights if wanted.

    `settings`: data, encoder, recipe, seed; optional: fold and folds, teachers (jobs whose
    probabilities are averaged), save (keep the weights), among (patterns of jobs: the recipe is
    that of the best of them on validation rows), random (no pre-training).
    """
    started = time.perf_counter()
    parts = rows_of(work, settings["data"], settings["encoder"])
    recipe = chosen_recipe(work, settings)
    fit_rows, teacher = parts["fit"], None
    used = np.arange(len(fit_rows))
    if "fold" in settings:
        used = np.flatnonzero(fold_numbers(len(fit_rows), settings["folds"]) != settings["fold"])
        fit_rows = fit_rows.some(used)
    if teachers := settings.get("teachers"):
        teacher = average_teacher(work, teachers, parts)
        fit_rows = Rows(
            fit_rows.ids + parts["extra"].ids,
            np.concatenate([fit_rows.labels, teacher[len(fit_rows) :].argmax(1)]),
        )
    folder = encoder_folder(work, settings["encoder"])
    network, tokenizer = make_network(
        folder, recipe, settings["seed"], random=settings.get("random", False)
    )
    history = train(network, tokenizer, fit_rows, parts["valid"], recipe, settings["seed"], teacher)
    wanted = ["valid", "test"] + (["fit", "extra"] if "fold" in settings else [])
    pad = tokenizer.pad_token_id
    found = {
        part: predict(network, evaluation_loader(parts[part], pad))
        for part in wanted
        if part in parts
    }
    with written_whole(work / name / PROBABILITIES) as partial:
        kinds = {"fit": np.float16, "extra": np.float16}
        save_file({p: v.astype(kinds.get(p, np.float32)) for p, v in found.items()}, partial)
    if settings.get("save"):
        save_encoder(network.cpu(), tokenizer, work / name / "model", half=True)
    epochs = history.epochs
    names = ("epoch", "loss", "accuracy", "valid_loss", "valid_accuracy", "seconds")
    best = history.best
    return {
        "recipe": asdict(recipe),
        "parameters": sum(value.numel() for value in network.parameters()),
        "rows": len(used),
        "best_epoch": history.best_epoch,
        "valid_accuracy": best["valid_accuracy"],
        "valid_loss": best["valid_loss"],
        "test_accuracy": float((found["test"].argmax(1) == parts["test"].labels).mean()),
        "curve": [{key: epochs[key][i] for key in names} for i in range(len(epochs["epoch"]))],
        "seconds": time.perf_counter() - started,
    }


def fold_numbers(rows: int, folds: int) -> np.ndarray:
    """Return the fold of each row to learn from; the same for every model."""
    return np.random.default_rng(0).permutation(rows) % folds


def chosen_recipe(work: Path, settings: dict[str, Any]) -> Recipe:
    """Return the recipe asked for, or the best of the jobs named, changed as asked for."""
    recipe = Recipe(**settings.get("recipe", {}))
    if patterns := settings.get("among"):
        found = finished(work, patterns)
        best = max(found.values(), key=lambda one: (one["valid_accuracy"], -one["valid_loss"]))
        recipe = replace(Recipe(**best["recipe"]), **settings.get("recipe", {}))
    return recipe


def finished(work: Path, patterns: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the results of the finished jobs whose names match one of the patterns."""
    paths = {path for pattern in patterns for path in work.glob(f"{pattern}/{RESULT}")}
    return {
        path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(paths)
    }


def average_teacher(work: Path, groups: list[str], parts: dict[str, Rows]) -> np.ndarray:
    """Average models' probabilities on the rows to learn from, then on those without labels.

    Each group is the beginning of its folds' names. A row gets the answer of the network that has
    not learned from it; a row without a label that of all folds.
    """
    total = []
    for group in groups:
        folders = sorted(work.glob(f"{group}-[0-9]"))
        folds = fold_numbers(len(parts["fit"]), len(folders))
        answers = [load_file(folder / PROBABILITIES) for folder in folders]
        own = np.zeros(answers[0]["fit"].shape, dtype=np.float32)
        for number, answer in enumerate(answers):
            own[folds == number] = answer["fit"][folds == number]
        extra = np.mean([answer["extra"] for answer in answers], axis=0, dtype=np.float32)
        total.append(np.concatenate([own, extra]))
    return np.mean(total, axis=0)


# ---------------------------------------------------------------------------------------- few rows


def states_of(network: Any, rows: Rows, pad: int) -> np.ndarray:
    """Return one vector of length 1 for each row: the mean of its states, in half precision."""
    with torch.autocast(device_of(network).type, torch.bfloat16):
        return pooled_ids(network, rows.ids, pad, "mean", batch_size=512)


CONTRASTIVE = [
    {"steps": steps, "learning_rate": rate, "temperature": temperature}
    for steps in (150, 60)
    for rate in (3e-5, 1e-4)
    for temperature in (0.1, 0.3)
]
FEW = {
    "minilm": [
        Recipe(20, 1e-4, 8, hidden=0.0, smoothing=0.0),
        Recipe(20, 3e-4, 8, hidden=0.1, smoothing=0.1),
        Recipe(40, 1e-4, 8, hidden=0.1, smoothing=0.1),
    ],
    "mini": [
        Recipe(20, 5e-4, 8, hidden=0.0, smoothing=0.0),
        Recipe(20, 1e-3, 8, decay=0.5, hidden=0.1, smoothing=0.1),
        Recipe(40, 5e-4, 8, decay=0.7, hidden=0.1, smoothing=0.1),
    ],
}
SEARCH_DRAWS, SEARCH_ROWS, UNLABELED = (101, 102, 103), 2_000, 5_000


def few_search(work: Path, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Choose how to learn from ten rows a class, on validation rows and draws of their own."""
    encoder = settings["encoder"]
    parts = rows_of(work, settings["data"], encoder)
    folder = encoder_folder(work, encoder)
    valid = parts["valid"].some(np.arange(min(SEARCH_ROWS, len(parts["valid"]))))
    found: list[dict[str, Any]] = []
    ways: list[tuple[str, Any]] = [("contrastive", one) for one in CONTRASTIVE]
    ways += [("fine-tuned", recipe) for recipe in FEW[encoder]]
    for kind, way in ways[: settings.get("ways", len(ways))]:
        accuracies = []
        for draw in SEARCH_DRAWS[: settings.get("draws", 3)]:
            few = parts["fit"].some(draw_rows(parts["fit"].labels, 10, draw))
            recipe = way if kind == "fine-tuned" else Recipe()
            network, tokenizer = make_network(folder, recipe, draw)
            pad = tokenizer.pad_token_id
            if kind == "fine-tuned":
                train(network, tokenizer, few, None, recipe, draw)
                accuracies.append(accuracy(network, valid, pad))
                continue
            tuned = way | {"steps": 3} if "sizes" in settings else way
            contrastive_tuning(network, few.ids, few.labels, **tuned, pad_index=pad, seed=draw)
            head = linear_head(states_of(network, few, pad), few.labels)
            accuracies.append(float(head.score(states_of(network, valid, pad), valid.labels)))
        settings_of_way = asdict(way) if kind == "fine-tuned" else way
        found.append({"kind": kind, "settings": settings_of_way, "accuracies": accuracies})
        print(found[-1], flush=True)
        write_text(work / name / "partial.json", json.dumps(found))
    return {"ways": found, "rows": len(valid)}


def best_way(work: Path, job: str, kind: str) -> dict[str, Any] | None:
    """Return the settings with the best mean of a finished search."""
    path = work / job / RESULT
    if not path.is_file():
        return None
    ways = [
        one for one in json.loads(path.read_text(encoding="utf-8"))["ways"] if one["kind"] == kind
    ]
    return max(ways, key=lambda one: np.mean(one["accuracies"]), default={}).get("settings")


def curve_recipe(few: Recipe, size: int) -> Recipe:
    """Return how to fine-tune on so many rows a class: as chosen for few, with fewer epochs."""
    epochs = {1: 40, 3: 30, 30: 15, 100: 10, 300: 7, 1000: 5, 4000: 5}
    if size == 10:
        return few
    if size < 100:
        return replace(few, epochs=epochs[size])
    batch = {100: 16, 300: 32, 1000: 32, 4000: 64}[size]
    return replace(few, epochs=epochs[size], batch_size=batch, decay=1.0)


def curves(work: Path, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Measure accuracy on the test rows against the number of rows, with several draws.

    `settings`: data, encoder, way ("fine-tuned", "random", "frozen" or "contrastive"), search.
    """
    encoder, way = settings["encoder"], settings["way"]
    parts = rows_of(work, settings["data"], encoder)
    folder = encoder_folder(work, encoder)
    few = Recipe(**(best_way(work, settings["search"], "fine-tuned") or asdict(FEW[encoder][0])))
    if way == "random":
        few = replace(few, learning_rate=1e-3, decay=1.0, epochs=20)
    tuning = best_way(work, settings["search"], "contrastive") or CONTRASTIVE[0]
    partial = work / name / "partial.json"
    points: list[dict[str, Any]] = []
    if partial.is_file():
        points = json.loads(partial.read_text(encoding="utf-8"))
    measured = {point["per_class"] for point in points}
    unseen = np.random.default_rng(0).permutation(len(parts["fit"]))[:UNLABELED]
    cache: dict[str, np.ndarray] = {}
    for size, draws in list(DRAWS.items())[: settings.get("sizes", len(DRAWS))]:
        if (
            size in measured
            or size * 4 > len(parts["fit"])
            or (way == "contrastive" and size > 1000)
        ):
            continue
        kinds: dict[str, list[float]] = {}
        for draw in range(1, min(draws, settings.get("draws", draws)) + 1):
            rows = parts["fit"].some(draw_rows(parts["fit"].labels, size, draw))
            recipe = curve_recipe(few, size)
            if way in ("fine-tuned", "random"):
                network, tokenizer = make_network(folder, recipe, draw, random=way == "random")
                train(network, tokenizer, rows, None, recipe, draw)
                score = accuracy(network, parts["test"], tokenizer.pad_token_id)
                kinds.setdefault(way, []).append(score)
                continue
            if way == "contrastive" or not cache:
                network, tokenizer = make_network(folder, recipe, draw)
                network.to(pick_device())
                pad = tokenizer.pad_token_id
                if way == "contrastive" and size > 1:
                    contrastive_tuning(
                        network, rows.ids, rows.labels, **tuning, pad_index=pad, seed=draw
                    )
                cache = {"test": states_of(network, parts["test"], pad)}
                cache["unseen"] = states_of(network, parts["fit"].some(unseen), pad)
            own = states_of(network, rows, pad)
            head = linear_head(own, rows.labels)
            kinds.setdefault(way, []).append(float(head.score(cache["test"], parts["test"].labels)))
            if size <= 10:
                taught = self_train(own, rows.labels, cache["unseen"])
                kinds.setdefault(f"{way}, self-trained", []).append(
                    float(taught.score(cache["test"], parts["test"].labels))
                )
        for kind, accuracies in kinds.items():
            points.append({"way": kind, "per_class": size, "accuracies": accuracies})
            print(kind, size, f"{np.mean(accuracies):.4f}", flush=True)
        write_text(partial, json.dumps(points))
    return {"points": points, "recipe": asdict(few), "contrastive": tuning}


# ------------------------------------------------------------------------------------- News Briefs

BRIEFS = {
    "minilm": [
        Recipe(5, 1e-4, 32),
        Recipe(8, 1e-4, 32),
        Recipe(8, 2e-4, 32, hidden=0.15),
        Recipe(8, 1e-4, 32, pooling="cls"),
    ],
    "mini": [
        Recipe(8, 3e-4, 32),
        Recipe(12, 3e-4, 32, hidden=0.15),
        Recipe(8, 6e-4, 32),
        Recipe(8, 3e-4, 32, pooling="cls"),
    ],
}


def briefs(work: Path, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Fine-tune on News Briefs with several recipes and three seeds each."""
    encoder, data = settings["encoder"], settings["data"]
    parts = rows_of(work, data, encoder)
    found = []
    for number, recipe in enumerate(BRIEFS[encoder][: settings.get("recipes", 9)]):
        for seed in (1, 2, 3)[: settings.get("seeds", 3)]:
            network, tokenizer = make_network(encoder_folder(work, encoder), recipe, seed)
            history = train(network, tokenizer, parts["fit"], parts["valid"], recipe, seed)
            pad = tokenizer.pad_token_id
            answers = {
                part: predict(network, evaluation_loader(parts[part], pad))
                for part in ("valid", "test")
            }
            with written_whole(work / name / f"{number}-{seed}.safetensors") as partial:
                save_file(answers, partial)
            found.append(
                {
                    "recipe": asdict(recipe),
                    "number": number,
                    "seed": seed,
                    "valid_accuracy": history.best["valid_accuracy"],
                    "valid_loss": history.best["valid_loss"],
                    "test_accuracy": float(
                        (answers["test"].argmax(1) == parts["test"].labels).mean()
                    ),
                }
            )
            print({key: found[-1][key] for key in found[-1] if key != "recipe"}, flush=True)
            write_text(work / name / "partial.json", json.dumps(found))
    return {"runs": found}


# ---------------------------------------------------------------------------------------- reviews


REVIEW = Recipe(4, 1e-4, 32)


def reviews(work: Path, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Fine-tune on long texts with three seeds; `settings`: encoder, keep, max_length.

    Where only the head is kept, the texts are also answered as a whole: in windows, averaged.
    """
    encoder, length = settings["encoder"], settings["max_length"]
    parts = rows_of(work, "imdb", encoder)
    short = {
        part: Rows([cut_ids(ids, length, settings["keep"]) for ids in rows.ids], rows.labels)
        for part, rows in parts.items()
    }
    classes = len(np.unique(parts["fit"].labels))
    found = []
    for seed in (1, 2, 3)[: settings.get("seeds", 3)]:
        network, tokenizer = make_network(
            encoder_folder(work, encoder), REVIEW, seed, classes=classes
        )
        started = time.perf_counter()
        history = train(network, tokenizer, short["fit"], short["valid"], REVIEW, seed)
        pad = tokenizer.pad_token_id
        seconds = time.perf_counter() - started
        answers = {
            part: predict(network, evaluation_loader(short[part], pad))
            for part in ("valid", "test")
        }
        if settings["keep"] == "head":
            answers["test.windows"] = _by_windows(network, parts["test"], length, pad)
        with written_whole(work / name / f"{seed}.safetensors") as partial:
            save_file(answers, partial)
        right = {
            part: float((answer.argmax(1) == parts[part.split(".")[0]].labels).mean())
            for part, answer in answers.items()
        }
        found.append(
            {"seed": seed, "right": right, "seconds": seconds, "best_epoch": history.best_epoch}
        )
        print(found[-1], flush=True)
    return {"recipe": asdict(REVIEW), "runs": found, "rows": len(parts["fit"])}


def _by_windows(network: Any, rows: Rows, length: int, pad: int) -> np.ndarray:
    cut = [windows(ids, length) for ids in rows.ids]
    owners = np.repeat(np.arange(len(cut)), [len(one) for one in cut])
    flat = Rows([ids for one in cut for ids in one], rows.labels[owners])
    answers = predict(network, evaluation_loader(flat, pad))
    total = np.zeros((len(cut), answers.shape[1]), dtype=answers.dtype)
    np.add.at(total, owners, answers)
    return total / np.bincount(owners)[:, None]
