"""Copies of modules that keep what a plain deep copy loses or cannot copy."""

from __future__ import annotations

import copy

import torch
from torch import nn

from agnostic_rand.adapters import BoundSearch, bound_copy, no_copy


def duplicated(module: nn.Module) -> nn.Module:
    """A deep copy, without gradients; parameters that share memory share it in the copy too.

    Raises:
        ModelError: The module cannot be copied.
    """
    # Tensors that record gradients cannot be copied deeply: they are handed over detached.
    computed = {id(tensor): tensor.detach().clone() for tensor in _computed_tensors(module)}
    # Copies made in inference mode could not be differentiated; those of scripted modules record gradients.
    with torch.inference_mode(False), torch.no_grad():
        try:
            duplicate: nn.Module = copy.deepcopy(module, computed)
        except Exception as error:
            received = f"one that copy.deepcopy cannot copy: {type(error).__name__}: {error}"
            raise no_copy(type(module).__name__, received) from error
        _share_memory(module, duplicate)
    for parameter, copied in zip(module.parameters(), duplicate.parameters(), strict=True):
        copied.grad = None
        copied.requires_grad_(parameter.requires_grad)
    return duplicate


def refuse_bound_to(original: nn.Module, duplicate: nn.Module) -> None:
    """Refuse a copy whose functions are bound to the original; for copies that no call on an example shows.

    Python copies no function: what one closes over stays the original's.

    Raises:
        ModelError: A function in the copy leads to a module or a tensor of the original.
    """
    kind = type(original).__name__
    named = {id(part): path or kind for path, part in original.named_modules()}
    named |= {id(tensor): path for path, tensor in (*original.named_parameters(), *original.named_buffers())}
    search = BoundSearch(named, frozenset({"torch"}))
    for path, part in duplicate.named_modules():
        for name, value in vars(part).items():
            found = search.reached(value)
            if found is not None:
                raise bound_copy(kind, repr(".".join(filter(None, (path, name)))), repr(found))


def _computed_tensors(module: nn.Module) -> list[torch.Tensor]:
    return [
        value
        for part in module.modules()
        for value in vars(part).values()
        if isinstance(value, torch.Tensor) and value.grad_fn is not None
    ]


def _share_memory(module: nn.Module, duplicate: nn.Module) -> None:
    # A deep copy keeps one parameter under two names, but not two parameters over one memory.
    originals = module.named_parameters(remove_duplicate=False)
    copies = duplicate.named_parameters(remove_duplicate=False)
    groups: dict[int, dict[int, tuple[nn.Parameter, nn.Parameter]]] = {}
    for (_, original), (_, copied) in zip(originals, copies, strict=True):
        if original.numel():
            groups.setdefault(original.untyped_storage().data_ptr(), {})[id(original)] = (original, copied)
    for group in groups.values():
        if len(group) < 2:
            continue
        storage = next(iter(group.values()))[0].untyped_storage().clone()  # type: ignore[no-untyped-call]
        for original, copied in group.values():
            view = torch.empty(0, dtype=original.dtype, device=original.device)
            copied.data = view.set_(storage, original.storage_offset(), original.shape, original.stride())
