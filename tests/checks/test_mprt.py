"""Smooth and efficient MPRT against noise and histograms written out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import agnostic_rand as ar
from agnostic_rand.checks import InputMultiplier, ModelDecay
from agnostic_rand.checks.mprt import histogram_entropy
from agnostic_rand.errors import ArgumentError
from agnostic_rand.weights import resolve_strategy

from .nets import Array, random_images
from .slow import entropy, flat, gradient_map, rank_correlation, stream, with_weights
from .test_cascades import by_hand, shifted

LABELS = np.array([0, 3, 1, 2, 0])
SMOOTHING = 1


def smoothed(net: nn.Module, x: Array, samples: int, noise: float, seed: int) -> Array:
    """The mean gradient over noisy copies; noise is drawn once for all, with channels last."""
    drawn = stream(seed, SMOOTHING).standard_normal((samples, 6, 6, 2), dtype=np.float32)
    drawn = np.moveaxis(drawn, -1, 1).astype(np.float64)
    spread = x.max(axis=(1, 2, 3)) - x.min(axis=(1, 2, 3))
    maps = [gradient_map(net, x + noise * spread[:, None, None, None] * one, LABELS) for one in drawn]
    return np.mean(maps, axis=0)


@pytest.mark.parametrize("seed", [0, 7])
def test_smooth_mprt_is_the_cascade_of_averaged_maps(small: tuple[nn.Module, Array], seed: int) -> None:
    net, x = small
    strategy = ar.CascadingRandomization(order="bottom_up", perturbation=shifted)
    result = ar.SmoothMPRT(strategy, 7, 0.2).run(ar.Subject(net, x, LABELS, seed=seed), "gradient")
    base = smoothed(net, x, 7, 0.2, seed)
    for number, layers in enumerate([("0",), ("0", "3")]):
        other = smoothed(with_weights(net, by_hand, layers), x, 7, 0.2, seed)
        expected = rank_correlation(flat(base), flat(other))
        np.testing.assert_allclose(result.scores["spearman"][0, number], expected, atol=1e-9)


def test_smooth_mprt_goes_bottom_up_with_the_papers_noise() -> None:
    assert resolve_strategy(ar.SmoothMPRT().strategy) == ar.CascadingRandomization(order="bottom_up")
    assert (ar.SmoothMPRT().samples, ar.SmoothMPRT().noise) == (50, 0.1)


def test_the_histograms_entropy() -> None:
    maps = random_images(20, (9, 9)).astype(np.float64)
    for bins in (2, 50, 100, 200):
        expected = [entropy(row.ravel().tolist(), bins) for row in maps]
        np.testing.assert_allclose(histogram_entropy(maps, bins), expected, atol=1e-12)
    assert histogram_entropy(np.zeros((1, 5)), 100)[0] == 0
    assert histogram_entropy(np.arange(200.0)[None], 100)[0] == pytest.approx(math.log(100))
    # Shift and scale change nothing: the normalization of maps is irrelevant.
    np.testing.assert_allclose(
        histogram_entropy(7 - 3 * maps, 100)[:3], histogram_entropy(maps, 100)[:3], atol=0.05
    )


def test_one_pixel_decides_the_complexity() -> None:
    # 784 normal values have 4.1 nats; a pixel of 1 that is multiplied by 100 leaves 1.43, as the literature found.
    maps = np.random.default_rng(0).standard_normal((100, 784))
    spiked = maps.copy()
    spiked[:, 0] = 100
    assert histogram_entropy(maps, 100).mean() == pytest.approx(4.11, abs=0.03)
    assert histogram_entropy(np.abs(maps), 100).mean() == pytest.approx(4.05, abs=0.03)
    assert histogram_entropy(spiked, 100).mean() == pytest.approx(1.43, abs=0.02)


@pytest.mark.parametrize("perturbation", ["reinitialize", ar.NativeInit()])
def test_efficient_mprt_is_the_relative_rise_in_the_fully_random_model(
    small: tuple[nn.Module, Array], perturbation: Any
) -> None:
    net, x = small
    subject = ar.Subject(net, x, LABELS, seed=3)
    result = ar.EfficientMPRT((100, 50), perturbation).run(subject, "gradient")
    other = ar.FullRandomization(perturbation=perturbation).randomize(net, seed=3, example_inputs=x[:1])
    for bins in (100, 50):
        before, after = (
            np.array([entropy(row.tolist(), bins) for row in flat(gradient_map(model, x, LABELS))])
            for model in (net, other)
        )
        scores = result.scores[f"complexity_rise_{bins}"]
        assert scores.shape == (1, 1, 5)
        np.testing.assert_allclose(scores[0, 0], (after - before) / before, atol=1e-12)


def test_a_constant_trained_map_has_no_rise(small: tuple[nn.Module, Array]) -> None:
    net, x = small
    result = ar.EfficientMPRT().run(ar.Subject(net, x, LABELS, seed=3), "constant_map")
    assert all(np.isnan(scores).all() for scores in result.scores.values())
    assert not any("bound" in finding for finding in result.findings)


def test_a_constant_random_map_has_no_rise_and_is_counted(small: tuple[nn.Module, Array]) -> None:
    net, x = small
    sums = float(sum(p.detach().sum() for p in net.parameters()))

    def dies(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        alive = float(sum(p.detach().sum() for p in model.parameters())) == sums
        return inputs if alive else 0 * inputs

    result = ar.EfficientMPRT().run(ar.Subject(net, x, LABELS, seed=3), dies)
    assert all(np.isnan(scores).all() for scores in result.scores.values())
    assert result.undefined["complexity_rise_100"].tolist() == [[5]]


def test_a_map_that_only_rounding_makes_uneven_is_constant() -> None:
    for row in ([1, 1 + 2.3e-16, 1], [0, 5e-324, 0], [1e8, np.nextafter(1e8, 2e8), 1e8]):
        assert histogram_entropy(np.array([row]), 100)[0] == 0
    assert histogram_entropy(np.array([[1, 1 + 1e-12, 1]]), 100)[0] == pytest.approx(entropy([0, 1, 0], 100))


def test_orders_of_a_cascade_have_names(small: tuple[nn.Module, Array]) -> None:
    subject = ar.Subject(*small, LABELS, seed=1)
    for order in ("top_down", "bottom_up"):
        strategy = ar.CascadingRandomization(order=order)  # type: ignore[arg-type]
        named, made = (ar.SmoothMPRT(one, 2).run(subject, "gradient") for one in (order, strategy))
        assert named.steps == made.steps
        np.testing.assert_array_equal(named.scores["spearman"], made.scores["spearman"])
        decays = [ModelDecay(one).run(subject) for one in (order, strategy)]
        assert decays[0].dimensions == decays[1].dimensions
    for check in (ar.ModelRandomization, ar.SmoothMPRT, ModelDecay, InputMultiplier):
        with pytest.raises(ArgumentError, match=r"strategy 'sideways': expected one of.*top_down, bottom_up"):
            check(strategy="sideways")


@pytest.mark.parametrize("name", ["random_map", "permuted_map"])
def test_noise_of_a_smoothed_control_belongs_to_the_copy_and_not_to_the_batch(
    small: tuple[nn.Module, Array], name: str
) -> None:
    net, x = small
    inner = ar.explainers.SmoothGrad(name, samples=3)
    scores = [
        ar.SmoothMPRT(samples=7).run(ar.Subject(net, x, LABELS, seed=0, batch_size=size), one).scores
        for one in (name, inner)
        for size in (1, 2, 3, 64)
    ]
    for first, others in ((scores[0], scores[1:4]), (scores[4], scores[5:])):
        for other in others:
            np.testing.assert_allclose(first["spearman"], other["spearman"], atol=1e-6)
    # The copies of a sample have noise of their own: their mean is less wide than one map by the root of 7.
    mean = ar.explain(net, x, LABELS, ar.explainers.SmoothGrad("random_map", samples=7))
    one = ar.explain(net, x, LABELS, "random_map")
    assert mean.std() == pytest.approx(one.std() / np.sqrt(7), rel=0.15)


def test_an_explainer_of_another_model_is_found_out(small: tuple[nn.Module, Array]) -> None:
    net, x = small
    elsewhere = nn.Sequential(nn.Flatten(), nn.Linear(72, 4)).double()

    def astray(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> Array:
        return gradient_map(elsewhere, inputs.numpy(), targets.numpy())

    result = ar.EfficientMPRT().run(ar.Subject(net, x, LABELS, seed=3), astray)
    assert any("not bound" in finding for finding in result.findings)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ar.EfficientMPRT(bins=()), "at least one, received an empty one"),
        (lambda: ar.EfficientMPRT(bins=(1,)), "bins"),
        (lambda: ar.EfficientMPRT(bins=100), r"bins: expected a tuple or list.*bins=\(100,\)"),
        (lambda: ar.EfficientMPRT(draws=0), "draws"),
        (lambda: ar.SmoothMPRT(draws=0), "draws"),
        (lambda: ar.SmoothMPRT(samples=0), "samples"),
        (lambda: ar.SmoothMPRT(noise=-1.0), "noise"),
    ],
)
def test_bad_arguments(make: object, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        make()  # type: ignore[operator]
