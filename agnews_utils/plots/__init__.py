"""Figures of the course.

Every helper takes an optional `ax` to draw on (without it there is a new figure) and returns the
Axes that it drew on, so that a notebook can change what was drawn, and a test can read titles,
labels and data from it. `title` states the finding; `x` and `y` are labels with their units.
"""

from agnews_utils.plots.bert import (
    accuracy_by_learning_rate,
    accuracy_by_rows,
    attention_map,
    loss_and_levels,
    pretraining_log,
)
from agnews_utils.plots.cleaning import candidate_curves, difference_panels, differences
from agnews_utils.plots.evaluation import (
    class_curves,
    confusion_map,
    cost_map,
    reliability_diagram,
    win_map,
)
from agnews_utils.plots.style import (
    CLASS_COLORS,
    GREY,
    bars,
    intervals,
    length_histograms,
    marking_words,
    scatter_by_class,
    use_course_style,
)
from agnews_utils.plots.training import learning_curves, lines, probability_bars, smoothed
from agnews_utils.plots.vocabulary import curves, padding_pictures, power_law_line

__all__ = [
    "CLASS_COLORS",
    "GREY",
    "accuracy_by_learning_rate",
    "accuracy_by_rows",
    "attention_map",
    "bars",
    "candidate_curves",
    "class_curves",
    "confusion_map",
    "cost_map",
    "curves",
    "difference_panels",
    "differences",
    "intervals",
    "learning_curves",
    "length_histograms",
    "lines",
    "loss_and_levels",
    "marking_words",
    "padding_pictures",
    "power_law_line",
    "pretraining_log",
    "probability_bars",
    "reliability_diagram",
    "scatter_by_class",
    "smoothed",
    "use_course_style",
    "win_map",
]
