"""The cases on which the contract is proven, and what TensorFlow itself says of them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras_nets import functional, sequential, subclassed, trained
from tf_nets import (
    MLP,
    Autoencoder,
    Bound,
    ConvolutionalNet,
    ModernLayers,
    SecondHead,
    Transformer,
    Upsampling,
    normal,
    positive,
)
from tf_relu_forms import rectified_forms

from agnostic_rand.adapters import OpenRequest
from agnostic_rand.testing import Case, Facts, Native
from agnostic_rand_tensorflow.adapter import TensorFlowAdapter


def inputs(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).normal(0.3, 1.0, (8, *shape)).astype(np.float32)


def outputs_of(model: object, x: np.ndarray) -> np.ndarray:
    first = model.variables[0].dtype
    given = tf.constant(x) if x.dtype.kind != "f" or not first.is_floating else tf.cast(x, first)
    keras_model = isinstance(model, tf_keras.layers.Layer)
    return tf.cast(model(given, training=False) if keras_model else model(given), tf.float64).numpy()


def parameters_of(model: object) -> list[np.ndarray]:
    """All that the framework says it trains, and what it would train were it not frozen."""
    variables = model.weights if isinstance(model, tf_keras.layers.Layer) else model.trainable_variables
    return [
        tf.cast(v, tf.float32).numpy() if v.dtype is tf.bfloat16 else v.numpy() for v in variables if v.trainable
    ]


def flags_of(model: object) -> object:
    attributes = {name: id(value) for part in (model, *model.submodules) for name, value in vars(part).items()}
    trainable = [(v.name, v.trainable) for v in model.variables]
    return attributes.keys(), trainable, tf.config.functions_run_eagerly()


def draw() -> np.ndarray:
    """From the global generator, and from an eager operation that `tf.random.set_seed` seeds."""
    numbers = tf.random.get_global_generator().normal([2]), tf.random.normal([2])
    return np.concatenate([number.numpy() for number in numbers])


NATIVE = Native(outputs=outputs_of, parameters=parameters_of, flags=flags_of, draw=draw)
# What counts its calls gives other outputs when the test calls it.
SILENT = Native(parameters=parameters_of, flags=flags_of, draw=draw)
KERNEL, DENSE = ("h", "w", "in", "out"), ("in", "out")


def times(model: Any, inputs: Any) -> Any:
    return model(inputs[0]) * inputs[1]


def module_cases() -> list[Case]:
    """Modules written by hand."""
    labels = np.array([2, 0, 1, 1, 0, 2, 2, 1])
    order = ("first", "middle", "head")
    return [
        Case(
            "mlp",
            MLP(),
            inputs(3, 2),
            labels,
            facts=Facts(
                order=order,
                parameter_count=118,
                dense_relu=True,
                times=times,
                axes={"head/kernel": DENSE},
                rectified=rectified_forms(),
                unused=(),
                bound=Bound,
            ),
            native=NATIVE,
        ),
        Case(
            "bfloat16",
            # Small weights: a step of training is not lost in their rounding.
            MLP(tf.bfloat16, scale=0.1),
            inputs(3, 2),
            facts=Facts(parameter_count=118, dense_relu=True),
            native=NATIVE,
        ),
        Case(
            "convolutional",
            ConvolutionalNet(),
            inputs(5, 6, 2),
            facts=Facts(
                times=times,
                order=("blocks/0/conv", "blocks/0/norm", "blocks/1/conv", "blocks/1/norm", "head"),
                axes={"blocks/0/conv/kernel": KERNEL, "blocks/1/conv/kernel": KERNEL},
            ),
            native=SILENT,
        ),
        Case(
            "upsampling",
            Upsampling(),
            inputs(3, 2, 4),
            facts=Facts(
                order=("up", "head"),
                axes={"up/kernel": ("h/2", "w", "out", "in"), "head/kernel": DENSE},
            ),
            native=NATIVE,
        ),
        Case(
            "tied",
            Autoencoder(),
            inputs(6),
            facts=Facts(
                order=("encoder", "decoder"),
                parameter_count=48,
                tied=lambda model: [model.encoder.kernel.numpy(), model.decoder.kernel.numpy()],
            ),
            native=NATIVE,
        ),
        Case(
            "attention",
            Transformer(),
            inputs(4, 6),
            facts=Facts(
                order=("position", "norm", "attention", "head"),
                parameter_count=24 + 12 + 4 * 36 + 21,
                axes={
                    "attention/query": ("in", "out", "out2"),
                    "attention/output": ("in", "in2", "out"),
                    "head/kernel": DENSE,
                },
            ),
            native=NATIVE,
        ),
        Case(
            "second head",
            SecondHead(),
            inputs(5),
            forward=lambda model, given: model(given)["first"],
            facts=Facts(unused=("second/kernel", "second/bias", "idle/kernel", "idle/bias")),
        ),
        Case(
            "keras 3 layers",
            modern_layers(),
            inputs(6),
            facts=Facts(
                order=("body/dense", "body/norm", "head"),
                parameter_count=35 + 10 + 18,
                axes={"body/dense/kernel": DENSE, "head/kernel": DENSE},
            ),
        ),
    ]


def keras_cases() -> list[Case]:
    """Legacy Keras models; building them draws seeds from Python's generator, which is put back."""
    state = random.getstate()
    try:
        return [
            Case(
                "sequential",
                trained(sequential()),
                inputs(6, 6, 2),
                facts=Facts(
                    order=("conv", "norm", "depthwise", "head"),
                    axes={
                        "conv/kernel": KERNEL,
                        "depthwise/depthwise_kernel": ("h", "w", "groups", "multiplier"),
                        "head/kernel": DENSE,
                    },
                ),
                native=NATIVE,
            ),
            Case(
                "functional",
                trained(functional()),
                inputs(6),
                facts=Facts(order=("shared", "inner/dense", "head"), unused=()),
                native=NATIVE,
            ),
            Case(
                "subclassed",
                trained(subclassed()),
                inputs(6),
                facts=Facts(order=("one/dense", "one/norm", "two/dense", "two/norm", "scaled", "head")),
                native=NATIVE,
            ),
        ]
    finally:
        random.setstate(state)


class Reloaded(TensorFlowAdapter):
    """A SavedModel that is copied by loading it again, as only one who knows its folder can.

    The adapter itself refuses to copy one: with this, the rest of the contract can be shown.
    """

    folder = ""

    @classmethod
    def of(cls, model: Any, folder: str, example: np.ndarray | None) -> Reloaded:
        adapter = cls(model, OpenRequest(example_inputs=example))
        adapter.folder = folder
        return adapter

    def clone(self) -> Reloaded:
        twin = self.of(tf.saved_model.load(self.folder), self.folder, self._example[0])
        for layer in self.layers():
            twin.write(layer.name, self.read(layer.name))
        return twin


def saved_cases(root: Path) -> list[Case]:
    """What was saved below a folder by `save_models`, loaded anew."""

    def case(name: str, facts: Facts, native: Native) -> Case:
        folder = str(root / name)
        return Case(
            f"saved {name}",
            tf.saved_model.load(folder),
            inputs(6, 6, 2),
            facts=facts,
            native=native,
            open=lambda model, request: Reloaded.of(model, folder, request.example_inputs),
        )

    # A loaded module lists no variables by itself; a loaded model of Keras does.
    of_module = Native(outputs=lambda model, x: next(iter(served(model, x).values())).numpy(), draw=draw)
    of_keras = Native(
        outputs=lambda model, x: model(tf.constant(x), training=False).numpy(),
        parameters=lambda model: [variable.numpy() for variable in model.trainable_variables],
        draw=draw,
    )
    order = ("blocks/0/conv", "blocks/0/norm", "blocks/1/conv", "blocks/1/norm", "head")
    kernels = {"conv/kernel": KERNEL, "head/kernel": DENSE}
    return [
        case("module", Facts(order=order, parameter_count=247, axes={"blocks/0/conv/kernel": KERNEL}), of_module),
        case("keras", Facts(order=("conv", "norm", "depthwise", "head"), axes=kernels), of_keras),
    ]


def served(model: Any, x: np.ndarray) -> dict[str, tf.Tensor]:
    outputs: dict[str, tf.Tensor] = model.signatures["serving_default"](tf.constant(x))
    return outputs


def save_models(root: Path) -> None:
    """Save a module with a signature and a Keras model."""
    net = ConvolutionalNet()
    signature = tf.function(net.__call__, input_signature=[tf.TensorSpec([None, 6, 6, 2])])
    tf.saved_model.save(net, str(root / "module"), signatures={"serving_default": signature})
    tf.saved_model.save(trained(sequential()), str(root / "keras"))


def modern_layers() -> ModernLayers:
    model = ModernLayers(keras)
    model(tf.zeros((1, 6)))
    for place, (variable, name) in enumerate((v, v.path) for v in (*model.body.variables, *model.head.variables)):
        draw = positive if name.endswith(("variance", "gamma")) else normal
        variable.assign(draw(place, *variable.shape))
    return model
