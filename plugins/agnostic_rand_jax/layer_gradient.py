"""The capability of adapters whose framework names the parts of a model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from agnostic_rand.adapters import Array, HostArray, ReluRule, SideInputs
from agnostic_rand_jax.adapter import JaxAdapter
from agnostic_rand_jax.arrays import full_precision, host_copy
from agnostic_rand_jax.calling import with_side_inputs
from agnostic_rand_jax.compiled import Compiled, Outputs, Values, differentiated
from agnostic_rand_jax.relu import with_rule
from agnostic_rand_jax.taps import from_layer, gradient_at, output_at, tapped_shapes


class LayerGradients(JaxAdapter):
    """Adds what happens at layers to an adapter that can put taps on them: outputs, gradients, statistics."""

    @abstractmethod
    def _tapped(self) -> Outputs:
        """The model in evaluation mode, with a tap on the output of each of its parts."""

    def layer_shapes(self, inputs: Array) -> dict[str, tuple[int, ...]]:
        """The shape of each part's last output, in the order in which they finish."""
        return tapped_shapes(self._tapped(), self._given(inputs), inputs)

    def layer_gradient(self, inputs: Array, targets: Array, layer: str) -> tuple[jax.Array, jax.Array]:
        """The part's last output, and the gradient with respect to it.

        Raises:
            UnknownNameError: No part of that name is called outside of loops, or its output is no array.
            ModelError: The model's output does not depend on it.
        """
        function = self._compiled.function(("layer", layer), lambda: gradient_at(self._tapped(), layer))
        output, gradient = self._compiled.over_batch(function, self._given(inputs), inputs, targets)
        return output, gradient

    def from_layer(self, inputs: Array, layer: str) -> JaxFromLayer:
        """The model from a part's output on."""
        return JaxFromLayer(self.values(), self.side_inputs, self._compiled, self._tapped, inputs, layer)

    @abstractmethod
    def _estimated(self, values: Values, inputs: Array, layers: frozenset[str]) -> Values:
        """The statistics that these layers take from `inputs`, while they normalize by them."""

    def estimate_statistics(self, inputs: Array, layers: Sequence[str]) -> dict[str, dict[str, HostArray]]:
        """The running means and variances that `inputs` give in one batch."""
        keys = {name: self._of(name) for name in layers}
        chosen = frozenset(layers)
        function = self._compiled.function(
            ("statistics", chosen), lambda: lambda values, x: self._estimated(values, x, chosen)
        )
        found = function(self._given(inputs), inputs)
        known = {
            layer: {name: host_copy(found[key]) for name, key in held.items() if key in found}
            for layer, held in keys.items()
        }
        return {layer: estimates for layer, estimates in known.items() if estimates}


@dataclass(frozen=True)
class JaxFromLayer:
    """A model from a part on, on one batch.

    Args:
        values: The model's arrays.
        side: What stands beside the inputs.
        compiled: The model's functions.
        tapped: The model with taps on its parts.
        inputs: The batch `(n, ...)`.
        layer: The part's name.

    Raises:
        UnknownNameError: There is no such part.
        ModelError: It does not run once in a forward pass.
    """

    values: Values
    side: SideInputs | None
    compiled: Compiled
    tapped: Callable[[], Outputs]
    inputs: Array
    layer: str

    @property
    def output(self) -> jax.Array:
        """What the part puts out, in full precision."""
        function = self.compiled.function(("output", self.layer), lambda: output_at(self.tapped(), self.layer))
        output: jax.Array = self.compiled.over_batch(function, self._given(self.inputs), self.inputs)[0]
        return full_precision(output)

    def predict(self, output: Array) -> jax.Array:
        """The model's outputs where the part puts out `output`."""
        function = self.compiled.function(("from", self.layer), lambda: from_layer(self.tapped(), self.layer))
        outputs: jax.Array = function((self._given(output), self._copies(output)), output)
        return outputs

    def gradient(self, output: Array, targets: Array, *, relu: ReluRule = "standard") -> jax.Array:
        """The gradient with respect to `output`."""

        def made() -> Callable[..., tuple[jax.Array, jax.Array]]:
            rest = from_layer(self.tapped(), self.layer)
            return differentiated(rest if relu == "standard" else with_rule(rest, relu))

        function = self.compiled.function(("gradient from", self.layer, relu), made)
        gradient: jax.Array = function((self._given(output), self._copies(output)), output, targets)[1]
        return gradient

    def _given(self, rows: Array) -> Values:
        return with_side_inputs(self.values, self.side, rows.shape[0])

    def _copies(self, output: Array) -> jax.Array:
        repeats = output.shape[0] // self.inputs.shape[0]
        return jnp.tile(self.inputs, (repeats, *[1] * (self.inputs.ndim - 1)))
