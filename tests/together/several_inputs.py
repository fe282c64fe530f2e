"""One small model of two inputs with one set of weights, in every framework; and one of tokens with a mask."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import keras
import numpy as np
import tensorflow as tf
import torch
from flax import nnx

RNG = np.random.default_rng(11)
IMAGE, AGE, MIX = (RNG.standard_normal(shape).astype(np.float32) for shape in ((12, 10), (3, 10), (10, 4)))
TABLE, HEAD = (RNG.standard_normal(shape).astype(np.float32) for shape in ((20, 6), (6, 4)))
IMAGES, AGES = (RNG.standard_normal(shape).astype(np.float32) for shape in ((9, 12), (9, 3)))
TOKENS = np.stack([RNG.permutation(20)[:5] for _ in range(9)])
MASKS = np.float32(np.arange(5) < RNG.integers(2, 6, (9, 1)))
LABELS = RNG.integers(0, 4, 9)


def _linear(kernel):
    layer = torch.nn.Linear(*kernel.shape, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(kernel.T))
    return layer


class TorchNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.image, self.age, self.mix = _linear(IMAGE), _linear(AGE), _linear(MIX)

    def forward(self, image, age):
        return self.mix(torch.relu(self.image(image) + self.age(age)))


class TorchTokens(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding.from_pretrained(torch.from_numpy(TABLE.copy()), freeze=False)
        self.head = _linear(HEAD)

    def forward(self, ids, visible):
        x = torch.relu(self.embedding(ids)) * visible[..., None]
        return self.head(x.sum(1) / visible.sum(1, keepdim=True))


def in_keras():
    image, age = keras.Input((12,), name="image"), keras.Input((3,), name="age")
    dense = [keras.layers.Dense(10, use_bias=False, name=name) for name in ("image_dense", "age_dense")]
    summed = keras.layers.ReLU()(keras.layers.Add()([dense[0](image), dense[1](age)]))
    outputs = keras.layers.Dense(4, use_bias=False, name="mix")(summed)
    model = keras.Model([image, age], outputs)
    for layer, kernel in zip((*dense, model.get_layer("mix")), (IMAGE, AGE, MIX), strict=True):
        layer.set_weights([kernel])
    return model


class KerasNet(keras.Model):
    def __init__(self):
        super().__init__()
        self.image, self.age = (keras.layers.Dense(10, use_bias=False) for _ in range(2))
        self.mix = keras.layers.Dense(4, use_bias=False)

    def call(self, image, age):
        return self.mix(keras.ops.relu(self.image(image) + self.age(age)))


def in_subclassed_keras():
    model = KerasNet()
    model(IMAGES[:1], AGES[:1])
    for layer, kernel in ((model.image, IMAGE), (model.age, AGE), (model.mix, MIX)):
        layer.set_weights([kernel])
    return model


class KerasTokens(keras.Model):
    def __init__(self):
        super().__init__()
        self.embedding = keras.layers.Embedding(20, 6, name="embedding")
        self.head = keras.layers.Dense(4, use_bias=False)

    def call(self, ids, visible):
        x = keras.ops.relu(self.embedding(ids)) * visible[..., None]
        return self.head(keras.ops.sum(x, 1) / keras.ops.sum(visible, 1, keepdims=True))


def keras_tokens():
    model = KerasTokens()
    model(TOKENS[:1], MASKS[:1])
    model.embedding.set_weights([TABLE])
    model.head.set_weights([HEAD])
    return model


class TensorFlowDense(tf.Module):
    def __init__(self, kernel):
        super().__init__()
        self.kernel = tf.Variable(kernel)

    def __call__(self, x):
        return x @ self.kernel


class TensorFlowNet(tf.Module):
    def __init__(self):
        super().__init__()
        self.image, self.age, self.mix = map(TensorFlowDense, (IMAGE, AGE, MIX))

    def __call__(self, image, age):
        return self.mix(tf.nn.relu(self.image(image) + self.age(age)))


class LinenNet(nn.Module):
    @nn.compact
    def __call__(self, image, age):
        x = nn.Dense(10, use_bias=False, name="image")(image) + nn.Dense(10, use_bias=False, name="age")(age)
        return nn.Dense(4, use_bias=False, name="mix")(nn.relu(x))


def in_linen():
    kernels = {"image": IMAGE, "age": AGE, "mix": MIX}
    return LinenNet(), {"params": {name: {"kernel": jnp.asarray(kernel)} for name, kernel in kernels.items()}}


class LinenTokens(nn.Module):
    @nn.compact
    def __call__(self, ids, visible):
        x = nn.relu(nn.Embed(20, 6, name="embedding")(ids)) * visible[..., None]
        return nn.Dense(4, use_bias=False, name="head")(x.sum(1) / visible.sum(1, keepdims=True))


def linen_tokens():
    params = {"embedding": {"embedding": jnp.asarray(TABLE)}, "head": {"kernel": jnp.asarray(HEAD)}}
    return LinenTokens(), {"params": params}


class NnxNet(nnx.Module):
    def __init__(self):
        shapes = (("image", IMAGE), ("age", AGE), ("mix", MIX))
        for name, kernel in shapes:
            setattr(self, name, nnx.Linear(*kernel.shape, use_bias=False, rngs=nnx.Rngs(0)))
            getattr(self, name).kernel.set_value(jnp.asarray(kernel))

    def __call__(self, image, age):
        return self.mix(nnx.relu(self.image(image) + self.age(age)))


class EquinoxNet(eqx.Module):
    image: eqx.nn.Linear
    age: eqx.nn.Linear
    mix: eqx.nn.Linear

    def __init__(self):
        key = jax.random.key(0)
        layers = [eqx.nn.Linear(*kernel.shape, use_bias=False, key=key) for kernel in (IMAGE, AGE, MIX)]
        self.image, self.age, self.mix = (
            eqx.tree_at(lambda m: m.weight, layer, jnp.asarray(kernel.T))
            for layer, kernel in zip(layers, (IMAGE, AGE, MIX), strict=True)
        )

    def __call__(self, image, age):
        return self.mix(jax.nn.relu(self.image(image) + self.age(age)))


def in_bare_jax():
    def apply(params, image, age):
        return jax.nn.relu(image @ params["image"]["w"] + age @ params["age"]["w"]) @ params["mix"]["w"]

    return apply, {"image": {"w": IMAGE}, "age": {"w": AGE}, "mix": {"w": MIX}}


MODELS: dict[str, Any] = {
    "keras": in_keras,
    "keras_subclassed": in_subclassed_keras,
    "tensorflow": TensorFlowNet,
    "linen": in_linen,
    "nnx": NnxNet,
    "equinox": EquinoxNet,
    "bare_jax": in_bare_jax,
}
TOKEN_MODELS: dict[str, Any] = {"keras": keras_tokens, "linen": linen_tokens}
