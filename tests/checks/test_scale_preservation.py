"""Scale preservation against channels that are summed by hand, and Binder's second result (D4, D5)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import agnostic_rand as ar
from agnostic_rand.checks.scale_preservation import top_share, win_probability
from agnostic_rand.errors import ArgumentError

from .nets import random_images


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 20, 3), nn.ReLU(), nn.Flatten(), nn.Linear(320, 40), nn.ReLU(), nn.Linear(40, 5)
    ).double()


X = random_images(9, (2, 6, 6)).astype(np.float64)


def by_hand(model: nn.Module, classes: np.ndarray, upto: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean of |h| and |h g| of each channel of what a layer passes on, all samples at once."""
    # Its output is followed by a ReLU, but for the last.
    upto += 1 if upto < 5 else 0
    hidden = model[: upto + 1](torch.from_numpy(X)).detach().requires_grad_()
    chosen = model[upto + 1 :](hidden)[range(len(X)), classes].sum()
    (gradient,) = torch.autograd.grad(chosen, hidden)
    axes = (0, *range(2, hidden.ndim))
    return hidden.detach().abs().numpy().mean(axes), (hidden.detach() * gradient).abs().numpy().mean(axes)


def share(values: np.ndarray, norms: np.ndarray, part: float) -> float:
    ordered = sorted(range(len(norms)), key=lambda k: -norms[k])
    return float(values[ordered[: math.ceil(part * len(norms))]].sum() / values.sum())


def wins(norms: np.ndarray, part: float) -> float:
    """D4 for each pair of one of the largest and another, written out."""
    ordered = sorted(norms, reverse=True)
    count = math.ceil(part * len(norms))
    pairs = [(a, b) for a in ordered[:count] for b in ordered[count:] if a > 0 or b > 0]
    return float(np.mean([1 - 2 / math.pi * math.atan(b / a) for a, b in pairs]))


@pytest.mark.parametrize("batch_size", [64, 2])
def test_shares_and_correlations(batch_size: int) -> None:
    model = net()
    result = ar.ScalePreservation(0.1).run(ar.Subject(model, X, seed=2, batch_size=batch_size))
    assert result.dimensions["layer"] == ("5", "3", "0")
    classes = model(torch.from_numpy(X)).argmax(1).numpy()
    # The states of the cascade with this seed: its last layers are those of the fully random model.
    random = ar.FullRandomization().randomize(model, seed=2, example_inputs=X[:1])
    states = {0: nn.Sequential(random[0], *random[1:]), 3: nn.Sequential(*model[:3], *random[3:])}
    above = {0: nn.Sequential(*model[:3], *random[3:]), 3: nn.Sequential(*model[:5], random[5])}
    for place, layer in ((1, 3), (2, 0)):
        norms, products = by_hand(model, classes, layer)
        random_norms, _ = by_hand(states[layer], classes, layer)
        _, random_products = by_hand(above[layer], classes, layer)
        expected = {
            "top_share_trained": share(norms, norms, 0.1),
            "top_share_random": share(random_norms, random_norms, 0.1),
            "channel_correlation": stats.spearmanr(norms, random_norms).statistic,
            "top_contribution_trained": share(products, norms, 0.1),
            "top_contribution_random": share(random_products, norms, 0.1),
            "top_wins_expected": wins(norms, 0.1),
        }
        for name, value in expected.items():
            assert result.scores[name][0, place] == pytest.approx(value, abs=1e-9), name
    assert np.isnan(result.scores["top_contribution_random"][0, 0])


def test_tokens_keep_features_last() -> None:
    torch.manual_seed(0)

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Linear(3, 12), nn.Linear(12, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.embed(x).mean(1))

    model = Tokens()
    x = random_images(4, (5, 3))
    result = ar.ScalePreservation(0.25).run(ar.Subject(model, x, seed=0))
    norms = model.embed(torch.from_numpy(x)).abs().mean((0, 1)).detach().numpy()
    found = result.scores["top_share_trained"][0, result.dimensions["layer"].index("embed")]
    assert found == pytest.approx(share(norms, norms, 0.25), rel=1e-5)


@pytest.mark.parametrize(("ratio", "probability"), [(2, 0.705), (5, 0.874), (10, 0.937)])
def test_d4_large_channels_win_whatever_the_weights(ratio: float, probability: float) -> None:
    assert float(win_probability(np.array(ratio), np.array(-1.0))) == pytest.approx(probability, abs=6e-4)
    drawn = np.abs(np.random.default_rng(0).standard_normal((2, 400_000)))
    assert (drawn[0] * ratio > drawn[1]).mean() == pytest.approx(probability, abs=4e-3)
    assert np.isnan(win_probability(np.array(0.0), np.array(0.0)))
    assert float(win_probability(np.array(1.0), np.array(0.0))) == 1

    # Through the check: two channels, ratio to one, and a fresh head in every draw.
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.first(x))

    model = Fixed()
    with torch.no_grad():
        model.first.weight.copy_(torch.diag(torch.tensor([float(ratio), 1.0])))
    result = ar.ScalePreservation(0.5, 400).run(ar.Subject(model, np.ones((1, 2), "float32"), seed=0))
    shares = result.scores["top_contribution_random"][:, result.dimensions["layer"].index("first")]
    # The head is a truncated normal: its ratio has the normal's probability to the second decimal.
    assert (shares > 0.5).mean() == pytest.approx(probability, abs=4 * math.sqrt(0.25 / 400))


def test_d5_contributions_under_fresh_weights_have_the_shares_of_the_activations() -> None:
    rng = np.random.default_rng(0)

    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(400, 400, bias=False), nn.Linear(400, 3, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.first(x))

    model = Wide()
    with torch.no_grad():
        scales = np.exp(1.2 * rng.standard_normal(400))
        model.first.weight.copy_(torch.diag(torch.from_numpy(scales).float()))
    x = np.ones((1, 400), "float32")
    result = ar.ScalePreservation(0.1, 30).run(ar.Subject(model, x, seed=0))
    place = result.dimensions["layer"].index("first")
    trained = result.scores["top_share_trained"][0, place]
    random = result.scores["top_contribution_random"][:, place].mean()
    assert trained == pytest.approx(share(scales, scales, 0.1), rel=1e-5)
    assert 0.3 < trained < 0.6
    assert random == pytest.approx(trained, abs=0.02)


class Functional(nn.Module):
    """The layers of a sequence, with a function without a name after the first."""

    def __init__(self, layers: nn.Sequential, function: Any) -> None:
        super().__init__()
        self.first, self.last, self.function = layers[0], layers[-1], function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.function(self.first(x)))


def dead_units() -> tuple[nn.Sequential, np.ndarray]:
    """A net of 100 units of growing size, ten of which are never active though their outputs are the largest."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 100), nn.ReLU(), nn.Linear(100, 10))
    with torch.no_grad():
        model[0].weight *= torch.linspace(0.1, 3, 100)[:, None]
        model[0].bias.zero_()
        model[0].bias[:10] = -30.0
    return model, np.random.default_rng(0).standard_normal((200, 20)).astype("float32")


@pytest.mark.parametrize(
    ("wrap", "seen"),
    [
        (lambda net: net, "the output of '1'"),
        (lambda net: nn.Sequential(net[0], net[1], nn.Dropout(0.5), net[2]), "the output of '2'"),
        (lambda net: nn.Sequential(nn.Sequential(net[0], net[1]), net[2]), "the output of '0.1'"),
        (lambda net: nn.Sequential(net[0], nn.ReLU(inplace=True), net[2]), "the output of '1'"),
        (lambda net: Functional(net, torch.relu), "its output, rectified"),
        (lambda net: Functional(net, lambda h: torch.relu(h)[:, :, None].amax(2)), "its output, rectified"),
    ],
)
def test_d5_is_about_what_passes_the_activation_function(wrap: Any, seen: str) -> None:
    net, x = dead_units()
    hidden = net[:2](torch.from_numpy(x)).detach().double().numpy()
    result = ar.ScalePreservation(draws=20).run(ar.Subject(wrap(net), x, seed=2))
    first = result.dimensions["layer"][-1]
    assert result.settings["seen"][first] == seen
    trained = result.scores["top_share_trained"][0, -1]
    assert trained == pytest.approx(share(hidden.mean(0), hidden.mean(0), 0.1), rel=1e-5)
    # The outputs before the ReLU have .812, which is that of the units that are never active.
    assert trained == pytest.approx(0.194, abs=0.0005)
    # D5: fresh weights keep the share.
    rng, top = np.random.default_rng(1), np.argsort(hidden.mean(0))[-10:]
    fresh = [np.abs(rng.standard_normal(100) * hidden).mean(0) for _ in range(200)]
    expected = np.mean([one[top].sum() / one.sum() for one in fresh])
    assert expected == pytest.approx(trained, abs=0.01)
    assert result.scores["top_contribution_random"][:, -1].mean() == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("function", [nn.functional.gelu, torch.tanh, lambda h: h, nn.functional.leaky_relu])
def test_another_function_without_a_name_is_not_taken_for_a_relu_and_a_named_one_is_seen(function: Any) -> None:
    net, x = dead_units()
    # So that no gradient is lost to rounding far out.
    with torch.no_grad():
        net[0].bias.zero_()
        net[0].weight *= 0.1
    before = net[0](torch.from_numpy(x)).detach().double()
    plain = ar.ScalePreservation().run(ar.Subject(Functional(net, function), x, seed=2))
    assert plain.settings["seen"]["first"] == "its output"
    norms = before.abs().mean(0).numpy()
    assert plain.scores["top_share_trained"][0, -1] == pytest.approx(share(norms, norms, 0.1), rel=1e-5)
    named = nn.Sequential(net[0], nn.GELU(), net[2])
    norms = nn.functional.gelu(before).abs().mean(0).numpy()
    found = ar.ScalePreservation().run(ar.Subject(named, x, seed=2))
    assert found.scores["top_share_trained"][0, -1] == pytest.approx(share(norms, norms, 0.1), rel=1e-5)


def test_the_share_of_channels_is_counted_without_rounding() -> None:
    sizes = np.arange(1.0, 71.0)
    assert top_share(sizes, 0.1) == pytest.approx(sizes[-7:].sum() / sizes.sum())
    assert top_share(sizes, 0.101) == pytest.approx(sizes[-8:].sum() / sizes.sum())


def test_bad_arguments() -> None:
    for wrong in (0.0, 1.5, float("nan")):
        with pytest.raises(ArgumentError, match="share"):
            ar.ScalePreservation(wrong)
    with pytest.raises(ArgumentError, match="draws"):
        ar.ScalePreservation(draws=0)
