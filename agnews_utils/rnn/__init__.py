"""Chapter "Recurrent networks": `cells` holds the equations, `networks` the classifiers."""

from agnews_utils.rnn.cells import STEPS, cell_weights, run_over_time
from agnews_utils.rnn.networks import (
    CELLS,
    BagOfEmbeddings,
    RecurrentClassifier,
    TextCNN,
    count_parameters,
)

__all__ = [
    "CELLS",
    "STEPS",
    "BagOfEmbeddings",
    "RecurrentClassifier",
    "TextCNN",
    "cell_weights",
    "count_parameters",
    "run_over_time",
]
