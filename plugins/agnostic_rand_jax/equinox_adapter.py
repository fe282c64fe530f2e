"""The adapter of an Equinox module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import equinox as eqx
import jax

from agnostic_rand.adapters import Array, HostArray, OpenRequest
from agnostic_rand_jax.adapter import ImmutableAdapter
from agnostic_rand_jax.closures import refuse_bound_functions
from agnostic_rand_jax.compiled import Outputs, Values
from agnostic_rand_jax.equinox_inventory import modules, take_inventory
from agnostic_rand_jax.equinox_model import EquinoxModel, settled
from agnostic_rand_jax.inventory import followed
from agnostic_rand_jax.layer_gradient import LayerGradients
from agnostic_rand_jax.native_init import made_again, same_shaped
from agnostic_rand_jax.tracing import traced
from agnostic_rand_jax.training import TrainingFunction, key_of


class EquinoxAdapter(LayerGradients, ImmutableAdapter):
    """A module, or a pair `(module, state)` as `equinox.nn.make_with_state` returns it.

    Equinox modules take one sample, channels first: the adapter maps them over the batch, in
    inference mode. Its parameters are its floating-point arrays, those of NumPy too, as
    `equinox.is_inexact_array` has it; one that stands in several places is one parameter and stays
    so, though Equinox would train a copy in each place. A stateful module needs its state beside it:
    the running statistics of `BatchNorm` are in the state, and of a module without one they cannot be
    seen.

    Args:
        model: The module, or the module and its state.
        request: What it is opened with, such as `forward(model, inputs) -> outputs` on a batch.

    Raises:
        ModelError: There are no parameters, or the module cannot be called on the example.
    """

    channel_axis = 1

    def __init__(self, model: Any, request: OpenRequest) -> None:
        self._paired = isinstance(model, tuple)
        whole = settled(model if self._paired else (model, None))
        self._equinox = EquinoxModel(whole, request.forward)
        values = self._equinox.tree.values(whole)
        entries, spectral = take_inventory(whole, self._equinox.tree, values)
        name = type(whole[0]).__name__
        trace = traced(self._equinox.outputs, values, request, name, self._equinox.tree.fixed)
        self._inference = False
        super().__init__(entries, self._equinox.outputs, trace, model, values)
        self._spectral = spectral

    @property
    def native(self) -> Any:
        """A model of the caller's type that holds the current weights."""
        native = super().native
        return eqx.nn.inference_mode(native) if self._inference else native

    def clone(self) -> Self:
        """An adapter with weights of its own.

        Raises:
            ModelError: The module may have functions that stay bound to its arrays.
        """
        if self.order_source == "declared":
            model = super().native[0] if self._paired else super().native
            parts = [part for _, part in modules(model)]
            arrays = [leaf for leaf in jax.tree.leaves(model) if eqx.is_array(leaf)]
            refuse_bound_functions(parts, arrays, type(model).__name__)
        return super().clone()

    @contextmanager
    def explaining(self, _inputs: Array) -> Iterator[Callable[[], Array | None]]:
        """`native` is in inference mode meanwhile; what foreign code calls is not watched."""
        self._inference = True
        try:
            yield lambda: None
        finally:
            self._inference = False

    def native_init(self, layer: str, seed: int) -> dict[str, HostArray]:
        """What the constructor of the layer's type draws; nothing for the user's own modules."""
        held = {name: self._current[key] for name, key in self._parameters(layer).items()}
        owner = self._owner(layer)
        if owner is None or not type(owner).__module__.startswith("equinox.nn"):
            return {}
        fresh = made_again(owner, {"key": key_of(seed)})
        return same_shaped({name: getattr(fresh, name, None) for name in held}, held)

    def _estimated(self, values: Values, inputs: Array, layers: frozenset[str]) -> Values:
        owners = [self._owners[name] for name in layers]
        return self._equinox.estimated(values, inputs, [path for path in owners if path is not None])

    def _built(self, values: Values) -> Any:
        whole = self._equinox.tree.filled(values)
        return whole if self._paired else whole[0]

    def _owner(self, layer: str) -> Any:
        if self._owners[layer] is None:
            return None
        native = super().native
        return followed(native[0] if self._paired else native, self._owners[layer])

    def _tapped(self) -> Outputs:
        return self._equinox.tapped

    def _training(self) -> TrainingFunction:
        return self._equinox.trained
