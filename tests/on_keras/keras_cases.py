"""Small Keras models, each with something that adapters get wrong, and what Keras says of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import pytest
from keras import initializers, layers, ops
from keras_relu_forms import rectified_forms

from agnostic_rand.adapters import HostArray
from agnostic_rand.testing import Case, Facts, Native


def host(value: Any) -> HostArray:
    """A copy of a tensor or variable on the host."""
    value = value.value if isinstance(value, keras.Variable) else value
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if "bfloat16" in str(value.dtype) else value
    array = np.array(value.numpy() if hasattr(value, "numpy") else value)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def outputs_of(model: keras.Model, inputs: HostArray) -> HostArray:
    if keras.backend.backend() == "jax":
        return host(_compiled(model)(inputs)).astype(np.float64)
    with keras.StatelessScope():
        return host(model(ops.convert_to_tensor(inputs), training=False)).astype(np.float64)


def _compiled(model: keras.Model) -> Any:
    """A call of the model in one jitted function: each operation by itself is compiled by itself."""
    import jax

    if id(model) not in _COMPILED:

        @jax.jit
        def called(values: list[Any], x: Any) -> Any:
            with keras.StatelessScope(state_mapping=list(zip(model.variables, values, strict=True))):
                return model(x, training=False)

        # The model is kept, so that its id stays its own.
        _COMPILED[id(model)] = model, called
    return lambda x: _COMPILED[id(model)][1]([v.value for v in model.variables], x)


_COMPILED: dict[int, tuple[keras.Model, Any]] = {}


@contextmanager
def cheap_initializers() -> Iterator[None]:
    """Weights of a new model drawn on the host: JAX compiles each initializer for each shape."""

    def drawn(self: Any, shape: Any, dtype: Any = None) -> Any:
        values = np.random.default_rng(int(np.prod(shape))).normal(0, 0.3, shape)
        return ops.convert_to_tensor(values.astype("float32"), dtype=dtype or "float32")

    kinds = (initializers.VarianceScaling, initializers.RandomNormal, initializers.RandomUniform)
    with pytest.MonkeyPatch.context() as patch:
        for kind in (*kinds, initializers.TruncatedNormal, initializers.OrthogonalInitializer):
            patch.setattr(kind, "__call__", drawn)
        yield


def parameters_of(model: keras.Model) -> list[HostArray]:
    known = {id(v): v for layer in model._flatten_layers() for v in layer._trainable_variables}
    return [host(v) for v in known.values()]


def flags_of(model: keras.Model) -> object:
    flattened = model._flatten_layers()
    return (
        [(layer.name, layer.trainable, layer.built, "call" in vars(layer)) for layer in flattened],
        [(v.path, v.trainable, v.dtype) for v in model.variables],
        model.compiled,
        id(getattr(model, "optimizer", None)),
        keras.config.floatx(),
    )


def draw() -> HostArray:
    """A number from Keras' global generator, which moves at each call."""
    return host(keras.random.normal((3,)))


def disturb(model: keras.Model) -> None:
    model.trainable = not model.trainable


NATIVE = Native(outputs=outputs_of, parameters=parameters_of, flags=flags_of, draw=draw, disturb=disturb)


def mlp(dtype: str | None = None) -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((3, 2), dtype="float64" if dtype == "float64" else "float32"),
            layers.Flatten(dtype=dtype),
            layers.Dense(7, activation="relu", name="first", dtype=dtype),
            layers.Dense(6, name="second", dtype=dtype),
            layers.ReLU(dtype=dtype),
            layers.Dense(3, name="third", dtype=dtype),
        ],
        name="mlp",
    )
    biased(model)
    if dtype == "bfloat16":
        # A step of training is then larger than the distance of two numbers.
        for v in model.weights:
            v.assign(host(v) / 4)
    return model


def residual() -> keras.Model:
    """A graph with an operation, an inner model, batch normalization and dropout."""
    inside = keras.Input((7, 6, 6))
    outside = layers.BatchNormalization(name="norm")(layers.Conv2D(6, (3, 1), padding="same", name="wide")(inside))
    inner = keras.Model(inside, outside, name="inner")
    inputs = keras.Input((7, 6, 2))
    x = ops.relu(layers.Conv2D(6, 3, padding="same", name="stem")(inputs))
    y = layers.Activation("relu")(inner(x) + x)
    y = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(y))
    return biased(keras.Model(inputs, layers.Dense(3, name="head")(y), name="residual"))


class Bound(keras.Model):
    """Calls its first layer by a function that refers to it, which no copy of the model changes."""

    def __init__(self) -> None:
        super().__init__(name="bound")
        self.first, self.head = layers.Dense(7, name="first"), layers.Dense(3, name="head")
        first = self.first
        self.hidden = lambda x: sum(first(part) for part in (ops.reshape(x, (-1, 6)),))

    def call(self, x: Any) -> Any:
        return self.head(ops.relu(self.hidden(x)))

    def get_config(self) -> Any:
        raise NotImplementedError("no config")


class SecondHead(keras.Model):
    """Two heads, of which `forward=` takes one; and a norm that nobody calls."""

    def __init__(self) -> None:
        super().__init__(name="second_head")
        self.hidden, self.second = layers.Dense(6, name="hidden"), layers.Dense(2, name="second")
        self.head, self.norm = layers.Dense(3, name="head"), layers.LayerNormalization(name="norm")
        self.norm.build((None, 6))

    def call(self, x: Any) -> dict[str, Any]:
        hidden = ops.relu(self.hidden(x))
        return {"second": self.second(hidden), "first": self.head(hidden)}


class Scale(layers.Layer):
    """A custom layer with a weight of its own, and no config."""

    def __init__(self, function: Any) -> None:
        super().__init__(name="scale")
        self.function = function

    def build(self, shape: tuple[int, ...]) -> None:
        self.factor = self.add_weight(shape=(shape[-1],), initializer="ones", name="factor")

    def call(self, x: Any) -> Any:
        return self.function(x * self.factor)


class Tied(keras.Model):
    """An autoencoder whose decoder uses the encoder's kernel; a subclass without a config."""

    def __init__(self) -> None:
        super().__init__(name="tied")
        self.decoder = Transposed(name="decoder")
        self.scale = Scale(lambda x: x + 0.1)
        self.encoder = layers.Dense(6, activation="relu", name="encoder")
        self.encoder.build((None, 6))
        self.decoder.kernel = self.encoder.kernel

    def call(self, x: Any) -> Any:
        return self.decoder(self.scale(self.encoder(x)))


class Transposed(layers.Layer):
    def build(self, shape: tuple[int, ...]) -> None:
        self.bias = self.add_weight(shape=(6,), initializer="zeros", name="bias")

    def call(self, x: Any) -> Any:
        return ops.matmul(x, ops.transpose(self.kernel)) + self.bias


class Transformer(keras.Model):
    """A class token and positions as weights of the model itself, and attention."""

    def __init__(self) -> None:
        super().__init__(name="transformer")
        self.embed = layers.Dense(8, name="embed")
        self.norm = layers.LayerNormalization(name="norm")
        self.attention = layers.MultiHeadAttention(2, 4, name="attention")
        self.head = layers.Dense(3, name="head")
        self.token = self.add_weight(shape=(1, 1, 8), initializer="random_normal", name="token")
        self.positions = self.add_weight(shape=(1, 5, 8), initializer="random_normal", name="positions")

    def call(self, x: Any) -> Any:
        token = ops.broadcast_to(self.token, (ops.shape(x)[0], 1, 8))
        x = ops.concatenate([token, self.embed(x)], axis=1) + self.positions
        y = self.norm(x)
        return self.head((x + self.attention(y, y))[:, 0])


class Dictionary(keras.Model):
    """A model that is not called as `model(inputs) -> outputs`."""

    def __init__(self) -> None:
        super().__init__(name="dictionary")
        self.head = layers.Dense(3, name="head")
        self.hidden = layers.Dense(6, name="hidden")

    def call(self, x: Any) -> dict[str, Any]:
        return {"logits": self.head(ops.relu(self.hidden(x)))}


def shared() -> keras.Model:
    """A layer that is called twice, and dense layers along several axes."""
    twice = layers.Dense(6, activation="relu", name="twice")
    inputs = keras.Input((5, 6))
    x = layers.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de", name="mix")(twice(twice(inputs)))
    x = layers.EinsumDense("abde,def->abf", (None, 3), bias_axes="f", name="head")(layers.ReLU()(x))
    return biased(keras.Model(inputs, layers.GlobalAveragePooling1D()(x), name="shared"))


def upsampling() -> keras.Model:
    inputs = keras.Input((3, 2, 4))
    x = layers.Conv2DTranspose(6, (3, 2), (2, 1), activation="relu", name="up")(inputs)
    x = layers.Dense(3, name="head")(layers.GlobalAveragePooling2D()(x))
    return biased(keras.Model(inputs, x, name="upsampling"))


def tokens() -> keras.Model:
    inputs = keras.Input((4,), dtype="int32")
    x = layers.Embedding(11, 5, name="table")(inputs)
    x = layers.LSTM(6, unit_forget_bias=False, name="memory")(x)
    return keras.Model(inputs, layers.Dense(3, name="head")(x), name="tokens")


def times(model: Any, inputs: Any) -> Any:
    return model(inputs[0]) * inputs[1]


def keras_cases() -> list[Case]:
    """New models, always with the same weights."""
    keras.utils.set_random_seed(3)
    with cheap_initializers():
        return _cases()


def _cases() -> list[Case]:
    return [
        Case(
            "mlp",
            mlp(),
            _inputs(3, 2),
            np.array([2, 0, 1, 1, 0, 2, 2, 1]),
            facts=Facts(
                order=("first", "second", "third"),
                parameter_count=118,
                dense_relu=True,
                times=times,
                rectified=rectified_forms(),
                unused=(),
                bound=lambda: built(Bound(), 3, 2),
            ),
            native=NATIVE,
        ),
        Case(
            "residual",
            residual(),
            _inputs(7, 6, 2),
            facts=Facts(
                times=times,
                unused=(),
                order=("stem", "inner/wide", "inner/norm", "head"),
                axes={"inner/wide/kernel": ("h", "w", "in", "out"), "head/kernel": ("in", "out")},
            ),
            native=NATIVE,
        ),
        Case(
            "tied",
            built(Tied(), 6),
            _inputs(6),
            facts=Facts(
                times=times,
                order=("encoder", "scale", "decoder"),
                parameter_count=54,
                tied=lambda model: [host(model.encoder.kernel), host(model.decoder.kernel)],
            ),
            native=NATIVE,
        ),
        Case(
            "transformer",
            built(Transformer(), 4, 6),
            _inputs(4, 6),
            facts=Facts(
                order=(
                    *("token", "embed", "positions", "norm", "attention/query", "attention/key"),
                    *("attention/value", "attention/attention_output", "head"),
                ),
                axes={
                    "attention/query/kernel": ("in", "out", "out2"),
                    "attention/attention_output/kernel": ("in", "in2", "out"),
                },
            ),
            native=NATIVE,
        ),
        Case(
            "shared",
            shared(),
            _inputs(5, 6),
            facts=Facts(
                order=("twice", "mix", "head"),
                axes={"mix/kernel": ("in", "out", "out2"), "head/kernel": ("in", "in2", "out")},
            ),
            native=NATIVE,
        ),
        Case(
            "upsampling",
            upsampling(),
            _inputs(3, 2, 4),
            facts=Facts(order=("up", "head"), axes={"up/kernel": ("h/2", "w", "out", "in")}),
            native=NATIVE,
        ),
        Case("tokens", tokens(), np.arange(32).reshape(8, 4) % 11, facts=Facts(unused=()), native=NATIVE),
        Case("single", biased(_dense(1)), _inputs(5), facts=Facts(parameter_count=6), native=NATIVE),
        Case(
            "bfloat16",
            mlp("bfloat16"),
            _inputs(3, 2),
            facts=Facts(parameter_count=118, dense_relu=True),
            native=NATIVE,
        ),
        Case(
            "forward",
            built(Dictionary(), 5),
            _inputs(5),
            forward=lambda model, inputs: model(inputs)["logits"],
            facts=Facts(order=("hidden", "head")),
        ),
        Case(
            "second head",
            built(SecondHead(), 5),
            _inputs(5),
            forward=lambda model, inputs: model(inputs)["first"],
            facts=Facts(unused=("second/kernel", "second/bias", "norm/gamma", "norm/beta")),
        ),
    ]


def built(model: keras.Model, *shape: int) -> keras.Model:
    """The model after its first call."""
    model(np.zeros((1, *shape), np.float32))
    return biased(model)


def biased(model: keras.Model) -> keras.Model:
    """The model with weights that are not those of a fresh one, the same each time and on each backend."""
    rng = np.random.default_rng(1)
    for v in model.weights:
        shape = tuple(int(n) for n in v.shape)
        if v.name in ("gamma", "moving_variance", "factor"):
            v.assign(rng.uniform(0.5, 2, shape).astype("float32"))
        elif "kernel" in v.name:
            spread = (2 / max(int(np.prod(shape[:-1])), 1)) ** 0.5
            v.assign(rng.normal(0, spread, shape).astype("float32"))
        elif v.name != "alpha":
            v.assign(rng.normal(0, 0.3, shape).astype("float32"))
    return model


def _dense(units: int) -> keras.Model:
    return keras.Sequential([keras.Input((5,)), layers.Dense(units, name="only")], name="single")


def _inputs(*shape: int) -> HostArray:
    return np.random.default_rng(7).normal(0.3, 1.0, (8, *shape)).astype(np.float32)
