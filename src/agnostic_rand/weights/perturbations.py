"""Perturbations: what happens to a weight, each maps `(value, parameter, rng)` to a new value.

Values come in the canonical layout (`Parameter.canonical`) and in double precision, so that one seed
gives one value in every framework; they may come back in any precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import numpy as np

from agnostic_rand.adapters import HostArray, Parameter
from agnostic_rand.arguments import real_number
from agnostic_rand.errors import ArgumentError, unknown_name
from agnostic_rand.weights.truncated_normal import truncated_normal

StatisticsPolicy: TypeAlias = Literal["reset", "keep", "recalibrate"]

Perturbation: TypeAlias = Callable[[HostArray, Parameter, np.random.Generator], HostArray]
"""Any function `(value, parameter, rng) -> value` will do.

Three attributes are looked for and may be left out: `default_statistics`, the policy for running
statistics (`"keep"`); `accepts_any_values`, whether integer and non-finite weights are taken too
(`False`); and `ignores_values(parameter)`, whether a draw depends on the shape alone (it does not), so
that it gets zeros and no trained values need be held.
"""


@dataclass(frozen=True)
class Reinitialize:
    """Draw a layer anew, as before training.

    Kernels: a normal truncated at two standard deviations, of variance `2 / fan_in` (He et al.
    2015). Biases and shifts: zeros. Scales: ones. Arrays without a known role (class tokens,
    position tables): a normal with the mean and standard deviation of the trained values, as
    `MatchedNormal`. The magnitude of weight normalization becomes the norm of the new kernel.

    Args:
        factor: The variance of a kernel times its fan-in, above 0.

    Raises:
        ArgumentError: `factor` is not above 0.

    Example:
        >>> import numpy as np
        >>> from agnostic_rand.adapters import Parameter
        >>> kernel = Parameter("weight", (200, 100), "float32", "kernel", ("in", "out"))
        >>> drawn = Reinitialize()(np.ones((200, 100)), kernel, np.random.default_rng(0))
        >>> round(float(drawn.std()), 2)
        0.1
    """

    factor: float = 2.0
    default_statistics: ClassVar[StatisticsPolicy] = "reset"

    def __post_init__(self) -> None:
        real_number("factor", self.factor, least=0, example=2.0, above=True)

    def ignores_values(self, parameter: Parameter) -> bool:
        """Whether the trained values do not matter: wherever the role is known."""
        return parameter.role not in ("other", "magnitude")

    def __call__(self, value: HostArray, parameter: Parameter, rng: np.random.Generator) -> HostArray:
        """The new value, shaped like `value`."""
        match parameter.role:
            case "kernel":
                return truncated_normal(value.shape, math.sqrt(self.factor / parameter.fan_in), rng)
            case "bias" | "shift" | "mean":
                return np.zeros(value.shape)
            case "scale" | "variance":
                return np.ones(value.shape)
            case _:
                return MatchedNormal()(value, parameter, rng)


@dataclass(frozen=True)
class NativeInit:
    """Draw a layer anew with the framework's own initializer.

    Parameters without one are drawn as by `Reinitialize`. The adapter must have the capability
    `SupportsNativeInit`; each draw is fresh and depends on the seed alone.

    Example:
        >>> import agnostic_rand as ar
        >>> ar.FullRandomization(perturbation=ar.NativeInit())
        FullRandomization(perturbation=NativeInit(), groups=None, fresh=False, statistics=None, exclude=())
    """

    default_statistics: ClassVar[StatisticsPolicy] = "reset"

    def ignores_values(self, parameter: Parameter) -> bool:
        """As `Reinitialize`."""
        return Reinitialize().ignores_values(parameter)

    def __call__(self, value: HostArray, parameter: Parameter, rng: np.random.Generator) -> HostArray:
        """The value for a parameter that the framework does not initialize."""
        return Reinitialize()(value, parameter, rng)


@dataclass(frozen=True)
class Permute:
    """Shuffle all elements of each parameter: the distribution of values stays, the structure goes.

    Works for integer (quantized) parameters too.
    """

    accepts_any_values: ClassVar[bool] = True

    def __call__(self, value: HostArray, _parameter: Parameter, rng: np.random.Generator) -> HostArray:
        """The new value, shaped like `value`."""
        return rng.permutation(value.reshape(-1)).reshape(value.shape)


@dataclass(frozen=True)
class MatchedNormal:
    """Draw each parameter from a normal with its own mean and standard deviation.

    Where all elements are equal (or there is one), the normal has mean 0 and the root mean
    square of the values, so that the trained value does not survive; zeros stay zeros.
    """

    def __call__(self, value: HostArray, _parameter: Parameter, rng: np.random.Generator) -> HostArray:
        """The new value, shaped like `value`."""
        mean, sd = _moments(value)
        if sd <= 1e-7 * abs(mean):
            mean, sd = 0.0, abs(mean)
        return mean + sd * rng.standard_normal(value.shape)


@dataclass(frozen=True)
class Uniform:
    """Draw every element from one uniform distribution, whatever its layer.

    `Uniform(0, 1)` is what Xplique draws. All kernels are then positive, which makes a ReLU
    network nearly linear: offered for comparison.

    Args:
        low: The lower end.
        high: The upper end, above `low`.

    Raises:
        ArgumentError: The range is empty.
    """

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        ends = (self.low, self.high)
        if not all(isinstance(end, int | float | np.number) and np.isfinite(end) for end in ends) or (
            self.low >= self.high
        ):
            raise ArgumentError(
                "Uniform(low, high)",
                expected="finite numbers with low < high",
                received=f"low={self.low!r}, high={self.high!r}",
                fix="Pass for example Uniform(0, 1).",
            )

    def ignores_values(self, _parameter: Parameter) -> bool:
        """Always."""
        return True

    def __call__(self, value: HostArray, _parameter: Parameter, rng: np.random.Generator) -> HostArray:
        """The new value, shaped like `value`."""
        return rng.uniform(self.low, self.high, value.shape)


@dataclass(frozen=True)
class GaussianNoise:
    """Add normal noise to each element.

    Args:
        std: The noise's standard deviation, at least 0.
        relative: Whether `std` counts in standard deviations of the parameter's own values,
            which makes layers comparable.

    Raises:
        ArgumentError: `std` is negative or not finite.
    """

    std: float
    relative: bool = False

    def __post_init__(self) -> None:
        real_number("std", self.std, least=0, example=0.1)

    def __call__(self, value: HostArray, _parameter: Parameter, rng: np.random.Generator) -> HostArray:
        """The new value, shaped like `value`."""
        scale = self.std * (_moments(value)[1] if self.relative else 1.0)
        return value + scale * rng.standard_normal(value.shape)


@dataclass(frozen=True)
class MultiplicativeNoise:
    """Multiply each element by normal noise around 1, as NoiseGrad (Bykov et al. 2022) does.

    Args:
        std: The noise's standard deviation, at least 0.

    Raises:
        ArgumentError: `std` is negative or not finite.
    """

    std: float

    def __post_init__(self) -> None:
        real_number("std", self.std, least=0, example=0.1)

    def __call__(self, value: HostArray, _parameter: Parameter, rng: np.random.Generator) -> HostArray:
        """The new value, shaped like `value`."""
        return value * (1.0 + self.std * rng.standard_normal(value.shape))


@dataclass(frozen=True)
class PoissonNoise:
    """Replace each magnitude by a Poisson count of it, in units of `1 / rate`; signs stay.

    The expectation is the value itself and the variance `|value| / rate`.

    Args:
        rate: Counts per unit of weight, above 0. More counts, less noise.

    Raises:
        ArgumentError: `rate` is not above 0.
    """

    rate: float

    def __post_init__(self) -> None:
        real_number("rate", self.rate, least=0, example=100.0, above=True)

    def __call__(self, value: HostArray, _parameter: Parameter, rng: np.random.Generator) -> HostArray:
        """The new value, shaped like `value`."""
        return np.sign(value) * rng.poisson(np.abs(value) * self.rate) / self.rate


_BY_NAME: dict[str, type[Reinitialize | NativeInit | Permute | MatchedNormal | Uniform]] = {
    "reinitialize": Reinitialize,
    "native_init": NativeInit,
    "permute": Permute,
    "matched_normal": MatchedNormal,
    "uniform": Uniform,
}


def resolve_perturbation(perturbation: str | Perturbation) -> Perturbation:
    """The perturbation that a name stands for, or the object itself.

    Raises:
        UnknownNameError: The name stands for none.
        ArgumentError: The object is no perturbation.
    """
    if isinstance(perturbation, str):
        if perturbation not in _BY_NAME:
            raise unknown_name("perturbation", perturbation, _BY_NAME)
        return _BY_NAME[perturbation]()
    if isinstance(perturbation, type) or not callable(perturbation):
        raise ArgumentError(
            "perturbation",
            expected="a name or an object such as Reinitialize()",
            received=repr(perturbation),
            fix=f"Pass one of the names {', '.join(_BY_NAME)}, or an instance.",
        )
    return perturbation


def ignores_values(perturbation: Perturbation, parameter: Parameter) -> bool:
    """Whether a draw depends on the parameter's shape and role alone."""
    asked = getattr(perturbation, "ignores_values", None)
    return asked is not None and bool(asked(parameter))


def default_statistics(perturbation: Perturbation) -> StatisticsPolicy:
    """The perturbation's own policy for running statistics; `"keep"` where it names none."""
    policy: StatisticsPolicy = getattr(perturbation, "default_statistics", "keep")
    return policy


def _moments(value: HostArray) -> tuple[float, float]:
    if value.size == 0:
        return 0.0, 0.0
    # Sums depend on the order of their terms: the canonical one, whatever the memory layout.
    ordered = np.ascontiguousarray(value)
    return float(ordered.mean()), float(ordered.std())
