"""The adapter of any `torch.nn.Module`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from types import ModuleType
from typing import Any, Self

import array_api_compat.torch
import numpy as np
import torch
from torch import nn

from agnostic_rand.adapters import (
    Array,
    Forward,
    HostArray,
    Layer,
    OrderSource,
    Reads,
    ReluRule,
    SideInputs,
    TrainingStep,
    mapped,
)
from agnostic_rand.errors import ModelError, WeightsError, unknown_name
from agnostic_rand_torch import random_state as generators
from agnostic_rand_torch.arrays import full_precision, host, host_copy, own_tensor, tensor_of
from agnostic_rand_torch.calling import all_inputs, called
from agnostic_rand_torch.copying import duplicated, refuse_bound_to
from agnostic_rand_torch.external import watched
from agnostic_rand_torch.from_layer import Call, TorchFromLayer
from agnostic_rand_torch.gradients import output_and_input_gradient, selected
from agnostic_rand_torch.inventory import take_inventory
from agnostic_rand_torch.kept_state import kept_state
from agnostic_rand_torch.layer_gradient import output_and_gradient_at, output_shapes
from agnostic_rand_torch.model_state import model_state
from agnostic_rand_torch.modes import differentiable, evaluating, interpreted, without_gradients
from agnostic_rand_torch.native_init import initialized
from agnostic_rand_torch.refusals import refuse_orthogonal, refuse_packed
from agnostic_rand_torch.reparametrization import update_derived
from agnostic_rand_torch.statistics import estimated_statistics
from agnostic_rand_torch.tracing import by_name, trace
from agnostic_rand_torch.training import training_step
from agnostic_rand_torch.unwrap import uncompiled, unwrap
from agnostic_rand_torch.watch import watched as watched_pass


class TorchAdapter:
    """A module on its own device, in its own precision; compiled wrappers are looked through.

    Several inputs are passed on as `model(*inputs)` or `model(**inputs)`.

    Args:
        model: The module.
        forward: `forward(model, inputs) -> outputs`, or `None` for `model(inputs)`.
        example_inputs: A small batch on which the order of layers is traced, or `None`.
        example_beside: What stands beside it for a model of several inputs.

    Raises:
        ModelError: The module cannot be read, or not called on the example.
    """

    framework = "torch"
    channel_axis = 1

    def __init__(
        self,
        model: nn.Module,
        *,
        forward: Forward | None = None,
        example_inputs: Array | None = None,
        example_beside: SideInputs | None = None,
    ) -> None:
        self.side_inputs: SideInputs | None = None
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
        self.other_arrays: tuple[str, ...] = ()
        self._written: tuple[torch.Tensor, ...] = ()
        self._draws = True
        if example_inputs is not None and self._layers:
            self._trace(example_inputs, example_beside)

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
        return {name: host_copy(tensor) for name, tensor in self._held(layer).items()}

    def write(self, layer: str, values: Mapping[str, HostArray]) -> None:
        """Copy the values into the tensors, in place."""
        held = self._held(layer)
        for name, value in values.items():
            if name not in held:
                raise unknown_name(f"parameter of layer {layer!r}", name, held)
            if np.shape(value) != tuple(held[name].shape):
                raise WeightsError(
                    f"the values of {layer}.{name}",
                    expected=f"shape {tuple(held[name].shape)}",
                    received=f"shape {np.shape(value)}",
                    fix="Write arrays of the shapes that read() returns.",
                )
            refuse_orthogonal(self._owners[layer], layer, name, held[name], value)
            refuse_packed(self._owners[layer], layer, held[name], value)
        for name, value in values.items():
            # Weights that were made in inference mode can be written in it alone.
            with torch.inference_mode(held[name].is_inference()), torch.no_grad():
                held[name].copy_(tensor_of(value))
        owner = self._owners[layer]
        if owner is not None:
            update_derived(owner, values.keys())

    def reads(self, inputs: Array, of: TorchAdapter) -> Reads:
        """What a forward pass reads of this module, or of the one that it was copied from."""
        with interpreted():
            seen = watched_pass(by_name(of._tensors), self._given(inputs), lambda: self.predict(inputs))
        return Reads(seen.read, seen.branches)

    def clone(self) -> Self:
        """An adapter of a deep copy, without the wrapper of a compiled module."""
        source = uncompiled(self._native)
        if isinstance(source, nn.parallel.DistributedDataParallel):
            source = self._module
        twin = type(self)(duplicated(source), forward=self._forward)
        if self.order_source == "declared":
            refuse_bound_to(self._module, twin._module)
        declared = {layer.name: replace(layer, unused=()) for layer in self._layers}
        if {layer.name: layer for layer in twin._layers} != declared:
            raise ModelError(
                f"the model {type(self._module).__name__}",
                expected="a copy with the same parameters, tied in the same way",
                received="other parameters",
                fix="Pass isolation='in_place': weights are swapped in your model and put back bit for bit.",
            )
        twin._layers = self._layers
        twin.order_source, twin.other_arrays, twin._draws = self.order_source, self.other_arrays, self._draws
        return twin

    def beside(self, inputs: SideInputs) -> Self:
        """The same module as a function of one of its inputs."""
        twin = copy.copy(self)
        twin.side_inputs = inputs
        return twin

    def asarray(self, x: Array) -> torch.Tensor:
        """A copy on the model's device; floating values in its precision."""
        return own_tensor(x, self._device, self._dtype)

    def to_numpy(self, x: Array) -> HostArray:
        """The values on the host; half precision becomes float32."""
        return host(x) if isinstance(x, torch.Tensor) else np.asarray(x)

    def to_native(self, x: Array) -> Array:
        """The tensor itself."""
        return x

    def predict(self, inputs: Array) -> torch.Tensor:
        """The outputs in evaluation mode, `(n, classes)`."""
        return self._evaluated(self._call, inputs)

    def gradient(self, inputs: Array, targets: Array, *, relu: ReluRule = "standard") -> torch.Tensor:
        """The gradient of the targets' outputs, shaped like the inputs."""
        return self.output_and_gradient(inputs, targets, relu=relu)[1]

    def output_and_gradient(
        self, inputs: Array, targets: Array, *, relu: ReluRule = "standard"
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The outputs and the gradient, from one forward pass."""
        return self._differentiated(self._call, inputs, targets, relu)

    def explaining(self, inputs: Array) -> AbstractContextManager[Callable[[], torch.Tensor | None]]:
        """Evaluation mode for foreign code; its forward pass over `inputs` is noted."""
        # Compiled code would keep the note of the call in which it was compiled; scripted code takes no hook.
        compiled = uncompiled(self._native) is not self._native or self._module._compiled_call_impl is not None
        hidden = compiled or isinstance(self._module, torch.jit.ScriptModule)
        seen = self._forward is None and not hidden and self.side_inputs is None
        return watched(self._native, self._module, inputs if seen else None)

    def model_state(self) -> dict[str, object]:
        """Modes, hooks and gradients, which foreign code should leave as they are."""
        return model_state(self._module)

    def kept_state(self) -> Callable[[], None]:
        """Attributes, modes, hooks, flags and gradients, and the tensors that the traced call wrote."""
        return kept_state(self._native, self._written)

    def relu_rules(self) -> tuple[ReluRule, ...]:
        """All rules."""
        return ("standard", "guided", "deconv")

    def layer_shapes(self, inputs: Array) -> dict[str, tuple[int, ...]]:
        """The shape of each submodule's output, in the order of the forward pass."""
        return output_shapes(self._module, lambda: self.predict(inputs))

    def layer_gradient(self, inputs: Array, targets: Array, layer: str) -> tuple[torch.Tensor, torch.Tensor]:
        """A submodule's output, and the gradient of the targets' outputs with respect to it."""
        with differentiable(self._module, self._device), self._evaluating():
            leaf = inputs.detach().clone()
            output, gradient = output_and_gradient_at(
                self._module, layer, lambda: selected(self._call(leaf), targets)
            )
        return full_precision(output), full_precision(gradient)

    def from_layer(self, inputs: Array, layer: str) -> TorchFromLayer:
        """The model from a submodule's output on."""
        return TorchFromLayer(self._module, layer, inputs, self._call, self._evaluated, self._differentiated)

    def native_init(self, layer: str, seed: int) -> dict[str, HostArray]:
        """What the layer's own initializer sets; nothing for bare and reparametrized parameters."""
        self._held(layer)
        owner = self._owners[layer]
        if owner is None:
            return {}
        names = [p.name for known in self._layers if known.name == layer for p in known.parameters]
        return initialized(self._module, owner, names, seed)

    def estimate_statistics(self, inputs: Array, layers: Sequence[str]) -> dict[str, dict[str, HostArray]]:
        """The running means and variances that `inputs` give in one batch."""
        owners = {name: owner for name in layers if self._held(name) and (owner := self._owners[name])}
        with without_gradients(), self._evaluating(), interpreted():
            return estimated_statistics(owners, lambda: self._call(inputs.clone()))

    def trainer(self, *, learning_rate: float, seed: int) -> TrainingStep:
        """One step of Adam on the cross entropy of the outputs, taken as logits."""
        return training_step(self._module, self._call, self.asarray, learning_rate=learning_rate, seed=seed)

    def random_state(self) -> Any:
        """The states of the generators of the CPU and of accelerators in use."""
        return generators.random_state()

    def set_random_state(self, state: Any) -> None:
        """Put the states back."""
        generators.set_random_state(state)

    def _evaluated(self, call: Call, inputs: torch.Tensor) -> torch.Tensor:
        with without_gradients(), self._evaluating():
            # A copy: a model may work on its input in place.
            return full_precision(call(inputs.clone()))

    def _differentiated(
        self, call: Call, inputs: torch.Tensor, targets: torch.Tensor, relu: ReluRule
    ) -> tuple[torch.Tensor, torch.Tensor]:
        with differentiable(self._module, self._device), self._evaluating():
            outputs, gradient = output_and_input_gradient(self._module, call, inputs, targets, relu)
        return full_precision(outputs), full_precision(gradient)

    def _call(self, inputs: torch.Tensor) -> torch.Tensor:
        taken = all_inputs(inputs, self.side_inputs)
        forward = self._forward
        # The caller's function was written for the model that was passed, wrapped as it was.
        outputs = called(self._module, taken) if forward is None else forward(uncompiled(self._native), taken)
        if not isinstance(outputs, torch.Tensor):
            raise ModelError(
                f"the output of {type(self._module).__name__}",
                expected="one tensor (n, classes)",
                received=type(outputs).__name__,
                fix="Pass forward=lambda model, inputs: ... that returns it, such as model(inputs).logits.",
            )
        return outputs[:, None] if outputs.ndim == 1 else outputs

    def _given(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        """All tensors that a call of the model takes."""
        side = self.side_inputs or ()
        parts = side.values() if isinstance(side, Mapping) else side
        return [inputs, *(part for part in parts if isinstance(part, torch.Tensor))]

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        same_draws = generators.same_draws(self._device) if self._draws else nullcontext()
        with evaluating(self._module), same_draws:
            yield

    def _trace(self, example_inputs: Array, example_beside: SideInputs | None) -> None:
        try:
            inputs = self.asarray(example_inputs)
            # What it draws is seen, and undone.
            self._draws = False
            traced = self if example_beside is None else self.beside(mapped(self.asarray, example_beside))
            with interpreted():
                found = trace(self._module, self._tensors, traced._given(inputs), lambda: traced.predict(inputs))
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(
                f"the model {type(self._module).__name__}",
                expected="a model that can be called on the inputs",
                received=f"{type(error).__name__} for inputs of shape {tuple(np.shape(example_inputs))}: {error}",
                fix="Check the inputs' shape and type, or how it is called: forward=lambda model, inputs: ....",
            ) from error
        seen = found.seen
        self._written = seen.written
        # Another batch may draw where this one did not.
        self._draws = seen.draws or seen.branches or not seen.followed
        if seen.followed:
            self._layers, self.order_source = found.ordered(self._layers), "traced"
            self.other_arrays = found.others

    def _held(self, layer: str) -> dict[str, torch.Tensor]:
        if layer not in self._tensors:
            raise unknown_name("layer", layer, self._tensors)
        return self._tensors[layer]
