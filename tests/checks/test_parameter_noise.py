"""Parameter noise against noise that is drawn and added by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import agnostic_rand as ar
from agnostic_rand.checks.parameter_noise import _PERTURBATIONS, poisson_quantile
from agnostic_rand.errors import ArgumentError

from .conftest import Trained
from .nets import Array
from .slow import flat, gradient_map, rank_correlation, stream, with_weights

LABELS = np.array([0, 3, 1, 2, 0])
WEIGHTS = 0
LAYERS = ("0", "3")
ORDERS = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}


def disturbed(kind: str, level: float, seed: int, draw: int) -> object:
    def change(name: str, parameter: torch.Tensor) -> torch.Tensor:
        layer, _, part = name.rpartition(".")
        rng = stream(seed, WEIGHTS, draw, LAYERS.index(layer), ("weight", "bias").index(part))
        value = parameter.detach().numpy()
        moved = np.transpose(value, ORDERS[value.ndim])
        if kind == "poisson":
            rate = 1 / level**2
            # SciPy's own inverse of the distribution function, at one uniform number for each weight.
            new = np.sign(moved) * stats.poisson.ppf(rng.random(moved.shape), np.abs(moved) * rate) / rate
        else:
            noise = rng.standard_normal(moved.shape)
            new = {
                "gaussian": moved + level * noise,
                "gaussian_relative": moved + level * value.std() * noise,
                "multiplicative": moved * (1 + level * noise),
            }[kind]
        return torch.from_numpy(np.transpose(new, np.argsort(ORDERS[value.ndim])).copy())

    return change


@pytest.mark.parametrize("kind", ["gaussian", "gaussian_relative", "multiplicative", "poisson"])
def test_scores_are_those_of_noise_added_by_hand(small: tuple[nn.Module, Array], kind: str) -> None:
    net, x = small
    levels, draws, seed = (0.3, 1.5), 2, 11
    check = ar.ParameterNoise(kind, levels, draws=draws)  # type: ignore[arg-type]
    result = check.run(ar.Subject(net, x, LABELS, seed=seed), "gradient")
    assert list(result.dimensions) == ["level", "draw", "step", "sample"]
    base = gradient_map(net, x, LABELS)
    for (i, level), draw, (k, layers) in itertools.product(
        enumerate(levels), range(draws), enumerate([("3",), ("0", "3")])
    ):
        other = gradient_map(with_weights(net, disturbed(kind, level, seed, draw), layers), x, LABELS)
        for measure, sign in (("spearman", "signed"), ("spearman_abs", "absolute")):
            expected = rank_correlation(flat(base, sign), flat(other, sign))
            np.testing.assert_allclose(result.scores[measure][i, draw, k], expected, atol=1e-10)


def test_more_noise_leaves_less_and_the_outputs_are_beside_it(trained_mlp: Trained) -> None:
    subject = ar.Subject(trained_mlp.model, trained_mlp.x[:40], trained_mlp.y[:40], seed=0)
    result = ar.ParameterNoise(levels=(0.1, 0.3, 1.0), draws=2).run(subject, "gradient")
    means = result.mean("spearman")
    assert means.shape == (3, 4)
    assert (np.diff(means[:, -1]) < 0).all()
    moved = np.array(result.settings["output_correlation"])
    assert moved.shape == (3, 4)
    assert (np.diff(moved[:, -1]) < 0).all()


@pytest.mark.parametrize("noise", ["poisson", "gaussian", "multiplicative"])
def test_a_draws_noise_is_the_same_at_every_level_but_for_its_size(noise: str) -> None:
    weights = 0.05 * np.random.default_rng(1).standard_normal(20_000)
    parameter = ar.adapters.Parameter("weight", weights.shape, "float32", "other")

    def drawn(level: float) -> Array:
        return _PERTURBATIONS[noise](level)(weights, parameter, stream(0, WEIGHTS)) - weights

    for first, second in ((0.1, 0.2), (0.2, 0.3), (0.3, 1.0)):
        correlation = np.corrcoef(drawn(first), drawn(second))[0, 1]
        # Counts are whole: where few are expected, most are 0 at one level and not at another.
        assert correlation > (0.6 if noise == "poisson" else 1 - 1e-9), (first, second)


def test_counts_are_those_of_scipy_and_have_the_moments_of_poissons_law() -> None:
    rng = np.random.default_rng(0)
    uniform, expectation = rng.random(20_000), np.exp(rng.uniform(-8, np.log(1e5), 20_000))
    found, expected = poisson_quantile(uniform, expectation), stats.poisson.ppf(uniform, expectation)
    few = expectation < 1000
    np.testing.assert_array_equal(found[few], expected[few])
    assert np.abs(found - expected).max() <= 1
    for mean in (0.0, 0.3, 40.0, 5e3, 1e20):
        counts = poisson_quantile(uniform, np.full(uniform.shape, mean))
        assert counts.mean() == pytest.approx(mean, abs=4 * np.sqrt(mean / 20_000))
        assert counts.var() == pytest.approx(mean, rel=0.05)


def test_the_smallest_noise_changes_nothing(small: tuple[nn.Module, Array]) -> None:
    net, x = small
    result = ar.ParameterNoise("poisson", (1e-10,)).run(ar.Subject(net, x, LABELS, seed=0), "gradient")
    np.testing.assert_allclose(result.scores["spearman"], 1, atol=1e-3)


def test_constant_outputs_and_maps_are_undefined_and_nothing_breaks() -> None:
    net = nn.Linear(4, 3)
    nn.init.zeros_(net.weight)
    x = np.random.default_rng(0).standard_normal((3, 4)).astype("float32")
    result = ar.ParameterNoise("multiplicative", (0.1,)).run(ar.Subject(net, x, [0, 1, 2]), "gradient")
    assert result.undefined["spearman"].tolist() == [[[3]]]
    assert np.isnan(result.settings["output_correlation"][0][0])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"levels": ()}, "levels: expected .* at least one, received an empty one"),
        ({"levels": 0.1}, r"levels: expected a tuple or list.*received 0\.1"),
        ({"levels": (0.0,)}, "above 0"),
        ({"noise": "salt"}, "gaussian_relative"),
        ({"draws": 0}, "draws"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        ar.ParameterNoise(**arguments)  # type: ignore[arg-type]
