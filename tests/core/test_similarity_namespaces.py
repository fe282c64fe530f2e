"""The same scores in every array library, on its own arrays; each library is skipped where it is absent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agnostic_rand.similarity import MEASURES, cosine, pearson, spearman, spearman_nonzero

from .fakes import Array

Similarity = Callable[[Any, Any], Any]

ALL = pytest.mark.parametrize("similarity", [spearman, spearman_nonzero, pearson, cosine])

# JAX computes in single precision unless told otherwise.
TOLERANCE = {"numpy": 1e-13, "torch": 1e-13, "jax": 3e-6}
# JAX compiles each operation for each type and shape: all of its maps here are of one.
KINDS = [
    *((library, kind) for library in ("numpy", "torch") for kind in (np.float16, np.float32, np.int32)),
    ("jax", np.float32),
]


@pytest.fixture(params=["numpy", "torch", "jax"])
def library(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    pytest.importorskip(name)
    return name


def native(library: str, array: Array) -> Any:
    if library == "torch":
        import torch

        return torch.from_numpy(array.copy())
    if library == "jax":
        import jax.numpy

        return jax.numpy.asarray(array)
    return array


def maps(seed: int, kind: type = np.float32) -> Array:
    """Rows with ties and zeros, one of them constant, one of them zero."""
    drawn = np.round(np.random.default_rng(seed).standard_normal((6, 40)) * 1.5)
    drawn[4], drawn[5] = 2, 0
    return drawn.astype(kind)


@pytest.mark.parametrize(("library", "kind"), KINDS, indirect=["library"])
@ALL
def test_scores_are_those_of_numpy_in_double_precision(similarity: Similarity, library: str, kind: type) -> None:
    a, b = maps(1, kind), maps(2, kind)
    b[5] = b[0]
    expected = similarity(a.astype(np.float64), b.astype(np.float64))
    scores = similarity(native(library, a), native(library, b))
    assert type(scores) is type(native(library, a))
    np.testing.assert_allclose(np.asarray(scores), expected, atol=TOLERANCE[library])
    assert np.isfinite(expected[:4]).all()
    assert np.isnan(expected[4:]).any()


@ALL
def test_nan_is_undefined_everywhere(similarity: Similarity, library: str) -> None:
    a, b = maps(4), maps(5)
    a[4:], b[4:] = a[:2], b[:2]
    b[1, 7] = np.nan
    scores = np.asarray(similarity(native(library, a), native(library, b)))
    np.testing.assert_array_equal(np.isnan(scores), np.arange(6) == 1)


@pytest.mark.parametrize("name", ["spearman", "spearman_abs", "spearman_abs_nonzero", "pearson", "cosine"])
def test_base_maps_are_prepared_in_every_library(name: str, library: str) -> None:
    a, b = maps(6), maps(7)
    measure = MEASURES[name]
    expected = measure.compare(measure.prepare(a), b)
    scores = measure.compare(measure.prepare(native(library, a)), native(library, b))
    np.testing.assert_allclose(np.asarray(scores), expected, atol=TOLERANCE[library])


@pytest.mark.parametrize("scale", [1e-30, 1e30])
@ALL
def test_extreme_magnitudes_in_single_precision(similarity: Similarity, scale: float, library: str) -> None:
    a, b = (np.random.default_rng(seed).standard_normal((6, 40)).astype(np.float32) for seed in (8, 9))
    scaled = a * np.float32(scale)
    expected = similarity(scaled.astype(np.float64), b.astype(np.float64))
    scores = similarity(native(library, scaled), native(library, b))
    np.testing.assert_allclose(np.asarray(scores), expected, atol=TOLERANCE[library])


@ALL
def test_maps_of_a_half_precision_that_numpy_lacks_are_scored(similarity: Similarity) -> None:
    torch = pytest.importorskip("torch")
    a, b = maps(10), maps(11)
    first, second = (native("torch", array).to(torch.bfloat16) for array in (a, b))
    np.testing.assert_allclose(np.asarray(similarity(first, second)), similarity(a, b), atol=1e-13)
