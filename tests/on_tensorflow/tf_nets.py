"""Modules of TensorFlow written by hand, each with something that adapters get wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf


def normal(seed: int, *shape: int, scale: float = 0.5, dtype: Any = np.float32) -> np.ndarray:
    """Weights as if trained: nothing in them has the value of a fresh weight."""
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def positive(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.5, 2.0, shape).astype(np.float32)


class Dense(tf.Module):
    def __init__(self, seed: int, inputs: int, outputs: int, dtype: Any = np.float32, scale: float = 0.5) -> None:
        super().__init__()
        self.bias = tf.Variable(tf.cast(normal(seed + 100, outputs, scale=scale), dtype))
        self.kernel = tf.Variable(tf.cast(normal(seed, inputs, outputs, scale=scale), dtype))

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return x @ self.kernel + self.bias


class MLP(tf.Module):
    """Declared from the output to the input; its call is a traced function already."""

    def __init__(self, dtype: Any = np.float32, scale: float = 0.5) -> None:
        super().__init__()
        self.head = Dense(3, 6, 3, dtype, scale)
        self.middle = Dense(2, 7, 6, dtype, scale)
        self.first = Dense(1, 6, 7, dtype, scale)

    @tf.function
    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        x = tf.nn.relu(self.first(tf.reshape(x, [tf.shape(x)[0], 6])))
        return self.head(tf.nn.relu(self.middle(x)))


class Bound(tf.Module):
    """Calls its first layer by a function that refers to it, which no copy of the model changes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = Dense(1, 6, 7), Dense(2, 7, 3)
        first = self.first
        self.hidden = lambda x: sum(first(part) for part in (tf.reshape(x, [-1, 6]),))

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return self.head(tf.nn.relu(self.hidden(x)))


class SecondHead(tf.Module):
    """Two heads, of which `forward=` takes one; and a layer that nobody calls."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.second = Dense(1, 5, 6), Dense(2, 6, 2)
        self.head, self.idle = Dense(3, 6, 3), Dense(4, 6, 6)

    @tf.function
    def __call__(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        hidden = tf.nn.relu(self.hidden(x))
        return {"second": self.second(hidden), "first": self.head(hidden)}


class Convolution(tf.Module):
    def __init__(self, seed: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.kernel = tf.Variable(normal(seed, 3, 3, inputs, outputs, scale=0.3))

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.conv2d(x, self.kernel, 1, "SAME")


class Normalization(tf.Module):
    """Batch normalization in evaluation, written out or fused."""

    def __init__(self, seed: int, channels: int, fused: bool = False) -> None:
        super().__init__()
        self.fused = fused
        self.mean = tf.Variable(normal(seed, channels), trainable=False)
        self.variance = tf.Variable(positive(seed + 1, channels), trainable=False)
        self.scale = tf.Variable(positive(seed + 2, channels))
        self.offset = tf.Variable(normal(seed + 3, channels))

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        if self.fused:
            y, _, _ = tf.compat.v1.nn.fused_batch_norm(
                x, self.scale, self.offset, self.mean, self.variance, 1e-3, is_training=False
            )
            return y
        return tf.nn.batch_normalization(x, self.mean, self.variance, self.offset, self.scale, 1e-3)


class ConvolutionalNet(tf.Module):
    """Blocks in a list, a residual connection, nested traced functions, a counter and a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.head = Dense(9, 4, 3)
        self.blocks = [
            {"norm": Normalization(20, 4), "conv": Convolution(4, 2, 4)},
            {"norm": Normalization(30, 4, fused=True), "conv": Convolution(5, 4, 4)},
        ]
        self.calls = tf.Variable(0, trainable=False)
        self.mean_pixel = tf.Variable([0.1, 0.2], trainable=False)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        self.calls.assign_add(1)
        x = self.stem(x - self.mean_pixel)
        x = tf.nn.relu(self.blocks[1]["norm"](self.blocks[1]["conv"](x)) + x)
        return self.head(tf.reduce_mean(x, axis=[1, 2]))

    @tf.function
    def stem(self, x: tf.Tensor) -> tf.Tensor:
        return tf.maximum(self.blocks[0]["norm"](self.blocks[0]["conv"](x)), 0.0)


class TransposedConvolution(tf.Module):
    def __init__(self, seed: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.kernel = tf.Variable(normal(seed, 3, 2, outputs, inputs))

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        _, height, width, _ = x.shape
        made = [tf.shape(x)[0], 2 * height + 1, width + 1, self.kernel.shape[2]]
        return tf.nn.conv2d_transpose(x, self.kernel, made, (2, 1), "VALID")


class Upsampling(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.head = TransposedConvolution(1, 4, 6), Dense(2, 6, 3)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return self.head(tf.reduce_mean(tf.nn.relu(self.up(x)), axis=[1, 2]))


class BareVariables(tf.Module):
    """A whole network in the root's own attributes: kernels, a token, a list and a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.token = tf.Variable(normal(1, 1, 4))
        self.layers = [tf.Variable(normal(2, 4, 6)), tf.Variable(normal(3, 6))]
        self.out = {"kernel": tf.Variable(normal(4, 6, 3)), "bias": tf.Variable(normal(5, 3))}

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        x = x + self.token
        x = tf.nn.relu(tf.nn.bias_add(tf.matmul(x, self.layers[0]), self.layers[1]))
        return tf.matmul(x, self.out["kernel"]) + self.out["bias"]


class LayerNormalization(tf.Module):
    def __init__(self, seed: int, width: int) -> None:
        super().__init__()
        self.scale = tf.Variable(positive(seed, width))
        self.offset = tf.Variable(normal(seed + 1, width))

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, self.offset, self.scale, 1e-3)


class SelfAttention(tf.Module):
    """Two heads of three features, each projected by one kernel with two output axes."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.output = tf.Variable(normal(seed, 2, 3, 6))
        self.value = tf.Variable(normal(seed + 1, 6, 2, 3))
        self.key = tf.Variable(normal(seed + 2, 6, 2, 3))
        self.query = tf.Variable(normal(seed + 3, 6, 2, 3))

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        query, key, value = (tf.einsum("bnd,dhk->bnhk", x, w) for w in (self.query, self.key, self.value))
        weights = tf.nn.softmax(tf.einsum("bnhk,bmhk->bhnm", query, key) / 3**0.5)
        return tf.einsum("bnhk,hkd->bnd", tf.einsum("bhnm,bmhk->bnhk", weights, value), self.output)


class Transformer(tf.Module):
    """A position table at the root, attention with packed heads, a residual connection."""

    def __init__(self) -> None:
        super().__init__()
        self.head = Dense(50, 6, 3)
        self.attention = SelfAttention(60)
        self.norm = LayerNormalization(70, 6)
        self.position = tf.Variable(normal(80, 4, 6))

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        x = x + self.position
        x = x + self.attention(self.norm(x))
        return self.head(tf.reduce_mean(x, axis=1))


class Decoder(tf.Module):
    def __init__(self, encoder: Dense) -> None:
        super().__init__()
        self.kernel = encoder.kernel
        self.bias = tf.Variable(normal(8, 6))

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return tf.matmul(x, self.kernel, transpose_b=True) + self.bias


class Autoencoder(tf.Module):
    """Tied weights, and a list at the root that gathers them without owning them."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Dense(7, 6, 6)
        self.decoder = Decoder(self.encoder)
        self.gathered = [self.encoder.kernel, self.decoder.bias]

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return self.decoder(tf.nn.relu(self.encoder(x)))


class FixedBatch(tf.Module):
    """Reshapes by the number of samples, so that it cannot be traced for any."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = Dense(1, 6, 3)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return self.dense(tf.nn.relu(tf.reshape(x, [x.shape[0], 6])))


class Branching(tf.Module):
    """Python's control flow over tensors, which needs AutoGraph."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = Dense(1, 6, 3)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        if tf.shape(x)[0] > 1000:
            return self.dense(-x)
        for _ in tf.range(2):
            x = x + 0.5 * tf.tanh(x)
        return self.dense(x)


class DictionaryOutput(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = Dense(1, 6, 6)
        self.head = Dense(2, 6, 3)

    def logits(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"logits": self.head(tf.nn.relu(self.hidden(x))), "other": x}


class ModernLayers(tf.Module):
    """A module whose parts are layers of Keras 3: `tf.keras.layers` of today."""

    def __init__(self, keras: Any) -> None:
        super().__init__()
        layers = keras.layers
        self.head = layers.Dense(3, name="head")
        self.body = keras.Sequential(
            [layers.Dense(5, activation="relu", name="dense"), layers.BatchNormalization(name="norm")], name="body"
        )

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return self.head(self.body(x))


class Declared(tf.Module):
    """A kernel in a layout that no operation tells: its module says what it is."""

    agnostic_rand_axes = {"pieces": ("kernel", ("out", "in")), "offset": ("bias", None)}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.pieces = tf.Variable(normal(1, 3, 6))
        self.offset = tf.Variable(normal(2, 3))

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(x[:, None, :] * self.pieces, axis=2) + tf.sin(self.offset)
