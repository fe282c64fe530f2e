"""Legacy Keras models: Sequential, functional and subclassed."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras


class Scaled(keras.layers.Layer):
    """A layer of a user, with a weight that Keras knows nothing of."""

    def build(self, shape: tf.TensorShape) -> None:
        self.factor = self.add_weight("factor", (shape[-1],), initializer="ones")
        self.steps = self.add_weight("steps", (), initializer="zeros", trainable=False)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return x * self.factor


class Residual(keras.layers.Layer):
    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.dense = keras.layers.Dense(width, name="dense")
        self.norm = keras.layers.BatchNormalization(name="norm")

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        return tf.nn.relu(self.norm(self.dense(x), training=training)) + x

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width}


class Subclassed(keras.Model):
    """Blocks in a list, two of them with parts of the same name, declared from output to input."""

    def __init__(self) -> None:
        super().__init__()
        self.head = keras.layers.Dense(3, name="head")
        self.blocks = [Residual(6, name="one"), Residual(6, name="two")]
        self.scaled = Scaled(name="scaled")

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        for block in self.blocks:
            x = block(x, training=training)
        return self.head(self.scaled(x))


def sequential() -> keras.Model:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(4, 3, activation="relu", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.DepthwiseConv2D(3, name="depthwise"),
            layers.Activation("relu"),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(3, activation="softmax", name="head"),
        ]
    )


def functional() -> keras.Model:
    """A nested model and a layer that is called twice."""
    layers = keras.layers
    inner = keras.Sequential(
        [keras.Input((6,)), layers.Dense(6, name="dense"), layers.ReLU(name="relu")], name="inner"
    )
    shared = layers.Dense(6, activation="relu", name="shared")
    x = keras.Input((6,))
    y = inner(shared(shared(x)))
    return keras.Model(x, layers.Dense(3, name="head")(layers.Add(name="add")([x, y])))


def attention() -> keras.Model:
    layers = keras.layers
    x = keras.Input((4, 6))
    y = layers.LayerNormalization(name="norm")(x)
    y = layers.MultiHeadAttention(2, 3, name="attention")(y, y)
    y = layers.Add(name="add")([x, y])
    return keras.Model(x, layers.Dense(3, name="head")(layers.GlobalAveragePooling1D(name="pool")(y)))


def subclassed() -> keras.Model:
    model = Subclassed()
    model(np.zeros((1, 6), np.float32))
    return model


def trained(model: keras.Model, seed: int = 0) -> keras.Model:
    """The model with weights as if trained, always the same."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        spread = (2.0 / max(int(np.prod(weight.shape[:-1])), 2)) ** 0.5
        positive = weight.name.endswith(("variance:0", "gamma:0", "factor:0"))
        draw = rng.uniform(0.5, 2.0, weight.shape) if positive else spread * rng.standard_normal(weight.shape)
        weight.assign(draw.astype(np.float32))
    return model
