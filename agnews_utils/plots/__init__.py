"""Figures of the course.

Every helper takes an optional `ax` to draw on (without it there is a new figure) and returns the
Axes that it drew on, so that a notebook can change what was drawn, and a test can read titles,
labels and data from it. `title` states the finding; `x` and `y` are labels with their units.
"""

from agnews_utils.plots.bert import (
    accuracy_by_learning_rate,
    attention_heads,
    error_by_rows,
    loss_and_levels,
    pretraining_log,
)
from agnews_utils.plots.cleaning import candidate_curves, difference_panels, differences
from agnews_utils.plots.evaluation import (
    class_curves,
    confusion_map,
    cost_map,
    gain_map,
    reliability_diagram,
    win_map,
)
from agnews_utils.plots.style import (
    CLASS_COLORS,
    GREY,
    bars,
    class_colors,
    density_by_class,
    intervals,
    length_histograms,
    marking_words,
    percent_map,
    scatters_by_class,
    use_course_style,
)
from agnews_utils.plots.training import (
    cell_diagram,
    histograms,
    learning_curves,
    lines,
    probability_bars,
    small_multiples,
    smoothed,
)
from agnews_utils.plots.vocabulary import (
    before_and_after,
    curves,
    padding_pictures,
    power_law_line,
    way_to_a_tensor,
)

__all__ = [
    "CLASS_COLORS",
    "GREY",
    "accuracy_by_learning_rate",
    "attention_heads",
    "bars",
    "before_and_after",
    "candidate_curves",
    "cell_diagram",
    "class_colors",
    "class_curves",
    "confusion_map",
    "cost_map",
    "curves",
    "density_by_class",
    "difference_panels",
    "differences",
    "error_by_rows",
    "gain_map",
    "histograms",
    "intervals",
    "learning_curves",
    "length_histograms",
    "lines",
    "loss_and_levels",
    "marking_words",
    "padding_pictures",
    "percent_map",
    "power_law_line",
    "pretraining_log",
    "probability_bars",
    "reliability_diagram",
    "scatters_by_class",
    "small_multiples",
    "smoothed",
    "use_course_style",
    "way_to_a_tensor",
    "win_map",
]
