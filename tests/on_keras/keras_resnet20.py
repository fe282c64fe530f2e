"""The CIFAR ResNet-20 of the real data as a functional Keras model."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from agnostic_rand.adapters import HostArray

# Name, channels, stride.
BLOCKS = [
    (f"layer{stage}_{number}", width, 2 if stage > 1 and number == 0 else 1)
    for stage, width in ((1, 16), (2, 32), (3, 64))
    for number in range(3)
]
_PARTS = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def resnet20(folder: Path, dtype: str = "float32") -> keras.Model:
    """He et al. 2015, section 4.2, trained; its layers have the names of PyTorch's modules, with `_` for a dot."""
    inputs = keras.Input((32, 32, 3), dtype=dtype)
    options = {"use_bias": False, "dtype": dtype}

    def convolved(x, name, width, stride=1):
        # Padded on both sides, as the network was trained; 'same' pads strided convolutions on one.
        x = layers.ZeroPadding2D(1, dtype=dtype)(x)
        x = layers.Conv2D(width, 3, stride, name=name.replace("bn", "conv"), **options)(x)
        return layers.BatchNormalization(epsilon=1e-5, name=name, dtype=dtype)(x)

    x = layers.Activation("relu", dtype=dtype)(convolved(inputs, "bn1", 16))
    for name, width, stride in BLOCKS:
        y = layers.ReLU(dtype=dtype)(convolved(x, f"{name}_bn1", width, stride))
        y = convolved(y, f"{name}_bn2", width)
        missing = (width - x.shape[-1]) // 2
        if missing:
            x = ops.pad(x[:, ::2, ::2, :], [[0, 0], [0, 0], [0, 0], [missing, missing]])
        x = ops.relu(x + y)
    x = layers.GlobalAveragePooling2D(dtype=dtype)(x)
    model = keras.Model(inputs, layers.Dense(10, name="linear", dtype=dtype)(x), name="resnet20")
    with np.load(folder / "resnet20_cifar10_hwio.npz") as weights:
        for key, value in weights.items():
            layer, _, part = key.rpartition(".")
            name = _PARTS[part] if "bn" in layer else {"weight": "kernel", "bias": "bias"}[part]
            getattr(model.get_layer(layer.replace(".", "_")), name).assign(value.astype(dtype))
    return model


def images(folder: Path, count: int) -> tuple[HostArray, HostArray]:
    """Normalized images `(count, 32, 32, 3)` and their labels."""
    with np.load(folder / "cifar10_test1000.npz") as held:
        x, y = held["x_test"][:count], held["y_test"][:count]
    mean, sd = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    return (x.astype(np.float32) / 255 - mean) / sd, y.reshape(-1).astype(np.int64)
