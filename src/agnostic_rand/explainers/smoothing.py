"""Explanations averaged over noisy copies of the inputs."""

from __future__ import annotations

from dataclasses import dataclass

from array_api_compat import array_namespace

from agnostic_rand.adapters import Array, ModelAdapter
from agnostic_rand.arguments import real_number, whole_number
from agnostic_rand.explainers.context import ExplanationContext
from agnostic_rand.explainers.explainer import Explainer
from agnostic_rand.explainers.folding import mean_gradient
from agnostic_rand.explainers.gradient import Gradient


@dataclass(frozen=True)
class SmoothGrad:
    """The mean of another method's maps over noisy copies of the inputs.

    The noise is the same for the trained and the random model, and for every sample, so that a
    difference between their maps comes from the model.

    Args:
        base: The method that is averaged; the gradient by default.
        samples: The number of noisy copies, at least 1.
        noise: The noise's standard deviation, as a share of each input's range (max - min).

    Raises:
        ArgumentError: `samples` is below 1 or `noise` is negative.

    Source: Smilkov et al. 2017; 50 samples of noise 0.15 as in Adebayo et al. 2018.

    Example:
        >>> SmoothGrad(samples=20, noise=0.1).name
        'smoothgrad'
    """

    base: Explainer = Gradient()
    samples: int = 50
    noise: float = 0.15

    def __post_init__(self) -> None:
        whole_number("samples", self.samples, least=1, example=50)
        real_number("noise", self.noise, least=0, example=0.15)

    @property
    def name(self) -> str:
        """`"smoothgrad"`, and the base method's name where it is not the gradient."""
        return "smoothgrad" if isinstance(self.base, Gradient) else f"smoothgrad_of_{self.base.name}"

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, shaped like the base method's; see `Explainer.explain`."""
        xp = array_namespace(inputs)
        axes = tuple(range(1, inputs.ndim))
        spread = xp.max(inputs, axis=axes, keepdims=True) - xp.min(inputs, axis=axes, keepdims=True)
        noise = context.common_noise(adapter, (self.samples, *inputs.shape[1:]))
        copies = (inputs + self.noise * spread * noise[i][None] for i in range(self.samples))
        if isinstance(self.base, Gradient):
            return mean_gradient(adapter, copies, self.samples, targets, context.batch_size)
        total: Array = None
        for copy in copies:
            maps = self.base.explain(adapter, copy, targets, context)
            total = maps if total is None else total + maps
        return total / self.samples
