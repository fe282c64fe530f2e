"""Which object holds which variable, under which name: the walk through a model."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from agnostic_rand.errors import ModelError
from agnostic_rand_tensorflow.legacy_keras import is_layer, is_metric

Trackable = tf.__internal__.tracking.AutoTrackable

# Bookkeeping of the frameworks: what these attributes hold is found under its own name, or is no weight.
_SKIPPED = frozenset(
    {"optimizer", "compiled_metrics", "compiled_loss", "_metrics", "keras_api", "_serialized_attributes"}
)
_SKIPPED_OF_SAVED_MODELS = frozenset({"signatures", "variables", "trainable_variables", "non_trainable_variables"})


@dataclass(frozen=True)
class Owned:
    """One variable, and where it was found.

    Args:
        variable: The variable.
        owner: The module, layer or trackable object that holds it.
        path: The owner's names from the root, joined by `/`; empty for the root.
        name: The variable's name in the owner.
        direct: Whether it is an attribute of the owner itself, not an item of a list or dict.
        trainable: Whether the framework trains it.
    """

    variable: tf.Variable
    owner: Any
    path: str
    name: str
    direct: bool
    trainable: bool

    @property
    def parameter(self) -> str:
        """The name without `/`, which separates layers: `kernels.0` for an item of a list."""
        return self.name.replace("/", ".")


@dataclass(frozen=True)
class Ownership:
    """A model, walked through in order of declaration.

    Args:
        variables: Every variable, once for each place where it was found.
        owners: By path, every module or layer, with or without variables.
        generators: Every random generator that the model holds.
    """

    variables: tuple[Owned, ...]
    owners: dict[str, Any]
    generators: tuple[tf.random.Generator, ...]


def walk(root: Any) -> Ownership:
    """Every variable of a model, by the object that owns it.

    Raises:
        ModelError: A Keras model is not built.
    """
    walker = _Walker()
    walker.visit(root, "")
    walker.add_missed(root)
    return Ownership(tuple(walker.found), walker.owners, tuple(walker.generators))


class _Walker:
    def __init__(self) -> None:
        self.found: list[Owned] = []
        self.owners: dict[str, Any] = {}
        self.generators: list[tf.random.Generator] = []
        self._visited: set[int] = set()

    def visit(self, owner: Any, path: str) -> None:
        if id(owner) in self._visited:
            return
        self._visited.add(id(owner))
        self.owners[path] = owner
        if is_layer(owner):
            self._visit_layer(owner, path)
        elif is_modern_layer(owner):
            self._visit_keras3(owner, path)
        else:
            self._visit_object(owner, path)

    def add_missed(self, root: Any) -> None:
        """What TensorFlow finds and the walk did not belongs to the root."""
        seen = {id(owned.variable) for owned in self.found}
        for variable in getattr(root, "variables", ()):
            if isinstance(variable, tf.Variable) and id(variable) not in seen:
                name = variable.name.split(":")[0]
                self.found.append(Owned(variable, root, "", name, True, variable.trainable))

    def _visit_object(self, owner: Any, path: str) -> None:
        for name, leaf, direct in leaves_of(owner):
            if isinstance(leaf, tf.Variable):
                self.found.append(Owned(leaf, owner, path, name, direct, leaf.trainable))
            elif isinstance(leaf, tf.random.Generator):
                self.generators.append(leaf)
            elif _is_keras3_variable(leaf):
                self.found.append(Owned(leaf.value, owner, path, name, direct, leaf.trainable))
            elif _is_owner(leaf):
                self.visit(leaf, _joined(path, name))

    def _visit_layer(self, layer: Any, path: str) -> None:
        """A layer of Keras 2: its own weights, then the layers inside it by their names."""
        children = [(name, leaf) for name, leaf, _ in leaves_of(layer) if _is_owner(leaf)]
        # A model lists its layers in order; its attributes may name the last one first.
        place = {id(child): i for i, child in enumerate(getattr(layer, "layers", ()))}
        children.sort(key=lambda child: place.get(id(child[1]), len(place)))
        inside = {id(weight) for _, child in children for weight in getattr(child, "variables", ())}
        own = [weight for weight in _weights(layer) if id(weight) not in inside]
        used: set[str] = set()
        for weight in own:
            name = _unused(weight.name.split(":")[0].rpartition("/")[2], used)
            self.found.append(Owned(weight, layer, path, name, True, weight.trainable))
        for name, child in children:
            called = _joined(path, child.name if is_layer(child) else name)
            # Layers of a subclassed model may share a name; their attributes do not.
            self.visit(child, called if called not in self.owners else _joined(path, name))

    def _visit_keras3(self, layer: Any, path: str) -> None:
        """A layer of Keras 3 inside a module: its variables know their own paths."""
        inside = {nested.path: nested for nested in _nested_keras3(layer)}
        for variable in layer.variables:
            scope, _, name = variable.path.rpartition("/")
            place = _joined(path, scope.removeprefix(layer.path).strip("/"))
            owner = self.owners.setdefault(place, inside.get(scope, layer))
            if isinstance(variable.value, tf.Variable):
                self.found.append(Owned(variable.value, owner, place, name, True, variable.trainable))


def leaves_of(owner: Any) -> Iterator[tuple[str, Any, bool]]:
    """What attributes hold, through lists and dicts: names, and whether each is an attribute itself."""
    ignored: frozenset[str] = getattr(type(owner), "_TF_MODULE_IGNORED_PROPERTIES", frozenset())
    skipped = ignored | _SKIPPED | (frozenset() if isinstance(owner, tf.Module) else _SKIPPED_OF_SAVED_MODELS)
    held = {key: value for key, value in vars(owner).items() if key not in skipped and not key.startswith("_self_")}
    # Layers of a functional model are here only, others under the names of their attributes too.
    tracked = vars(owner).get("_self_tracked_trackables", ())
    for key, value in (*held.items(), ("layers", list(tracked))):
        for name, leaf in _leaves(value, key, ()):
            yield name, leaf, name == key


def _leaves(value: Any, name: str, above: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    if id(value) in above:
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{name}/{key}", (*above, id(value)))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _leaves(item, f"{name}/{i}", (*above, id(value)))
    else:
        yield name, value


def _weights(layer: Any) -> list[tf.Variable]:
    try:
        return list(layer.weights)
    except ValueError as error:
        raise ModelError(
            f"the model {type(layer).__name__}",
            expected="a model that has all its variables",
            received=f"one that is not built: {error}",
            fix="Call the model once on a batch before the check.",
        ) from error


def _is_owner(thing: Any) -> bool:
    no_owner = isinstance(thing, tf.Variable | tf.random.Generator) or _is_keras3_variable(thing)
    return isinstance(thing, Trackable) and not no_owner and not is_metric(thing)


def is_modern_layer(thing: Any) -> bool:
    """Whether it is a layer or a model of Keras 3."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(thing, keras.layers.Layer)


def _is_keras3_variable(thing: Any) -> bool:
    keras = sys.modules.get("keras")
    return keras is not None and hasattr(keras, "Variable") and isinstance(thing, keras.Variable)


def _nested_keras3(layer: Any) -> Iterator[Any]:
    for nested in getattr(layer, "layers", ()):
        yield nested
        yield from _nested_keras3(nested)


def _joined(path: str, name: str) -> str:
    return f"{path}/{name}" if path and name else path or name


def _unused(name: str, used: set[str]) -> str:
    unique = name
    while unique in used:
        unique += "_"
    used.add(unique)
    return unique
