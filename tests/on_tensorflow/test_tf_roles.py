"""What each variable does is read off the operation that uses it, or off the layer's type; never guessed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from tf_keras_nets import attention
from tf_nets import normal

import agnostic_rand as ar
from agnostic_rand.errors import ModelError


class Using(tf.Module):
    """One function of the input and of some variables, `a`, `b`, …"""

    def __init__(
        self, function: Callable[..., tf.Tensor], *shapes: tuple[int, ...], trainable: bool = True
    ) -> None:
        super().__init__()
        self.function = function
        for i, shape in enumerate(shapes):
            setattr(self, "abcde"[i], tf.Variable(np.abs(normal(i, *shape)) + 0.1, trainable=trainable))
        self.count = len(shapes)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        outputs = self.function(x, *(getattr(self, name) for name in "abcde"[: self.count]))
        return tf.reshape(outputs, [tf.shape(x)[0], -1])


def roles(model: Any, *shape: int) -> dict[str, tuple[str, tuple[str, ...] | None]]:
    x = np.ones((2, *shape), np.float32)
    layers = ar.adapt(model, example_inputs=x).layers()
    return {p.name: (p.role, p.axes) for layer in layers for p in (*layer.parameters, *layer.statistics)}


IMAGE, LINE, VOLUME, FLAT = (6, 6, 2), (6, 2), (5, 5, 5, 2), (4,)
KERNELS: dict[str, tuple[Callable[..., tf.Tensor], tuple[int, ...], tuple[int, ...], tuple[str, ...]]] = {
    "conv1d": (lambda x, a: tf.nn.conv1d(x, a, 1, "SAME"), LINE, (3, 2, 4), ("w", "in", "out")),
    "conv2d": (lambda x, a: tf.nn.conv2d(x, a, 1, "SAME"), IMAGE, (3, 3, 2, 4), ("h", "w", "in", "out")),
    "dilated conv2d": (
        lambda x, a: tf.nn.conv2d(x, a, 1, "SAME", dilations=2),
        IMAGE,
        (3, 3, 2, 4),
        ("h", "w", "in", "out"),
    ),
    "conv3d": (
        lambda x, a: tf.nn.conv3d(x, a, [1] * 5, "SAME"),
        VOLUME,
        (3, 3, 3, 2, 4),
        ("d", "h", "w", "in", "out"),
    ),
    "depthwise": (
        lambda x, a: tf.nn.depthwise_conv2d(x, a, [1] * 4, "SAME"),
        IMAGE,
        (3, 3, 2, 2),
        ("h", "w", "groups", "multiplier"),
    ),
    "transposed": (
        lambda x, a: tf.nn.conv2d_transpose(x, a, [tf.shape(x)[0], 12, 12, 4], 2),
        IMAGE,
        (3, 3, 4, 2),
        ("h/2", "w/2", "out", "in"),
    ),
    "transposed without strides": (
        lambda x, a: tf.nn.conv2d_transpose(x, a, [tf.shape(x)[0], 6, 6, 4], 1),
        IMAGE,
        (3, 3, 4, 2),
        ("h", "w", "out", "in"),
    ),
    "transposed conv1d": (
        lambda x, a: tf.nn.conv1d_transpose(x, a, [tf.shape(x)[0], 18, 4], 3),
        LINE,
        (3, 4, 2),
        ("w/3", "out", "in"),
    ),
    "transposed conv3d": (
        lambda x, a: tf.nn.conv3d_transpose(x, a, [tf.shape(x)[0], 5, 10, 15, 4], [1, 1, 2, 3, 1]),
        VOLUME,
        (3, 3, 3, 4, 2),
        ("d", "h/2", "w/3", "out", "in"),
    ),
    "matmul": (lambda x, a: tf.matmul(x, a), FLAT, (4, 3), ("in", "out")),
    "transposed matmul": (lambda x, a: tf.matmul(x, a, transpose_b=True), FLAT, (3, 4), ("out", "in")),
    "matmul from the left": (lambda x, a: tf.matmul(a, x, transpose_b=True), FLAT, (3, 4), ("out", "in")),
    "batched matmul": (lambda x, a: tf.matmul(x, a), LINE, (2, 3), ("in", "out")),
    "tensordot": (lambda x, a: tf.tensordot(x, a, [[2], [0]]), LINE, (2, 3), ("in", "out")),
    "einsum": (lambda x, a: tf.einsum("bi,oi->bo", x, a), FLAT, (3, 4), ("out", "in")),
    "grouped einsum": (lambda x, a: tf.einsum("bgi,gio->bgo", x, a), LINE, (6, 2, 3), ("groups", "in", "out")),
    "half precision": (
        lambda x, a: tf.matmul(tf.cast(x, tf.float16), tf.cast(a, tf.float16)),
        FLAT,
        (4, 3),
        ("in", "out"),
    ),
    "in a branch": (
        lambda x, a: tf.cond(tf.reduce_sum(x) > 0, lambda: tf.matmul(x, a), lambda: tf.matmul(-x, a)),
        FLAT,
        (4, 3),
        ("in", "out"),
    ),
    "in a loop": (
        lambda x, a: tf.while_loop(lambda i, y: i < 2, lambda i, y: (i + 1, tf.matmul(y, a)), (0, x))[1],
        FLAT,
        (4, 4),
        ("in", "out"),
    ),
    "in a function in a function": (
        lambda x, a: tf.function(lambda y: tf.function(lambda z: tf.matmul(z, a))(y))(x),
        FLAT,
        (4, 3),
        ("in", "out"),
    ),
    "read outside of the function": (
        lambda x, a: tf.function(lambda y, b: tf.matmul(y, b))(x, tf.convert_to_tensor(a)),
        FLAT,
        (4, 3),
        ("in", "out"),
    ),
}


@pytest.mark.parametrize("name", KERNELS)
def test_an_operation_tells_the_axes_of_its_kernel(name: str) -> None:
    function, shape, kernel, axes = KERNELS[name]
    assert roles(Using(function, kernel), *shape) == {"a": ("kernel", axes)}


def test_separable_convolution_has_two_kernels() -> None:
    found = roles(
        Using(lambda x, a, b: tf.nn.separable_conv2d(x, a, b, [1] * 4, "SAME"), (3, 3, 2, 2), (1, 1, 4, 3)),
        *IMAGE,
    )
    assert found == {"a": ("kernel", ("h", "w", "groups", "multiplier")), "b": ("kernel", ("h", "w", "in", "out"))}


BIASES: dict[str, Callable[..., tf.Tensor]] = {
    "bias_add": lambda x, a, b: tf.nn.bias_add(tf.matmul(x, a), b),
    "plus": lambda x, a, b: tf.matmul(x, a) + b,
    "plus on the left": lambda x, a, b: b + tf.matmul(x, a),
    "reshaped": lambda x, a, b: tf.matmul(x, a) + tf.reshape(b, [1, 3]),
}


@pytest.mark.parametrize("name", BIASES)
def test_what_is_added_to_a_product_is_its_bias(name: str) -> None:
    assert roles(Using(BIASES[name], (4, 3), (3,)), *FLAT)["b"] == ("bias", ("out",))


def fused(x: tf.Tensor, *weights: tf.Variable) -> tf.Tensor:
    return tf.compat.v1.nn.fused_batch_norm(x, *weights, is_training=False)[0]


def divided(x: tf.Tensor, a: tf.Variable, b: tf.Variable, c: tf.Variable, d: tf.Variable) -> tf.Tensor:
    return (x - c) / tf.sqrt(d + 1e-3) * a + b


def multiplied(x: tf.Tensor, a: tf.Variable, b: tf.Variable, c: tf.Variable, d: tf.Variable) -> tf.Tensor:
    return b + a * ((x - c) * tf.math.rsqrt(1e-3 + d))


NORMALIZATIONS: dict[str, Callable[..., tf.Tensor]] = {
    "fused": fused,
    "tf.nn": lambda x, a, b, c, d: tf.nn.batch_normalization(x, c, d, b, a, 1e-3),
    "divided": divided,
    "multiplied": multiplied,
}


@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_a_normalization_is_known_in_every_form(name: str, trainable: bool) -> None:
    module = Using(NORMALIZATIONS[name], (2,), (2,), (2,), (2,), trainable=trainable)
    assert roles(module, *IMAGE) == {
        "a": ("scale", None),
        "b": ("shift", None),
        "c": ("mean", None),
        "d": ("variance", None),
    }
    (layer,) = ar.adapt(module, example_inputs=np.ones((2, *IMAGE), np.float32)).layers()
    assert [p.name for p in layer.statistics] == ["c", "d"]


def test_a_normalization_may_lack_scale_and_shift() -> None:
    found = roles(Using(lambda x, a, b: tf.nn.batch_normalization(x, a, b, None, None, 1e-3), (2,), (2,)), *IMAGE)
    assert found == {"a": ("mean", None), "b": ("variance", None)}


def test_layer_normalization_has_scale_and_shift_only() -> None:
    def normalize(x: tf.Tensor, a: tf.Variable, b: tf.Variable) -> tf.Tensor:
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, b, a, 1e-3)

    assert roles(Using(normalize, (4,), (4,)), *FLAT) == {"a": ("scale", None), "b": ("shift", None)}


UNKNOWN: dict[str, Callable[..., tf.Tensor]] = {
    "a factor": lambda x, a: x * a,
    "a position": lambda x, a: x + a,
    "a factor of scaled values": lambda x, a: x * tf.math.rsqrt(4.0) * a,
    "a table": lambda x, a: tf.gather(a, tf.cast(x, tf.int32)),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_no_operation_tells_stays_unknown(name: str) -> None:
    assert roles(Using(UNKNOWN[name], (4,)), *FLAT) == {"a": ("other", None)}


def test_a_table_that_is_a_kernel_later_is_what_it_is_first() -> None:
    def tied(x: tf.Tensor, a: tf.Variable) -> tf.Tensor:
        return tf.matmul(tf.gather(a, tf.cast(x[:, 0], tf.int32)), a, transpose_b=True)

    assert roles(Using(tied, (5, 4)), *FLAT) == {"a": ("other", None)}


def test_a_frozen_kernel_is_a_parameter_and_a_constant_is_not() -> None:
    class Net(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.constant = tf.Variable(normal(1, 4), trainable=False)
            self.frozen = tf.Variable(normal(2, 4, 3), trainable=False)
            self.steps = tf.Variable(3)
            self.rate = tf.Variable(0.1)

        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            return tf.matmul(x * self.constant, self.frozen)

    # What is trainable and not used in the forward pass is listed: TensorFlow says that it is learned.
    assert roles(Net(), *FLAT) == {"frozen": ("kernel", ("in", "out")), "rate": ("other", None)}


def test_without_example_inputs_nothing_is_known_of_a_module() -> None:
    module = Using(KERNELS["matmul"][0], (4, 3))
    adapter = ar.adapt(module)
    assert adapter.order_source == "declared"
    assert [p.role for p in adapter.layers()[0].parameters] == ["other"]


def test_a_module_may_declare_what_no_operation_tells() -> None:
    module = Using(lambda x, a: tf.reduce_sum(x[:, None] * a, axis=2), (3, 4))
    module.agnostic_rand_axes = {"a": ("kernel", ("out", "in"))}
    assert roles(module, *FLAT) == {"a": ("kernel", ("out", "in"))}
    assert [p.axes for p in ar.adapt(module).layers()[0].parameters] == [("out", "in")]


@pytest.mark.parametrize(
    "table",
    [
        {"a": ("weight", ("out", "in"))},
        {"a": ("kernel", ("in",))},
        {"a": "kernel"},
        {"a": ("kernel", 3)},
        ["kernel"],
        3,
    ],
)
def test_a_declaration_that_does_not_fit_is_refused(table: Any) -> None:
    module = Using(KERNELS["matmul"][0], (4, 3))
    module.agnostic_rand_axes = table
    with pytest.raises(ModelError, match="agnostic_rand_axes of Using"):
        ar.adapt(module)


LAYERS: dict[str, tuple[Callable[[], Any], tuple[int, ...], dict[str, tuple[str, Any]]]] = {
    "Conv1D": (
        lambda: keras.layers.Conv1D(3, 2),
        LINE,
        {"kernel": ("kernel", ("w", "in", "out")), "bias": ("bias", ("out",))},
    ),
    "Conv3D": (
        lambda: keras.layers.Conv3D(3, 2, use_bias=False),
        VOLUME,
        {"kernel": ("kernel", ("d", "h", "w", "in", "out"))},
    ),
    "Conv2DTranspose": (
        lambda: keras.layers.Conv2DTranspose(3, 2, use_bias=False),
        IMAGE,
        {"kernel": ("kernel", ("h", "w", "out", "in"))},
    ),
    "Conv1DTranspose with strides": (
        lambda: keras.layers.Conv1DTranspose(3, 2, 2, use_bias=False),
        LINE,
        {"kernel": ("kernel", ("w/2", "out", "in"))},
    ),
    "Conv2DTranspose with strides": (
        lambda: keras.layers.Conv2DTranspose(3, 2, (2, 3), use_bias=False),
        IMAGE,
        {"kernel": ("kernel", ("h/2", "w/3", "out", "in"))},
    ),
    "SeparableConv2D": (
        lambda: keras.layers.SeparableConv2D(3, 2, use_bias=False),
        IMAGE,
        {
            "depthwise_kernel": ("kernel", ("h", "w", "groups", "multiplier")),
            "pointwise_kernel": ("kernel", ("h", "w", "in", "out")),
        },
    ),
    "LSTM": (
        lambda: keras.layers.LSTM(3),
        LINE,
        {
            "kernel": ("kernel", ("in", "out")),
            "recurrent_kernel": ("kernel", ("in", "out")),
            "bias": ("bias", ("out",)),
        },
    ),
    "GRU": (
        lambda: keras.layers.GRU(3),
        LINE,
        {
            "kernel": ("kernel", ("in", "out")),
            "recurrent_kernel": ("kernel", ("in", "out")),
            # One row for the inputs, one for the state.
            "bias": ("bias", None),
        },
    ),
    "GroupNormalization": (
        lambda: keras.layers.GroupNormalization(1),
        IMAGE,
        {"gamma": ("scale", None), "beta": ("shift", None)},
    ),
    "PReLU": (lambda: keras.layers.PReLU(), FLAT, {"alpha": ("other", None)}),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_of_keras_tells_what_its_weights_are(name: str) -> None:
    build, shape, expected = LAYERS[name]
    model = keras.Sequential([keras.Input(shape), build()])
    # Not traced: the type of the layer is enough.
    layers = ar.adapt(model).layers()
    assert {p.name: (p.role, p.axes) for layer in layers for p in layer.parameters} == expected


def test_attention_projects_to_several_dimensions_at_once() -> None:
    layers = {layer.name: layer for layer in ar.adapt(attention()).layers()}
    assert list(layers) == [
        "norm",
        "attention/query",
        "attention/key",
        "attention/value",
        "attention/attention_output",
        "head",
    ]
    query, output = (layers[f"attention/{name}"].parameters[0] for name in ("query", "attention_output"))
    assert (query.axes, query.fan_in) == (("in", "out", "out2"), 6)
    assert (output.axes, output.fan_in) == (("in", "in2", "out"), 2 * 3)


def test_tokens_have_a_table_and_layers_with_cells_keep_the_cell_s_name() -> None:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((4,), dtype="int64"),
            layers.Embedding(11, 5, name="table"),
            layers.Bidirectional(layers.LSTM(6, name="lstm"), name="both"),
            layers.Dense(3, name="head"),
        ]
    )
    adapter = ar.adapt(model, example_inputs=np.arange(8).reshape(2, 4))
    names = [layer.name for layer in adapter.layers()]
    assert names == ["table", "both/forward_lstm/lstm_cell", "both/backward_lstm/lstm_cell", "head"]
    assert adapter.predict(np.arange(8).reshape(2, 4)).shape == (2, 3)
    assert adapter.layers()[0].parameters[0].role == "other"
