"""Explanations by the gradient of the output with respect to the inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from agnostic_rand.adapters import Array, HostArray, ModelAdapter
from agnostic_rand.arguments import whole_number
from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers.context import ExplanationContext
from agnostic_rand.explainers.folding import mean_gradient


@dataclass(frozen=True)
class Gradient:
    """The gradient of the target's output with respect to the inputs, with its sign.

    Source: Simonyan et al. 2014, section 3.

    Example:
        >>> import agnostic_rand as ar, numpy as np, torch
        >>> net = torch.nn.Linear(3, 2, bias=False)
        >>> maps = ar.explain(net, np.ones((1, 3), "float32"), [1], "gradient")
        >>> bool((maps[0] == net.weight[1].detach().numpy()).all())
        True
    """

    name: ClassVar[str] = "gradient"

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, shaped like `inputs`; see `Explainer.explain`."""
        return adapter.gradient(inputs, targets)


@dataclass(frozen=True)
class Saliency:
    """The absolute value of the gradient.

    Source: Simonyan et al. 2014, section 3.
    """

    name: ClassVar[str] = "saliency"

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, shaped like `inputs`, at least 0; see `Explainer.explain`."""
        return abs(adapter.gradient(inputs, targets))


@dataclass(frozen=True)
class GradientTimesInput:
    """The gradient times the input, element by element.

    Source: Shrikumar et al. 2016.
    """

    name: ClassVar[str] = "gradient_times_input"

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, shaped like `inputs`; see `Explainer.explain`."""
        return adapter.gradient(inputs, targets) * inputs


@dataclass(frozen=True)
class IntegratedGradients:
    """The mean gradient on the straight way from a baseline to the input, times their difference.

    The integral is approximated by the midpoint rule.

    Args:
        steps: The number of points on the way, at least 1.
        baseline: Where the way starts: a number, or an array shaped like one sample.
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
    baseline: float | HostArray = 0.0
    multiply_by_inputs: bool = True

    def __post_init__(self) -> None:
        whole_number("steps", self.steps, least=1, example=50)

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, shaped like `inputs`; see `Explainer.explain`."""
        baseline = self._baseline(adapter, tuple(inputs.shape[1:]))
        difference = inputs - baseline
        alphas = [(i + 0.5) / self.steps for i in range(self.steps)]
        points = (baseline + alpha * difference for alpha in alphas)
        mean = mean_gradient(adapter, points, self.steps, targets, context.batch_size)
        return mean * difference if self.multiply_by_inputs else mean

    def _baseline(self, adapter: ModelAdapter, sample_shape: tuple[int, ...]) -> Array:
        baseline = np.asarray(self.baseline, dtype=np.float32)
        try:
            full = np.broadcast_to(baseline, sample_shape)
        except ValueError:
            raise ArgumentError(
                "baseline",
                expected=f"a number or an array that broadcasts to one sample, {sample_shape}",
                received=f"an array of shape {baseline.shape}",
                fix="Leave out the batch dimension.",
            ) from None
        return adapter.asarray(np.ascontiguousarray(full)[None])
