"""The order in which a forward pass first uses the layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from agnostic_rand.adapters import Layer


class _FirstUses(TorchFunctionMode):
    """Notes the layer of each parameter that reaches a torch function, in order.

    Hooks on modules would miss parameters of modules that are never called, such as the output
    projection of attention.
    """

    def __init__(self, layer_of: dict[int, str]) -> None:
        super().__init__()
        self._layer_of = layer_of
        self.seen: dict[str, None] = {}

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for tensor in _tensors((*args, *(kwargs or {}).values())):
            layer = self._layer_of.get(id(tensor))
            if layer is not None:
                self.seen.setdefault(layer)
        return func(*args, **(kwargs or {}))


def traced_order(
    layers: Sequence[Layer], tensors: dict[str, dict[str, torch.Tensor]], run: Callable[[], Any]
) -> tuple[Layer, ...] | None:
    """The layers by their first use in `run`; a layer that is not used follows the one declared before it.

    `None` where none was seen: a scripted model hides what it uses.
    """
    layer_of = {id(tensor): name for name, held in tensors.items() for tensor in held.values()}
    mode = _FirstUses(layer_of)
    with mode:
        run()
    if not mode.seen:
        return None
    order = list(mode.seen)
    previous: str | None = None
    for layer in layers:
        if layer.name not in mode.seen:
            order.insert(order.index(previous) + 1 if previous is not None else 0, layer.name)
        previous = layer.name
    by_name = {layer.name: layer for layer in layers}
    return tuple(by_name[name] for name in order)


def _tensors(values: Iterable[Any]) -> Iterable[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
