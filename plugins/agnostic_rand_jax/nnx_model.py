"""An NNX module as pure functions of its arrays: in evaluation, in training, and with taps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx

from agnostic_rand.adapters import Array, Forward, called
from agnostic_rand_jax.calling import all_inputs
from agnostic_rand_jax.compiled import Values, as_outputs
from agnostic_rand_jax.dependence import DATA, DRAWN, dependence
from agnostic_rand_jax.inventory import Path
from agnostic_rand_jax.modes import mode_arguments, trains
from agnostic_rand_jax.nnx_inventory import is_container, named_arrays, part_names, slots
from agnostic_rand_jax.taps import tapped

Modes: TypeAlias = dict[tuple[Any, ...], dict[str, Any]]

_FLAGS = ("deterministic", "use_running_average")


class NnxModel:
    """The structure of a module; it holds none of its parameters and statistics.

    Args:
        module: The module.
        forward: `forward(module, inputs) -> outputs`, or `None` for `module(inputs)`.
    """

    def __init__(self, module: nnx.Module, forward: Forward | None) -> None:
        self._forward = forward
        self._name = type(module).__name__
        self._graph, state = nnx.split(module)
        self._part_names = part_names(module)
        self.tree = named_arrays(state)

    def outputs(self, values: Values, inputs: Array) -> jax.Array:
        """The outputs in evaluation mode.

        Raises:
            ModelError: The module stays in training mode.
        """
        return self._evaluated(self._evaluating, values, inputs)

    def tapped(self, values: Values, inputs: Array) -> jax.Array:
        """The outputs in evaluation mode, with a tap on each part."""

        def with_tap(path: Any, node: Any) -> Any:
            name = self._part_names.get(path)
            return _Tap(node, name) if name and callable(node) and not is_container(node) else node

        return self._evaluated(lambda values: nnx.recursive_map(with_tap, self._evaluating(values)), values, inputs)

    def estimated(self, values: Values, inputs: Array, owners: Iterable[Path]) -> Values:
        """The statistics that the parts at these paths take from `inputs`, while they normalize by them."""
        module = self._evaluating(values)
        parts = dict(nnx.iter_modules(module))
        for part in (parts[path] for path in owners):
            if isinstance(part, nnx.BatchNorm):
                # Momentum 0 replaces the running values by the batch's.
                part.use_running_average, part.momentum = False, 0.0
                _heed_no_argument(part)
        self._call(module, all_inputs(values, inputs))
        return self._statistics(module)

    def trained(self, values: Values, inputs: Array, key: Array) -> tuple[jax.Array, Values]:
        """The outputs in training mode, and the new running statistics."""
        module = self._merged(values)
        module.train()  # type: ignore[no-untyped-call]
        _seed(module, key)
        outputs = self._call(module, inputs, training=True)
        return outputs, self._statistics(module)

    def _merged(self, values: Values) -> nnx.Module:
        module: nnx.Module = nnx.merge(self._graph, self.tree.filled(values))
        return module

    def _evaluating(self, values: Values) -> nnx.Module:
        module = self._merged(values)
        module.eval()  # type: ignore[no-untyped-call]
        return module

    def _evaluated(self, build: Callable[[Values], Any], values: Values, inputs: Array) -> jax.Array:
        module = build(values)
        before = [(variable, variable.get_value()) for variable in _state(module)]
        outputs = self._call(module, all_inputs(values, inputs))
        if any(variable.get_value() is not value for variable, value in before):
            # Loops and compiled parts put back even what they left as it was, so a second look decides.
            self._refuse_training(build, values, inputs)
        return outputs

    def _refuse_training(self, build: Callable[[Values], Any], values: Values, inputs: Array) -> None:
        def observed(values: Values, inputs: Array) -> tuple[jax.Array, list[jax.Array]]:
            module = build(values)
            outputs = self._call(module, all_inputs(values, inputs))
            kept = [variable for variable in _state(module) if isinstance(variable, nnx.BatchStat)]
            return outputs, [leaf for variable in kept for leaf in jax.tree.leaves(variable.get_value())]

        jaxpr = jax.make_jaxpr(observed)(values, inputs)
        made, *statistics = dependence(jaxpr, len(self.tree.paths)).results
        how = "lambda model, inputs: model(inputs, train=False)"
        if any(mark & DATA for mark in statistics):
            raise trains(self._name, "it takes its running statistics from the batch", how)
        if made & DRAWN:
            raise trains(self._name, "its outputs depend on random draws, as dropout makes them", how)

    def _call(self, module: Any, inputs: Any, *, training: bool = False) -> jax.Array:
        if self._forward is not None:
            return as_outputs(self._forward(module, inputs), self._name)
        return as_outputs(called(module, inputs, **mode_arguments(module, inputs, training=training)), self._name)

    def _statistics(self, module: nnx.Module) -> Values:
        found = slots(module, self.tree.paths)
        return {key: slot.get() for key, slot in found.items() if isinstance(slot.variable, nnx.BatchStat)}


def modes(module: nnx.Module) -> Modes:
    """By path, the flags that tell training from evaluation."""
    return {
        tuple(path): {flag: getattr(part, flag) for flag in _FLAGS if flag in vars(part)}
        for path, part in nnx.iter_modules(module)
        if any(flag in vars(part) for flag in _FLAGS)
    }


def _state(module: Any) -> list[Any]:
    """The variables that a call in training mode changes."""
    return [node for _, node in nnx.iter_graph(module) if isinstance(node, nnx.BatchStat | nnx.RngState)]


def _heed_no_argument(norm: nnx.BatchNorm) -> None:
    """Let the layer follow its own flag, whatever it is told in a call."""
    if type(norm).__call__ is nnx.BatchNorm.__call__:
        object.__setattr__(norm, "__class__", _FlaggedBatchNorm)


class _FlaggedBatchNorm(nnx.BatchNorm):
    def __call__(self, x: Any, use_running_average: bool | None = None, *, mask: Any = None) -> Any:
        return super().__call__(x, self.use_running_average, mask=mask)


class _Tap(nnx.Module):
    """A module that marks what another puts out, and is that other in all else."""

    def __init__(self, tapped_module: nnx.Module, tapped_name: str) -> None:
        self.tapped_module = tapped_module
        self.tapped_name = tapped_name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return tapped(self.tapped_module(*args, **kwargs), self.tapped_name)

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "tapped_module"), name)


def _seed(module: nnx.Module, key: Array) -> None:
    """Give every random stream inside the module a key of its own, made of one key."""
    streams = [node for _, node in nnx.iter_graph(module) if isinstance(node, nnx.RngKey)]
    for number, stream in enumerate(streams):
        own = jax.random.fold_in(key, number)
        shape = jnp.shape(stream.get_value())
        stream.set_value(jax.random.split(own, shape) if shape else own)
