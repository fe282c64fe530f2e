"""The state in which a module runs for the length of a call, whatever the caller's state is."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack
from torch.utils.weak import WeakIdKeyDictionary

from agnostic_rand.adapters import put_back
from agnostic_rand.errors import ModelError
from agnostic_rand_torch.unwrap import unwrap

_locks: Any = WeakIdKeyDictionary()


@contextmanager
def active(mode: TorchDispatchMode) -> Iterator[None]:
    """See every operation by the mode; an interrupt on the way out does not leave it active."""

    def leave() -> None:
        if mode in _get_current_dispatch_mode_stack():
            mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    with put_back(leave):
        mode.__enter__()  # type: ignore[no-untyped-call]
        yield


def alone_with(module: nn.Module) -> AbstractContextManager[object]:
    """A lock on the module: two threads that switch its modes at once would leave each other's behind."""
    lock: AbstractContextManager[object] = _locks.setdefault(unwrap(module), threading.RLock())
    return lock


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put every submodule into evaluation mode, without what the caller's contexts keep of its weights.

    At the end each is in its own mode.
    """
    with alone_with(module):
        # A frozen script has no mode.
        modes = [(part, getattr(part, "training", False)) for part in module.modules()]
        try:
            for part, training in modes:
                if training:
                    # The attribute, not train(): a module may override train() with effects of its own.
                    part.training = False
            with without_caches():
                yield
        finally:
            for part, training in modes:
                if part.training is not training:
                    part.training = training


@contextmanager
def without_caches() -> Iterator[None]:
    """Use no weights that autocast has cast, nor any that `parametrize.cached()` has computed.

    They would be the trained ones.
    """
    cast, cached, kept = torch.is_autocast_cache_enabled(), parametrize._cache_enabled, parametrize._cache
    try:
        torch.set_autocast_cache_enabled(False)
        parametrize._cache_enabled, parametrize._cache = 0, {}
        yield
    finally:
        torch.set_autocast_cache_enabled(cast)
        parametrize._cache_enabled, parametrize._cache = cached, kept


@contextmanager
def without_gradients() -> Iterator[None]:
    """Record nothing; arrays made inside the caller's `inference_mode` are ordinary ones."""
    with torch.inference_mode(False), torch.no_grad():
        yield


@contextmanager
def with_gradients() -> Iterator[None]:
    """Record gradients, also inside the caller's `no_grad` or `inference_mode`."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


@contextmanager
def differentiable(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Record gradients through a module that is in evaluation mode.

    Raises:
        ModelError: The module's parameters were made in inference mode.
    """
    recurrent = device.type == "cuda" and any(isinstance(part, nn.RNNBase) for part in module.modules())
    # cuDNN's recurrent layers have no backward pass in evaluation mode.
    without_cudnn = torch.backends.cudnn.flags(enabled=False) if recurrent else nullcontext()
    with with_gradients(), without_cudnn:
        try:
            yield
        except RuntimeError as error:
            if not any(parameter.is_inference() for parameter in module.parameters()):
                raise
            raise ModelError(
                f"the model {type(module).__name__}",
                expected="parameters that a backward pass can use",
                received="some that were made in torch.inference_mode",
                fix="Pass copy.deepcopy(model), made outside of inference_mode.",
            ) from error


@contextmanager
def interpreted() -> Iterator[None]:
    """Run compiled and fused parts of a module operation by operation, so that each can be seen."""
    stance = getattr(torch.compiler, "set_stance", None)
    eager = nullcontext() if stance is None or "torch._dynamo" not in sys.modules else stance("force_eager")
    fused = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        with eager:
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def switches() -> Callable[[], None]:
    """A function that puts back torch's own switches, which a run turns, as they are now."""
    cast, cached, kept = torch.is_autocast_cache_enabled(), parametrize._cache_enabled, parametrize._cache
    gradients, fused = torch.is_grad_enabled(), torch.backends.mha.get_fastpath_enabled()

    def restore() -> None:
        torch.set_autocast_cache_enabled(cast)
        parametrize._cache_enabled, parametrize._cache = cached, kept
        torch.set_grad_enabled(gradients)
        torch.backends.mha.set_fastpath_enabled(fused)

    return restore


def own_flags(tensors: Iterable[torch.Tensor]) -> Callable[[], None]:
    """A function that gives each tensor the `grad` and the `requires_grad` back that it has now."""
    held = [(tensor, tensor.requires_grad, tensor.grad) for tensor in tensors]

    def restore() -> None:
        for tensor, required, gradient in held:
            if tensor.requires_grad is not required:
                tensor.requires_grad_(required)
            if tensor.grad is not gradient:
                tensor.grad = gradient

    return restore


@contextmanager
def own_gradients(module: nn.Module) -> Iterator[None]:
    """Give each parameter its own `grad` and `requires_grad` back at the end."""
    restore = own_flags(module.parameters())
    for parameter in module.parameters():
        # A backward pass would add to the caller's tensor in place.
        parameter.grad = None
    try:
        yield
    finally:
        restore()
