"""An Equinox module as pure functions of its arrays: in inference, in training, and with taps."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from agnostic_rand.adapters import Array, DistinctNames, Forward, called
from agnostic_rand.errors import ModelError
from agnostic_rand_jax.calling import all_inputs
from agnostic_rand_jax.compiled import Values, as_outputs
from agnostic_rand_jax.equinox_inventory import Whole, module_names, modules, named_arrays
from agnostic_rand_jax.inventory import Path, followed
from agnostic_rand_jax.taps import tapped

# 1 - momentum**counter is 1 from here on, in float64 too, unless the momentum is above 0.99999997.
_SATURATED = 2**30


class EquinoxModel:
    """The structure of a module and its state; it holds none of their parameters and statistics.

    Args:
        whole: The module and its state.
        forward: `forward(model, inputs) -> outputs` on a batch, or `None` to map the module over
            the batch.
    """

    def __init__(self, whole: Whole, forward: Forward | None) -> None:
        self.tree = named_arrays(whole)
        self._forward = forward
        self._stateful = whole[1] is not None
        self._name = type(whole[0]).__name__
        # Of the module as it was declared: JAX sorts the entries of dictionaries.
        self._names = module_names(whole[0])
        parts = jax.tree.leaves(whole[0], is_leaf=_is_index)
        self._needs_state = any(_is_index(part) for part in parts)
        norms = [m for _, m in modules(whole[0]) if isinstance(m, eqx.nn.BatchNorm)]
        self._axis = norms[0].axis_name if norms else None

    def outputs(self, values: Values, inputs: Array) -> jax.Array:
        """The outputs in inference mode."""
        model, state = self.tree.filled(values)
        return self._call(eqx.nn.inference_mode(model), state, all_inputs(values, inputs), None)[0]

    def tapped(self, values: Values, inputs: Array) -> jax.Array:
        """The outputs in inference mode, with a tap on each part."""
        model, state = self.tree.filled(values)
        model = _with_taps(eqx.nn.inference_mode(model), self._names)
        return self._call(model, state, all_inputs(values, inputs), None)[0]

    def estimated(self, values: Values, inputs: Array, owners: Iterable[Path]) -> Values:
        """The statistics that the parts at these paths take from `inputs`, while they normalize by them.

        Raises:
            ModelError: The caller's `forward` hides the state that the module returns.
        """
        model, state = self.tree.filled(values)
        model = eqx.nn.inference_mode(model)
        chosen = [path for path in owners if isinstance(followed(model, path), eqx.nn.BatchNorm)]
        if not chosen:
            return {}
        for path in chosen:
            norm = followed(model, path)
            if norm.mode == "ema":
                state = state.set(norm.ema_first_time_index, jnp.array(True))
            else:
                state = state.set(
                    norm.batch_state_index, jax.tree.map(jnp.zeros_like, state.get(norm.batch_state_index))
                )
            model = eqx.tree_at(partial(_flag, path), model, False)
        _, new = self._call(model, state, all_inputs(values, inputs), None)
        if new is None:
            raise ModelError(
                f"the running statistics of {self._name}",
                expected="a module that is called as model(input, state) and returns (output, state)",
                received="a forward function, which returns outputs alone",
                fix="Leave forward out, or use statistics='reset' or 'keep'.",
            )
        for path in chosen:
            norm = followed(model, path)
            index = norm.ema_state_index or norm.batch_state_index
            share = 1.0 if norm.mode == "ema" else 1 - norm.momentum
            new = new.set(index, jax.tree.map(lambda value, share=share: value / share, new.get(index)))
        found = self.tree.values((model, new))
        return {key: value for key, value in found.items() if self.tree.paths[key][0] == 1}

    def trained(self, values: Values, inputs: Array, key: Array) -> tuple[jax.Array, Values]:
        """The outputs in training mode, and the new running statistics.

        With a `forward`, which passes on neither keys nor states, the module stays in inference mode.
        """
        model, state = self.tree.filled(values)
        if self._forward is not None:
            return self._call(eqx.nn.inference_mode(model), state, all_inputs(values, inputs), None)[0], {}
        outputs, new = self._call(eqx.nn.inference_mode(model, value=False), state, inputs, key)
        found = self.tree.values((model, new))
        return outputs, {key: value for key, value in found.items() if self.tree.paths[key][0] == 1}

    def _call(self, model: Any, state: Any, inputs: Any, key: Array | None) -> tuple[jax.Array, Any]:
        """The outputs, and the new state where there is one to see."""
        if self._forward is not None:
            native = (model, state) if self._stateful else model
            return as_outputs(self._forward(native, inputs), self._name), None
        takes_key = "key" in inspect.signature(type(model).__call__).parameters
        keys = jax.random.split(key, len(jax.tree.leaves(inputs)[0])) if key is not None and takes_key else None

        if not self._stateful and self._needs_state:
            raise ModelError(
                f"the model {self._name}",
                expected="a stateful module beside its state, as equinox.nn.make_with_state returns them",
                received="the module alone",
                fix="Pass (model, state) as the model.",
            )

        def one(x: Any, own: Array | None) -> Any:
            extra = {} if own is None else {"key": own}
            if not self._stateful:
                return called(model, x, **extra), None
            if isinstance(x, dict):
                return model(**x, state=state, **extra)
            return called(model, x, state, **extra)

        mapped = jax.vmap(one, in_axes=(0, None if keys is None else 0), out_axes=(0, None), axis_name=self._axis)
        outputs, new = mapped(inputs, keys)
        return as_outputs(outputs, self._name), new


def settled(whole: Whole) -> Whole:
    """The whole, with running statistics that are what they say.

    `BatchNorm(mode="batch")` keeps sums that it divides by a factor of its count of batches. Here the
    division is done, and the count is one for which the factor is 1.
    """
    model, state = whole
    if state is None:
        return whole
    # Setting a value makes the old state unusable, so it is done on a copy.
    leaves, structure = jax.tree_util.tree_flatten(state)
    state = jax.tree_util.tree_unflatten(structure, leaves)
    for _, norm in modules(model):
        if isinstance(norm, eqx.nn.BatchNorm) and norm.mode == "batch":
            count = state.get(norm.batch_counter)
            factor = jnp.where(count == 0, 1, 1 - norm.momentum**count)
            hidden = state.get(norm.batch_state_index)
            state = state.set(norm.batch_state_index, jax.tree.map(lambda value, f=factor: value / f, hidden))
            state = state.set(norm.batch_counter, jnp.full_like(count, _SATURATED))
    return model, state


def _is_index(node: Any) -> bool:
    return isinstance(node, eqx.nn.StateIndex)


def _part(path: Path, model: Any) -> Any:
    return followed(model, path)


def _flag(path: Path, model: Any) -> Any:
    return followed(model, path).inference


class _Tap(eqx.Module):
    """A module that marks what another puts out, and is that other in all else."""

    tapped_module: Any
    tapped_name: str = eqx.field(static=True)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return tapped(self.tapped_module(*args, **kwargs), self.tapped_name)

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "tapped_module"), name)


def _with_taps(model: Any, names: DistinctNames) -> Any:
    paths = [path for path, part in modules(model) if path and callable(part)]
    # The innermost first: around a module that is tapped already another tap fits.
    for path in sorted(paths, key=len, reverse=True):
        name = names.of(path, "")
        model = eqx.tree_at(partial(_part, path), model, replace_fn=partial(_Tap, tapped_name=name))
    return model
