"""Path methods: explanations by gradients on the way from a baseline to the input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from agnostic_rand.adapters import Array, HostArray, ModelAdapter
from agnostic_rand.arguments import real_number, whole_number
from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers.baselines import Baseline, baseline_of, check_baseline
from agnostic_rand.explainers.context import ExplanationContext
from agnostic_rand.explainers.folding import folded, mean_gradient
from agnostic_rand.explainers.registry import METHODS, named


@named(METHODS, "integrated_gradients")
@dataclass(frozen=True)
class IntegratedGradients:
    """The mean gradient on the straight way from a baseline to the input, times their difference.

    The integral is approximated by the midpoint rule.

    Args:
        steps: The number of points on the way, at least 1.
        baseline: Where the way starts: a number, an array that broadcasts to one sample,
            `"mean"` (each input's own mean) or `"blur"` (each input, blurred).
        multiply_by_inputs: Whether the mean gradient is multiplied by `inputs - baseline`.

    Raises:
        ArgumentError: `steps` is below 1, or the baseline does not fit a sample.

    Source: Sundararajan et al. 2017, equation 3; the multiplier as a choice: Kokhlikyan et al. 2021.

    Example:
        >>> import agnostic_rand as ar, numpy as np, torch
        >>> net = torch.nn.Linear(3, 2, bias=False)
        >>> x = np.ones((1, 3), "float32")
        >>> maps = ar.explain(net, x, [0], ar.explainers.IntegratedGradients(steps=8))
        >>> bool(abs(maps.sum() - net(torch.from_numpy(x))[0, 0].item()) < 1e-6)
        True
    """

    name: ClassVar[str] = "integrated_gradients"

    steps: int = 50
    baseline: Baseline = 0.0
    multiply_by_inputs: bool = True

    def __post_init__(self) -> None:
        whole_number("steps", self.steps, least=1, example=50)
        check_baseline(self.baseline)

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, shaped like `inputs`; see `Explainer.explain`."""
        baseline = baseline_of(self.baseline, adapter, inputs, context.channel_axis)
        difference = inputs - baseline
        alphas = [(i + 0.5) / self.steps for i in range(self.steps)]
        points = (baseline + alpha * difference for alpha in alphas)
        mean = mean_gradient(adapter, points, self.steps, targets, context.batch_size)
        return mean * difference if self.multiply_by_inputs else mean


@named(METHODS, "expected_gradients")
@dataclass(frozen=True)
class ExpectedGradients:
    """Gradients at random points between random baselines and the input, times their difference, averaged.

    With input noise this is GradientSHAP. Points, baselines and noise are the same for every
    sample and for the trained and the random model.

    Args:
        baselines: A number, one baseline shaped like a sample, or several, `(k, ...)`.
        samples: The number of points, at least 1.
        noise: The standard deviation of noise on the input, as a share of its range (max - min).
        multiply_by_inputs: Whether each gradient is multiplied by `inputs - baseline`.

    Raises:
        ArgumentError: An argument is out of range, or the baselines do not fit a sample.

    Source: Erion et al. 2021, equation 2; Lundberg & Lee 2017 (GradientSHAP).

    Example:
        >>> ExpectedGradients(samples=20).name
        'expected_gradients'
    """

    name: ClassVar[str] = "expected_gradients"

    baselines: float | HostArray = 0.0
    samples: int = 50
    noise: float = 0.0
    multiply_by_inputs: bool = True

    def __post_init__(self) -> None:
        whole_number("samples", self.samples, least=1, example=50)
        real_number("noise", self.noise, least=0, example=0.1)
        check_baseline(self.baselines)

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, shaped like `inputs`; see `Explainer.explain`."""
        baselines = self._stack(tuple(inputs.shape[1:]))
        uniform = context.common_uniform((2, self.samples))
        differences: list[Array] = []

        def points() -> Iterator[Array]:
            for i in range(self.samples):
                baseline = adapter.asarray(baselines[int(uniform[0, i] * len(baselines))][None])
                noisy = context.noisy(adapter, inputs, self.noise, i, self.samples) if self.noise else inputs
                differences.append(noisy - baseline)
                yield baseline + float(uniform[1, i]) * differences[-1]

        total: Array = None
        for gradients in folded(adapter.gradient, points(), targets, context.batch_size):
            for gradient in (gradients[k, ...] for k in range(gradients.shape[0])):
                difference = differences.pop(0)
                part = gradient * difference if self.multiply_by_inputs else gradient
                total = part if total is None else total + part
        return total / self.samples

    def _stack(self, sample_shape: tuple[int, ...]) -> HostArray:
        values = np.asarray(self.baselines, dtype=np.float32)
        shape = (len(values), *sample_shape) if values.ndim == len(sample_shape) + 1 else (1, *sample_shape)
        try:
            return np.ascontiguousarray(np.broadcast_to(values, shape))
        except ValueError:
            raise ArgumentError(
                "baselines",
                expected=f"a number, one sample {sample_shape}, or several (k, ...)",
                received=f"an array of shape {values.shape}",
                fix="Shape each baseline like one sample.",
            ) from None
