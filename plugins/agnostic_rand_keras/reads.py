"""What a forward pass reads: variables of a model, and arrays that its layers hold beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, TypeAlias

import keras

from agnostic_rand_keras.tree import all_variables, declared_fixed, places

Name: TypeAlias = tuple[str, str]
"""A layer, and a parameter or statistic of it; for what belongs to no layer `""`, and a path."""


class FirstUses(keras.StatelessScope):  # type: ignore[misc]
    """A scope that notes each variable whose value is read in it; what is assigned in it is dropped.

    Args:
        state_mapping: The values that variables have in it, where not their own.
    """

    def __init__(self, state_mapping: Sequence[tuple[keras.Variable, Any]] = ()) -> None:
        super().__init__(state_mapping=state_mapping)
        self.seen: dict[int, keras.Variable] = {}

    def get_current_value(self, variable: keras.Variable) -> Any:
        """The value in this scope, if any: Keras asks for it at each use."""
        self.seen.setdefault(id(variable), variable)
        return super().get_current_value(variable)


@dataclass(frozen=True)
class Seen:
    """What a forward pass did with what it was watched for.

    Args:
        first: The variables of Keras that it read, by their first use.
        read: The names of those whose values were taken.
        used: The names of those on which the outputs depend.
        strangers: Descriptions of what the outputs depend on, has no name and is learned.
        branches: Whether another batch may use others.
    """

    first: tuple[keras.Variable, ...]
    read: frozenset[Name]
    used: frozenset[Name]
    strangers: tuple[str, ...] = ()
    branches: bool = False

    def may_use(self, layer: str, name: str) -> bool:
        """Whether outputs may depend on a parameter, of this batch or of another."""
        return (layer, name) in self.used or (self.branches and (layer, name) not in self.read)


def named(held: Mapping[Name, Any], reached: Set[int]) -> frozenset[Name]:
    """The names of those that are reached, or whose values are.

    Args:
        held: Variables of Keras and plain arrays.
        reached: The `id` of each object that is.
    """
    return frozenset(name for name, thing in held.items() if {id(thing), id(value_of(thing))} & reached)


def value_of(thing: Any) -> Any:
    """The array that a variable of Keras has, or a plain array itself."""
    return thing if _is_array(thing) else thing.value


def others(model: keras.Model, listed: Mapping[Name, Any]) -> dict[Name, Any]:
    """The floating variables of Keras and plain arrays that a model's layers hold, and that are not listed."""
    passed = {id(value_of(thing)) for thing in listed.values()}
    found: dict[Name, Any] = {}
    for path, name, thing in (*_fixed(model), *_plain(model)):
        if id(value_of(thing)) not in passed and "float" in str(thing.dtype):
            passed.add(id(value_of(thing)))
            found["", "/".join(filter(None, (path, name)))] = thing
    return found


def is_learned(array: Any) -> bool:
    """Whether a framework trains a plain array."""
    return bool(getattr(array, "trainable", False) or getattr(array, "requires_grad", False))


def _fixed(model: keras.Model) -> Iterator[tuple[str, str, Any]]:
    for place in places(model):
        yield from ((place.path, name, variable) for name, variable in declared_fixed(place.layer).items())


def _plain(model: keras.Model) -> Iterator[tuple[str, str, Any]]:
    of_keras = {id(variable.value) for variable in all_variables(model)}
    for place in places(model):
        # On torch a layer is a module, and may hold others that Keras does not know.
        inside = place.layer.named_modules() if hasattr(place.layer, "named_modules") else [("", place.layer)]
        for path, part in inside:
            if path.endswith("_torch_params"):
                # Keras' own list of its variables, which goes on with those that quantization has replaced.
                continue
            own = dict(vars(part))
            tensors = own.pop("_parameters", {}) | own.pop("_buffers", {})
            for name, array in _leaves(own | tensors, ()):
                if id(array) not in of_keras:
                    yield "/".join(filter(None, (place.path, path))), name, array


def _is_array(thing: Any) -> bool:
    # On TensorFlow a variable of Keras is a tensor too.
    return keras.ops.is_tensor(thing) and not isinstance(thing, keras.Variable)


def _leaves(value: Any, above: tuple[int, ...], name: str = "") -> Iterator[tuple[str, Any]]:
    if _is_array(value):
        yield name, value
    elif isinstance(value, Mapping | list | tuple) and id(value) not in above:
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, part in items:
            yield from _leaves(part, (*above, id(value)), f"{name}/{key}".lstrip("/"))
    elif hasattr(type(value), "trainable_variables") and not isinstance(value, keras.Layer | keras.Optimizer):
        # A module of TensorFlow.
        yield from ((f"{name}/{part.name.split(':')[0]}", part) for part in value.variables if _is_array(part))
