"""Small Equinox models: they take one sample, channels first."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp


class Cnn(eqx.Module):
    head: eqx.nn.Linear
    depthwise: eqx.nn.Conv2d
    conv: eqx.nn.Conv2d
    drop: eqx.nn.Dropout
    activation: object

    def __init__(self, key):
        keys = jax.random.split(key, 3)
        self.conv = eqx.nn.Conv2d(3, 6, 3, padding=1, key=keys[0])
        self.depthwise = eqx.nn.Conv2d(6, 6, 3, groups=6, padding=1, key=keys[1])
        self.head = eqx.nn.Linear(6, 4, key=keys[2])
        self.drop = eqx.nn.Dropout(0.5)
        self.activation = jax.nn.relu

    def __call__(self, x, *, key=None):
        x = self.activation(self.conv(x))
        x = self.activation(self.depthwise(x)).mean((1, 2))
        return self.head(self.drop(x, key=key))


class NormedCnn(eqx.Module):
    conv: eqx.nn.Conv2d
    norm: eqx.nn.BatchNorm
    head: eqx.nn.Linear

    def __init__(self, key, mode="batch"):
        keys = jax.random.split(key, 2)
        self.conv = eqx.nn.Conv2d(3, 6, 3, padding=1, use_bias=False, key=keys[0])
        self.norm = eqx.nn.BatchNorm(6, axis_name="batch", mode=mode)
        self.head = eqx.nn.Linear(6, 4, key=keys[1])

    def __call__(self, x, state):
        x, state = self.norm(self.conv(x), state)
        return self.head(jax.nn.relu(x).mean((1, 2))), state


class Tied(eqx.Module):
    shared: eqx.nn.Shared
    token: jax.Array

    def __init__(self, key):
        keys = jax.random.split(key, 2)
        pair = (eqx.nn.Linear(6, 6, key=keys[0]), eqx.nn.Linear(6, 6, key=keys[1]))
        self.shared = eqx.nn.Shared(pair, lambda p: p[1].weight, lambda p: p[0].weight)
        self.token = jnp.ones(6)

    def __call__(self, x):
        first, second = self.shared()
        return second(jax.nn.relu(first(x)) + self.token)
