"""C6: no global random generator changes, whatever the model, the loader and the explainer draw."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from zoo import BY_NAME, Case, cases

import agnostic_rand as ar


@contextmanager
def unmoved() -> Iterator[None]:
    """All global generators are at the end where they were at the start."""
    before = _states()
    yield
    assert _states() == before


def _states() -> tuple[object, ...]:
    name, keys, *rest = np.random.get_state()
    return random.getstate(), (name, keys.tolist(), rest), torch.get_rng_state().tolist()


class Noisy(nn.Module):
    """Draws in every forward pass, in evaluation mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(6, 8), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(nn.functional.dropout(torch.relu(self.body(x)), 0.2))


@cases("mlp", "cnn with batch normalization", "vision transformer", "spectral_norm hooks", "lstm")
@pytest.mark.parametrize("perturbation", ["reinitialize", "native_init", "permute"])
def test_randomizing_draws_from_no_global_generator(case: Case, perturbation: str) -> None:
    model = case.model()
    with unmoved():
        ar.FullRandomization(perturbation=perturbation).randomize(model, seed=1, example_inputs=case.inputs(2))


@pytest.mark.parametrize("explainer", ["gradient", "smoothgrad", "random_map", "guided_backprop"])
def test_a_run_with_a_shuffling_loader_and_dropout(explainer: str) -> None:
    case = BY_NAME["cnn with batch normalization"]
    model = case.model().train()
    data = TensorDataset(case.tensor(6), torch.arange(6) % 4)
    loader = DataLoader(data, batch_size=4, shuffle=True)
    with unmoved():
        ar.ModelRandomizationMetric(model, loader, seed=0).run(explainer)


def test_a_run_with_an_explainer_that_draws() -> None:
    case = BY_NAME["mlp"]

    def noisy(model: Any, inputs: Any, targets: Any) -> torch.Tensor:
        return inputs + torch.rand_like(inputs) + random.random() + np.random.rand()

    with unmoved():
        ar.ModelRandomizationMetric(case.model(), case.inputs(), seed=0).run(noisy)
        ar.explain(case.model(), case.inputs(), None, noisy)


def test_a_run_that_fails() -> None:
    case = BY_NAME["mlp"]

    def failing(model: Any, inputs: Any, targets: Any) -> torch.Tensor:
        torch.rand(3)
        raise KeyboardInterrupt

    metric = ar.ModelRandomizationMetric(case.model(), case.inputs(), seed=0)
    with unmoved(), pytest.raises(KeyboardInterrupt):
        metric.run(failing)


def test_a_model_that_draws_in_evaluation_mode() -> None:
    case = BY_NAME["mlp"]
    model = Noisy()
    with unmoved():
        adapter = ar.adapt(model, example_inputs=case.inputs(1))
        x, y = adapter.asarray(case.inputs(5)), adapter.asarray(np.arange(5) % 4)
        first = adapter.predict(x)
        adapter.gradient(x, y)
        ar.ModelRandomizationMetric(model, case.inputs(), seed=0).run("gradient")
    torch.rand(17)
    # Common random numbers: what differs between two states of the weights is the weights.
    assert torch.equal(adapter.predict(x), first)
    assert torch.equal(adapter.output_and_gradient(x, y)[0], first)


def test_an_initializer_that_draws_from_every_generator_is_seeded() -> None:
    class Own(nn.Linear):
        def reset_parameters(self) -> None:
            with torch.no_grad():
                self.weight.copy_(torch.from_numpy(np.random.rand(4, 6)))
                self.bias.fill_(random.random()).add_(torch.rand(4))

    adapter = ar.adapt(nn.Sequential(Own(6, 4)))
    with unmoved():
        first = adapter.native_init("0", 5)
    _ = random.random(), torch.rand(3), np.random.rand()
    again, other = adapter.native_init("0", 5), adapter.native_init("0", 6)
    for name in ("weight", "bias"):
        np.testing.assert_array_equal(first[name], again[name])
        assert not np.array_equal(first[name], other[name])
