"""The functions of a model, each compiled once however often its weights change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from agnostic_rand.adapters import Array, BatchSizes, ReluRule, mapped, no_outputs
from agnostic_rand_jax.arrays import full_precision
from agnostic_rand_jax.calling import side_inputs, with_side_inputs
from agnostic_rand_jax.relu import with_rule

Values: TypeAlias = dict[str, Any]
"""The arrays of a model by key, and what stands beside the explained input (see `calling`)."""

Outputs: TypeAlias = Callable[[Values, Array], Array]
"""`outputs(values, inputs) -> (n, classes)`: the model as a pure function of its arrays."""


class Compiled:
    """Outputs and gradients of one model, shared by all adapters of copies of it.

    The weights are arguments, so new weights compile nothing. A batch that is smaller than the
    largest one seen is filled up to it with copies of its last sample, whose results are dropped.

    Args:
        outputs: The model.

    Attributes:
        traces: By name, how often each function was traced, which goes before a compilation.
    """

    def __init__(self, outputs: Outputs) -> None:
        self._outputs = outputs
        self._functions: dict[Hashable, Any] = {}
        self._sizes = BatchSizes()
        self.traces: Counter[Any] = Counter()

    def predict(self, values: Values, inputs: Array) -> jax.Array:
        """The outputs `(n, classes)`."""
        function = self.function("predict", lambda: self._outputs)
        outputs: jax.Array = self.over_batch(function, values, inputs)[0]
        return outputs

    def output_and_gradient(
        self, values: Values, inputs: Array, targets: Array, rule: ReluRule
    ) -> tuple[jax.Array, jax.Array]:
        """The outputs, and the gradient of the targets' outputs by the rule."""
        function = self.function(
            ("gradient", rule),
            lambda: differentiated(self._outputs if rule == "standard" else with_rule(self._outputs, rule)),
        )
        outputs, gradient = self.over_batch(function, values, inputs, targets)
        return outputs, gradient

    def function(self, name: Hashable, make: Callable[[], Callable[..., Any]]) -> Any:
        """The compiled function of that name, made when it is first asked for."""
        if name not in self._functions:
            made = make()

            @wraps(made)
            def counted(*arguments: Any, **named: Any) -> Any:
                self.traces[name] += 1
                return made(*arguments, **named)

            self._functions[name] = jax.jit(counted)
        return self._functions[name]

    def over_batch(self, function: Any, values: Values, inputs: Array, *others: Array) -> tuple[jax.Array, ...]:
        """The results of `function(values, inputs, *others)`, called with a full batch; samples come first."""
        count = inputs.shape[0]
        size = count + self._sizes.missing(inputs)
        side = side_inputs(values)
        if size > count and side is not None:
            values = with_side_inputs(values, mapped(lambda array: _filled(array, size), side), size)
        results = function(values, _filled(inputs, size), *(_filled(other, size) for other in others))
        results = results if isinstance(results, tuple) else (results,)
        return tuple(result[:count] for result in results) if size > count else results


def as_outputs(outputs: Any, name: str) -> jax.Array:
    """What a model returned, as `(n, classes)` in full precision.

    Raises:
        ModelError: It is not one array.
    """
    if not isinstance(outputs, jax.Array):
        raise no_outputs(name, outputs)
    return full_precision(outputs[:, None] if outputs.ndim == 1 else outputs)


def selected(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """The sum of the targets' outputs, or of the outputs weighted by the targets."""
    if targets.ndim == 2:
        return (outputs * targets).sum()
    return jnp.take_along_axis(outputs, targets[:, None], axis=1).sum()


def differentiated(
    function: Callable[[Any, Array], Array],
) -> Callable[[Any, Array, Array], tuple[jax.Array, jax.Array]]:
    """The function's outputs, and the gradient of the targets' with respect to its last argument."""

    def output_and_gradient(values: Any, inputs: Array, targets: Array) -> tuple[jax.Array, jax.Array]:
        def score(x: Array) -> tuple[jax.Array, jax.Array]:
            outputs = function(values, x)
            return selected(outputs, targets), outputs

        gradient, outputs = jax.grad(score, has_aux=True)(inputs)
        return outputs, full_precision(gradient)

    return output_and_gradient


def _filled(array: Array, size: int) -> Array:
    missing = size - array.shape[0]
    if missing == 0:
        return array
    return jnp.concatenate([array, jnp.broadcast_to(array[-1:], (missing, *array.shape[1:]))])
