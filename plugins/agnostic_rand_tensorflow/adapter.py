"""The adapter of modules of TensorFlow and of loaded SavedModels."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any, Self

import array_api_compat.numpy
import numpy as np
import tensorflow as tf

from agnostic_rand.adapters import (
    IN_PLACE,
    Array,
    Forward,
    HostArray,
    Inventory,
    ListedAdapter,
    OpenRequest,
    Reads,
    ReluRule,
    SideInputs,
    TrainingStep,
    by_first_use,
    called_on,
    joined,
    mapped,
)
from agnostic_rand.errors import ModelError
from agnostic_rand_tensorflow.beside import SideFunctions
from agnostic_rand_tensorflow.calling import Call, call_of
from agnostic_rand_tensorflow.cloning import Duplicate, duplicated
from agnostic_rand_tensorflow.deduction import deduced_meanings, used_variables
from agnostic_rand_tensorflow.functions import Functions, host_targets
from agnostic_rand_tensorflow.inventory import take_inventory
from agnostic_rand_tensorflow.legacy_keras import is_layer
from agnostic_rand_tensorflow.others import other_arrays
from agnostic_rand_tensorflow.ownership import Ownership, walk
from agnostic_rand_tensorflow.random_state import global_state, set_global_state
from agnostic_rand_tensorflow.training import training_step

_HALF = (tf.float16, tf.bfloat16)


class TensorFlowAdapter(ListedAdapter[tf.Variable]):
    """A model in its own precision, called through traced functions that read its variables.

    Arrays are NumPy's: TensorFlow's tensors do not follow the array API standard. What a variable of
    a module is for is read off the operation that uses it; a module whose operations do not tell
    may say it in an attribute `agnostic_rand_axes` (see `declared.py`).

    Args:
        model: The module, or what `tf.saved_model.load` returned.
        request: What it is opened with, such as `forward(model, inputs) -> outputs`.

    Raises:
        ModelError: The model cannot be read, or not called on the example.
    """

    framework = "tensorflow"
    channel_axis = -1

    def __init__(self, model: Any, request: OpenRequest) -> None:
        ownership = walk(model)
        self._open(model, request.forward, ownership, take_inventory(model, ownership, {}), False)
        if request.example_inputs is not None:
            beside = request.example_beside
            placed = None if beside is None else mapped(self.asarray, beside)
            self._trace(self.asarray(request.example_inputs), placed)

    @property
    def native(self) -> Any:
        """The model that was passed."""
        return self._native

    @property
    def xp(self) -> ModuleType:
        """array-api-compat's view of NumPy."""
        return array_api_compat.numpy

    def _copies(self, held: Mapping[str, tf.Variable]) -> dict[str, HostArray]:
        return {name: _host_copy(variable) for name, variable in held.items()}

    def _assign(self, layer: str, values: Mapping[str, HostArray]) -> None:
        for name, value in values.items():
            variable = self._held[layer][name]
            variable.assign(tf.cast(tf.constant(np.asarray(value)), variable.dtype))

    def clone(self) -> Self:
        """An adapter of a copy of the model, whose outputs are compared where an example is known."""
        duplicate = duplicated(self._native, self._ownership, self._native_example())
        twin = type(self).__new__(type(self))
        twin._adopt(self, duplicate)
        example, beside = self._example
        if example is not None:
            ours, theirs = (one if beside is None else one.beside(beside) for one in (self, twin))
            theirs._refuse_different(ours, example)
        return twin

    def reads(self, inputs: Array, of: TensorFlowAdapter) -> Reads:
        """What the outputs depend on of this model, or of the one that it was copied from; nothing is computed."""
        graph = self._functions.seen(self._ready(inputs))
        reached = graph.outside
        held = ((layer, name, v) for layer, named in of._held.items() for name, v in named.items())
        return Reads(frozenset((layer, name) for layer, name, v in held if id(v) in reached), graph.opaque)

    def asarray(self, x: Array) -> HostArray:
        """A copy on the host; floating values in the model's precision (float32 for half precision)."""
        array = np.array(self.to_numpy(x))
        return array.astype(self._host_dtype) if array.dtype.kind == "f" else array

    def to_numpy(self, x: Array) -> HostArray:
        """The values on the host; half precision becomes float32."""
        array = np.asarray(x)
        return array.astype(np.float32) if array.dtype.itemsize == 2 and array.dtype.kind not in "iub" else array

    def to_native(self, x: Array) -> tf.Tensor:
        """A tensor."""
        return tf.constant(x)

    def predict(self, inputs: Array) -> HostArray:
        """The outputs in evaluation mode, `(n, classes)`."""
        ready = self._ready(inputs)
        (outputs,) = self._functions.forward(ready)(ready)
        return outputs

    def output_and_gradient(
        self, inputs: Array, targets: Array, *, relu: ReluRule = "standard"
    ) -> tuple[HostArray, HostArray]:
        """The outputs and the gradient, from one forward pass."""
        arrays = self._ready(inputs), host_targets(targets)
        outputs, gradient = self._functions.gradient(*arrays, relu)(*arrays)
        return outputs, gradient

    def trainer(self, *, learning_rate: float, seed: int) -> TrainingStep:
        """One step of Adam on the mean cross entropy; a softmax at the end of the model is seen."""
        training = call_of(self._native, self._forward, training=True)
        return training_step(self._functions, training, self._ownership, learning_rate, seed)

    def random_state(self) -> Any:
        """The states of the global generator, and of the seeds of eager operations."""
        return global_state()

    def set_random_state(self, state: Any) -> None:
        """Put the states back."""
        set_global_state(state)

    def _open(
        self,
        model: Any,
        forward: Forward | None,
        ownership: Ownership,
        inventory: Inventory[tf.Variable],
        copied: bool,
    ) -> None:
        self._native = model
        self._forward = forward
        self._ownership = ownership
        self._layers, self._held, self._owners = inventory.layers, inventory.held, inventory.owners
        held = [v for layer in inventory.held.values() for v in layer.values() if v.dtype.is_floating]
        dtype = held[0].dtype if held else tf.float32
        self._host_dtype = np.dtype(np.float32) if dtype in _HALF else np.dtype(dtype.as_numpy_dtype)
        own = {id(owned.variable.handle): owned.variable for owned in ownership.variables}
        own |= {id(generator.state.handle): generator.state for generator in ownership.generators}
        # Layers of Keras cast for themselves.
        cast = dtype if dtype in _HALF and not is_layer(model) else None
        self._name = type(model).__name__
        self._example: tuple[HostArray | None, SideInputs | None] = (None, None)

        def made(call: Call) -> Functions:
            return Functions(call, own, copied=copied, dtype=cast, name=self._name)

        call = call_of(model, forward)
        self._whole, self._besides = made(call), SideFunctions(call, made)

    @property
    def _functions(self) -> Functions:
        """Those of the model, or of the model as a function of one of its inputs."""
        return self._whole if self.side_inputs is None else self._besides.at(self.side_inputs)

    def _native_example(self) -> Any:
        example, beside = self._example
        if example is None:
            return None
        native = tf.constant(example)
        return native if beside is None else joined(mapped(tf.constant, beside), native)

    def _adopt(self, original: Self, duplicate: Duplicate) -> None:
        """Be the adapter of a copy: the original's layers, with the variables of the duplicate."""
        twins = duplicate.variables
        variables = {
            layer: {name: twins[id(variable)] for name, variable in held.items()}
            for layer, held in original._held.items()
        }
        owners = {
            layer: None if owner is None else duplicate.owners[id(owner)]
            for layer, owner in original._owners.items()
        }
        inventory = Inventory(original._layers, variables, owners)
        self._open(duplicate.model, original._forward, duplicate.ownership, inventory, True)
        self.order_source, self.other_arrays = original.order_source, original.other_arrays
        self._example = original._example

    def _refuse_different(self, original: Self, inputs: HostArray) -> None:
        ours, theirs = self._outputs_by_gradient(inputs), original.predict(inputs)
        if not np.allclose(ours, theirs, rtol=1e-4, atol=1e-5, equal_nan=True):
            raise ModelError(
                f"the copy of the model {self._name}",
                expected="the original's outputs",
                received=f"outputs that differ by {float(np.abs(ours - theirs).max()):.3g}",
                fix=IN_PLACE,
            )

    def _outputs_by_gradient(self, inputs: HostArray) -> HostArray:
        """The outputs, from the function that explanations need too: it is traced once for both."""
        if inputs.dtype.kind == "f":
            try:
                return self.output_and_gradient(inputs, np.zeros(len(inputs), np.int64))[0]
            except ModelError:
                # A model without a gradient can be copied too; what else is wrong is said again.
                return self.predict(inputs)
        return self.predict(inputs)

    def _trace(self, inputs: HostArray, beside: SideInputs | None) -> None:
        traced = self if beside is None else self.beside(beside)
        with called_on(inputs, self._name):
            graph = traced._functions.forward(inputs).graph
            traced.predict(inputs)
        inventory = take_inventory(self._native, self._ownership, deduced_meanings(graph))
        self._held, self._owners = inventory.held, inventory.owners
        reached, opaque = graph.outside, graph.opaque
        layer_of = {id(v): layer for layer, held in self._held.items() for v in held.values()}
        self._layers = by_first_use(
            inventory.layers,
            (layer_of[key] for key in used_variables(graph) if key in layer_of),
            lambda layer, name: opaque or id(self._held[layer][name]) in reached,
        )
        self.other_arrays = other_arrays(self._ownership, inventory.held, reached)
        self._example = inputs, beside
        self.order_source = "traced"

    def _ready(self, inputs: Array) -> HostArray:
        array = np.asarray(inputs)
        return array.astype(self._host_dtype, copy=False) if array.dtype.kind == "f" else array


def _host_copy(variable: tf.Variable) -> HostArray:
    value = tf.cast(variable, tf.float32) if variable.dtype is tf.bfloat16 else variable
    # A copy already; one number comes as a scalar.
    return np.asarray(value.numpy())
