"""One evaluation of a Keras model in which nothing of it changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras

from agnostic_rand.adapters import Array, Forward, no_outputs
from agnostic_rand.errors import ModelError
from agnostic_rand_keras.calling import call_model
from agnostic_rand_keras.reads import FirstUses


@dataclass(frozen=True)
class ForwardPass:
    """The model in inference mode as a function of its variables' values and the inputs.

    Args:
        model: The model.
        variables: All its state.
        forward: `forward(model, inputs) -> outputs`, or `None` for `model(inputs)`.
    """

    model: keras.Model
    variables: tuple[keras.Variable, ...]
    forward: Forward | None

    def __call__(self, inputs: Array, values: Sequence[Array] | None = None, *, training: bool = False) -> Array:
        """The outputs `(n, classes)`, at least float32, with `values` for the variables' own where given.

        Raises:
            ModelError: The model returns something else.
        """
        with keras.StatelessScope(state_mapping=self.mapping(values)):
            return self.called(inputs, values, training=training)

    def first_uses(
        self, inputs: Array, values: Sequence[Array] | None = None
    ) -> tuple[Array, tuple[keras.Variable, ...]]:
        """The outputs, and the variables in the order in which they are read; none of them changes."""
        with FirstUses(self.mapping(values)) as scope:
            return self.called(inputs, values), tuple(scope.seen.values())

    def mapping(self, values: Sequence[Array] | None) -> list[tuple[keras.Variable, Array]]:
        """The state of a scope in which the model has these values."""
        return [] if values is None else list(zip(self.variables, values, strict=True))

    def called(self, inputs: Array, values: Sequence[Array] | None = None, *, training: bool = False) -> Array:
        """The outputs, in the scope of the caller, which has the values."""
        if self.forward is None:
            outputs = call_model(self.model, inputs, training=training)
        else:
            outputs = self.forward(self.model, inputs)
        return self._checked(outputs)

    def _checked(self, outputs: Array) -> Array:
        if not keras.ops.is_tensor(outputs):
            raise no_outputs(repr(self.model.name), outputs)
        shape = tuple(outputs.shape)
        if len(shape) not in (1, 2):
            raise ModelError(
                f"the output of {self.model.name!r}",
                expected="a tensor (n, classes)",
                received=f"one of shape {shape}",
                fix="Pass forward=lambda model, inputs: ... that returns such a tensor.",
            )
        if keras.backend.standardize_dtype(outputs.dtype) in ("float16", "bfloat16"):
            outputs = keras.ops.cast(outputs, "float32")
        return outputs[:, None] if len(shape) == 1 else outputs
