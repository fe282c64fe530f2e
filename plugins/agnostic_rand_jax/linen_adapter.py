"""The adapter of a Flax Linen module with its variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen

from agnostic_rand.adapters import Array, HostArray, OpenRequest, TrainingStep, joined
from agnostic_rand.errors import ModelError
from agnostic_rand_jax.adapter import ImmutableAdapter, traced
from agnostic_rand_jax.arrays import host_copy, is_inexact, is_parameter_like, placed
from agnostic_rand_jax.calling import called
from agnostic_rand_jax.compiled import Outputs, Values
from agnostic_rand_jax.flax_roles import meaning, statistic_meaning
from agnostic_rand_jax.inventory import Leaf, Path, child, declared_rank, described
from agnostic_rand_jax.layer_gradient import LayerGradients
from agnostic_rand_jax.linen_model import LinenModel, Modules, recorded
from agnostic_rand_jax.modes import mode_arguments
from agnostic_rand_jax.spectral import SpectralLink
from agnostic_rand_jax.training import TrainingFunction, key_of
from agnostic_rand_jax.tree import ArrayTree

_PARAMETERS, _STATISTICS = "params", "batch_stats"

# Where no call was traced, the types that Linen's own names tell: Dense_0, Conv_1, ...
_ASSUMED: dict[str, linen.Module] = {
    "Dense": linen.Dense(0),
    "Conv": linen.Conv(0, 0),
    "BatchNorm": linen.BatchNorm(),
    "LayerNorm": linen.LayerNorm(),
    "GroupNorm": linen.GroupNorm(),
    "RMSNorm": linen.RMSNorm(),
    "Embed": linen.Embed(0, 0),
}


class LinenAdapter(LayerGradients, ImmutableAdapter):
    """A pair `(module, variables)`; the mapping of variables stays as it is.

    The module is called as `module.apply(variables, inputs)`, and is told by flags of the usual names
    (`train`, `training`, `deterministic`) not to train. One that takes another flag needs
    `forward=lambda model, x: model[0].apply(model[1], x, dropout=False)`, say.

    The types of the submodules, and with them the roles of the parameters, are seen in a traced
    call. Without example inputs they are taken from the names that Linen gives.

    Args:
        model: The module and its variables, with a collection `"params"`.
        request: What it is opened with, such as `forward((module, variables), inputs) -> outputs`.

    Raises:
        ModelError: There are no parameters, or the module cannot be called on the example.
    """

    def __init__(
        self,
        model: tuple[linen.Module, Mapping[str, Any]],
        request: OpenRequest,
    ) -> None:
        module, variables = model
        self._tree = ArrayTree(variables, _takes)
        if not any(path[0] == _PARAMETERS for path in self._tree.paths.values()):
            raise ModelError(
                f"the variables of {type(module).__name__}",
                expected="a mapping with parameters in the collection 'params'",
                received=f"the collections {', '.join(map(repr, variables)) or '(none)'}",
                fix="Pass (module, {'params': params}), with 'batch_stats' where the module has them.",
            )
        self._linen = LinenModel(module, self._tree, request.forward)
        self._module = module
        self._example: Any = None
        values = self._tree.values(variables)
        jaxpr = None
        modules: Modules = {}
        if request.example_inputs is not None:
            example, beside = np.asarray(request.example_inputs), request.example_beside
            everything = example if beside is None else joined(beside, example)
            self._example = jax.eval_shape(lambda: jax.tree.map(lambda x: placed(x, values.values()), everything))
            with recorded() as modules:
                jaxpr = traced(self._linen.outputs, values, request, type(module).__name__)
        paths = self._tree.paths
        declared = sorted(paths, key=lambda key: declared_rank(variables, paths[key]))
        names = {key: _names(variables, paths[key]) for key in declared}
        nested = any(len(parts) > 2 for parts in names.values())
        leaves = [_leaf(module, key, names[key], values[key], modules, nested) for key in declared]
        super().__init__(leaves, self._linen.outputs, jaxpr, model, values)
        self._spectral = _spectral_links(names, leaves)

    def native_init(self, layer: str, seed: int) -> dict[str, HostArray]:
        """The layer's part of `module.init`, on inputs like the example.

        Nothing without an example, or where `forward` says that the module is called in another way.
        """
        held = self._held(layer)
        if self._example is None or self._linen.forward is not None:
            return {}
        example = jax.tree.map(lambda given: jnp.zeros(given.shape, given.dtype), self._example)
        flags = mode_arguments(self._module, example)
        initialize = self._compiled.function("init", lambda: partial(self._module.init, **flags))  # type: ignore[arg-type]
        key = key_of(seed)
        fresh = dict(called(partial(initialize, {_PARAMETERS: key, "dropout": key}), example))
        found = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(fresh)[0]}
        parameters = {name: key for name, key in held.items() if not self._leaves[key].statistic}
        return {name: host_copy(found[key]) for name, key in parameters.items() if key in found}

    def estimate_statistics(self, inputs: Array, layers: Sequence[str]) -> dict[str, dict[str, HostArray]]:
        """The running means and variances that `inputs` give in one batch."""
        self._refuse_unknown(layers)
        chosen = frozenset(layers)
        function = self._compiled.function(
            ("statistics", chosen), lambda: lambda values, x: self._linen.estimated(values, x, chosen)
        )
        with self._linen.reachable():
            return self._by_layer(function(self._given(inputs), inputs), layers)

    def trainer(self, *, learning_rate: float, seed: int) -> TrainingStep:
        """Adam on the cross entropy of the adapter's own variables."""
        step = super().trainer(learning_rate=learning_rate, seed=seed)

        def reachable_step(inputs: HostArray, labels: HostArray) -> tuple[float, int]:
            with self._linen.reachable():
                return step(inputs, labels)

        return reachable_step

    def _built(self, values: Values) -> tuple[linen.Module, Any]:
        return self._module, self._tree.filled(values)

    def _tapped(self) -> Outputs:
        return self._linen.tapped

    def _training(self) -> TrainingFunction:
        return self._linen.trained


def _takes(path: Path, leaf: Any) -> bool:
    collection = path[0] if path else None
    return (collection == _PARAMETERS and is_parameter_like(leaf)) or (
        collection == _STATISTICS and is_inexact(leaf)
    )


def _leaf(
    root: linen.Module, key: str, names: tuple[str, ...], array: jax.Array, modules: Modules, nested: bool
) -> Leaf:
    owner, name = names[1:-1], names[-1]
    if isinstance(modules.get(owner), linen.SpectralNorm):
        # What is kept of a kernel names it, and belongs to the layer that has it.
        *inside, kernel, kind = name.split("/")
        owner, name = (*owner[:-1], *inside), f"{kernel}/{kind}"
    module = root if not owner else modules.get(owner, _ASSUMED.get(owner[-1].rpartition("_")[0]))
    statistic = names[0] == _STATISTICS
    parameter = described(name, array, statistic_meaning(name) if statistic else meaning(module, name, array.ndim))
    if not owner and nested:
        return Leaf(key, name, "param", parameter, statistic)
    kind = type(module).__name__ if module is not None else "Module"
    return Leaf(key, "/".join(owner) or kind, kind, parameter, statistic)


def _spectral_links(names: Mapping[str, tuple[str, ...]], leaves: Sequence[Leaf]) -> tuple[SpectralLink, ...]:
    key_at = {(leaf.layer, leaf.parameter.name): leaf.key for leaf in leaves}
    return tuple(
        SpectralLink(
            key_at[leaf.layer, leaf.parameter.name.removesuffix("/u")],
            rows=False,
            right=leaf.key,
            value=key_at[leaf.layer, leaf.parameter.name.removesuffix("u") + "sigma"],
        )
        for leaf in leaves
        if leaf.statistic and names[leaf.key][-1] != leaf.parameter.name and leaf.parameter.name.endswith("/u")
    )


def _names(variables: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """The path as names; what lies inside a box of metadata around an array is left out."""
    names: list[str] = []
    node: Any = variables
    for part in path:
        if not isinstance(node, Mapping):
            break
        names.append(str(part))
        node = child(node, part)
    return tuple(names)
