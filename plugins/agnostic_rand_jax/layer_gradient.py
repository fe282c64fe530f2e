"""The capability of adapters whose framework names the parts of a model."""

from __future__ import annotations

from abc import abstractmethod

import jax

from agnostic_rand.adapters import Array
from agnostic_rand_jax.adapter import JaxAdapter
from agnostic_rand_jax.compiled import Outputs
from agnostic_rand_jax.taps import gradient_at, tapped_shapes


class LayerGradients(JaxAdapter):
    """Adds `layer_shapes` and `layer_gradient` to an adapter that can put taps on its layers."""

    @abstractmethod
    def _tapped(self) -> Outputs:
        """The model in evaluation mode, with a tap on the output of each of its parts."""

    def layer_shapes(self, inputs: Array) -> dict[str, tuple[int, ...]]:
        """The shape of each part's last output, in the order in which they finish."""
        return tapped_shapes(self._tapped(), self.values(), inputs)

    def layer_gradient(self, inputs: Array, targets: Array, layer: str) -> tuple[jax.Array, jax.Array]:
        """The part's last output, and the gradient with respect to it.

        Raises:
            UnknownNameError: No part of that name is called outside of loops, or its output is no array.
            ModelError: The model's output does not depend on it.
        """
        function = self._compiled.function(("layer", layer), lambda: gradient_at(self._tapped(), layer))
        output, gradient = self._compiled.over_batch(function, self.values(), inputs, targets)
        return output, gradient
