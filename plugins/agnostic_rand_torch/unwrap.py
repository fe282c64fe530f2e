"""From a compiled or distributed wrapper to the module that owns the weights."""

from __future__ import annotations

from torch import nn


def uncompiled(module: nn.Module) -> nn.Module:
    """The module inside `torch.compile`."""
    while isinstance(inner := getattr(module, "_orig_mod", None), nn.Module):
        module = inner
    return module


def unwrap(module: nn.Module) -> nn.Module:
    """The module inside `torch.compile`, `DataParallel` and `DistributedDataParallel`, however nested."""
    while (inner := _wrapped(module)) is not None:
        module = inner
    return module


def public_names(root: nn.Module) -> dict[int, str]:
    """By `id`, the path of each submodule as it is without wrappers; a shared one has its first path."""
    modules = dict(root.named_modules())
    paths: dict[str, str] = {}
    for path, module in modules.items():
        parent, _, own = path.rpartition(".")
        inside_wrapper = bool(path) and _wrapped(modules[parent]) is module
        paths[path] = paths[parent] if inside_wrapper else ".".join(filter(None, (paths.get(parent), own)))
    return {id(module): paths[path] for path, module in modules.items()}


def _wrapped(module: nn.Module) -> nn.Module | None:
    inner = getattr(module, "_orig_mod", None)
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        inner = module.module
    return inner if isinstance(inner, nn.Module) else None
