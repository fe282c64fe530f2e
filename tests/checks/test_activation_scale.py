"""Activation scale against channels that are summed by hand, and Binder's second result (D4, D5)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import agnostic_rand as ar
from agnostic_rand.errors import ArgumentError

from .nets import random_images


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 20, 3), nn.ReLU(), nn.Flatten(), nn.Linear(320, 40), nn.ReLU(), nn.Linear(40, 5)
    ).double()


X = random_images(9, (2, 6, 6)).astype(np.float64)


def by_hand(model: nn.Module, classes: np.ndarray, upto: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean of |h| and |h g| of each channel of a layer's output, all samples at once."""
    hidden = model[: upto + 1](torch.from_numpy(X)).detach().requires_grad_()
    chosen = model[upto + 1 :](hidden)[range(len(X)), classes].sum()
    (gradient,) = torch.autograd.grad(chosen, hidden)
    axes = (0, *range(2, hidden.ndim))
    return hidden.detach().abs().numpy().mean(axes), (hidden.detach() * gradient).abs().numpy().mean(axes)


def share(values: np.ndarray, norms: np.ndarray, part: float) -> float:
    ordered = sorted(range(len(norms)), key=lambda k: -norms[k])
    return float(values[ordered[: math.ceil(part * len(norms))]].sum() / values.sum())


@pytest.mark.parametrize("batch_size", [64, 2])
def test_shares_and_correlations(batch_size: int) -> None:
    model = net()
    options = ar.RunOptions(seed=2, batch_size=batch_size)
    result = ar.ActivationScale(model, X, 0.1, options=options).run()
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
    result = ar.ActivationScale(model, x, 0.25, options=ar.RunOptions(seed=0)).run()
    norms = model.embed(torch.from_numpy(x)).abs().mean((0, 1)).detach().numpy()
    found = result.scores["top_share_trained"][0, result.dimensions["layer"].index("embed")]
    assert found == pytest.approx(share(norms, norms, 0.25), rel=1e-5)


@pytest.mark.parametrize(("ratio", "probability"), [(2, 0.705), (5, 0.874), (10, 0.937)])
def test_d4_large_channels_win_whatever_the_weights(ratio: float, probability: float) -> None:
    assert 2 / math.pi * math.atan(ratio) == pytest.approx(probability, abs=6e-4)

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
    result = ar.ActivationScale(model, np.ones((1, 2), "float32"), 0.5, 400, ar.RunOptions(seed=0)).run()
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
    result = ar.ActivationScale(model, x, 0.1, 30, ar.RunOptions(seed=0)).run()
    place = result.dimensions["layer"].index("first")
    trained = result.scores["top_share_trained"][0, place]
    random = result.scores["top_contribution_random"][:, place].mean()
    assert trained == pytest.approx(share(scales, scales, 0.1), rel=1e-5)
    assert 0.3 < trained < 0.6
    assert random == pytest.approx(trained, abs=0.02)


def test_bad_arguments() -> None:
    for wrong in (0.0, 1.5, float("nan")):
        with pytest.raises(ArgumentError, match="share"):
            ar.ActivationScale(None, None, wrong)
    with pytest.raises(ArgumentError, match="draws"):
        ar.ActivationScale(None, None, draws=0)
