"""Traces of a forward pass: the order of the layers, and what of the model the outputs depend on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from agnostic_rand.adapters import Layer, by_first_use
from agnostic_rand.errors import ModelError
from agnostic_rand_torch.inventory import QUANTIZED
from agnostic_rand_torch.watch import Name, Seen, WritesItselfError, watched

Tensors = Mapping[str, Mapping[str, torch.Tensor]]
"""By layer and name, the parameters and statistics."""


@dataclass(frozen=True)
class Trace:
    """What one forward pass shows.

    Args:
        seen: What it did with the tensors of the model; those that belong to no layer are `("", path)`.
        others: The paths of floating tensors of the model that belong to no layer, by which the outputs go.
    """

    seen: Seen
    others: tuple[str, ...]

    def ordered(self, layers: Sequence[Layer]) -> tuple[Layer, ...]:
        """The layers by their first use, each with the parameters on which the outputs do not depend."""
        seen = self.seen
        packed = {(layer.name, p.name) for layer in layers for p in layer.parameters if p.dtype == QUANTIZED}

        def used(layer: str, name: str) -> bool:
            if (layer, name) in packed:
                return True
            # Where values decide what runs, another batch may read what this one did not.
            return (layer, name) in seen.used or (seen.branches and (layer, name) not in seen.read)

        return by_first_use(layers, (layer for layer, _ in seen.order if layer), used)


def trace(
    module: nn.Module, tensors: Tensors, inputs: Sequence[torch.Tensor], run: Callable[[], torch.Tensor]
) -> Trace:
    """Watch `run`, a forward pass of the module over the inputs.

    Raises:
        ModelError: The pass would change a parameter, or depends on a tensor that needs a gradient and is no
            parameter of the module.
    """
    others = dict(_others(module, tensors))
    try:
        seen = watched(by_name(tensors) | {("", path): tensor for path, tensor in others.items()}, inputs, run)
    except WritesItselfError as error:
        raise writes_itself(type(module).__name__, error.name) from None
    used = [path for path in others if ("", path) in seen.used]
    learned = [path for path in used if others[path].requires_grad]
    outside = [tensor for tensor in seen.unknown if tensor.requires_grad]
    if learned or outside:
        raise _unregistered(module, learned, outside)
    return Trace(seen, tuple(used))


def by_name(tensors: Tensors) -> dict[Name, torch.Tensor]:
    """The parameters and statistics, each by its layer and name."""
    return {(layer, name): tensor for layer, held in tensors.items() for name, tensor in held.items()}


def _others(module: nn.Module, tensors: Tensors) -> Iterator[tuple[str, torch.Tensor]]:
    """By path, the floating tensors that the module holds and no layer lists."""
    listed = {id(tensor) for held in tensors.values() for tensor in held.values()}
    seen: set[int] = set()
    for path, part in module.named_modules():
        held = {**part._buffers, **{k: v for k, v in vars(part).items() if not k.startswith("_")}}
        for name, tensor in _flat(held, path, seen):
            if tensor.is_floating_point() and id(tensor) not in listed:
                yield name, tensor


def _flat(value: object, path: str, seen: set[int]) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors in a value of an attribute, through containers and modules that nobody registered."""
    if isinstance(value, torch.Tensor):
        if id(value) not in seen:
            seen.add(id(value))
            yield path, value
    elif isinstance(value, nn.Module):
        parts = [*value.named_parameters(), *value.named_buffers()]
        yield from (found for name, part in parts for found in _flat(part, f"{path}.{name}", seen))
    elif isinstance(value, Mapping):
        yield from (
            found for key, part in value.items() for found in _flat(part, f"{path}.{key}".lstrip("."), seen)
        )
    elif isinstance(value, list | tuple):
        yield from (found for i, part in enumerate(value) for found in _flat(part, f"{path}[{i}]", seen))


def writes_itself(model: str, name: Name) -> ModelError:
    """Describe a forward pass that would change a tensor of the model."""
    return ModelError(
        f"the forward pass of {model}",
        expected="one that leaves the model's weights as they are",
        received=f"one that changes {'.'.join(filter(None, name))} in place, as an embedding with max_norm does",
        fix="Switch that off in evaluation: for an embedding, renormalize its weight once and set max_norm = None.",
    )


def _unregistered(module: nn.Module, paths: Sequence[str], outside: Sequence[torch.Tensor]) -> ModelError:
    shapes = [f"a tensor of shape {tuple(tensor.shape)} outside of the model" for tensor in outside]
    return ModelError(
        f"the model {type(module).__name__}",
        expected="parameters that the model registers, which can be randomized",
        received=f"a forward pass that computes with tensors which need a gradient and are none: "
        f"{', '.join([*paths, *shapes][:5])}",
        fix="Keep layers in nn.ModuleList or nn.ModuleDict and weights in nn.Parameter; compute what is made of "
        "parameters in forward(). What should stay as it is: requires_grad_(False).",
    )
