"""A copy of a model that shares no variable with it."""

from __future__ import annotations

import copy
import random
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from agnostic_rand.adapters import no_copy
from agnostic_rand.errors import ModelError
from agnostic_rand_tensorflow.bound_functions import bound_function
from agnostic_rand_tensorflow.calling import call_model
from agnostic_rand_tensorflow.legacy_keras import is_layer, namespace_of
from agnostic_rand_tensorflow.ownership import Ownership, walk


@dataclass(frozen=True)
class Duplicate:
    """A copy, and what in it stands for what.

    Args:
        model: The copy.
        ownership: What the walk through it found.
        variables: By the `id` of each of the original's variables, the copy's.
        owners: By the `id` of each of the original's modules and layers, the copy's.
    """

    model: Any
    ownership: Ownership
    variables: dict[int, tf.Variable]
    owners: dict[int, Any]


def duplicated(model: Any, ownership: Ownership, example: Any) -> Duplicate:
    """Copy a model, with the values of all its variables.

    Args:
        model: The original.
        ownership: What the walk through it found.
        example: Tensors that a copy of a subclassed Keras model is built with, or `None`.

    Raises:
        ModelError: It cannot be copied.
    """
    if not isinstance(model, tf.Module):
        raise _cannot(model, "a loaded SavedModel, whose functions are bound to its variables")
    state = random.getstate()
    try:
        # Initializers of Keras take seeds from a generator that is kept by thread, or from Python's.
        with ThreadPoolExecutor(max_workers=1) as thread:
            made = thread.submit(_copy, model, example).result()
    except Exception as error:
        raise _cannot(model, f"{type(error).__name__}: {error}") from error
    finally:
        random.setstate(state)
    twin = walk(made)
    pairs = list(zip(ownership.variables, twin.variables, strict=False))
    same = len(ownership.variables) == len(twin.variables) and len(ownership.owners) == len(twin.owners)
    if not same or any(_kind(a.variable) != _kind(b.variable) or a.variable is b.variable for a, b in pairs):
        raise _cannot(model, "a model whose copy has other variables")
    bound = bound_function(ownership, twin) if example is None else None
    if bound is not None:
        raise _cannot(model, f"{bound} (a function that Python does not copy)")
    variables: dict[int, tf.Variable] = {}
    for ours, theirs in pairs:
        if variables.setdefault(id(ours.variable), theirs.variable) is not theirs.variable:
            raise _cannot(model, f"tied weights ({ours.variable.name!r}) that its copy unties")
        theirs.variable.assign(ours.variable)
    return Duplicate(
        made,
        twin,
        variables,
        {id(a): b for a, b in zip(ownership.owners.values(), twin.owners.values(), strict=True)},
    )


def _copy(model: Any, example: Any) -> Any:
    with warnings.catch_warnings():
        # Keras and TensorFlow warn of each other's arrays when they are copied.
        warnings.simplefilter("ignore", DeprecationWarning)
        return _keras_copy(model, example) if is_layer(model) else copy.deepcopy(model)


def _keras_copy(model: Any, example: Any) -> Any:
    keras = namespace_of(model)
    if not isinstance(model, keras.Model):
        made = type(model).from_config(model.get_config())
    else:
        made = keras.models.clone_model(model)
    if not made.built:
        if example is None:
            made.build_from_config(model.get_build_config())
        else:
            call_model(made, example, {})
    return made


def _kind(variable: tf.Variable) -> tuple[Any, ...]:
    return tuple(variable.shape), variable.dtype


def _cannot(model: Any, received: str) -> ModelError:
    return no_copy(type(model).__name__, received)
