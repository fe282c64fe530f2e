"""The adapter of a function and its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import jax

from agnostic_rand.adapters import (
    UNKNOWN,
    Array,
    DistinctNames,
    Entry,
    Forward,
    HostArray,
    Meaning,
    OpenRequest,
    called,
)
from agnostic_rand.errors import ModelError
from agnostic_rand_jax.adapter import ImmutableAdapter
from agnostic_rand_jax.arrays import host_copy, is_inexact, is_parameter_like
from agnostic_rand_jax.calling import all_inputs
from agnostic_rand_jax.compiled import Values, as_outputs
from agnostic_rand_jax.deduction import deduced
from agnostic_rand_jax.inventory import Path, declared_rank, described
from agnostic_rand_jax.pair import JaxModel
from agnostic_rand_jax.tracing import traced
from agnostic_rand_jax.training import TrainingFunction, key_of
from agnostic_rand_jax.tree import ArrayTree


class BareAdapter(ImmutableAdapter):
    """A pair `(apply, params)`, or a `JaxModel`; layers are the containers in the tree of parameters.

    With example inputs, a traced call shows what its parameters do: see `deduction`. What it does not
    show, the model may be told (`jax_model(roles=...)`), which is believed first. It has no
    `layer_gradient`: a function shows no layers from outside.

    Integers of 32 bits and more beside floating-point arrays, such as a count of steps, are no
    parameters; smaller ones are weights of a quantized model. One array that stands in several places
    is one parameter and stays so.

    Args:
        model: The pair or the `JaxModel`.
        request: What it is opened with, such as `forward(model, inputs) -> outputs`.

    Raises:
        ModelError: There are no parameters, or the function cannot be called on the example.
    """

    def __init__(
        self,
        model: tuple[Any, Any] | JaxModel,
        request: OpenRequest,
    ) -> None:
        source = model if isinstance(model, JaxModel) else JaxModel(*model)
        floating = any(is_inexact(leaf) for leaf in jax.tree.leaves(source.params))
        self._tree = ArrayTree(
            source.params,
            lambda _, leaf: is_parameter_like(leaf) and not (floating and _is_count(leaf)),
            ties=_always,
        )
        if not self._tree.paths:
            raise ModelError(
                "the parameters of the pair (apply, params)",
                expected="a pytree with at least one array of numbers",
                received=type(source.params).__name__,
                fix="Pass the trained parameters second.",
            )
        self.channel_axis = source.channel_axis
        self._init = source.init
        values = self._tree.values(source.params)
        shell = replace(source, params=None) if isinstance(model, JaxModel) else source.apply
        self._outputs = _function(shell, self._tree, request.forward)
        declared = sorted(self._tree.paths, key=lambda key: declared_rank(source.params, self._tree.paths[key]))
        trace = traced(self._outputs, values, request, _name(shell), self._tree.fixed)
        # JAX flattens a dictionary by its sorted names.
        shown, beside = ({}, {}) if trace is None else deduced(trace.jaxpr, sorted(values))
        names = DistinctNames()
        entries = [self._entry(key, values[key], names, source.roles, shown, beside) for key in declared]
        self._shell = shell
        super().__init__(entries, self._outputs, trace, model, values)

    def native_init(self, layer: str, seed: int) -> dict[str, HostArray]:
        """The layer's part of `init(key)`; nothing for a model without `init`."""
        held = self._of(layer)
        if self._init is None:
            return {}
        fresh = self._tree.values(self._init(key_of(seed)))
        return {name: host_copy(fresh[key]) for name, key in held.items()}

    def _entry(
        self,
        key: str,
        array: jax.Array,
        names: DistinctNames,
        roles: Mapping[str, Meaning],
        shown: Mapping[str, Meaning],
        beside: Mapping[str, str],
    ) -> Entry[str]:
        path = self._tree.paths[key]
        name = _joined(path) or "params"
        meaning = next((given for glob, given in roles.items() if fnmatchcase(name, glob)), shown.get(key, UNKNOWN))
        statistic = meaning[0] in ("mean", "variance")
        aliases = tuple(_joined(other) for other in self._tree.other_paths(key))
        parameter = described(name if len(path) < 2 else str(path[-1]), array, meaning)
        # Running statistics may be kept in a tree of their own.
        home = self._tree.paths[beside.get(key, key)] if statistic else path
        if len(home) < 2:
            layer = names.of(("array", home), _joined(home) or "params")
            return Entry(layer, "array", parameter, key, None, statistic, aliases)
        layer = names.of(home[:-1], _joined(home[:-1]))
        return Entry(layer, "params", parameter, key, None, statistic, aliases)

    def _built(self, values: Values) -> Any:
        return _model(self._shell, self._tree.filled(values))

    def _training(self) -> TrainingFunction:
        return lambda values, inputs, _key: (self._outputs(values, inputs), {})


def _function(shell: Any, tree: ArrayTree, forward: Forward | None) -> Callable[[Values, Array], jax.Array]:
    apply = shell.apply if isinstance(shell, JaxModel) else shell

    def outputs(values: Values, inputs: Array) -> jax.Array:
        params = tree.filled(values)
        taken = all_inputs(values, inputs)
        made = called(partial(apply, params), taken) if forward is None else forward(_model(shell, params), taken)
        return as_outputs(made, _name(shell))

    return outputs


def _model(shell: Any, params: Any) -> Any:
    return replace(shell, params=params) if isinstance(shell, JaxModel) else (shell, params)


def _name(shell: Any) -> str:
    apply = shell.apply if isinstance(shell, JaxModel) else shell
    return str(getattr(apply, "__name__", type(apply).__name__))


def _joined(path: Path) -> str:
    return "/".join(map(str, path))


def _always(_path: Path) -> bool:
    return True


def _is_count(leaf: Any) -> bool:
    """Whether it is an array of integers that are no quantized weights."""
    return not is_inexact(leaf) and leaf.dtype.itemsize >= 4
