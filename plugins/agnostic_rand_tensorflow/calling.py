"""How a model is called: by a user's function, as itself, or by a signature of a SavedModel."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from agnostic_rand.adapters import Forward, called, no_outputs
from agnostic_rand.errors import ModelError
from agnostic_rand_tensorflow.legacy_keras import is_layer

Call = Callable[[Any], tf.Tensor]
"""From the inputs (a tensor; for several a tuple or a dictionary of tensors) to the outputs."""

_MODES = ("training", "is_training")
_POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD


def call_of(model: Any, forward: Forward | None, *, training: bool = False) -> Call:
    """A function from inputs to outputs `(n, classes)`.

    A model whose call takes `training` (or `is_training`) is told; `forward` decides for itself.

    Raises:
        ModelError: Nothing says how the model is called.
    """
    if forward is not None:

        def call(inputs: Any) -> tf.Tensor:
            return _checked(forward(model, inputs), model)

        return call
    if callable(model):
        mode = _mode_of(model)
        modes = {} if mode is None else {mode: training}

        def call_itself(inputs: Any) -> tf.Tensor:
            return _checked(call_model(model, inputs, modes), model)

        return call_itself
    signatures = dict(getattr(model, "signatures", None) or {})
    if len(signatures) > 1:
        signatures = {name: known for name, known in signatures.items() if name == "serving_default"}
    if not signatures:
        raise ModelError(
            f"the model {type(model).__name__}",
            expected="a module with __call__, or a SavedModel with a signature",
            received="neither",
            fix="Pass forward=lambda model, inputs: model.some_method(inputs)",
        )
    return _signature_call(model, next(iter(signatures.values())))


def _signature_call(model: Any, signature: Any) -> Call:
    names = list(signature.structured_input_signature[1])

    def call(inputs: Any) -> tf.Tensor:
        named = inputs if isinstance(inputs, dict) else {names[0]: inputs}
        if set(named) != set(names):
            raise ModelError(
                "the SavedModel's signature",
                expected=f"one input for each of {', '.join(names)}",
                received=f"{len(named)}: {', '.join(map(str, named))}",
                fix="Pass a dictionary of inputs, or forward=lambda model, inputs: model.signatures[...](...)[...]",
            )
        return _checked(signature(**named), model)

    return call


def call_model(model: Any, inputs: Any, modes: dict[str, bool]) -> Any:
    """What the model returns; several inputs are passed by position or name, to Keras as its `call` takes them."""
    if isinstance(inputs, tuple | dict) and is_layer(model):
        parameters = inspect.signature(model.call).parameters
        required = [name for name, p in parameters.items() if p.default is p.empty and p.kind is _POSITIONAL]
        if isinstance(inputs, dict) and not set(inputs) <= set(parameters):
            return model(inputs, **modes)
        if isinstance(inputs, tuple) and len(required) < len(inputs):
            return model(list(inputs), **modes)
    return called(model, inputs, **modes)


def _mode_of(model: Any) -> str | None:
    """The parameter of the model's call that switches between training and evaluation."""
    try:
        # A layer of Keras takes any arguments, and hands them to its own `call`.
        names = set(inspect.signature(model.call if is_layer(model) else model.__call__).parameters)
    except ValueError:
        return None
    return next((name for name in _MODES if name in names), None)


def _checked(outputs: Any, model: Any) -> tf.Tensor:
    if isinstance(outputs, dict) and len(outputs) == 1:
        (outputs,) = outputs.values()
    if not isinstance(outputs, tf.Tensor):
        raise no_outputs(type(model).__name__, outputs)
    return outputs[:, None] if outputs.shape.rank == 1 else outputs
