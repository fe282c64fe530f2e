"""Similarity of two explanations: pure functions on arrays of the array API standard."""

from agnostic_rand.similarity.gradients import hog, hog_pearson, hog_spearman
from agnostic_rand.similarity.linear import cosine, pearson, second_moment_mse
from agnostic_rand.similarity.measures import (
    MEASURES,
    Measure,
    MeasureLike,
    MeasureLikes,
    Pairwise,
    pairwise_measure,
    resolve_measure,
    resolve_measures,
)
from agnostic_rand.similarity.overlap import kendall, top_overlap
from agnostic_rand.similarity.preprocess import MapForm, in_forms
from agnostic_rand.similarity.rank import spearman, spearman_nonzero
from agnostic_rand.similarity.structural import SSIMOptions, sign_invariant_ssim, ssim

__all__ = [
    "MEASURES",
    "MapForm",
    "Measure",
    "MeasureLike",
    "MeasureLikes",
    "Pairwise",
    "SSIMOptions",
    "cosine",
    "hog",
    "hog_pearson",
    "hog_spearman",
    "in_forms",
    "kendall",
    "pairwise_measure",
    "pearson",
    "resolve_measure",
    "resolve_measures",
    "second_moment_mse",
    "sign_invariant_ssim",
    "spearman",
    "spearman_nonzero",
    "ssim",
    "top_overlap",
]
