"""Results made by hand, where every number is known, and one of a real run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
import torch
from torch import nn

from agnostic_rand.checks.model_randomization import ModelRandomization
from agnostic_rand.explainers import resolve_explainer
from agnostic_rand.report.maps import MapStrip, recorded
from agnostic_rand.results.output_change import OutputChange
from agnostic_rand.results.scores import Notes, Scores
from agnostic_rand.subject.subject import Subject
from agnostic_rand.weights import CascadingRandomization, Step

Make = Callable[..., Scores]


@pytest.fixture
def make() -> Make:
    """A result with given scores `(draws, steps, samples)`; steps are a cascade unless told otherwise."""

    def made(
        scores: Mapping[str, np.ndarray],
        *,
        explainer: str = "gradient",
        names: Sequence[str] | None = None,
        nested: bool = True,
        correlation: np.ndarray | None = None,
        settings: Mapping[str, object] | None = None,
        findings: tuple[str, ...] = (),
    ) -> Scores:
        draws, count, samples = next(iter(scores.values())).shape
        names = names or [f"layer{i}" for i in range(count)]
        layers = [tuple(names[: i + 1]) if nested else (names[i],) for i in range(count)]
        steps = tuple(
            Step(name, layer, 10 * len(layer), 10 * count) for name, layer in zip(names, layers, strict=True)
        )
        change = np.zeros((draws, count)) if correlation is None else correlation
        return Scores(
            check="model_randomization",
            dimensions={"draw": tuple(range(draws)), "step": tuple(names), "sample": tuple(range(samples))},
            scores={name: array.copy() for name, array in scores.items()},
            notes={explainer: Notes(findings)},
            meaning="a high score says that the map does not depend on the weights",
            seed=7,
            settings={"framework": "torch", "isolation": "clone", "layer_order": "traced", "strategy": "Some()"}
            | dict(settings or {}),
            steps=steps,
            outputs=OutputChange(change.copy(), change.copy(), change.copy(), change.copy()),
        )

    return made


@pytest.fixture(scope="session")
def real_inputs() -> np.ndarray:
    """Five colour images."""
    return np.random.default_rng(1).normal(size=(5, 3, 10, 10)).astype(np.float32)


@pytest.fixture(scope="session")
def real_run(real_inputs) -> tuple[tuple[Scores, ...], MapStrip | None]:
    """Three explainers on a small CNN, with the maps of the fourth of five samples."""
    rng = np.random.default_rng(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 100, 8), nn.ReLU(), nn.Linear(8, 3)
    )
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(0, 0.2, tuple(parameter.shape)).astype(np.float32)))
    subject = Subject(net, real_inputs, np.array([0, 1, 2, 0, 1]), batch_size=2, seed=3)
    explainers = [resolve_explainer(name) for name in ("gradient", "random_map", "constant_map")]
    return recorded(ModelRandomization(CascadingRandomization(), draws=2), subject, explainers, sample=3)
