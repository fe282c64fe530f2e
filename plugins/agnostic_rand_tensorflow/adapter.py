"""The adapter of modules of TensorFlow and of loaded SavedModels."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Self

import array_api_compat.numpy
import numpy as np
import tensorflow as tf

from agnostic_rand.adapters import (
    Array,
    Forward,
    HostArray,
    Layer,
    OrderSource,
    Reads,
    ReluRule,
    SideInputs,
    TrainingStep,
    by_first_use,
    joined,
    mapped,
)
from agnostic_rand.errors import ModelError, WeightsError, unknown_name
from agnostic_rand_tensorflow.beside import SideFunctions
from agnostic_rand_tensorflow.calling import Call, call_of
from agnostic_rand_tensorflow.cloning import Duplicate, duplicated
from agnostic_rand_tensorflow.deduction import deduced_meanings, used_variables
from agnostic_rand_tensorflow.functions import Functions, host_targets
from agnostic_rand_tensorflow.inventory import Inventory, take_inventory
from agnostic_rand_tensorflow.legacy_keras import is_layer
from agnostic_rand_tensorflow.others import other_arrays
from agnostic_rand_tensorflow.ownership import Ownership, walk
from agnostic_rand_tensorflow.random_state import GlobalState
from agnostic_rand_tensorflow.training import training_step

_HALF = (tf.float16, tf.bfloat16)


class TensorFlowAdapter:
    """A model in its own precision, called through traced functions that read its variables.

    Arrays are NumPy's: TensorFlow's tensors do not follow the array API standard. What a variable of
    a module is for is read off the operation that uses it; a module whose operations do not tell
    may say it in an attribute `agnostic_rand_axes` (see `declared.py`).

    Args:
        model: The module, or what `tf.saved_model.load` returned.
        forward: `forward(model, inputs) -> outputs`, or `None` for `model(inputs)`.
        example_inputs: A small batch on which the order of layers and the use of variables are
            traced, or `None`.
        example_beside: What stands beside them for a model of several inputs.

    Raises:
        ModelError: The model cannot be read, or not called on the example.
    """

    framework = "tensorflow"
    channel_axis = -1

    def __init__(
        self,
        model: Any,
        *,
        forward: Forward | None = None,
        example_inputs: HostArray | None = None,
        example_beside: SideInputs | None = None,
    ) -> None:
        ownership = walk(model)
        self._open(model, forward, ownership, take_inventory(model, ownership, {}), False)
        self.order_source: OrderSource = "declared"
        self.other_arrays: tuple[str, ...] = ()
        if example_inputs is not None:
            beside = None if example_beside is None else mapped(self.asarray, example_beside)
            self._trace(self.asarray(example_inputs), beside)

    @property
    def native(self) -> Any:
        """The model that was passed."""
        return self._native

    @property
    def xp(self) -> ModuleType:
        """array-api-compat's view of NumPy."""
        return array_api_compat.numpy

    def layers(self) -> tuple[Layer, ...]:
        """The layers, in the order of the traced call where there was one."""
        return self._layers

    def read(self, layer: str) -> dict[str, HostArray]:
        """Host copies; bfloat16 comes as float32."""
        return {name: _host_copy(variable) for name, variable in self._held(layer).items()}

    def write(self, layer: str, values: Mapping[str, HostArray]) -> None:
        """Assign the values to the variables."""
        held = self._held(layer)
        for name, value in values.items():
            if name not in held:
                raise unknown_name(f"parameter of layer {layer!r}", name, held)
            if np.shape(value) != tuple(held[name].shape):
                raise WeightsError(
                    f"the values of {layer}.{name}",
                    expected=f"shape {tuple(held[name].shape)}",
                    received=f"shape {np.shape(value)}",
                    fix="Write arrays of the shapes that read() returns.",
                )
        for name, value in values.items():
            held[name].assign(tf.cast(tf.constant(np.asarray(value)), held[name].dtype))

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
        held = ((layer, name, v) for layer, named in of._variables.items() for name, v in named.items())
        return Reads(frozenset((layer, name) for layer, name, v in held if id(v) in reached), graph.opaque)

    def beside(self, inputs: SideInputs) -> Self:
        """The same model as a function of one of its inputs; what was traced is shared."""
        twin = copy.copy(self)
        twin.side_inputs = inputs
        return twin

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

    def gradient(self, inputs: Array, targets: Array, *, relu: ReluRule = "standard") -> HostArray:
        """The gradient of the targets' outputs, shaped like the inputs."""
        return self.output_and_gradient(inputs, targets, relu=relu)[1]

    def output_and_gradient(
        self, inputs: Array, targets: Array, *, relu: ReluRule = "standard"
    ) -> tuple[HostArray, HostArray]:
        """The outputs and the gradient, from one forward pass."""
        arrays = self._ready(inputs), host_targets(targets)
        outputs, gradient = self._functions.gradient(*arrays, relu)(*arrays)
        return outputs, gradient

    def relu_rules(self) -> tuple[ReluRule, ...]:
        """All rules."""
        return ("standard", "guided", "deconv")

    def trainer(self, *, learning_rate: float, seed: int) -> TrainingStep:
        """One step of Adam on the mean cross entropy; a softmax at the end of the model is seen."""
        training = call_of(self._native, self._forward, training=True)
        return training_step(self._functions, training, self._ownership, learning_rate, seed)

    def random_state(self) -> Any:
        """The states of the global generator, and of the seeds of eager operations."""
        state = GlobalState.now()
        return state.generator, state.numbers, state.seed, state.drawn

    def set_random_state(self, state: Any) -> None:
        """Put the states back."""
        GlobalState(*state).put_back()

    def _open(
        self,
        model: Any,
        forward: Forward | None,
        ownership: Ownership,
        inventory: Inventory,
        copied: bool,
    ) -> None:
        self._native = model
        self._forward = forward
        self._ownership = ownership
        self._layers = inventory.layers
        self._variables = inventory.variables
        self._owners = inventory.owners
        held = [v for layer in inventory.variables.values() for v in layer.values() if v.dtype.is_floating]
        dtype = held[0].dtype if held else tf.float32
        self._host_dtype = np.dtype(np.float32) if dtype in _HALF else np.dtype(dtype.as_numpy_dtype)
        own = {id(owned.variable.handle): owned.variable for owned in ownership.variables}
        own |= {id(generator.state.handle): generator.state for generator in ownership.generators}
        # Layers of Keras cast for themselves.
        cast = dtype if dtype in _HALF and not is_layer(model) else None
        self._name = type(model).__name__
        self.side_inputs: SideInputs | None = None
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
            for layer, held in original._variables.items()
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
                fix="Pass isolation='in_place': weights are swapped in your model and put back bit for bit.",
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
        try:
            graph = traced._functions.forward(inputs).graph
            traced.predict(inputs)
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(
                f"the model {self._name}",
                expected="a model that can be called on the inputs",
                received=f"{type(error).__name__} for inputs of shape {inputs.shape}: {error}",
                fix="Check the inputs' shape and type, or pass forward=lambda model, inputs: ...",
            ) from error
        inventory = take_inventory(self._native, self._ownership, deduced_meanings(graph))
        self._variables, self._owners = inventory.variables, inventory.owners
        reached, opaque = graph.outside, graph.opaque
        layer_of = {id(v): layer for layer, held in self._variables.items() for v in held.values()}
        self._layers = by_first_use(
            inventory.layers,
            (layer_of[key] for key in used_variables(graph) if key in layer_of),
            lambda layer, name: opaque or id(self._variables[layer][name]) in reached,
        )
        self.other_arrays = other_arrays(self._ownership, inventory.variables, reached)
        self._example = inputs, beside
        self.order_source = "traced"

    def _ready(self, inputs: Array) -> HostArray:
        array = np.asarray(inputs)
        return array.astype(self._host_dtype, copy=False) if array.dtype.kind == "f" else array

    def _held(self, layer: str) -> dict[str, tf.Variable]:
        if layer not in self._variables:
            raise unknown_name("layer", layer, self._variables)
        return self._variables[layer]


def _host_copy(variable: tf.Variable) -> HostArray:
    value = tf.cast(variable, tf.float32) if variable.dtype is tf.bfloat16 else variable
    # A copy already; one number comes as a scalar.
    return np.asarray(value.numpy())
