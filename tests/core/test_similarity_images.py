"""Structure, histograms of gradients, Kendall's tau, overlap: as in SciPy, scikit-image and the definition."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from scipy import stats

from agnostic_rand.errors import ArgumentError, ExplanationError
from agnostic_rand.similarity import (
    MEASURES,
    MapForm,
    SSIMOptions,
    cosine,
    hog,
    hog_pearson,
    hog_spearman,
    kendall,
    second_moment_mse,
    sign_invariant_ssim,
    ssim,
    top_overlap,
)

from .fakes import Array

metrics = pytest.importorskip("skimage.metrics")
feature = pytest.importorskip("skimage.feature")

SHAPES = [(3, 28, 28), (2, 32, 47), (2, 13, 60), (1, 100, 100)]


@pytest.fixture(params=["numpy", "torch", "jax"])
def library(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    pytest.importorskip(name)
    return name


def in_double(library: str) -> Any:
    if library == "jax":
        import jax

        return jax.enable_x64(True)
    return nullcontext()


def native(library: str, array: Array) -> Any:
    if library == "torch":
        import torch

        return torch.from_numpy(array.copy())
    if library == "jax":
        import jax.numpy

        return jax.numpy.asarray(array)
    return array


def pair(shape: tuple[int, ...], seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(shape)
    return a, a + rng.standard_normal(shape)


def theirs(a: Array, b: Array, **options: Any) -> Array:
    found = []
    for x, y in zip(a, b, strict=True):
        span = max(x.max(), y.max()) - min(x.min(), y.min())
        found.append(metrics.structural_similarity(x, y, **{"data_range": span, **options}))
    return np.array(found)


GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "win_size": 11}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_ssim_is_scikit_images(shape: tuple[int, ...], library: str) -> None:
    a, b = pair(shape)
    with in_double(library):
        scores = np.asarray(ssim(native(library, a), native(library, b)))
    np.testing.assert_allclose(scores, theirs(a, b, **GAUSSIAN), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (SSIMOptions(window="uniform", size=7), {"win_size": 7, "use_sample_covariance": False}),
        (SSIMOptions(window="uniform", size=5, sample_covariance=True), {"win_size": 5}),
        (SSIMOptions(data_range=2.0), {**GAUSSIAN, "data_range": 2.0}),
        (SSIMOptions(sample_covariance=True), {**GAUSSIAN, "use_sample_covariance": True}),
    ],
    ids=repr,
)
def test_options_of_ssim_are_scikit_images(options: SSIMOptions, settings: dict[str, Any]) -> None:
    a, b = pair((2, 40, 33))
    np.testing.assert_allclose(ssim(a, b, options), theirs(a, b, **settings), atol=1e-6)


def test_a_large_batch_is_scored_by_rows_as_a_small_one() -> None:
    a, b = pair((6, 224, 224))
    for name in ("spearman", "ssim", "hog", "hog_pearson"):
        measure = MEASURES[name]
        whole = measure.compare(measure.prepare(a), b)
        single = [measure.compare(measure.prepare(a[i : i + 1]), b[i : i + 1])[0] for i in range(6)]
        np.testing.assert_array_equal(whole, single, err_msg=name)


@pytest.mark.parametrize("side", [3, 4, 7, 10])
def test_a_window_fits_small_maps(side: int) -> None:
    a, b = pair((2, side, side))
    fitting = side if side % 2 else side - 1
    expected = theirs(a, b, gaussian_weights=False, use_sample_covariance=False, win_size=fitting)
    np.testing.assert_allclose(ssim(a, b, SSIMOptions(window="uniform")), expected, atol=1e-6)
    np.testing.assert_allclose(ssim(a, a), 1, atol=1e-12)


def test_the_sign_invariant_form_takes_the_better_of_a_map_and_its_negative() -> None:
    a, b = pair((3, 20, 20))
    plain, flipped = ssim(a, b), ssim(a, -b)
    np.testing.assert_allclose(sign_invariant_ssim(a, b), np.maximum(plain, flipped), atol=1e-12)
    np.testing.assert_allclose(sign_invariant_ssim(a, -a), 1, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_hog_is_scikit_images(shape: tuple[int, ...], library: str) -> None:
    a, _ = pair(shape)
    side = min(16, min(shape[1:]) // 7)
    expected = [feature.hog(x, orientations=9, pixels_per_cell=(side, side), cells_per_block=(3, 3)) for x in a]
    with in_double(library):
        found = np.asarray(hog(native(library, a)))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_hog_of_exact_directions_is_scikit_images() -> None:
    # Integers have gradients along the axes and the diagonals, exactly on the borders of ranges.
    maps = np.random.default_rng(0).integers(-2, 3, (4, 32, 32)).astype(float)
    expected = [feature.hog(x, orientations=9, pixels_per_cell=(4, 4), cells_per_block=(3, 3)) for x in maps]
    np.testing.assert_allclose(hog(maps), expected, atol=1e-6)


def test_hog_correlations_are_scipys_of_the_histograms() -> None:
    a, b = pair((3, 28, 28))
    pairs = [(hog(a)[i], hog(b)[i]) for i in range(3)]
    np.testing.assert_allclose(hog_pearson(a, b), [stats.pearsonr(*p)[0] for p in pairs], atol=1e-10)
    np.testing.assert_allclose(hog_spearman(a, b), [stats.spearmanr(*p)[0] for p in pairs], atol=1e-10)


@pytest.mark.parametrize("levels", [2, 5, None])
def test_kendall_is_scipys(levels: int | None, library: str) -> None:
    a, b = pair((4, 60))
    if levels is not None:
        a, b = np.round(a * levels / 3), np.round(b * levels / 3)
    expected = [stats.kendalltau(x, y)[0] for x, y in zip(a, b, strict=True)]
    with in_double(library):
        scores = np.asarray(kendall(native(library, a), native(library, b)))
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_overlap_is_the_share_of_the_largest_pixels_in_both(library: str) -> None:
    a, b = pair((5, 10, 10))
    expected = [
        len(set(np.argsort(-x.ravel())[:10]) & set(np.argsort(-y.ravel())[:10])) / 10
        for x, y in zip(a, b, strict=True)
    ]
    with in_double(library):
        scores = np.asarray(top_overlap(native(library, a), native(library, b)))
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_the_mse_after_scaling_by_the_second_moment_is_twice_one_minus_the_cosine(library: str) -> None:
    a, b = pair((5, 300))
    with in_double(library):
        x, y = native(library, a), native(library, b * 1000)
        np.testing.assert_allclose(
            np.asarray(second_moment_mse(x, y)), 2 * (1 - np.asarray(cosine(x, y))), atol=1e-6
        )
    scaled = [v / np.sqrt((v**2).mean(axis=1, keepdims=True)) for v in (a, b)]
    np.testing.assert_allclose(second_moment_mse(a, b), ((scaled[0] - scaled[1]) ** 2).mean(axis=1), atol=1e-12)


@pytest.mark.parametrize("name", ["ssim", "ssim_paper", "ssim_sign_invariant", "hog", "hog_pearson", "kendall"])
def test_constant_maps_and_nan_are_undefined_and_leave_the_others_alone(name: str) -> None:
    a, b = pair((4, 21, 21))
    alone = MEASURES[name].compare(MEASURES[name].prepare(a[3:]), b[3:])
    a[0], b[1], b[2, 0, 0] = 2.0, -1.0, np.nan
    scores = MEASURES[name].compare(MEASURES[name].prepare(a), b)
    np.testing.assert_array_equal(np.isnan(scores), [True, True, True, False])
    np.testing.assert_allclose(scores[3], alone[0], atol=1e-12)


def test_maps_that_are_no_images_are_refused() -> None:
    for function in (ssim, hog_spearman, hog_pearson):
        with pytest.raises(ExplanationError, match=r"\(n, h, w\)"):
            function(np.ones((2, 8)), np.ones((2, 8)))
    with pytest.raises(ExplanationError, match="at least 3 x 3 pixels"):
        hog(np.ones((1, 2, 20)))
    with pytest.raises(ArgumentError, match=r"at least 3 fit.*Pass cell=5 or less"):
        hog(np.ones((1, 16, 20)), cell=6)
    for cell in (0, -1, 2.5, "a", True):
        with pytest.raises(ArgumentError, match="cell: expected an int of at least 1"):
            hog(np.ones((1, 28, 28)), cell=cell)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="odd"):
        SSIMOptions(size=4)


RNG = np.random.default_rng(2)
MAPS = RNG.standard_normal((3, 4, 9, 9))


@pytest.mark.parametrize(
    ("form", "by_hand"),
    [
        (MapForm(channels="sum"), lambda m: m.sum(0)),
        (MapForm(channels="max_abs"), lambda m: np.abs(m).max(0)),
        (MapForm(channels="none"), lambda m: m),
        (MapForm("absolute", "sum"), lambda m: np.abs(m).sum(0)),
        (MapForm(normalization="max"), lambda m: m.mean(0) / np.abs(m.mean(0)).max()),
        (MapForm(normalization="second_moment"), lambda m: m.mean(0) / np.sqrt((m.mean(0) ** 2).mean())),
        (MapForm(normalization="minmax"), lambda m: (m.mean(0) - m.mean(0).min()) / np.ptp(m.mean(0))),
        (
            MapForm("absolute", "sum", "percentile"),
            lambda m: np.clip(
                (np.abs(m).sum(0) - np.abs(m).sum(0).min())
                / (np.percentile(np.abs(m).sum(0), 99) - np.abs(m).sum(0).min()),
                0,
                1,
            ),
        ),
        (
            MapForm("signed", "sum", "percentile"),
            lambda m: np.clip(
                (m.sum(0) + abs(np.percentile(m.sum(0), 99))) / (2 * abs(np.percentile(m.sum(0), 99))), -1, 1
            ),
        ),
    ],
    ids=repr,
)
def test_forms_are_what_they_declare(form: MapForm, by_hand: Any, library: str) -> None:
    with in_double(library):
        found = np.asarray(form.apply(native(library, MAPS), 1))
    np.testing.assert_allclose(found, np.stack([by_hand(m) for m in MAPS]), atol=1e-10)
