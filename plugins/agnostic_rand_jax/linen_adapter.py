"""The adapter of a Flax Linen module with its variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen

from agnostic_rand.adapters import Array, HostArray, OpenRequest, TrainingStep, called, joined
from agnostic_rand.errors import ModelError
from agnostic_rand_jax.adapter import ImmutableAdapter
from agnostic_rand_jax.arrays import host_copy, placed
from agnostic_rand_jax.compiled import Outputs, Values
from agnostic_rand_jax.inventory import declared_rank
from agnostic_rand_jax.layer_gradient import LayerGradients
from agnostic_rand_jax.linen_inventory import PARAMETERS, entry_of, found_at, named_arrays, names_at, spectral_links
from agnostic_rand_jax.linen_model import LinenModel, Modules, recorded
from agnostic_rand_jax.modes import mode_arguments
from agnostic_rand_jax.tracing import traced
from agnostic_rand_jax.training import TrainingFunction, key_of


class LinenAdapter(LayerGradients, ImmutableAdapter):
    """A pair `(module, variables)`; the mapping of variables stays as it is.

    The module is called as `module.apply(variables, inputs)`, and is told by flags of the usual names
    (`train`, `training`, `deterministic`) not to train. One that takes another flag needs
    `forward=lambda model, x: model[0].apply(model[1], x, dropout=False)`, say.

    The types of the submodules, and with them the roles of the parameters, are seen in a traced
    call. Without example inputs they are taken from the names that Linen gives; where these do not
    tell them there is no copy to randomize.

    Args:
        model: The module, or its bound `apply`, and its variables, with a collection `"params"`.
        request: What it is opened with, such as `forward((module, variables), inputs) -> outputs`.

    Raises:
        ModelError: There are no parameters, or the module cannot be called on the example.
    """

    def __init__(
        self,
        model: tuple[Any, Mapping[str, Any]],
        request: OpenRequest,
    ) -> None:
        first, variables = model
        self._tree = named_arrays(variables)
        self._first = first
        self._linen = LinenModel(first, self._tree, request.forward)
        module = self._module = self._linen.module
        if not any(path[0] == PARAMETERS for path in self._tree.paths.values()):
            raise ModelError(
                f"the variables of {type(module).__name__}",
                expected="a mapping with parameters in the collection 'params'",
                received=f"the collections {', '.join(map(repr, variables)) or '(none)'}",
                fix="Pass (module, {'params': params}), with 'batch_stats' where the module has them.",
            )
        self._example: Any = None
        values = self._tree.values(variables)
        trace = None
        modules: Modules = {}
        if request.example_inputs is not None:
            example, beside = np.asarray(request.example_inputs), request.example_beside
            everything = example if beside is None else joined(beside, example)
            self._example = jax.eval_shape(lambda: jax.tree.map(lambda x: placed(x, values.values()), everything))
            with recorded() as modules:
                trace = traced(self._linen.outputs, values, request, type(module).__name__, self._tree.fixed)
        paths = self._tree.paths
        declared = sorted(paths, key=lambda key: declared_rank(variables, paths[key]))
        names = {key: names_at(variables, paths[key]) for key in declared}
        nested = any(len(parts) > 2 for parts in names.values())
        found = [found_at(module, key, names[key], values[key], modules) for key in declared]
        entries = [entry_of(one, self._linen.names, nested=nested) for one in found]
        self._untold = sorted({one.owner for one in found if one.untold}) if trace is None else []
        super().__init__(entries, self._linen.outputs, trace, model, values)
        self._spectral = spectral_links(names, entries)

    def clone(self) -> Self:
        """An adapter with weights of its own.

        Raises:
            ModelError: What the weights do, and so how they are drawn, is not known.
        """
        if self._untold:
            raise ModelError(
                f"the layers {', '.join(repr('/'.join(owner)) for owner in self._untold[:6])} "
                f"of {type(self._module).__name__}",
                expected="layers of known types, which a traced call or Linen's own names (Dense_0) show",
                received="no example inputs, and names that do not tell the types",
                fix="Pass a small batch, such as randomize(model, seed=0, example_inputs=x[:1]).",
            )
        return super().clone()

    def native_init(self, layer: str, seed: int) -> dict[str, HostArray]:
        """The layer's part of `module.init`, on inputs like the example.

        Nothing without an example, or where `forward` says that the module is called in another way.
        """
        held = self._parameters(layer)
        if self._example is None or self._linen.forward is not None:
            return {}
        example = jax.tree.map(lambda given: jnp.zeros(given.shape, given.dtype), self._example)
        flags = mode_arguments(self._module, example)
        initialize = self._compiled.function("init", lambda: partial(self._module.init, **flags))  # type: ignore[arg-type]
        key = key_of(seed)
        fresh = dict(called(partial(initialize, {PARAMETERS: key, "dropout": key}), example))
        found = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(fresh)[0]}
        return {name: host_copy(found[key]) for name, key in held.items() if key in found}

    def estimate_statistics(self, inputs: Array, layers: Sequence[str]) -> dict[str, dict[str, HostArray]]:
        """The running means and variances that `inputs` give in one batch."""
        with self._linen.reachable():
            return super().estimate_statistics(inputs, layers)

    def _estimated(self, values: Values, inputs: Array, layers: frozenset[str]) -> Values:
        return self._linen.estimated(values, inputs, layers)

    def trainer(self, *, learning_rate: float, seed: int) -> TrainingStep:
        """Adam on the cross entropy of the adapter's own variables."""
        step = super().trainer(learning_rate=learning_rate, seed=seed)

        def reachable_step(inputs: HostArray, labels: HostArray) -> tuple[float, int]:
            with self._linen.reachable():
                return step(inputs, labels)

        return reachable_step

    def _built(self, values: Values) -> tuple[linen.Module, Any]:
        return self._first, self._tree.filled(values)

    def _tapped(self) -> Outputs:
        return self._linen.tapped

    def _training(self) -> TrainingFunction:
        return self._linen.trained
