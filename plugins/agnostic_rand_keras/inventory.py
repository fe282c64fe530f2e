"""Every parameter of a Keras model, each in exactly one layer, with the variables that hold them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import keras

from agnostic_rand.adapters import Layer, Parameter
from agnostic_rand.errors import ModelError
from agnostic_rand_keras.roles import STATISTICS, meaning
from agnostic_rand_keras.torch_buffers import Buffer, running_statistics
from agnostic_rand_keras.tree import Place, declared_fixed, declared_trainable, distinct, places


@dataclass(frozen=True)
class Inventory:
    """The layers in order of declaration, and where their values live.

    Args:
        layers: From first to last declared.
        variables: By layer and parameter name, the variable.
        owners: By layer, the Keras layer that owns it.
    """

    layers: tuple[Layer, ...]
    variables: dict[str, dict[str, keras.Variable]]
    owners: dict[str, keras.Layer]


@dataclass(frozen=True, eq=False)
class _Held:
    place: Place
    name: str
    variable: keras.Variable

    @property
    def by_its_maker(self) -> bool:
        """Whether the layer made the variable itself; Keras then puts the layer's name into the path."""
        return bool(self.variable.path.split("/")[-2:-1] == [self.place.layer.name])


def take_inventory(model: keras.Model) -> Inventory:
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
    layers: dict[str, Layer] = {}
    variables: dict[str, dict[str, keras.Variable]] = {}
    owners: dict[str, keras.Layer] = {}
    for entry in [*owned.values(), *_statistics(held)]:
        layer = names.get(id(entry.variable)) or entry.place.path or model.name
        bare = id(entry.variable) in names
        kind = "Variable" if bare else type(entry.place.layer).__name__
        known = layers.get(layer) or Layer(layer, kind, ())
        if id(entry.variable) in owned:
            known = replace(known, parameters=(*known.parameters, _described(entry)))
        else:
            known = replace(known, statistics=(*known.statistics, _described(entry)))
        layers[layer] = known
        variables.setdefault(layer, {})[entry.name] = entry.variable
        owners[layer] = entry.place.layer
    for entry in learned:
        first = owned[id(entry.variable)]
        if first.place is not entry.place:
            layer = names.get(id(entry.variable)) or first.place.path or model.name
            alias = f"{entry.place.path}/{entry.name}".lstrip("/")
            aliases = tuple(dict.fromkeys((*layers[layer].aliases, alias)))
            layers[layer] = replace(layers[layer], aliases=aliases)
    order = [place.path or model.name for place in held]
    declared = sorted(layers.values(), key=lambda layer: order.index(layer.name) if layer.name in order else -1)
    return Inventory(tuple(declared), variables, owners)


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
    taken = {place.path for place in held}
    bare = [entry for entry in owned.values() if entry.place.layer is model]
    return {id(entry.variable): distinct(entry.name, taken) for entry in bare} if len(held) > 1 else {}


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
