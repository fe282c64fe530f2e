"""The adapter of any `torch.nn.Module`."""

from __future__ import annotations

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
    HostArray,
    ListedAdapter,
    OpenRequest,
    Reads,
    ReluRule,
    TrainingStep,
    called,
    called_on,
    mapped,
    no_copy,
    no_outputs,
)
from agnostic_rand_torch import random_state as generators
from agnostic_rand_torch.arrays import full_precision, host, host_copy, own_tensor, tensor_of
from agnostic_rand_torch.calling import all_inputs
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


class TorchAdapter(ListedAdapter[torch.Tensor]):
    """A module on its own device, in its own precision; compiled wrappers are looked through.

    Several inputs are passed on as `model(*inputs)` or `model(**inputs)`.

    Args:
        model: The module.
        request: What it is opened with, such as `forward(model, inputs) -> outputs`.

    Raises:
        ModelError: The module cannot be read, or not called on the example.
    """

    framework = "torch"
    channel_axis = 1

    def __init__(self, model: nn.Module, request: OpenRequest) -> None:
        self._native = model
        self._module = unwrap(model)
        self._forward = request.forward
        inventory = take_inventory(self._module)
        self._layers, self._held, self._owners = inventory.layers, inventory.held, inventory.owners
        floating = [t for t in self._module.parameters() if t.is_floating_point()]
        first = next(iter(floating), torch.empty(0))
        self._device, self._dtype = first.device, first.dtype
        self._written: tuple[torch.Tensor, ...] = ()
        self._draws = True
        if request.example_inputs is not None and self._layers:
            self._trace(request)

    @property
    def native(self) -> nn.Module:
        """The module that was passed."""
        return self._native

    @property
    def xp(self) -> ModuleType:
        """array-api-compat's view of torch."""
        return array_api_compat.torch

    def _copies(self, held: Mapping[str, torch.Tensor]) -> dict[str, HostArray]:
        return {name: host_copy(tensor) for name, tensor in held.items()}

    def _assign(self, layer: str, values: Mapping[str, HostArray]) -> None:
        held = self._held[layer]
        for name, value in values.items():
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
            seen = watched_pass(by_name(of._held), self._given(inputs), lambda: self.predict(inputs))
        return Reads(seen.read, seen.branches)

    def clone(self) -> Self:
        """An adapter of a deep copy, without the wrapper of a compiled module."""
        source = uncompiled(self._native)
        if isinstance(source, nn.parallel.DistributedDataParallel):
            source = self._module
        twin = type(self)(duplicated(source), OpenRequest(forward=self._forward))
        if self.order_source == "declared":
            refuse_bound_to(self._module, twin._module)
        declared = {layer.name: replace(layer, unused=()) for layer in self._layers}
        if {layer.name: layer for layer in twin._layers} != declared:
            raise no_copy(
                type(self._module).__name__, "one whose copy has other parameters, or tied in another way"
            )
        twin._layers = self._layers
        twin.order_source, twin.other_arrays, twin._draws = self.order_source, self.other_arrays, self._draws
        return twin

    def asarray(self, x: Array) -> torch.Tensor:
        """A copy on the model's device; floating values in its precision."""
        return own_tensor(x, self._device, self._dtype)

    def to_numpy(self, x: Array) -> HostArray:
        """The values on the host; half precision becomes float32."""
        return host(x) if isinstance(x, torch.Tensor) else np.asarray(x)

    def predict(self, inputs: Array) -> torch.Tensor:
        """The outputs in evaluation mode, `(n, classes)`."""
        return self._evaluated(self._call, inputs)

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
        names, owner = list(self._parameters(layer)), self._owners[layer]
        return {} if owner is None else initialized(self._module, owner, names, seed)

    def estimate_statistics(self, inputs: Array, layers: Sequence[str]) -> dict[str, dict[str, HostArray]]:
        """The running means and variances that `inputs` give in one batch."""
        owners = {name: owner for name in layers if self._of(name) and (owner := self._owners[name])}
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
            raise no_outputs(type(self._module).__name__, outputs)
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

    def _trace(self, request: OpenRequest) -> None:
        with called_on(request.example_inputs, type(self._module).__name__):
            inputs = self.asarray(request.example_inputs)
            # What it draws is seen, and undone.
            self._draws = False
            beside = request.example_beside
            traced = self if beside is None else self.beside(mapped(self.asarray, beside))
            with interpreted():
                found = trace(self._module, self._held, traced._given(inputs), lambda: traced.predict(inputs))
        seen = found.seen
        self._written = seen.written
        # Another batch may draw where this one did not.
        self._draws = seen.draws or seen.branches or not seen.followed
        if seen.followed:
            self._layers, self.order_source = found.ordered(self._layers), "traced"
            self.other_arrays = found.others
