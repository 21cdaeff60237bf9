"""Chapter 6, evaluation: scores, curves, calibration, comparisons, wrong labels, costs.

Everything that the chapter teaches is importable from here. Counts and their ratios stand in
`confusion`, curves and losses of probabilities in `curves`, `calibration` and `bootstrap` say what
they are, tests between models and the Pareto front are in `comparison`, confident learning in
`label_noise`, groups of rows in `slices`. NumPy does the work; scikit-learn appears in the tests,
which hold every metric equal to its.
"""

from __future__ import annotations

from agnews_utils.bootstrap import (
    PairedDifference,
    bootstrap_interval,
    disagreement,
    paired_bootstrap,
)
from agnews_utils.calibration import (
    apply_temperature,
    expected_calibration_error,
    fit_temperature,
    reliability_bins,
)
from agnews_utils.comparison import (
    McNemar,
    compare_all,
    holm,
    mcnemar,
    pareto_front,
    rows_to_tell,
)
from agnews_utils.confusion import (
    accuracy,
    average_scores,
    balanced_accuracy,
    class_report,
    confusion_matrix,
    precision_recall_f1,
)
from agnews_utils.curves import (
    area_under,
    average_precision,
    average_precisions,
    brier_score,
    log_loss,
    precision_recall_curve,
    roc_auc,
    roc_curve,
)
from agnews_utils.label_noise import (
    class_thresholds,
    confident_classes,
    confident_joint,
    label_quality,
    out_of_fold_probabilities,
    suspect_rows,
)
from agnews_utils.slices import (
    brief_facts,
    read_closely,
    slice_table,
    twins_in_train,
    unknown_words,
)

__all__ = [
    "McNemar",
    "PairedDifference",
    "accuracy",
    "apply_temperature",
    "area_under",
    "average_precision",
    "average_precisions",
    "average_scores",
    "balanced_accuracy",
    "bootstrap_interval",
    "brief_facts",
    "brier_score",
    "class_report",
    "class_thresholds",
    "compare_all",
    "confident_classes",
    "confident_joint",
    "confusion_matrix",
    "disagreement",
    "expected_calibration_error",
    "fit_temperature",
    "holm",
    "label_quality",
    "log_loss",
    "mcnemar",
    "out_of_fold_probabilities",
    "paired_bootstrap",
    "pareto_front",
    "precision_recall_curve",
    "precision_recall_f1",
    "read_closely",
    "reliability_bins",
    "roc_auc",
    "roc_curve",
    "rows_to_tell",
    "slice_table",
    "suspect_rows",
    "twins_in_train",
    "unknown_words",
]
