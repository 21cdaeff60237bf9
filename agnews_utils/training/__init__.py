"""The training engine of the models' chapters: `fit` trains any of the course's networks.

`loop` holds `fit`, `inference` evaluates and predicts, `optimizers` also holds the schedules,
`checks` finds the usual mistakes, `checkpoints` lets a run go on, `history` is what comes back.
"""

from agnews_utils.training.checks import (
    check_alignment,
    check_evaluation_mode,
    check_labels,
    check_logits,
    check_no_gradients,
)
from agnews_utils.training.inference import evaluate, predict
from agnews_utils.training.loop import fit, seed_epoch
from agnews_utils.training.optimizers import AdamW, build_optimizer, schedule_factor

__all__ = [
    "AdamW",
    "build_optimizer",
    "check_alignment",
    "check_evaluation_mode",
    "check_labels",
    "check_logits",
    "check_no_gradients",
    "evaluate",
    "fit",
    "predict",
    "schedule_factor",
    "seed_epoch",
]
