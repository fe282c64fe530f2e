"""The path to chance: its end, its changes, and the dose-response against the definition."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import agnostic_rand as ar
from agnostic_rand.checks import GeneralizedFaithfulness
from agnostic_rand.errors import ArgumentError, InputError

from .conftest import Trained
from .slow import flat, gradient_map, stream


def accuracy(net: nn.Module, x: np.ndarray, y: np.ndarray) -> float:
    return float((net(torch.from_numpy(x)).argmax(1).numpy() == y).mean())


def noisy(net: nn.Module, level: float, seed: int, draw: int) -> nn.Module:
    """All linear layers, numbered from the input, with multiplicative noise of the documented streams."""
    other = copy.deepcopy(net)
    linear = [part for part in other if isinstance(part, nn.Linear)]
    with torch.no_grad():
        for index, part in enumerate(linear):
            for place, parameter in enumerate((part.weight, part.bias)):
                moved = parameter.numpy().T.astype(np.float64)
                new = moved * (1 + level * stream(seed, 0, draw, index, place).standard_normal(moved.shape))
                parameter.copy_(torch.from_numpy(new.T.astype(np.float32)))
    return other


def test_the_path_and_the_score_are_those_of_the_definition(trained_mlp: Trained) -> None:
    net, x, y = trained_mlp.model, trained_mlp.x[:60], trained_mlp.y[:60]
    result = GeneralizedFaithfulness(levels=4, draws=2).run(ar.Subject(net, x, y, seed=5), "gradient")
    levels = result.settings["levels"]
    assert levels == pytest.approx([levels[-1] * k / 4 for k in (1, 2, 3, 4)])
    bound = 0.1 + 2 * np.sqrt(0.1 * 0.9 / 60)
    # The first of the doubled levels at which the model guesses.
    doubled = [0.1 * 2**k for k in range(12)]
    means = [np.mean([accuracy(noisy(net, level, 5, draw), x, y) for draw in (0, 1)]) for level in doubled]
    assert levels[-1] == pytest.approx(next(lv for lv, mean in zip(doubled, means, strict=True) if mean <= bound))

    def softmax(model: nn.Module) -> np.ndarray:
        return model(torch.from_numpy(x)).double().softmax(1).detach().numpy()

    predicted = softmax(net).argmax(1)
    base = flat(gradient_map(net, x, predicted))
    for draw in (0, 1):
        models = [noisy(net, level, 5, draw) for level in levels]
        moved = np.array([np.sqrt(((softmax(m) - softmax(net)) ** 2).sum(1)) for m in models])
        maps = np.array(
            [
                [
                    1 - stats.spearmanr(a, b).statistic
                    for a, b in zip(base, flat(gradient_map(m, x, predicted)), strict=True)
                ]
                for m in models
            ]
        )
        expected = [stats.spearmanr(moved[:, i], maps[:, i]).statistic for i in range(len(x))]
        # Rounding of the forward pass may turn the order of two nearly equal changes.
        assert np.mean(np.abs(result.scores["dose_response"][draw] - expected) < 1e-6) > 0.97


def test_a_map_that_follows_the_model_scores_higher_than_noise_and_a_copy_has_no_score(
    trained_mlp: Trained,
) -> None:
    x, y = trained_mlp.x[:60], trained_mlp.y[:60]
    found = GeneralizedFaithfulness(draws=3).run(
        ar.Subject(trained_mlp.model, x, y, seed=0), ["gradient", "random_map", "input_map"]
    )
    follows, noise = found["gradient"], found["random_map"]
    assert follows.estimate().interval()[0] > noise.estimate().interval()[1]
    low, high = noise.estimate().interval()
    assert low < 0 < high
    # A copier's maps never change: there is nothing to correlate.
    assert found["input_map"].undefined["dose_response"].tolist() == [60] * 3


def test_a_model_that_puts_out_probabilities_gets_no_second_softmax(trained_mlp: Trained) -> None:
    x, y = trained_mlp.x[:40], trained_mlp.y[:40]
    ending = nn.Sequential(*trained_mlp.model, nn.Softmax(1))
    # Outputs and their softmax have one order, so that the noise goes as far; what is explained differs.
    plain, probable = (
        GeneralizedFaithfulness(draws=1).run(ar.Subject(net, x, y, seed=5), "input_map").settings
        for net in (trained_mlp.model, ending)
    )
    assert plain["levels"] == probable["levels"]
    np.testing.assert_allclose(plain["output_change"], probable["output_change"], atol=1e-5)
    assert (plain["probability"], probable["probability"]) == ("softmax of the outputs", "the model's own outputs")


def test_bad_input(trained_mlp: Trained) -> None:
    net, x, y = trained_mlp.model, trained_mlp.x[:20], trained_mlp.y[:20]
    with pytest.raises(InputError, match="label for each input"):
        GeneralizedFaithfulness().run(ar.Subject(net, x), "gradient")
    with pytest.raises(InputError, match="single class"):
        GeneralizedFaithfulness().run(ar.Subject(net, x, np.zeros(20, dtype=int)), "gradient")
    with pytest.raises(InputError, match="trained model"):
        GeneralizedFaithfulness().run(ar.Subject(net, x, (y + 1) % 10), "gradient")
    with pytest.raises(ArgumentError, match="similarity"):
        GeneralizedFaithfulness(measures="mse").run(ar.Subject(net, x, y), "gradient")
    with pytest.raises(ArgumentError, match="one similarity"):
        GeneralizedFaithfulness(measures=("spearman", "pearson")).run(ar.Subject(net, x, y), "gradient")
    with pytest.raises(ArgumentError, match="levels"):
        GeneralizedFaithfulness(levels=2)
    with pytest.raises(ArgumentError, match="multiplicative"):
        GeneralizedFaithfulness(noise="poisson")  # type: ignore[arg-type]
