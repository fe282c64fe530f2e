"""The adapter of a Flax NNX module."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from flax import nnx

from agnostic_rand.adapters import Array, HostArray, OpenRequest, no_copy, put_back
from agnostic_rand_jax.adapter import JaxAdapter
from agnostic_rand_jax.arrays import strong
from agnostic_rand_jax.closures import refuse_bound_functions
from agnostic_rand_jax.compiled import Values
from agnostic_rand_jax.inventory import followed
from agnostic_rand_jax.layer_gradient import LayerGradients
from agnostic_rand_jax.native_init import made_again, same_shaped
from agnostic_rand_jax.nnx_inventory import slots, take_inventory
from agnostic_rand_jax.nnx_model import NnxModel, modes
from agnostic_rand_jax.tracing import traced
from agnostic_rand_jax.training import TrainingFunction, key_of


class NnxAdapter(LayerGradients, JaxAdapter):
    """A module whose variables are read and written in place.

    Calls are made on a copy in evaluation mode (`deterministic` and `use_running_average` set, and told
    by flags of the usual names, such as `train`, where the module's call takes them), so that neither
    modes, counters of random streams nor running statistics of the module change. A module that trains
    in spite of that is refused. Weights are floating-point variables of every type but NNX's own for
    other things (running statistics, caches, intermediates, random streams).

    Args:
        model: The module.
        request: What it is opened with, such as `forward(module, inputs) -> outputs`.

    Raises:
        ModelError: The module has no parameters, or cannot be called on the example.
    """

    def __init__(self, model: nnx.Module, request: OpenRequest) -> None:
        self._module = model
        self._model = NnxModel(model, request.forward)
        entries, spectral = take_inventory(model, self._model.tree.paths)
        self._slots = slots(model, self._model.tree.paths)
        name = type(model).__name__
        values = self.values()
        trace = traced(self._model.outputs, values, request, name, self._model.tree.fixed)
        super().__init__(entries, self._model.outputs, trace)
        self._spectral = spectral

    @property
    def native(self) -> nnx.Module:
        """The module that was passed."""
        return self._module

    def clone(self) -> Self:
        """An adapter of a copy of the module, with arrays of its own.

        Raises:
            ModelError: The module cannot be copied, or may have functions that stay bound to it.
        """
        if self.order_source == "declared":
            nodes = [node for _, node in nnx.iter_graph(self._module)]
            modules = [node for node in nodes if isinstance(node, nnx.Module)]
            variables = [node for node in nodes if isinstance(node, nnx.Variable)]
            refuse_bound_functions(modules, variables, type(self._module).__name__)
        try:
            module = copy.deepcopy(self._module)
        except Exception as error:
            received = f"one that copy.deepcopy cannot copy: {type(error).__name__}: {error}"
            raise no_copy(type(self._module).__name__, received) from error
        twin = super().clone()
        twin._module = module
        twin._slots = slots(module, self._model.tree.paths)
        return twin

    @contextmanager
    def explaining(self, _inputs: Array) -> Iterator[Callable[[], Array | None]]:
        """Evaluation mode of the module itself for foreign code; its calls are not watched."""
        with put_back(self.kept_state()):
            self._module.eval()  # type: ignore[no-untyped-call]
            yield lambda: None

    def kept_state(self) -> Callable[[], None]:
        """The modes of all parts of the module."""
        before = modes(self._module)

        def restore() -> None:
            parts = dict(nnx.iter_modules(self._module))
            for path, flags in before.items():
                for flag, value in flags.items():
                    setattr(parts[path], flag, value)

        return restore

    def model_state(self) -> dict[str, object]:
        """The modes of all parts of the module."""
        return {"training mode": modes(self._module)}

    def native_init(self, layer: str, seed: int) -> dict[str, HostArray]:
        """What the layer's type draws by default; NNX keeps no record of initializers that were passed.

        Parameters of the user's own modules have none.
        """
        values = self.values()
        held = {name: values[key] for name, key in self._parameters(layer).items()}
        path = self._owners[layer]
        owner = None if path is None else followed(self._module, path)
        if owner is None or not type(owner).__module__.startswith("flax.nnx"):
            return {}
        fresh = made_again(owner, {"rngs": nnx.Rngs(key_of(seed))})
        variables = {name: getattr(fresh, name, None) for name in held}
        found = {name: v.get_value() for name, v in variables.items() if isinstance(v, nnx.Param)}
        return same_shaped(found, held)

    def _estimated(self, values: Values, inputs: Array, layers: frozenset[str]) -> Values:
        owners = [self._owners[name] for name in layers]
        return self._model.estimated(values, inputs, [path for path in owners if path is not None])

    def _tapped(self) -> Callable[[Values, Array], Array]:
        return self._model.tapped

    def _training(self) -> TrainingFunction:
        return self._model.trained

    def values(self) -> Values:
        """The current arrays by key."""
        return {key: strong(slot.get()) for key, slot in self._slots.items()}

    def store(self, changes: Values) -> None:
        """Put new arrays into the module's variables."""
        for key, value in changes.items():
            self._slots[key].set(value)
