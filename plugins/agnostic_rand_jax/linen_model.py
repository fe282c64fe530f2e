"""A Linen module as pure functions of its arrays: in evaluation, in training, and with taps."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen
from flax.errors import InvalidRngError, ModifyScopeVariableError

from agnostic_rand.adapters import Array, DistinctNames, Forward, called
from agnostic_rand.errors import ModelError
from agnostic_rand_jax.calling import all_inputs
from agnostic_rand_jax.compiled import Values, as_outputs
from agnostic_rand_jax.inventory import Path
from agnostic_rand_jax.modes import mode_arguments, trains
from agnostic_rand_jax.taps import tapped
from agnostic_rand_jax.tree import ArrayTree

Context: TypeAlias = linen.module.InterceptorContext
Modules: TypeAlias = dict[Path, linen.Module]


class LinenModel:
    """A module and the shape of its variables; it holds none of their parameters and statistics.

    Args:
        first: The module, or its bound `apply`: what stands beside the variables in the caller's pair.
        tree: The shape of its variables.
        forward: `forward((first, variables), inputs) -> outputs`, or `None` for
            `module.apply(variables, inputs)`.

    Attributes:
        module: The module.
        names: By path, the names of its submodules.
    """

    def __init__(self, first: Any, tree: ArrayTree, forward: Forward | None) -> None:
        self.forward = forward
        self.module: linen.Module = first if isinstance(first, linen.Module) else first.__self__
        self.names = DistinctNames()
        self._first = first
        self._tree = tree
        self._key_at = {path: key for key, path in tree.paths.items()}

    def outputs(self, values: Values, inputs: Array) -> jax.Array:
        """The outputs, in the mode in which the module is called."""
        variables = self._tree.filled(values)
        taken = all_inputs(values, inputs)
        name = type(self.module).__name__
        try:
            if self.forward is None:
                made = called(partial(self.module.apply, variables), taken, **mode_arguments(self.module, taken))
            else:
                made = self.forward((self._first, variables), taken)
        except (InvalidRngError, ModifyScopeVariableError) as error:
            # Dropout asks for a key, and batch normalization for leave to change its statistics.
            sign = f"{type(error).__name__}: {error}"
            apply = "model[0].apply" if self._first is self.module else "model[0]"
            raise trains(name, sign, f"lambda model, x: {apply}(model[1], x, train=False)") from error
        return as_outputs(made, name)

    def tapped(self, values: Values, inputs: Array) -> jax.Array:
        """The outputs, with a tap on each submodule."""

        def with_tap(call: Callable[..., Any], args: Any, kwargs: Any, context: Context) -> Any:
            outputs = call(*args, **kwargs)
            path = context.module.path
            return tapped(outputs, self._name(path)) if path and context.method_name == "__call__" else outputs

        with linen.intercept_methods(with_tap):
            return self.outputs(values, inputs)

    def estimated(self, values: Values, inputs: Array, layers: Collection[str]) -> Values:
        """The statistics that these layers take from `inputs`, while they normalize by them."""
        mode = _BatchMode(lambda path: self._name(path) in layers)
        with linen.intercept_methods(mode):
            self.outputs(values, inputs)
        return self._statistics(mode)

    def trained(self, values: Values, inputs: Array, key: Array) -> tuple[jax.Array, Values]:
        """The outputs in training mode, and the new running statistics.

        Batch normalization and dropout act as in training whatever flags the module is called
        with; dropout inside attention follows its own flag.
        """
        mode = _BatchMode(lambda _: True, key)
        with linen.intercept_methods(mode):
            outputs = self.outputs(values, inputs)
        return outputs, self._statistics(mode)

    def _name(self, path: Path) -> str:
        return self.names.of(path, "/".join(map(str, path)))

    def _statistics(self, mode: _BatchMode) -> Values:
        return {self._key_at[("batch_stats", *path)]: value for path, value in mode.statistics.items()}

    @contextmanager
    def reachable(self) -> Iterator[None]:
        """Say what it means when a value cannot be seen outside of the loop or checkpoint that makes it.

        Raises:
            ModelError: A normalization layer stands in such a place.
        """
        try:
            yield
        except jax.errors.UnexpectedTracerError as error:
            raise ModelError(
                f"the batch statistics of {type(self.module).__name__}",
                expected="normalization layers outside of nn.scan, nn.remat and nn.jit",
                received="one inside, whose statistics cannot be seen",
                fix="Use statistics='reset' or 'keep', and train the model with your own loop.",
            ) from error


@contextmanager
def recorded() -> Iterator[Modules]:
    """Note by its path each module that is called meanwhile."""
    modules: Modules = {}

    def note(call: Callable[..., Any], args: Any, kwargs: Any, context: Context) -> Any:
        modules.setdefault(context.module.path, context.module)
        return call(*args, **kwargs)

    with linen.intercept_methods(note):
        yield modules


class _BatchMode:
    """Lets normalization layers normalize by the batch, and keeps what their statistics become.

    Args:
        chosen: Says by its path whether a layer does so.
        key: Where dropout takes its randomness; `None` leaves it off, and lets statistics become the
            batch's own.
    """

    def __init__(self, chosen: Callable[[Path], bool], key: Array | None = None) -> None:
        self._chosen = chosen
        self._key = key
        self._drops = 0
        self.statistics: dict[Path, jax.Array] = {}

    def __call__(self, call: Callable[..., Any], args: Any, kwargs: Any, context: Context) -> Any:
        module = context.module
        if context.method_name == "__call__":
            if isinstance(module, linen.BatchNorm):
                if self._chosen(module.path):
                    return self._normalized(module, args[0] if args else kwargs["x"])
            elif isinstance(module, linen.Dropout) and self._key is not None and module.rate > 0:
                return self._dropped(module, args[0] if args else kwargs["inputs"], self._key)
        return call(*args, **kwargs)

    def _normalized(self, module: linen.BatchNorm, x: Array) -> jax.Array:
        # One axis, or several, whatever the annotation says.
        axes = np.atleast_1d(np.asarray(module.axis))
        features = [int(axis) % x.ndim for axis in axes]
        reduced = tuple(axis for axis in range(x.ndim) if axis not in features)
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        mean, variance = wide.mean(reduced), wide.var(reduced)
        for name, batch in (("mean", mean), ("var", variance)):
            old: jax.Array = module.get_variable("batch_stats", name)
            kept = 0.0 if self._key is None else module.momentum
            new = kept * old + (1 - kept) * batch if kept else batch
            self.statistics[*module.path, name] = jax.lax.stop_gradient(new).astype(old.dtype)
        shape = [size if axis in features else 1 for axis, size in enumerate(x.shape)]
        made = (wide - mean.reshape(shape)) * jax.lax.rsqrt(variance.reshape(shape) + module.epsilon)
        if module.use_scale:
            made = made * module.get_variable("params", "scale").reshape(shape)
        if module.use_bias:
            made = made + module.get_variable("params", "bias").reshape(shape)
        normalized: jax.Array = made.astype(module.dtype or x.dtype)
        return normalized

    def _dropped(self, module: linen.Dropout, x: Array, key: Array) -> jax.Array:
        self._drops += 1
        key = jax.random.fold_in(key, self._drops)
        shape = [1 if axis in module.broadcast_dims else size for axis, size in enumerate(x.shape)]
        kept = jax.random.bernoulli(key, 1 - module.rate, shape)
        return jnp.where(kept, x / (1 - module.rate), jnp.zeros_like(x))
