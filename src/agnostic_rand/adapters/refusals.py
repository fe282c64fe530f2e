"""Refusals that every adapter says in the same words: of a model, a layer or inputs that it cannot use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from agnostic_rand.adapters.protocol import HostArray, Layer, ReluRule
from agnostic_rand.errors import InputError, ModelError, WeightsError, unknown_name

IN_PLACE = "Pass isolation='in_place': weights are swapped in your model and put back bit for bit."
_ANOTHER = "Name another layer."


@contextmanager
def called_on(example: Any, model: str) -> Iterator[None]:
    """Say what it means when a call of the model on the example raises.

    Args:
        example: What the model is called on.
        model: Its name.

    Raises:
        ModelError: The call raises something; one that the call raises itself is passed on.
    """
    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"the model {model}",
            expected="a model that can be called on the inputs",
            received=f"{type(error).__name__} for inputs of shape {np.shape(example)}: {error}",
            fix="Check the inputs' shape and type, or pass forward=lambda model, inputs: ...",
        ) from error


def refuse_misfits(layer: str, values: Mapping[str, HostArray], layers: Sequence[Layer]) -> None:
    """Refuse to write values that are not those of the layer's parameters and statistics, before any is written.

    Raises:
        UnknownNameError: There is no such layer, or no such parameter in it.
        WeightsError: An array has another shape than the parameter.
    """
    listed = next((known for known in layers if known.name == layer), None)
    if listed is None:
        raise unknown_name("layer", layer, [known.name for known in layers])
    shapes = {p.name: p.shape for p in (*listed.parameters, *listed.statistics)}
    for name, value in values.items():
        if name not in shapes:
            raise unknown_name(f"parameter of layer {layer!r}", name, shapes)
        if np.shape(value) != shapes[name]:
            raise WeightsError(
                f"the values of {layer}.{name}",
                expected=f"shape {shapes[name]}",
                received=f"shape {np.shape(value)}",
                fix="Write arrays of the shapes that read() returns.",
            )


def refuse_integers(dtype: object, *, floating: bool) -> None:
    """Refuse inputs that are not of floating-point numbers, where a gradient is asked for.

    Raises:
        InputError: They are not.
    """
    if not floating:
        raise InputError(
            "inputs",
            expected="floating-point inputs, which have a gradient",
            received=f"inputs of type {dtype}",
            fix="Convert images to float32 (and scale them as in training). For token ids pass wrt_layer= with "
            "the name of their embedding.",
        )


def no_outputs(model: str, returned: Any) -> ModelError:
    """Describe a model that returns something else than one array, and how one is taken out."""
    kind, place = f"a {type(returned).__name__}", ".logits"
    if isinstance(returned, Mapping) and returned:
        kind, place = f"{kind} with {', '.join(map(str, returned))}", f"[{next(iter(returned))!r}]"
    elif isinstance(returned, list | tuple):
        kind, place = f"{kind} of {len(returned)}", "[0]"
    return ModelError(
        f"the output of {model}",
        expected="one tensor (n, classes)",
        received=kind,
        fix=f"Pass forward=lambda model, inputs: ... that returns it, such as model(inputs){place}.",
    )


def no_gradient(model: str) -> ModelError:
    """Describe outputs that no gradient connects to the inputs."""
    return ModelError(
        f"the gradient of {model}",
        expected="outputs that depend on the inputs by operations with a gradient",
        received="outputs that no gradient connects to the inputs",
        fix="Remove from the forward pass what stops gradients (detach, stop_gradient, argmax, NumPy code), or "
        "pass forward=lambda model, inputs: ... that returns the scores of all classes.",
    )


def no_relu(rule: ReluRule, model: str) -> ModelError:
    """Describe a model in which a rule would change nothing."""
    return ModelError(
        f"relu={rule!r} on {model}",
        expected="at least one ReLU in the forward pass",
        received="none (other activations)",
        fix="Use Gradient(): without a ReLU this method is the plain gradient.",
    )


def relu_out_of_reach(rule: ReluRule, model: str, received: str, instead: str) -> ModelError:
    """Describe a ReLU that would keep its own gradient.

    Args:
        rule: The rule that was asked for.
        model: The model's name.
        received: Where the ReLU is.
        instead: How that part of the model can be written.
    """
    return ModelError(
        f"relu={rule!r} on {model}",
        expected="ReLUs in the open, whose gradient can be changed",
        received=f"{received}, where no rule reaches it",
        fix=f"Use Gradient(), or {instead}.",
    )


def unusable_layer(layer: str, received: str) -> ModelError:
    """Describe a layer whose output cannot be differentiated with respect to."""
    return ModelError(
        f"the layer {layer!r}",
        expected="a layer whose output is one tensor that the model's output depends on",
        received=received,
        fix=_ANOTHER,
    )


def runs_not_once(layer: str, received: str) -> ModelError:
    """Describe a layer whose output has no one place in the forward pass."""
    return ModelError(
        f"the layer {layer!r}",
        expected="a layer that runs once in a forward pass and puts out one floating-point tensor",
        received=received,
        fix=_ANOTHER,
    )


def no_copy(model: str, received: str) -> ModelError:
    """Describe a model that cannot be copied."""
    return ModelError(f"the model {model}", expected="a model that can be copied", received=received, fix=IN_PLACE)


def bound_copy(model: str, where: str, reached: str) -> ModelError:
    """Describe a copy with a function that may use the original; no call on an example shows whether it does."""
    return ModelError(
        f"the copy of the model {model}, of which {where} uses the original",
        expected="functions that use the layers of the model that is called",
        received=f"one that is bound to {reached} of the original",
        fix="Pass example_inputs, to see what a call computes with, or isolation='in_place'.",
    )


def no_variance(received: str) -> InputError:
    """Describe inputs of which one value, that has no variance, reaches each channel of a normalization."""
    return InputError(
        "statistics='recalibrate'",
        expected="inputs that have a variance: more than one value for each channel",
        received=received,
        fix="Pass more inputs, or use statistics='reset'.",
    )


def own_normalization(layer: str, kind: str) -> ModelError:
    """Describe running statistics of which nothing says over what they are taken."""
    return ModelError(
        f"statistics='recalibrate' of the layer {layer!r}",
        expected="a layer of the type BatchNormalization",
        received=f"a {kind}, which normalizes by code of its own",
        fix="Use statistics='reset' or 'keep'.",
    )
