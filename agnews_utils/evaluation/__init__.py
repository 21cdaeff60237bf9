"""Chapter "Evaluation": all models on the same rows, and which differences are real.

`metrics` measures one model, `comparing` several, `errors` says where they are wrong, `predictions`
stores what they said.
"""

from agnews_utils.evaluation.comparing import (
    bootstrap_interval,
    compare_all,
    mcnemar,
    paired_bootstrap,
    pareto_front,
    rows_to_tell,
)
from agnews_utils.evaluation.errors import (
    brief_facts,
    confident_joint,
    label_quality,
    out_of_fold_probabilities,
    read_closely,
    slice_table,
    suspect_rows,
    twins_in_train,
    unknown_words,
)
from agnews_utils.evaluation.metrics import (
    accuracy,
    apply_temperature,
    area_under,
    average_precisions,
    average_scores,
    balanced_accuracy,
    class_report,
    confusion_matrix,
    expected_calibration_error,
    fit_temperature,
    log_loss,
    precision_recall_curve,
    precision_recall_f1,
    reliability_bins,
    roc_auc,
    roc_curve,
)
from agnews_utils.evaluation.predictions import (
    LinearClassifier,
    PredictionError,
    quick_predictions,
    stored_predictions,
)

__all__ = [
    "LinearClassifier",
    "PredictionError",
    "accuracy",
    "apply_temperature",
    "area_under",
    "average_precisions",
    "average_scores",
    "balanced_accuracy",
    "bootstrap_interval",
    "brief_facts",
    "class_report",
    "compare_all",
    "confident_joint",
    "confusion_matrix",
    "expected_calibration_error",
    "fit_temperature",
    "label_quality",
    "log_loss",
    "mcnemar",
    "out_of_fold_probabilities",
    "paired_bootstrap",
    "pareto_front",
    "precision_recall_curve",
    "precision_recall_f1",
    "quick_predictions",
    "read_closely",
    "reliability_bins",
    "roc_auc",
    "roc_curve",
    "rows_to_tell",
    "slice_table",
    "stored_predictions",
    "suspect_rows",
    "twins_in_train",
    "unknown_words",
]
