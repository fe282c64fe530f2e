"""What Binder et al. 2023 found about the measures, with its numbers (D4 and D5: scale preservation)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

import agnostic_rand as ar
from agnostic_rand.errors import FindingWarning
from agnostic_rand.sanity.sanity_check import sanity_check
from agnostic_rand.similarity import MEASURES, second_moment_mse, ssim
from agnostic_rand.similarity.structural import SSIMOptions

from .conftest import Trained
from .nets import Array
from .slow import rank_correlation


def test_d1_maps_without_covariance_have_the_least_structure_that_no_anticorrelation_reaches() -> None:
    # One window as large as the map, so that the score is that of the formula, luminance times structure.
    rng = np.random.default_rng(0)
    a = rng.standard_normal((1, 11, 11))
    b = rng.standard_normal((1, 11, 11))
    a -= a.mean()
    b -= b.mean()
    b -= a * (a * b).sum() / (a * a).sum()
    options = SSIMOptions("uniform", 11, data_range=8.0)
    c2 = (0.03 * 8.0) ** 2
    structure = c2 / (a.var() + b.var() + c2)
    assert ssim(a, b, options)[0] == pytest.approx(structure, abs=1e-9)
    # Any likeness at all raises it: minimizing SSIM selects for independence, that is for noise.
    assert ssim(a, b + 0.1 * a, options)[0] > structure + 0.05


def test_d2_the_scaled_error_is_the_cosine() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, 200, 784))
    cosine = (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))
    np.testing.assert_allclose(second_moment_mse(a, b), 2 * (1 - cosine), atol=1e-12)
    assert second_moment_mse(a, a).max() == pytest.approx(0, abs=1e-12)
    assert second_moment_mse(a, -a).min() == pytest.approx(4)
    assert second_moment_mse(a, b).mean() == pytest.approx(2, abs=0.02)
    assert second_moment_mse(np.abs(a), np.abs(b)).mean() == pytest.approx(2 - 4 / math.pi, abs=0.01)
    assert MEASURES["mse"].distance


def square() -> Array:
    image = np.zeros((32, 32))
    image[10:22, 10:22] = 1
    return image


@pytest.mark.parametrize(("sd", "expected"), [(0.1, 0.37), (0.5, 0.26), (1, 0.11), (2, 0.04), (4, 0.0)])
def test_d3_noise_on_what_the_model_does_not_decide_lowers_the_score(sd: float, expected: float) -> None:
    rng = np.random.default_rng(2)
    first, second = (square() + sd * rng.standard_normal((60, 32, 32)) for _ in range(2))
    scores = MEASURES["spearman"].compare(MEASURES["spearman"].prepare(first), second)
    np.testing.assert_allclose(scores[:3], rank_correlation(first[:3].reshape(3, -1), second[:3].reshape(3, -1)))
    # The square's size in the source is not told: a share of 14 % of the pixels fits its numbers.
    assert scores.mean() == pytest.approx(expected, abs=0.02)


def test_d3_a_noisy_copier_of_the_input_is_found_out(trained_cnn: Trained) -> None:
    rng = np.random.default_rng(0)

    def noisy_copy(model: torch.nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> Array:
        return inputs.numpy() + 4 * rng.standard_normal(inputs.shape)

    x, y = trained_cnn.x[:40], trained_cnn.y[:40]
    report = sanity_check(
        trained_cnn.model, x, y, explainers=[noisy_copy], seed=0, draws=5, blocks=1, measures=("spearman",)
    )
    found = report["noisy_copy"]
    # By its score alone it would pass, though it never looks at the model.
    assert found.verdict.score < 0.1
    assert found.verdict.outcome == "inconclusive"
    assert found.verdict.reason.startswith("Its own noise hides it")
    assert any("What changes is its own noise" in finding for finding in found.findings)
    assert found.floors["spearman"].ceiling < 0.2

    # A noisy gradient does depend on the weights: its own noise is not all.
    def noisy_gradient(model: torch.nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> Array:
        given = inputs.clone().requires_grad_()
        (maps,) = torch.autograd.grad(model(given).gather(1, targets[:, None]).sum(), given)
        return maps.numpy() * (1 + 0.3 * rng.standard_normal(maps.shape))

    other = sanity_check(
        trained_cnn.model, x, y, explainers=[noisy_gradient], seed=0, draws=5, blocks=1, measures=("spearman",)
    )["noisy_gradient"]
    assert any(finding.startswith("It draws noise") for finding in other.findings)
    assert not any("What changes is its own noise" in finding for finding in other.findings)


def test_heavy_tails_alone_score_high_in_the_papers_ssim() -> None:
    # At 128 px and range 2: .11 normal, .26 Laplace, .65 Student's t with 3 degrees of freedom.
    rng = np.random.default_rng(3)

    def score(maps: Array) -> float:
        paper = MEASURES["ssim_paper"]
        first, second = (paper.form.apply(one, None) for one in maps)
        return float(paper.compare(paper.prepare(first), second).mean())

    assert score(rng.standard_normal((2, 20, 128, 128))) == pytest.approx(0.11, abs=0.05)
    assert score(rng.laplace(size=(2, 20, 128, 128))) == pytest.approx(0.26, abs=0.05)
    assert score(rng.standard_t(3, (2, 20, 128, 128))) == pytest.approx(0.65, abs=0.1)
    # Larger maps have larger extremes, so the floor rises with the size: no number is one for all.
    assert score(rng.standard_t(3, (2, 8, 64, 64))) < 0.55 < 0.75 < score(rng.standard_t(3, (2, 8, 224, 224)))


def test_edges_are_no_evidence(trained_cnn: Trained) -> None:
    # An edge detector looks like an explanation, and its score stays 1 whatever the weights.
    metric = ar.ModelRandomizationMetric(
        trained_cnn.model, trained_cnn.x[:20], randomization_strategy=ar.FullRandomization(), seed=0
    )
    with pytest.warns(FindingWarning, match="does not use the model"):
        assert metric.evaluate("edge_detector") == 1
    sobel = np.hypot(ndimage.sobel(trained_cnn.x[0, 0], 0), ndimage.sobel(trained_cnn.x[0, 0], 1))
    ours = ar.explain(trained_cnn.model, trained_cnn.x[:1], None, "edge_detector")[0]
    np.testing.assert_allclose(ours[1:-1, 1:-1], sobel[1:-1, 1:-1], atol=1e-5)
