"""The adapter of any `torch.nn.Module`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any, Self

import array_api_compat.torch
import numpy as np
import torch
from torch import nn

from agnostic_rand.adapters import Array, Forward, HostArray, Layer, OrderSource, ReluRule
from agnostic_rand.errors import InputError, ModelError, unknown_name
from agnostic_rand_torch.external import watched
from agnostic_rand_torch.inventory import take_inventory
from agnostic_rand_torch.layer_gradient import output_and_gradient_at, output_shapes
from agnostic_rand_torch.modes import differentiable, evaluating
from agnostic_rand_torch.native_init import initialized
from agnostic_rand_torch.order import traced_order
from agnostic_rand_torch.relu import ReluMode
from agnostic_rand_torch.spectral import update_singular_vectors
from agnostic_rand_torch.statistics import estimated_statistics
from agnostic_rand_torch.unwrap import unwrap

_HALF = (torch.float16, torch.bfloat16)


class TorchAdapter:
    """A module on its own device, in its own precision; compiled wrappers are looked through.

    Args:
        model: The module.
        forward: `forward(model, inputs) -> outputs`, or `None` for `model(inputs)`.
        example_inputs: A small batch on which the order of layers is traced, or `None`.

    Raises:
        ModelError: The module cannot be read, or not called on the example.
    """

    framework = "torch"
    channel_axis = 1

    def __init__(
        self, model: nn.Module, *, forward: Forward | None = None, example_inputs: Array | None = None
    ) -> None:
        self._native = model
        self._module = unwrap(model)
        self._forward = forward
        inventory = take_inventory(self._module)
        self._layers = inventory.layers
        self._tensors = inventory.tensors
        self._owners = inventory.owners
        floating = [t for t in self._module.parameters() if t.is_floating_point()]
        first = next(iter(floating), torch.empty(0))
        self._device, self._dtype = first.device, first.dtype
        self.order_source: OrderSource = "declared"
        if example_inputs is not None and self._layers:
            self._trace(example_inputs)

    @property
    def native(self) -> nn.Module:
        """The module that was passed."""
        return self._native

    @property
    def xp(self) -> ModuleType:
        """array-api-compat's view of torch."""
        return array_api_compat.torch

    def layers(self) -> tuple[Layer, ...]:
        """The layers, in the order of the traced call where there was one."""
        return self._layers

    def read(self, layer: str) -> dict[str, HostArray]:
        """Host copies; bfloat16 comes as float32."""
        return {name: _host_copy(tensor) for name, tensor in self._held(layer).items()}

    def write(self, layer: str, values: Mapping[str, HostArray]) -> None:
        """Copy the values into the tensors, in place."""
        held = self._held(layer)
        with torch.no_grad():
            for name, value in values.items():
                if name not in held:
                    raise unknown_name(f"parameter of layer {layer!r}", name, held)
                held[name].copy_(torch.from_numpy(np.asarray(value)))
        owner = self._owners[layer]
        if owner is not None:
            update_singular_vectors(owner, set(values))

    def clone(self) -> Self:
        """An adapter of a deep copy, without the wrapper of a compiled module."""
        computed = _computed_tensors(self._module)
        try:
            # Tensors that record gradients cannot be copied deeply: they are handed over detached.
            duplicate = copy.deepcopy(self._module, {id(t): t.detach().clone() for t in computed})
        except Exception as error:
            raise ModelError(
                f"the model {type(self._module).__name__}",
                expected="a module that copy.deepcopy can copy",
                received=f"{type(error).__name__}: {error}",
                fix="Pass isolation='in_place': weights are swapped in your model and put back bit for bit.",
            ) from error
        for parameter in duplicate.parameters():
            parameter.grad = None
        twin = type(self)(duplicate, forward=self._forward)
        by_name = {layer.name: layer for layer in twin._layers}
        twin._layers = tuple(by_name[layer.name] for layer in self._layers)
        twin.order_source = self.order_source
        return twin

    def asarray(self, x: Array) -> torch.Tensor:
        """A copy on the model's device; floating values in its precision."""
        tensor = x.detach().clone() if isinstance(x, torch.Tensor) else torch.from_numpy(np.array(x))
        dtype = self._dtype if tensor.is_floating_point() else tensor.dtype
        return tensor.to(device=self._device, dtype=dtype)

    def to_numpy(self, x: Array) -> HostArray:
        """The values on the host; half precision becomes float32."""
        return _host(x) if isinstance(x, torch.Tensor) else np.asarray(x)

    def to_native(self, x: Array) -> Array:
        """The tensor itself."""
        return x

    def predict(self, inputs: Array) -> torch.Tensor:
        """The outputs in evaluation mode, `(n, classes)`."""
        with torch.no_grad(), evaluating(self._module):
            return _full_precision(self._call(inputs))

    def gradient(self, inputs: Array, targets: Array, *, relu: ReluRule = "standard") -> torch.Tensor:
        """The gradient of the targets' outputs, shaped like the inputs."""
        return self.output_and_gradient(inputs, targets, relu=relu)[1]

    def output_and_gradient(
        self, inputs: Array, targets: Array, *, relu: ReluRule = "standard"
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The outputs and the gradient, from one forward pass."""
        if not inputs.is_floating_point():
            raise InputError(
                "inputs",
                expected="floating-point inputs, which have a gradient",
                received=f"inputs of type {inputs.dtype}",
                fix="Convert images to float32 (and scale them as in training).",
            )
        with differentiable(self._module, self._device), evaluating(self._module):
            leaf = inputs.detach().clone().requires_grad_()
            if relu == "standard":
                outputs = self._call(leaf.clone())
                (gradient,) = torch.autograd.grad(_selected(outputs, targets), leaf)
            else:
                with ReluMode(relu) as mode:
                    outputs = self._call(leaf.clone())
                    (gradient,) = torch.autograd.grad(_selected(outputs, targets), leaf)
                self._refuse_plain(mode, relu)
        return _full_precision(outputs.detach()), _full_precision(gradient)

    def explaining(self, inputs: Array) -> AbstractContextManager[Callable[[], torch.Tensor | None]]:
        """Evaluation mode for foreign code; its forward pass over `inputs` is noted."""
        return watched(self._native, self._module, None if self._forward is not None else inputs)

    def relu_rules(self) -> tuple[ReluRule, ...]:
        """All rules."""
        return ("standard", "guided", "deconv")

    def layer_shapes(self, inputs: Array) -> dict[str, tuple[int, ...]]:
        """The shape of each submodule's output, in the order of the forward pass."""
        return output_shapes(self._module, lambda: self.predict(inputs))

    def layer_gradient(self, inputs: Array, targets: Array, layer: str) -> tuple[torch.Tensor, torch.Tensor]:
        """A submodule's output, and the gradient of the targets' outputs with respect to it."""
        with differentiable(self._module, self._device), evaluating(self._module):
            leaf = inputs.detach().clone()
            output, gradient = output_and_gradient_at(
                self._module, layer, lambda: _selected(self._call(leaf), targets)
            )
        return _full_precision(output), _full_precision(gradient)

    def native_init(self, layer: str, seed: int) -> dict[str, HostArray]:
        """What the layer's own initializer sets; nothing for bare and reparametrized parameters."""
        owner = self._owners[layer]
        if owner is None:
            return {}
        names = [p.name for known in self._layers if known.name == layer for p in known.parameters]
        return initialized(self._module, owner, names, seed)

    def estimate_statistics(self, inputs: Array, layers: Sequence[str]) -> dict[str, dict[str, HostArray]]:
        """The running means and variances that `inputs` give in one batch."""
        owners = {name: owner for name in layers if (owner := self._owners[name]) is not None}
        with torch.no_grad(), evaluating(self._module):
            return estimated_statistics(owners, lambda: self._call(inputs))

    def random_state(self) -> Any:
        """The states of the generators of the CPU and of accelerators in use."""
        in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        accelerators = torch.cuda.get_rng_state_all() if in_use else None
        return torch.get_rng_state(), accelerators

    def set_random_state(self, state: Any) -> None:
        """Put the states back."""
        torch.set_rng_state(state[0])
        if state[1] is not None:
            torch.cuda.set_rng_state_all(state[1])

    def _call(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs = self._module(inputs) if self._forward is None else self._forward(self._module, inputs)
        if not isinstance(outputs, torch.Tensor):
            raise ModelError(
                f"the output of {type(self._module).__name__}",
                expected="one tensor (n, classes)",
                received=type(outputs).__name__,
                fix="Pass forward=lambda model, inputs: ... that returns it, such as model(inputs).logits",
            )
        return outputs[:, None] if outputs.ndim == 1 else outputs

    def _trace(self, example_inputs: Array) -> None:
        try:
            inputs = self.asarray(example_inputs)
            self._layers = traced_order(self._layers, self._tensors, lambda: self.predict(inputs))
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(
                f"the model {type(self._module).__name__}",
                expected="a model that can be called on the inputs",
                received=f"{type(error).__name__} for inputs of shape {tuple(np.shape(example_inputs))}: {error}",
                fix="Check the inputs' shape and type, or pass forward=lambda model, inputs: ...",
            ) from error
        self.order_source = "traced"

    def _held(self, layer: str) -> dict[str, torch.Tensor]:
        if layer not in self._tensors:
            raise unknown_name("layer", layer, self._tensors)
        return self._tensors[layer]

    def _refuse_plain(self, mode: ReluMode, rule: ReluRule) -> None:
        if mode.met == 0:
            raise ModelError(
                f"relu={rule!r} on {type(self._module).__name__}",
                expected="at least one ReLU in the forward pass",
                received="none (other activations, or a scripted module that hides them)",
                fix="Use Gradient(): without a ReLU this method is the plain gradient.",
            )


def _selected(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    if targets.ndim == 2:
        return (outputs * targets).sum()
    return outputs.gather(1, targets[:, None]).sum()


def _full_precision(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.dtype in _HALF else tensor


def _host(tensor: torch.Tensor) -> HostArray:
    array: HostArray = _full_precision(tensor.detach()).cpu().resolve_conj().resolve_neg().numpy()
    return array


def _host_copy(tensor: torch.Tensor) -> HostArray:
    held = tensor.detach()
    # float16 exists in NumPy and stays, so that a value is read as it was written.
    return np.array((held.float() if held.dtype is torch.bfloat16 else held).cpu().numpy())


def _computed_tensors(module: nn.Module) -> list[torch.Tensor]:
    return [
        value
        for part in module.modules()
        for value in vars(part).values()
        if isinstance(value, torch.Tensor) and value.grad_fn is not None
    ]
