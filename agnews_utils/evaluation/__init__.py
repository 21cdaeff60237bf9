"""Chapter "Evaluation": all models on the same rows, and which differences are real.

`metrics` measures one model, `comparing` several, `errors` says where they are wrong, `predictions`
stores what they said.
"""

from agnews_utils.evaluation.comparing import (
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
    near_duplicates_in_train,
    occlusion,
    out_of_fold_probabilities,
    read_closely,
    slice_table,
    suspect_rows,
    unknown_words,
)
from agnews_utils.evaluation.metrics import (
    apply_temperature,
    expected_calibration_error,
    fit_temperature,
    reliability_bins,
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
    "apply_temperature",
    "brief_facts",
    "compare_all",
    "confident_joint",
    "expected_calibration_error",
    "fit_temperature",
    "label_quality",
    "mcnemar",
    "near_duplicates_in_train",
    "occlusion",
    "out_of_fold_probabilities",
    "paired_bootstrap",
    "pareto_front",
    "quick_predictions",
    "read_closely",
    "reliability_bins",
    "rows_to_tell",
    "slice_table",
    "stored_predictions",
    "suspect_rows",
    "unknown_words",
]
