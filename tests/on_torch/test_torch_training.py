"""A plain training step: it learns, it is decided by its seed, and it leaves modes and gradients alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_torch_purity import mixed, state
from torch import nn
from zoo import BY_NAME, Case, cases

import agnostic_rand as ar


def batch(case: Case, count: int = 16) -> tuple[np.ndarray, np.ndarray]:
    return case.inputs(count), np.arange(count) % 4


@cases("mlp", "cnn with batch normalization", "vision transformer", "weight_norm hooks", "tied by memory")
def test_training_lowers_the_loss(case: Case) -> None:
    adapter = case.adapter()
    step = adapter.trainer(learning_rate=0.02, seed=0)
    losses = [step(*batch(case))[0] for _ in range(40)]
    assert losses[-1] < 0.9 * losses[0]


def test_the_loss_is_the_mean_cross_entropy_before_the_update() -> None:
    case = BY_NAME["mlp"]
    x, y = batch(case)
    outputs = case.model()(torch.from_numpy(x)).detach().double().numpy()
    by_hand = np.mean([np.log(np.exp(row).sum()) - row[label] for row, label in zip(outputs, y, strict=True)])
    loss, correct = case.adapter().trainer(learning_rate=0.1, seed=0)(x, y.astype(np.int32))
    assert loss == pytest.approx(by_hand, rel=1e-5)
    assert correct == (outputs.argmax(1) == y).sum()


def test_the_seed_decides_dropout_and_nothing_else_draws() -> None:
    case = BY_NAME["cnn with batch normalization"]

    def weights(seed: int) -> torch.Tensor:
        adapter = case.adapter()
        step = adapter.trainer(learning_rate=0.02, seed=seed)
        for _ in range(3):
            torch.rand(5)
            step(*batch(case))
        return adapter.native[10].weight.detach().clone()

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))
    step = case.adapter().trainer(learning_rate=0.02, seed=0)
    before = torch.get_rng_state()
    step(*batch(case))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_step_changes_values_only() -> None:
    case = BY_NAME["cnn with batch normalization"]
    net = mixed(case)
    before = state(net)
    step = ar.adapt(net).trainer(learning_rate=0.02, seed=0)
    with torch.inference_mode():
        step(*batch(case))
    after = state(net)
    assert after.pop("values") != before.pop("values")
    assert after == before


def test_a_step_that_fails_changes_nothing() -> None:
    case = BY_NAME["mlp"]
    net = mixed(case)
    before = state(net)
    step = ar.adapt(net).trainer(learning_rate=0.02, seed=0)
    with pytest.raises(IndexError):
        step(case.inputs(2), np.array([0, 9]))
    assert state(net) == before


def test_normalization_learns_its_statistics() -> None:
    case = BY_NAME["cnn with batch normalization"]
    net: nn.Module = case.model()
    held = net[1].running_mean.clone()
    ar.adapt(net).trainer(learning_rate=0.02, seed=0)(*batch(case))
    assert not torch.equal(net[1].running_mean, held)
    assert not net.training
