"""Random logit against maps of each class that are computed one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import agnostic_rand as ar
from agnostic_rand.errors import FindingWarning, InputError, UndefinedScoreWarning

from .nets import Array
from .slow import flat, gradient_map, rank_correlation, stream

LABELS = np.array([0, 3, 1, 2, 0])
TARGETS = 6


def test_all_off_classes(small: tuple[nn.Module, Array]) -> None:
    net, x = small
    result = ar.RandomLogit("all", ("spearman",)).run(ar.Subject(net, x, LABELS, seed=0), "gradient")
    own = flat(gradient_map(net, x, LABELS))
    expected = np.stack([rank_correlation(own, flat(gradient_map(net, x, (LABELS + k) % 4))) for k in (1, 2, 3)])
    np.testing.assert_allclose(result.scores["spearman"], expected, atol=1e-12)
    metric = ar.RandomLogitMetric(net, x, LABELS, seed=0, off_class="all", measures="spearman")
    assert metric.evaluate("gradient") == pytest.approx(expected.mean(), abs=1e-12)
    assert result.dimensions["off_class"] == ("label + 1", "label + 2", "label + 3")


def test_one_off_class_is_drawn_for_each_sample_and_is_never_the_label(small: tuple[nn.Module, Array]) -> None:
    net, x = small
    for seed in range(5):
        drawn = (LABELS + stream(seed, TARGETS).integers(1, 4, len(LABELS))) % 4
        assert (drawn != LABELS).all()
        subject = ar.Subject(net, x, LABELS, seed=seed)
        result = ar.RandomLogit("one", ("spearman",)).run(subject, "gradient")
        expected = rank_correlation(flat(gradient_map(net, x, LABELS)), flat(gradient_map(net, x, drawn)))
        np.testing.assert_allclose(result.scores["spearman"][0], expected, atol=1e-12)


def test_sign_invariance_of_the_default_measure() -> None:
    # Two opposite outputs: the maps are each other's negative.
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2, bias=False))
    with torch.no_grad():
        net[1].weight[1] = -net[1].weight[0]
    x = np.random.default_rng(0).standard_normal((3, 1, 8, 8)).astype("float32")
    scores = ar.RandomLogit().run(ar.Subject(net, x, [0, 1, 0], seed=0), "gradient").scores
    np.testing.assert_allclose(scores["ssim_sign_invariant"], 1, atol=1e-6)
    np.testing.assert_allclose(scores["spearman"], -1, atol=1e-12)


def test_noise_of_each_class_is_its_own_and_constant_maps_are_undefined(small: tuple[nn.Module, Array]) -> None:
    net, _ = small
    x = np.random.default_rng(0).standard_normal((60, 2, 6, 6))
    metric = ar.RandomLogitMetric(net, x, seed=0, off_class="all", measures="spearman")
    # 180 correlations of 36 independent values each: sd of the mean 1/sqrt(180 * 35).
    assert abs(metric.evaluate("random_map")) < 4 / np.sqrt(180 * 35)
    assert metric.evaluate("input_map") == 1
    assert metric.run("constant_map").undefined["spearman"].tolist() == [60] * 3
    with pytest.warns(UndefinedScoreWarning, match="180 of 180 spearman scores"):
        assert np.isnan(metric.evaluate("constant_map"))


def test_a_single_output_is_refused() -> None:
    x = np.ones((3, 4), "float32")
    with pytest.raises(InputError, match="two outputs"):
        ar.RandomLogit().run(ar.Subject(nn.Linear(4, 1), x), "gradient")


def test_structure_is_left_out_for_inputs_that_are_no_images_and_it_says_so() -> None:
    metric = ar.RandomLogitMetric(nn.Linear(4, 3), np.eye(4, dtype="float32"))
    with pytest.warns(FindingWarning, match="ssim_sign_invariant"):
        metric.evaluate("gradient")
    result = metric.run("gradient")
    assert set(result.scores) == {"spearman"}
    assert "ssim_sign_invariant" in result.findings[0]
    assert result.settings["measures"]["spearman"].startswith("MapForm(sign='signed', channels='mean'")
