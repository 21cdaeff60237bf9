"""Which jobs there are, what each waits for, and which come first when time is short."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from agnews_utils.runtime import recorded
from tools.reference.fine_tuning import Recipe

FOLDS = 3
SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Job:
    """One process: what it does, with which settings, after which others."""

    name: str
    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    after: tuple[str, ...] = ()


RECIPES = {
    "minilm": {
        "mean": Recipe(),
        "agreement": Recipe(4, 8e-5, 32, agreement=1.0),
        "cls": Recipe(pooling="cls"),
    },
    "mini": {
        "mean": Recipe(6, 5e-4, 128),
        "larger": Recipe(6, 1e-3, 128, hidden=0.2),
        "hidden": Recipe(9, 5e-4, 128, hidden=0.25),
        "cls": Recipe(6, 5e-4, 128, pooling="cls"),
    },
}
"""How the encoders are fine-tuned on all rows; the first of each with every seed."""

FOLD = {"minilm": Recipe(3, 1.7e-4, 128), "mini": Recipe(4, 7e-4, 128)}
STUDENT, TAUGHT = Recipe(9, 7e-4, 128, hidden=0.15), Recipe(6, 1.7e-4, 128)
RANDOM = Recipe(9, 7e-4, 128)
REVIEWS = [("head", 128), ("head", 256), ("tail", 256), ("both", 256), ("head", 512), ("both", 512)]
"""What an encoder keeps of a long text, and how many ids."""

PRETRAINING = [
    "--layers", "4", "--hidden", "256", "--heads", "4", "--learning-rate", "2e-3",
    "--batch-size", "384", "--pairs", "256", "--match-share", "0.15", "--mask-share", "0.3",
    "--whole-words", "--dropout", "0.1", "--workers", "4", "--round-steps", "1000",
    "--no-progress",
]  # fmt: skip


def make_plan(sources: dict[str, str], minutes: float, chapters: list[str]) -> list[Job]:
    """Return all jobs, the most valuable first.

    Parameters
    ----------
    sources : dict of str to str
        "ag_news" and "newsbriefs" -> what `load_news` takes; film reviews, if any, as "imdb".
    minutes : float
        For pre-training.
    chapters : list of str
        Notebooks to run.
    """
    linear_c = recorded("exploration", "ag_news")["linear_c"]
    source = {"sources": sources}
    folds = {
        name: tuple(f"{name}-fold-{fold}" for fold in range(FOLDS))
        for name in ("minilm", "mini", "linear")
    }
    return [
        Job("texts", "texts", source),
        Job("rows-minilm", "rows", source | {"encoder": "minilm"}),
        Job(
            "pretrain-mini",
            "pretraining",
            source | {"arguments": [*PRETRAINING, "--minutes", f"{minutes:g}"]},
            after=("texts",),
        ),
        *[_tune("minilm", "mean", seed) for seed in SEEDS],
        Job("rows-mini", "own_rows", source, after=("texts",)),
        *[
            Job(name, "linear", source | {"fold": fold, "folds": FOLDS, "c": linear_c})
            for fold, name in enumerate(folds["linear"])
        ],
        *_folds("minilm", folds),
        *[_tune("mini", "mean", seed) for seed in SEEDS],
        *_folds("mini", folds),
        *[
            _taught("student-all", "mini", STUDENT, seed, ["minilm", "linear"], folds)
            for seed in SEEDS
        ],
        *[
            _taught("minilm-taught", "minilm", TAUGHT, seed, ["minilm", "linear"], folds)
            for seed in SEEDS
        ],
        *[
            _taught("student-own", "mini", STUDENT, seed, ["mini", "linear"], folds)
            for seed in SEEDS
        ],
        *_reviews(sources),
        *[
            Job(
                f"random-mean-{seed}",
                "tune",
                {
                    "data": "ag_news",
                    "encoder": "mini",
                    "recipe": asdict(RANDOM),
                    "seed": seed,
                    "random": True,
                },
                after=_ready("mini"),
            )
            for seed in SEEDS
        ],
        *[_tune("mini", name, 1) for name in ("larger", "hidden", "cls")],
        _tune("minilm", "agreement", 1),
        _tune("minilm", "cls", 1),
        *[
            Job(
                f"briefs-{encoder}",
                "briefs",
                {"data": "newsbriefs", "encoder": encoder},
                after=_ready(encoder),
            )
            for encoder in RECIPES
        ],
        *[
            Job(f"few-{encoder}", "few_search", _on(encoder), after=_ready(encoder))
            for encoder in RECIPES
        ],
        Job("speed", "speed", {"encoder": "minilm"}, after=("rows-minilm",)),
        *[
            Job(f"notebook-{path.split('/')[-1][:2]}", "notebooks", {"notebook": path})
            for path in chapters
        ],
        *[_curve("minilm", way) for way in ("contrastive", "frozen", "fine-tuned")],
        *[_curve("mini", way) for way in ("contrastive", "frozen", "fine-tuned", "random")],
        *[
            Job(
                f"{encoder}-best-{seed}",
                "tune",
                {
                    "data": "ag_news",
                    "encoder": encoder,
                    "among": [f"{encoder}-{name}-1" for name in recipes],
                    "seed": seed,
                },
                after=tuple(f"{encoder}-{name}-1" for name in recipes),
            )
            for encoder, recipes in RECIPES.items()
            for seed in SEEDS[1:]
        ],
    ]


def _reviews(sources: dict[str, str]) -> list[Job]:
    if "imdb" not in sources:
        return []
    rows = Job("rows-reviews", "long_rows", {"sources": sources, "encoder": "minilm"})
    return [
        rows,
        *[
            Job(
                f"reviews-{keep}-{length}",
                "reviews",
                {"encoder": "minilm", "keep": keep, "max_length": length},
                after=(rows.name,),
            )
            for keep, length in REVIEWS
        ],
    ]


def _on(encoder: str) -> dict[str, Any]:
    return {"data": "ag_news", "encoder": encoder}


def _ready(encoder: str) -> tuple[str, ...]:
    return ("rows-minilm",) if encoder == "minilm" else ("rows-mini", "pretrain-mini")


def _tune(encoder: str, recipe: str, seed: int) -> Job:
    settings = _on(encoder) | {
        "recipe": asdict(RECIPES[encoder][recipe]),
        "seed": seed,
        "save": seed == 1,
    }
    return Job(f"{encoder}-{recipe}-{seed}", "tune", settings, after=_ready(encoder))


def _folds(encoder: str, folds: Mapping[str, tuple[str, ...]]) -> list[Job]:
    recipe = asdict(FOLD[encoder])
    return [
        Job(
            name,
            "tune",
            _on(encoder) | {"recipe": recipe, "seed": 1, "fold": fold, "folds": FOLDS},
            after=_ready(encoder),
        )
        for fold, name in enumerate(folds[encoder])
    ]


def _taught(
    name: str,
    encoder: str,
    recipe: Recipe,
    seed: int,
    teachers: list[str],
    folds: Mapping[str, tuple[str, ...]],
) -> Job:
    waits = tuple(job for teacher in teachers for job in folds[teacher])
    return Job(
        f"{name}-{seed}",
        "tune",
        _on(encoder)
        | {
            "recipe": asdict(recipe),
            "seed": seed,
            "teachers": [f"{teacher}-fold" for teacher in teachers],
            "save": seed == 1,
        },
        after=(*_ready(encoder), *waits),
    )


def _curve(encoder: str, way: str) -> Job:
    settings = _on(encoder) | {"way": way, "search": f"few-{encoder}"}
    return Job(f"curve-{encoder}-{way}", "curves", settings, after=_ready(encoder))
