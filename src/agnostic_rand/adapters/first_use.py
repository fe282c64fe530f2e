"""First use of layers: their order in a traced call, and what the outputs do not depend on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from agnostic_rand.adapters.protocol import Layer


def by_first_use(
    layers: Sequence[Layer], order: Iterable[str], used: Callable[[str, str], bool]
) -> tuple[Layer, ...]:
    """The layers by their first use, each with its unused parameters; for adapters that trace a call.

    A layer that is not used follows the one declared before it.

    Args:
        layers: In the order of declaration.
        order: The names of layers at each use, from the first on.
        used: `used(layer, parameter)`: whether the outputs may depend on it.

    Example:
        >>> layers = [Layer(name, "Dense", ()) for name in ("head", "idle", "body")]
        >>> [layer.name for layer in by_first_use(layers, ["body", "head"], lambda layer, parameter: True)]
        ['body', 'head', 'idle']
    """
    names = list(dict.fromkeys(order))
    previous: str | None = None
    for layer in layers:
        if layer.name not in names:
            names.insert(names.index(previous) + 1 if previous is not None else 0, layer.name)
        previous = layer.name
    known = {
        layer.name: replace(
            layer, unused=tuple(p.name for p in layer.parameters if p.size and not used(layer.name, p.name))
        )
        for layer in layers
    }
    return tuple(known[name] for name in names)
