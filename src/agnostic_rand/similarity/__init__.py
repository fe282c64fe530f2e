"""How alike two explanations are: pure functions on arrays of the array API standard."""

from agnostic_rand.similarity.linear import cosine, pearson
from agnostic_rand.similarity.measures import (
    MEASURES,
    Measure,
    Pairwise,
    pairwise_measure,
    resolve_measure,
    resolve_measures,
)
from agnostic_rand.similarity.preprocess import Sign, reduce_channels
from agnostic_rand.similarity.rank import spearman, spearman_nonzero

__all__ = [
    "MEASURES",
    "Measure",
    "Pairwise",
    "Sign",
    "cosine",
    "pairwise_measure",
    "pearson",
    "reduce_channels",
    "resolve_measure",
    "resolve_measures",
    "spearman",
    "spearman_nonzero",
]
