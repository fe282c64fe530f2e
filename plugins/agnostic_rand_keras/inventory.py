"""Every parameter of a Keras model, each in exactly one layer, with the variables that hold them."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from agnostic_rand.adapters import DistinctNames, Entry, Inventory, Parameter, inventory_of
from agnostic_rand.errors import ModelError
from agnostic_rand_keras.roles import STATISTICS, meaning
from agnostic_rand_keras.torch_buffers import Buffer, running_statistics
from agnostic_rand_keras.tree import Place, declared_fixed, declared_trainable, places


@dataclass(frozen=True, eq=False)
class _Held:
    place: Place
    name: str
    variable: keras.Variable

    @property
    def by_its_maker(self) -> bool:
        """Whether the layer made the variable itself; Keras then puts the layer's name into the path."""
        return bool(self.variable.path.split("/")[-2:-1] == [self.place.layer.name])


def take_inventory(model: keras.Model) -> Inventory[keras.Variable]:
    """List the parameters of a model.

    Raises:
        ModelError: The model is not built.
    """
    if not model.built:
        raise ModelError(
            f"the model {model.name!r}",
            expected="a model with weights",
            received="one that is not built",
            fix="Call it once on a batch, or give it a keras.Input, before the check.",
        )
    held = tuple(places(model))
    learned = [_Held(p, name, v) for p in held for name, v in _learned(p.layer).items()]
    owned = _owned(learned)
    names = _layer_names(model, held, owned)
    aliases: dict[int, tuple[str, ...]] = {}
    for one in learned:
        if owned[id(one.variable)].place is not one.place:
            alias = f"{one.place.path}/{one.name}".lstrip("/")
            aliases[id(one.variable)] = (*aliases.get(id(one.variable), ()), alias)
    order = {place.path or model.name: position for position, place in reversed(list(enumerate(held)))}
    entries = [
        Entry(
            names.get(id(one.variable)) or one.place.path or model.name,
            "Variable" if id(one.variable) in names else type(one.place.layer).__name__,
            _described(one),
            one.variable,
            one.place.layer,
            statistic=id(one.variable) not in owned,
            aliases=aliases.get(id(one.variable), ()),
        )
        for one in (*owned.values(), *_statistics(held))
    ]
    return inventory_of(sorted(entries, key=lambda entry: order.get(entry.layer, -1)))


def _owned(learned: list[_Held]) -> dict[int, _Held]:
    """One of those that hold each variable: the layer that made it, else the first."""
    owned: dict[int, _Held] = {}
    for entry in learned:
        first = owned.setdefault(id(entry.variable), entry)
        if entry.by_its_maker and not first.by_its_maker:
            owned[id(entry.variable)] = entry
    return owned


def _layer_names(model: keras.Model, held: tuple[Place, ...], owned: dict[int, _Held]) -> dict[int, str]:
    """What a model owns beside its layers, such as a class token, is a layer of its own."""
    names = DistinctNames()
    for place in held:
        names.of(place.path, place.path)
    bare = [entry for entry in owned.values() if entry.place.layer is model]
    return {id(entry.variable): names.of(id(entry.variable), entry.name) for entry in bare} if len(held) > 1 else {}


def _statistics(held: tuple[Place, ...]) -> list[_Held]:
    found: dict[int, _Held] = {}
    for place in held:
        for name, variable in declared_fixed(place.layer).items():
            if name in STATISTICS and len(variable.shape):
                found.setdefault(id(variable), _Held(place, name, variable))
        for name, buffer in running_statistics(place.layer).items():
            found.setdefault(id(buffer.value), _Held(place, name, buffer))
    return list(found.values())


def _described(entry: _Held) -> Parameter:
    shape = tuple(int(n) for n in entry.variable.shape)
    dtype = keras.backend.standardize_dtype(entry.variable.value.dtype)
    if isinstance(entry.variable, Buffer):
        return Parameter(entry.name, shape, dtype, entry.variable.role)
    if entry.name in STATISTICS and any(entry.variable is v for v in declared_fixed(entry.place.layer).values()):
        return Parameter(entry.name, shape, dtype, STATISTICS[entry.name])
    return Parameter(entry.name, shape, dtype, *meaning(entry.place.layer, entry.name, len(shape)))


def _learned(layer: keras.Layer) -> dict[str, keras.Variable]:
    """What the layer learned; quantized weights are no longer trainable, and are so still."""
    quantized = getattr(layer, "quantization_mode", None) is not None
    fixed = declared_fixed(layer) if quantized else {}
    return declared_trainable(layer) | {name: v for name, v in fixed.items() if name not in STATISTICS}
