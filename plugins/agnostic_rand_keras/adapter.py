"""The adapter of any Keras 3 model, on whichever backend this process' Keras runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any, Self

import keras
import numpy as np

from agnostic_rand.adapters import (
    Array,
    HostArray,
    Layer,
    ListedAdapter,
    OpenRequest,
    Reads,
    ReluRule,
    SideInputs,
    TrainingStep,
    by_first_use,
    called_on,
    mapped,
    refuse_integers,
)
from agnostic_rand.errors import ModelError
from agnostic_rand_keras.arrays import host_copy
from agnostic_rand_keras.beside import SideRuntimes
from agnostic_rand_keras.bound_functions import refuse_bound_functions
from agnostic_rand_keras.channels import channel_axis
from agnostic_rand_keras.cloning import cloned
from agnostic_rand_keras.forward import ForwardPass
from agnostic_rand_keras.from_layer import KerasFromLayer, LayerStarts
from agnostic_rand_keras.interception import output_shapes
from agnostic_rand_keras.inventory import take_inventory
from agnostic_rand_keras.kept_state import kept_state
from agnostic_rand_keras.native_init import initialized
from agnostic_rand_keras.order import graph_order
from agnostic_rand_keras.random_state import keras_state, set_keras_state, unmoved
from agnostic_rand_keras.reads import Name, Seen, is_learned, others
from agnostic_rand_keras.runtime import Runtime, open_runtime, refuse_strangers
from agnostic_rand_keras.statistics import normalizations, refuse_unknown_statistics
from agnostic_rand_keras.training import make_trainer
from agnostic_rand_keras.tree import all_layers, all_variables, seed_states
from agnostic_rand_keras.watching import watched


class KerasAdapter(ListedAdapter[keras.Variable]):
    """A built model in its own precision; it is called with `training=False`.

    Args:
        model: The model.
        request: What it is opened with, such as `forward(model, inputs) -> outputs`. Without an example the order
            of layers is that of the functional graph where there is one, else that of declaration.

    Raises:
        ModelError: The model cannot be read, or not called on the example.
    """

    framework = "keras"

    def __init__(self, model: keras.Model, request: OpenRequest) -> None:
        self._model = model
        inventory = take_inventory(model)
        self._layers, self._held, self._owners = inventory.layers, inventory.held, inventory.owners
        self._forward = ForwardPass(model, all_variables(model), request.forward)
        self._runtime = open_runtime(self._forward)
        self._besides = SideRuntimes(self._forward)
        self._starts = LayerStarts()
        self._dtype = _input_dtype(self._layers)
        self._example: tuple[Array, SideInputs | None] = (None, None)
        if request.example_inputs is not None:
            self._trace(request.example_inputs, request.example_beside)
        elif (order := graph_order(model, self._layers, self._owners)) is not None:
            self._layers, self.order_source = order, "traced"
        self.channel_axis = channel_axis(
            keras, [*(self._owners[layer.name] for layer in self._layers), *all_layers(model)]
        )

    @property
    def native(self) -> keras.Model:
        """The model that was passed."""
        return self._model

    @property
    def xp(self) -> ModuleType:
        """NumPy on TensorFlow, else the namespace of Keras' backend."""
        return self._runtime.xp

    @property
    def traces(self) -> dict[str, int]:
        """How often each function was traced and compiled, by this adapter and those of copies."""
        return dict(self._runtime.traces)

    def _copies(self, held: Mapping[str, keras.Variable]) -> dict[str, HostArray]:
        return {name: host_copy(variable.value) for name, variable in held.items()}

    def _assign(self, layer: str, values: Mapping[str, HostArray]) -> None:
        for name, value in values.items():
            # Keras registers the types that NumPy lacks, such as bfloat16, with NumPy.
            variable = self._held[layer][name]
            variable.assign(np.array(value).astype(variable.dtype))

    def reads(self, inputs: Array, of: KerasAdapter) -> Reads:
        """What the outputs depend on of this model, or of the one that it was copied from."""
        seen = self._at(inputs)[1].seen(inputs, of._listed())
        return Reads(seen.read, seen.branches)

    def clone(self) -> Self:
        """An adapter of a copy of the model, compiled as it is, with an optimizer and metrics of its own."""
        if self._example[0] is None:
            held = others(self._model, self._listed()).items()
            refuse_strangers(self._model, [path for (_, path), array in held if is_learned(array)])
        return cloned(self._model, self._opened)

    def asarray(self, x: HostArray) -> Array:
        """A copy on the model's device; floating values in its precision, at least float32."""
        return self._runtime.asarray(x, self._dtype)

    def to_numpy(self, x: Array) -> HostArray:
        """The values on the host; half precision becomes float32."""
        array = host_copy(x) if keras.ops.is_tensor(x) else np.asarray(x)
        return array.astype(np.float32) if array.dtype == np.float16 else array

    def to_native(self, x: Array) -> Any:
        """A TensorFlow tensor on TensorFlow; else the array itself."""
        return self._runtime.to_native(x)

    def predict(self, inputs: Array) -> Array:
        """The outputs with `training=False`, `(n, classes)`."""
        return self._at(inputs)[1].predict(inputs)

    def output_and_gradient(
        self, inputs: Array, targets: Array, *, relu: ReluRule = "standard"
    ) -> tuple[Array, Array]:
        """The outputs and the gradient, from one forward pass."""
        refuse_integers(inputs.dtype, floating=keras.backend.is_float_dtype(inputs.dtype))
        return self._at(inputs)[1].output_and_gradient(inputs, targets, relu)

    def layer_shapes(self, inputs: Array) -> dict[str, tuple[int, ...]]:
        """By path, the shape of what each layer puts out, in the order in which they finish."""
        _, runtime = self._at(inputs)
        with keras.StatelessScope():
            return output_shapes(self._model, lambda: runtime.trace(inputs), runtime.outside_loops)

    def layer_gradient(self, inputs: Array, targets: Array, layer: str) -> tuple[Array, Array]:
        """The last output of the layer of that path, and the gradient with respect to it."""
        return self._at(inputs)[1].layer_gradient(inputs, targets, layer)

    def from_layer(self, inputs: Array, layer: str) -> KerasFromLayer:
        """The model from the output of the layer of that path on."""
        return KerasFromLayer(self._starts, self._opened_for, inputs, layer)

    def explaining(self, inputs: Array) -> AbstractContextManager[Callable[[], Array | None]]:
        """Foreign code may call the model; its forward pass over `inputs` is noted."""
        return watched(self._forward, self._runtime, inputs)

    def model_state(self) -> dict[str, object]:
        """What is trainable, and what is compiled for training."""
        layers = all_layers(self._model)
        return {
            "trainable layers": tuple(layer.name for layer in layers if layer.trainable),
            "trainable weights": tuple(v.path for v in self._model.trainable_variables),
            "compiled": (self._model.compiled, id(getattr(self._model, "optimizer", None))),
            "training mode": tuple(layer.name for layer in layers if getattr(layer, "training", False)),
        }

    def kept_state(self) -> Callable[[], None]:
        """What is trainable, modes, and the variables that no layer lists."""
        listed = {id(variable) for held in self._held.values() for variable in held.values()}
        unlisted = [variable for variable in self._forward.variables if id(variable) not in listed]
        return kept_state(self._model, unlisted, self._runtime)

    def native_init(self, layer: str, seed: int) -> dict[str, HostArray]:
        """What the initializers give that the layer keeps; nothing for a model's own weights."""
        with unmoved():
            return initialized(keras, self._owner(layer), self._parameters(layer), seed)

    def estimate_statistics(self, inputs: Array, layers: Sequence[str]) -> dict[str, dict[str, HostArray]]:
        """The running means and variances that `inputs` give in one batch."""
        wanted = {id(self._owner(name)): name for name in layers}
        norms = normalizations(self._model)
        refuse_unknown_statistics(self._layers, wanted, norms)
        moments = self._at(inputs)[1].batch_statistics(inputs, [id(norm) in wanted for norm in norms])
        pairs = zip(norms, moments[::2], moments[1::2], strict=True)
        return {
            wanted[id(norm)]: {"moving_mean": np.array(mean), "moving_variance": np.array(variance)}
            for norm, mean, variance in pairs
            if id(norm) in wanted
        }

    def trainer(self, *, learning_rate: float, seed: int) -> TrainingStep:
        """A step of Adam on the cross entropy, of logits or of a softmax's probabilities."""
        return make_trainer(self._model, self._runtime, dtype=self._dtype, learning_rate=learning_rate, seed=seed)

    def random_state(self) -> Any:
        """The states of Keras' and the framework's global generators, and of those inside the model."""
        own = [host_copy(state.value) for state in seed_states(self._model)]
        return keras_state(), self._runtime.random_state(), own

    def set_random_state(self, state: Any) -> None:
        """Put the states back."""
        set_keras_state(state[0])
        self._runtime.set_random_state(state[1])
        for variable, value in zip(seed_states(self._model), state[2], strict=True):
            variable.assign(value)

    def _opened(self, duplicate: keras.Model) -> Self:
        """The adapter of a copy; its forward pass shows whether it calls what it owns."""
        example, beside = self._example
        twin = type(self)(duplicate, OpenRequest(forward=self._forward.forward))
        twin._runtime = self._runtime.for_copy(twin._forward)
        if example is None:
            refuse_bound_functions(self._model, duplicate)
        else:
            called = twin if beside is None else twin.beside(beside)
            seen = called._at(example)[1].seen(example, self._listed())
            order = [layer.name for layer in twin._ordered(seen)]
            if seen.read or order != [layer.name for layer in self._layers]:
                names = ", ".join(sorted(map(".".join, seen.read)))
                raise ModelError(
                    "the copy of the model",
                    expected="its own weights in the model's order",
                    received=f"one that reads {names} of the original" if names else "another order",
                    fix="Pass isolation='in_place'.",
                )
        twin._layers, twin._example, twin.channel_axis = self._layers, self._example, self.channel_axis
        twin.order_source, twin.other_arrays = self.order_source, self.other_arrays
        return twin

    def _at(self, inputs: Array) -> tuple[ForwardPass, Runtime]:
        return self._opened_for(inputs.shape[0])

    def _opened_for(self, rows: int) -> tuple[ForwardPass, Runtime]:
        """The model as a function of so many rows of the explained input."""
        if self.side_inputs is None:
            return self._forward, self._runtime
        return self._besides.at(self.side_inputs, rows)

    def _trace(self, example_inputs: Array, example_beside: SideInputs | None) -> None:
        inputs = self.asarray(example_inputs)
        beside = None if example_beside is None else mapped(self.asarray, example_beside)
        traced = self if beside is None else self.beside(beside)
        held = others(self._model, self._listed())
        with called_on(example_inputs, repr(self._model.name)):
            seen = traced._at(inputs)[1].seen(inputs, self._listed() | held)
        own = {id(variable) for variable in self._forward.variables}
        foreign = [v.path for v in seen.first if v.trainable and id(v) not in own]
        refuse_strangers(self._model, [*seen.strangers, *foreign])
        self._layers = self._ordered(seen)
        self.other_arrays = tuple(path for layer, path in held if (layer, path) in seen.used)
        self._example, self.order_source = (inputs, beside), "traced"

    def _ordered(self, seen: Seen) -> tuple[Layer, ...]:
        layer_of = {id(v): layer for (layer, _), v in self._listed().items()}
        return by_first_use(self._layers, (layer_of[id(v)] for v in seen.first if id(v) in layer_of), seen.may_use)

    def _listed(self) -> dict[Name, Any]:
        """What the layers list, by layer and name."""
        return {(layer, name): v for layer, held in self._held.items() for name, v in held.items()}

    def _owner(self, layer: str) -> keras.Layer:
        self._of(layer)
        owner: keras.Layer = self._owners[layer]
        return owner


def _input_dtype(layers: Sequence[Layer]) -> str:
    """Layers cast their inputs themselves: half precision begins inside of the model."""
    dtypes = {parameter.dtype for layer in layers for parameter in layer.parameters}
    return "float64" if "float64" in dtypes else "float32"
