"""Smoothing of explanations over noisy copies of the inputs: their mean, mean square or variance."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace

from agnostic_rand.adapters import Array, ModelAdapter
from agnostic_rand.arguments import real_number, whole_number
from agnostic_rand.explainers.context import ExplanationContext
from agnostic_rand.explainers.explainer import Explainer
from agnostic_rand.explainers.folding import folded
from agnostic_rand.explainers.gradient import Gradient
from agnostic_rand.explainers.registry import METHODS, named
from agnostic_rand.explainers.resolve import resolve_explainer


@dataclass(frozen=True)
class _Smoothed(ABC):
    """What the three share: the noise, and how the base method is run on noisy copies."""

    kind: ClassVar[str]

    base: Explainer = Gradient()
    samples: int = 50
    noise: float = 0.15

    def __post_init__(self) -> None:
        object.__setattr__(self, "base", resolve_explainer(self.base))
        whole_number("samples", self.samples, least=1, example=50)
        real_number("noise", self.noise, least=0, example=0.15)

    @property
    def name(self) -> str:
        """The method's name, and the base method's where it is not the gradient."""
        return self.kind if isinstance(self.base, Gradient) else f"{self.kind}_of_{self.base.name}"

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, shaped like the base method's; see `Explainer.explain`."""
        return self._reduce(self._maps(adapter, inputs, targets, context))

    @abstractmethod
    def _reduce(self, maps: Iterator[Array]) -> Array:
        """From `samples` maps, which come as arrays `(k, n, ...)`, to `(n, ...)`."""

    def _maps(
        self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext
    ) -> Iterator[Array]:
        copies = (context.noisy(adapter, inputs, self.noise, i, self.samples) for i in range(self.samples))

        size, done = inputs.shape[0], 0

        def explain(stack: Array, stack_targets: Array) -> Array:
            nonlocal done
            # What a method draws belongs to the copy, however many of them fill a batch.
            place = context.of_copies(size, done)
            done += stack.shape[0] // size
            return self.base.explain(adapter, stack, stack_targets, place)

        return folded(explain, copies, targets, context.batch_size)


@named(METHODS, "smoothgrad")
@dataclass(frozen=True)
class SmoothGrad(_Smoothed):
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

    kind: ClassVar[str] = "smoothgrad"

    def _reduce(self, maps: Iterator[Array]) -> Array:
        return _mean(maps, self.samples)


@named(METHODS, "smoothgrad_squared")
@dataclass(frozen=True)
class SmoothGradSquared(_Smoothed):
    """The mean of another method's squared maps over noisy copies of the inputs.

    Arguments and errors are those of `SmoothGrad`.

    Source: Hooker et al. 2019, section 4.2.
    """

    kind: ClassVar[str] = "smoothgrad_squared"

    def _reduce(self, maps: Iterator[Array]) -> Array:
        return _mean((part * part for part in maps), self.samples)


@named(METHODS, "vargrad")
@dataclass(frozen=True)
class VarGrad(_Smoothed):
    """The variance of another method's maps over noisy copies of the inputs.

    Arguments and errors are those of `SmoothGrad`; a single sample gives zeros.

    Source: Adebayo et al. 2018 (workshop version), section 2; 25 samples as in their code.
    """

    kind: ClassVar[str] = "vargrad"

    samples: int = 25

    def _reduce(self, maps: Iterator[Array]) -> Array:
        # Deviations from the first map: a difference of large squares would lose the variance.
        first: Array = None
        total: Array = None
        squares: Array = None
        for part in maps:
            xp = array_namespace(part)
            first = part[0, ...] if first is None else first
            deviations = part - first[None, ...]
            sums = xp.sum(deviations, axis=0), xp.sum(deviations * deviations, axis=0)
            total, squares = sums if total is None else (total + sums[0], squares + sums[1])
        mean = total / self.samples
        return squares / self.samples - mean * mean


def _mean(maps: Iterator[Array], count: int) -> Array:
    total: Array = None
    for part in maps:
        summed = array_namespace(part).sum(part, axis=0)
        total = summed if total is None else total + summed
    return total / count
