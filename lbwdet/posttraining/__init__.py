"""Low bits for a trained network from images alone: no labels, no training."""

from lbwdet.posttraining.estimate import estimate_norms
from lbwdet.posttraining.layerwise import post_train
from lbwdet.posttraining.refine import Refinement
from lbwdet.posttraining.search import Search
from lbwdet.posttraining.settings import LayerResult, PostTraining, Result
from lbwdet.posttraining.state import State, write_detector, write_state, write_weights
from lbwdet.posttraining.table import markdown, rows

__all__ = [
    "LayerResult",
    "PostTraining",
    "Refinement",
    "Result",
    "Search",
    "State",
    "estimate_norms",
    "markdown",
    "post_train",
    "rows",
    "write_detector",
    "write_state",
    "write_weights",
]
