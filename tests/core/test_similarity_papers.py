"""Measures that replicate a paper's code, against scikit-image on maps that are scaled as that code scales them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agnostic_rand.errors import ExplanationError
from agnostic_rand.similarity import MapForm, SSIMOptions, resolve_measure, ssim

from .fakes import Array

metrics = pytest.importorskip("skimage.metrics")

RNG = np.random.default_rng(4)
LAWS = [RNG.standard_normal, lambda shape: RNG.standard_t(3, shape), lambda shape: RNG.standard_t(1.5, shape)]


def scored(name: str, a: Array, b: Array, axis: int | None) -> Array:
    measure = resolve_measure(name)
    found: Array = measure.compare(measure.prepare(measure.form.apply(a, axis)), measure.form.apply(b, axis))
    return found


def unit(values: Array) -> Array:
    scaled: Array = (values - values.min()) / (values.max() - values.min())
    return scaled


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("axis", [1, -1])
def test_the_papers_ssim_scales_all_channels_together_and_scores_them_one_by_one(law: Any, axis: int) -> None:
    a, b = law((6, 3, 40, 33)), law((6, 3, 40, 33))
    # Channels of very different scale: averaging them first, or scaling each, would be another score.
    a[:, 1] *= 0.2
    expected = [
        metrics.structural_similarity(unit(x), unit(y), gaussian_weights=True, channel_axis=0, data_range=2.0)
        for x, y in zip(a, b, strict=True)
    ]
    moved = (np.moveaxis(one, 1, axis) for one in (a, b))
    np.testing.assert_allclose(scored("ssim_paper", *moved, axis), expected, atol=1e-6)
    # One channel that is constant is a part of the map; a map that is constant has no score.
    a[0, 2], a[1] = a[0].mean(), 3.0
    constant = scored("ssim_paper", a, b, 1)
    expected[0] = metrics.structural_similarity(
        unit(a[0]), unit(b[0]), gaussian_weights=True, channel_axis=0, data_range=2.0
    )
    np.testing.assert_allclose(constant[[0, 2]], [expected[0], expected[2]], atol=1e-6)
    assert np.isnan(constant[1])


def test_channels_are_a_declared_option_of_ssim() -> None:
    a, b = RNG.standard_normal((2, 3, 2, 20, 20))
    with pytest.raises(ExplanationError, match=r"\(n, h, w\), received"):
        ssim(a, b)
    options = SSIMOptions(data_range=3.0, channels=True)
    each = np.mean([ssim(a[:, c], b[:, c], SSIMOptions(data_range=3.0)) for c in range(2)], axis=0)
    np.testing.assert_allclose(ssim(a, b, options), each, atol=1e-12)
    # Without a fixed range it is that of all channels of both maps.
    span = max(a[0].max(), b[0].max()) - min(a[0].min(), b[0].min())
    joint = np.mean([ssim(a[:1, c], b[:1, c], SSIMOptions(data_range=float(span))) for c in range(2)])
    assert ssim(a, b, SSIMOptions(channels=True))[0] == pytest.approx(joint, abs=1e-12)


def clipped(values: Array) -> Array:
    low, high = np.percentile(values, 0.5), np.percentile(values, 99.5)
    scaled: Array = np.clip((values - low) / (high - low), 0, 1)
    return scaled


@pytest.mark.parametrize("law", LAWS)
def test_the_sign_invariant_ssim_is_that_of_sixt_et_al(law: Any) -> None:
    a = law((8, 3, 32, 32))
    b = np.array([1.0, -1.0] * 4)[:, None, None, None] * a + law((8, 3, 32, 32))
    expected = [
        max(
            metrics.structural_similarity(clipped(x), clipped(sign * y), win_size=5, data_range=1.0)
            for sign in (1, -1)
        )
        for x, y in zip(a.sum(1), b.sum(1), strict=True)
    ]
    np.testing.assert_allclose(scored("ssim_sign_invariant", a, b, 1), expected, atol=1e-6)
    np.testing.assert_allclose(scored("ssim_sign_invariant", a, -a, 1), 1, atol=1e-9)


FORMS = [
    MapForm("absolute", normalization="percentile"),
    MapForm(normalization="percentile"),
    MapForm(normalization="percentile_range"),
    MapForm(normalization="minmax"),
    MapForm(normalization="second_moment"),
    MapForm(normalization="max"),
]


@pytest.mark.parametrize("form", FORMS, ids=repr)
def test_no_form_with_a_scale_depends_on_the_maps_own(form: MapForm) -> None:
    maps = np.zeros((3, 28, 28))
    # Three pixels of 784: the 99th percentile is the minimum, and nothing is left to divide by.
    maps[0, 0, :3] = 1, 2, 5
    maps[1] = -np.abs(RNG.standard_normal((28, 28)))
    maps[1, :14] = 0
    maps[2, 0, 0] = -4
    for factor in (1e-6, 1e6):
        np.testing.assert_allclose(form.apply(factor * maps, None), form.apply(maps, None), atol=1e-9)


def test_a_percentile_range_of_nothing_keeps_what_stands_out() -> None:
    maps = np.zeros((1, 28, 28))
    maps[0, 0, 0], maps[0, 5, 5] = 7, -2
    found = MapForm(normalization="percentile_range").apply(maps, None)[0]
    assert (found[0, 0], found[5, 5], found[9, 9]) == (1, 0, 0.5)


def test_colours_of_single_pixels_have_no_structure_to_compare() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 4, 3, 1, 1))
    measure = resolve_measure("ssim_paper")
    pair = [measure.form.apply(maps, 1) for maps in (first, second)]
    assert np.isnan(measure.compare(measure.prepare(pair[0]), pair[1])).all()
