"""Copies of a model that are proven to be copies."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import TypeVar

import keras
import numpy as np

from agnostic_rand.errors import ModelError
from agnostic_rand_keras.arrays import host_copy
from agnostic_rand_keras.compilation import compiled_alike
from agnostic_rand_keras.random_state import unmoved
from agnostic_rand_keras.structural_copy import structural_copy
from agnostic_rand_keras.tree import (
    all_layers,
    all_variables,
    declared_fixed,
    declared_trainable,
    places,
    take_names,
)

T = TypeVar("T")


def cloned(model: keras.Model, accept: Callable[[keras.Model], T]) -> T:
    """What `accept` makes of a copy of the model.

    The model is copied object by object; where that fails or gives no true copy, it is built anew
    from its config, and the weights are copied by value.

    Args:
        model: The model.
        accept: Gets a copy with the same weights; raises `ModelError` where the copy computes
            something else.

    Raises:
        ModelError: No way gives a true copy.
    """
    faults = []
    with unmoved():
        for way in (structural_copy, _from_config):
            try:
                duplicate = way(model)
                _prove(model, duplicate)
                return accept(compiled_alike(duplicate, model))
            except Exception as error:  # noqa: BLE001 - a model's own code may raise anything; it is reported below
                faults.append(f"{type(error).__name__}: {textwrap.shorten(str(error), 200, placeholder=' …')}")
    raise ModelError(
        f"the model {model.name!r}",
        expected="a model that can be copied object by object, or built anew from get_config()",
        received=f"{faults[0]} / {faults[1]}",
        fix="Let forward= and the model's own functions use the model that they are given, or pass "
        "isolation='in_place': weights are swapped in your model and put back bit for bit.",
    )


def _from_config(model: keras.Model) -> keras.Model:
    graph = isinstance(model, keras.Sequential) or hasattr(model, "_nodes_by_depth")
    duplicate = keras.models.clone_model(model) if graph else type(model).from_config(model.get_config())
    if not duplicate.built:
        duplicate.build_from_config(model.get_build_config())
        # Keras builds the layers of a subclassed model, and does not say so; the weights are compared below.
        duplicate.built = True
    take_names(duplicate, model)
    # Copied, so that keras.Variable objects that were shared in the model must be shared here too.
    pairs = zip(all_variables(model), all_variables(duplicate), strict=True)
    for original, fresh in pairs:
        fresh.assign(original.value)
    return duplicate


def _prove(model: keras.Model, duplicate: keras.Model) -> None:
    """Raise where the copy has other layers or weights, or shares some.

    Raises:
        ModelError: It does; the message says what.
    """
    if _skeleton(duplicate) != _skeleton(model):
        raise _unfaithful("the same layers, with the same weights shared", "others, such as weights tied no more")
    shared = {id(x) for x in (*all_layers(model), *all_variables(model))}
    if any(id(x) in shared for x in (*all_layers(duplicate), *all_variables(duplicate))):
        raise _unfaithful("objects of its own", "layers or weights of the original")
    for original, copy in zip(all_variables(model), all_variables(duplicate), strict=True):
        if not np.array_equal(host_copy(original.value), host_copy(copy.value), equal_nan=True):
            raise _unfaithful(f"the values of {original.path}", "others")


def _skeleton(model: keras.Model) -> list[object]:
    """Paths, types and flags of all layers, and which of them hold which variable."""
    numbers: dict[int, int] = {}
    described: list[object] = []
    for place in places(model):
        if isinstance(place.layer, keras.layers.InputLayer):
            # clone_model gives it another name.
            continue
        described.append((place.path, type(place.layer), place.layer.trainable))
        for variables in (declared_trainable(place.layer), declared_fixed(place.layer)):
            for name, v in variables.items():
                number = numbers.setdefault(id(v), len(numbers))
                described.append((name, number, tuple(v.shape), v.dtype, v.trainable))
    return described


def _unfaithful(expected: str, received: str) -> ModelError:
    return ModelError(
        "the copy of the model", expected=expected, received=received, fix="Pass isolation='in_place'."
    )
