"""Keras on PyTorch: autograd, as it is; nothing is traced or compiled."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from types import ModuleType
from typing import Any, Self

import array_api_compat.torch
import keras
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from agnostic_rand.adapters import Array, HostArray, ReluRule, put_back, unusable_layer
from agnostic_rand_keras.arrays import host_copy
from agnostic_rand_keras.forward import ForwardPass
from agnostic_rand_keras.interception import inner_layer, observed
from agnostic_rand_keras.reads import Name, Seen, value_of
from agnostic_rand_keras.relu_layers import plain_leaks
from agnostic_rand_keras.runtime import Loss, Update, refuse_plain_gradient
from agnostic_rand_keras.statistics import batch_statistics
from agnostic_rand_keras.tree import all_layers
from agnostic_rand_torch.arrays import own_tensor
from agnostic_rand_torch.gradients import input_gradient, selected
from agnostic_rand_torch.modes import active, interpreted, own_flags, with_gradients, without_caches
from agnostic_rand_torch.random_state import random_state, same_draws, set_random_state
from agnostic_rand_torch.relu import ReluRules
from agnostic_rand_torch.tracing import writes_itself
from agnostic_rand_torch.watch import WritesItselfError, watched


class TorchRuntime:
    """Eager evaluation of one model.

    Args:
        forward: The model as a function.
    """

    xp: ModuleType = array_api_compat.torch

    def __init__(self, forward: ForwardPass) -> None:
        self._forward = forward
        self._model = forward.model
        first = next(iter(forward.variables), None)
        self._device = torch.device("cpu") if first is None else first.value.device
        self.traces: Counter[Any] = Counter()
        self._draws = True

    def for_copy(self, forward: ForwardPass) -> Self:
        """A runtime of its own."""
        twin = type(self)(forward)
        twin._draws = self._draws
        return twin

    def asarray(self, x: Array, dtype: str) -> torch.Tensor:
        """A copy on the device of the weights."""
        return own_tensor(x, self._device, getattr(torch, dtype))

    def to_native(self, x: Array) -> Array:
        """The tensor itself."""
        return x

    def trace(self, inputs: Array) -> None:
        """Call the model."""
        watch, before = _DrawWatch(), torch.default_generator.get_state()  # type: ignore[no-untyped-call]
        undo = lambda: watch.drew and torch.default_generator.set_state(before)  # noqa: E731
        with torch.no_grad(), self.evaluating(), put_back(undo), active(watch):
            self._forward.called(inputs)
        self._draws = watch.drew

    def seen(self, inputs: Array, held: Mapping[Name, Any]) -> Seen:
        """By a forward pass over `inputs`, with an eye on each operation."""
        tensors = {name: value_of(thing) for name, thing in held.items()}
        beside = [given.value for given in self._forward.variables if not isinstance(given, keras.Variable)]
        first: list[keras.Variable] = []

        def run() -> torch.Tensor:
            outputs: torch.Tensor
            outputs, first[:] = self._forward.first_uses(inputs)
            return outputs

        try:
            with torch.no_grad(), self.evaluating(), interpreted():
                seen = watched(tensors, [inputs, *beside], run)
        except WritesItselfError as error:
            raise writes_itself(self._model.name, error.name) from None
        used = seen.used if seen.followed else frozenset(tensors)
        learned = [path for layer, path in used if not layer and tensors["", path].requires_grad]
        learned += [f"a tensor of shape {tuple(t.shape)}" for t in seen.unknown if t.requires_grad]
        return Seen(tuple(first), seen.read, used, tuple(learned), seen.branches)

    def outside_loops(self, output: Array) -> bool:
        """Always: loops are Python's."""
        return True

    def predict(self, inputs: Array) -> torch.Tensor:
        """The outputs."""
        with torch.no_grad(), self._evaluating():
            outputs: torch.Tensor = self._forward(inputs)
            return outputs

    def output_and_gradient(
        self, inputs: Array, targets: Array, relu: ReluRule
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """By one forward and one backward pass."""
        with with_gradients(), self._evaluating():
            leaf = inputs.detach().clone().requires_grad_()
            if relu == "standard":
                outputs = self._forward(leaf)
                return outputs.detach(), input_gradient(outputs, targets, leaf, repr(self._model.name))
            rules = ReluRules(relu)
            with interpreted(), plain_leaks(self._model, relu), active(rules):
                outputs = self._forward(leaf)
            refuse_plain_gradient(self._model, relu, met=1, hidden=rules.hidden(outputs))
            gradient = input_gradient(outputs, targets, leaf, repr(self._model.name))
            refuse_plain_gradient(self._model, relu, met=len(rules.applied), hidden=None)
            return outputs.detach(), gradient

    def layer_gradient(self, inputs: Array, targets: Array, layer: str) -> tuple[torch.Tensor, torch.Tensor]:
        """By one forward pass, and a backward pass down to the layer."""
        caught: list[torch.Tensor] = []

        def catch(_name: str, output: torch.Tensor) -> torch.Tensor:
            caught.append(output if output.requires_grad else output.detach().requires_grad_())
            # What comes next may work in place, so it gets a copy.
            return caught[-1].clone()

        with with_gradients(), self._evaluating():
            leaf = inputs.detach().clone()
            leaf.requires_grad_(leaf.is_floating_point())
            with observed({layer: inner_layer(self._model, layer)}, catch):
                outputs = self._forward(leaf)
            if not caught:
                raise unusable_layer(layer, "no such tensor in the forward pass")
            (gradient,) = torch.autograd.grad(selected(outputs, targets), caught[-1], allow_unused=True)
        if gradient is None:
            raise unusable_layer(layer, "an output that is not used")
        return caught[-1].detach(), gradient

    def batch_statistics(self, inputs: Array, chosen: Sequence[bool]) -> list[HostArray]:
        """Computed without gradients."""
        with torch.no_grad(), self._evaluating():
            computed = batch_statistics(self._forward, None, inputs, chosen)
            return [host_copy(value) for value in computed]

    def training_step(
        self, update: Update, loss: Loss, seed: int
    ) -> Callable[[HostArray, HostArray], tuple[float, HostArray]]:
        """A step of Keras' own optimizer on autograd's gradients."""
        # Keras' own layers bring their generators; torch modules inside of Keras layers draw from the global one.
        seeds = itertools.count(seed)

        def step(inputs: HostArray, labels: HostArray) -> tuple[float, HostArray]:
            given, classes = (self.asarray(array, str(array.dtype)) for array in (inputs, labels))
            with with_gradients(), self.evaluating(), same_draws(self._device, next(seeds)):
                outputs = self._forward.called(given, training=True)
                value = loss(classes, outputs)
                weights = [v.value for v in update.weights]
                gradients = torch.autograd.grad(value, weights, allow_unused=True)
            with torch.no_grad():
                update.apply(gradients)
            return float(value.detach()), host_copy(outputs)

        return step

    def is_concrete(self, x: Any) -> bool:
        """Always for a tensor."""
        return isinstance(x, torch.Tensor)

    def random_state(self) -> Any:
        """The states of the generators of the CPU and of accelerators in use."""
        return random_state()

    def set_random_state(self, state: Any) -> None:
        """Put the states back."""
        set_random_state(state)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Put back the modes of torch modules inside Keras layers, which Keras switches at each call.

        What the caller's contexts keep of the weights is not used meanwhile.
        """
        restore = self._modes()
        try:
            with without_caches():
                yield
        finally:
            restore()

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        # A torch module that draws shall draw the same in each call, and leave no trace of it.
        draws = same_draws(self._device) if self._draws else nullcontext()
        with self.evaluating(), draws:
            yield

    def kept_modes(self) -> Callable[[], None]:
        """Modes, flags and gradients of torch's, and whether it records gradients."""
        modes, recording = self._modes(), torch.is_grad_enabled()
        tensors = [variable.value for variable in self._forward.variables]
        flags = own_flags(tensor for tensor in tensors if tensor.is_leaf)

        def restore() -> None:
            modes()
            torch.set_grad_enabled(recording)
            flags()

        return restore

    def _modes(self) -> Callable[[], None]:
        # A graph's model does not count its layers among its modules.
        layers = all_layers(self._model)
        training = [(part, part.training) for layer in layers for part in layer.modules()]

        def restore() -> None:
            for part, mode in training:
                part.training = mode

        return restore


class _DrawWatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees whether operations draw random numbers."""

    drew = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.drew = self.drew or torch.Tag.nondeterministic_seeded in func.tags
        return func(*args, **(kwargs or {}))
