"""The CIFAR ResNet-20 of the real data, in each framework, with the same weights."""

from __future__ import annotations

from pathlib import Path

import equinox as eqx
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import nnx

MEAN, SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Name, channels in, channels out, stride.
BLOCKS = [
    (f"layer{stage}_{i}", width if i else max(width // 2, 16), width, 2 if stage > 1 and i == 0 else 1)
    for stage, width in ((1, 16), (2, 32), (3, 64))
    for i in range(3)
]


def images(folder: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Normalized images `(n, 32, 32, 3)` and their labels."""
    with np.load(folder / "cifar10_test1000.npz") as data:
        x, y = data["x_test"][:count], data["y_test"][:count]
    return ((x / 255.0 - MEAN) / SD).astype(np.float32), y.reshape(-1).astype(np.int64)


def variables(folder: Path) -> dict:
    return flax.serialization.msgpack_restore((folder / "resnet20_cifar10_flax.msgpack").read_bytes())


def shortcut(x, channels: int, stride: int, axis: int):
    """Every second pixel, and zeros for the channels that are new."""
    space = [slice(None, None, stride) if i not in (axis % x.ndim,) else slice(None) for i in range(x.ndim)]
    space[0 : x.ndim - 3] = [slice(None)] * (x.ndim - 3)
    missing = (channels - x.shape[axis]) // 2
    pads = [(missing, missing) if i == axis % x.ndim else (0, 0) for i in range(x.ndim)]
    return jnp.pad(x[tuple(space)], pads)


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x):
        def conv(x, name, width, stride=1):
            return nn.Conv(width, (3, 3), (stride, stride), padding=((1, 1), (1, 1)), use_bias=False, name=name)(x)

        def norm(x, name):
            return nn.BatchNorm(use_running_average=True, epsilon=1e-5, name=name)(x)

        x = nn.relu(norm(conv(x, "conv1", 16), "bn1"))
        for name, _, width, stride in BLOCKS:
            y = nn.relu(norm(conv(x, f"{name}_conv1", width, stride), f"{name}_bn1"))
            y = norm(conv(y, f"{name}_conv2", width), f"{name}_bn2")
            x = nn.relu(y + shortcut(x, width, stride, -1))
        return nn.Dense(10, name="linear")(x.mean((1, 2)))


class NnxBlock(nnx.Module):
    def __init__(self, inputs: int, width: int, stride: int, rngs: nnx.Rngs) -> None:
        self.stride, self.width = stride, width
        same = {"padding": ((1, 1), (1, 1)), "use_bias": False, "rngs": rngs}
        self.conv1 = nnx.Conv(inputs, width, (3, 3), (stride, stride), **same)
        self.bn1 = nnx.BatchNorm(width, epsilon=1e-5, rngs=rngs)
        self.conv2 = nnx.Conv(width, width, (3, 3), **same)
        self.bn2 = nnx.BatchNorm(width, epsilon=1e-5, rngs=rngs)

    def __call__(self, x):
        y = self.bn2(self.conv2(nnx.relu(self.bn1(self.conv1(x)))))
        return nnx.relu(y + shortcut(x, self.width, self.stride, -1))


class Nnx(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv1 = nnx.Conv(3, 16, (3, 3), padding=((1, 1), (1, 1)), use_bias=False, rngs=rngs)
        self.bn1 = nnx.BatchNorm(16, epsilon=1e-5, rngs=rngs)
        self.blocks = nnx.List([NnxBlock(i, o, stride, rngs) for _, i, o, stride in BLOCKS])
        self.linear = nnx.Linear(64, 10, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.bn1(self.conv1(x)))
        for block in self.blocks:
            x = block(x)
        return self.linear(x.mean((1, 2)))


class EquinoxBlock(eqx.Module):
    conv1: eqx.nn.Conv2d
    bn1: eqx.nn.BatchNorm
    conv2: eqx.nn.Conv2d
    bn2: eqx.nn.BatchNorm
    stride: int = eqx.field(static=True)

    def __init__(self, inputs: int, width: int, stride: int, key) -> None:
        self.stride = stride
        self.conv1 = eqx.nn.Conv2d(inputs, width, 3, stride, 1, use_bias=False, key=key)
        self.bn1 = eqx.nn.BatchNorm(width, "batch", mode="ema")
        self.conv2 = eqx.nn.Conv2d(width, width, 3, 1, 1, use_bias=False, key=key)
        self.bn2 = eqx.nn.BatchNorm(width, "batch", mode="ema")

    def __call__(self, x, state):
        y, state = self.bn1(self.conv1(x), state)
        y, state = self.bn2(self.conv2(jax.nn.relu(y)), state)
        return jax.nn.relu(y + shortcut(x, self.conv2.out_channels, self.stride, 0)), state


class Equinox(eqx.Module):
    conv1: eqx.nn.Conv2d
    bn1: eqx.nn.BatchNorm
    blocks: list
    linear: eqx.nn.Linear

    def __init__(self, key) -> None:
        self.conv1 = eqx.nn.Conv2d(3, 16, 3, 1, 1, use_bias=False, key=key)
        self.bn1 = eqx.nn.BatchNorm(16, "batch", mode="ema")
        self.blocks = [EquinoxBlock(i, o, stride, key) for _, i, o, stride in BLOCKS]
        self.linear = eqx.nn.Linear(64, 10, key=key)

    def __call__(self, x, state):
        x, state = self.bn1(self.conv1(x), state)
        x = jax.nn.relu(x)
        for block in self.blocks:
            x, state = block(x, state)
        return self.linear(x.mean((1, 2))), state


def nnx_model(folder: Path) -> nnx.Module:
    held = variables(folder)
    model = nnx.eval_shape(lambda: Nnx(nnx.Rngs(0)))
    for name, part in _parts(model):
        for key, value in {**held["params"][name], **held["batch_stats"].get(name, {})}.items():
            getattr(part, key).set_value(jnp.asarray(value))
    return model


def equinox_model(folder: Path) -> tuple[eqx.Module, eqx.nn.State]:
    held = variables(folder)
    model, state = eqx.filter_eval_shape(eqx.nn.make_with_state(Equinox), jax.random.key(0))
    state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), state)
    places, values = [], []
    for name, part in _parts(model):
        params = held["params"][name]
        if "kernel" in params:
            values.append(
                np.transpose(
                    params["kernel"], (3, 2, 0, 1)[: params["kernel"].ndim] if name != "linear" else (1, 0)
                )
            )
            places.append(part.weight)
        else:
            values.append(params["scale"])
            places.append(part.weight)
            stats = held["batch_stats"][name]
            state = state.set(part.ema_state_index, (jnp.asarray(stats["mean"]), jnp.asarray(stats["var"])))
        if "bias" in params:
            values.append(params["bias"])
            places.append(part.bias)
    # Each array is found again by its identity.
    by_identity = {id(place): jnp.asarray(value) for place, value in zip(places, values, strict=True)}
    return jax.tree.map(lambda leaf: by_identity.get(id(leaf), leaf), model), state


def _parts(model):
    yield "conv1", model.conv1
    yield "bn1", model.bn1
    for (name, *_), block in zip(BLOCKS, model.blocks, strict=True):
        for part in ("conv1", "bn1", "conv2", "bn2"):
            yield f"{name}_{part}", getattr(block, part)
    yield "linear", model.linear
