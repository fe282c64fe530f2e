"""ResNet-20 for CIFAR-10 (He et al. 2015) written by hand as modules of TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
SD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


class Convolution(tf.Module):
    def __init__(self, kernel: np.ndarray, stride: int) -> None:
        super().__init__()
        self.kernel = tf.Variable(kernel)
        self.stride = stride

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        # Padded on both sides, as the network was trained; 'SAME' pads strided convolutions on one.
        padded = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
        return tf.nn.conv2d(padded, self.kernel, self.stride, "VALID")


class Normalization(tf.Module):
    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.scale = tf.Variable(weights["weight"])
        self.offset = tf.Variable(weights["bias"])
        self.mean = tf.Variable(weights["running_mean"], trainable=False)
        self.variance = tf.Variable(weights["running_var"], trainable=False)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.batch_normalization(x, self.mean, self.variance, self.offset, self.scale, 1e-5)


class Block(tf.Module):
    def __init__(self, weights: dict[str, np.ndarray], prefix: str, stride: int) -> None:
        super().__init__()
        self.conv1 = Convolution(weights[f"{prefix}.conv1.weight"], stride)
        self.bn1 = Normalization(_below(weights, f"{prefix}.bn1"))
        self.conv2 = Convolution(weights[f"{prefix}.conv2.weight"], 1)
        self.bn2 = Normalization(_below(weights, f"{prefix}.bn2"))
        self.stride = stride

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        inner = tf.nn.relu(self.bn1(self.conv1(x)))
        if self.stride > 1:
            quarter = x.shape[-1] // 2
            x = tf.pad(x[:, ::2, ::2, :], [[0, 0], [0, 0], [0, 0], [quarter, quarter]])
        return tf.nn.relu(self.bn2(self.conv2(inner)) + x)


class Dense(tf.Module):
    def __init__(self, kernel: np.ndarray, bias: np.ndarray) -> None:
        super().__init__()
        self.kernel = tf.Variable(kernel)
        self.bias = tf.Variable(bias)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return x @ self.kernel + self.bias


class ResNet20(tf.Module):
    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.conv1 = Convolution(weights["conv1.weight"], 1)
        self.bn1 = Normalization(_below(weights, "bn1"))
        self.blocks = [
            Block(weights, f"layer{stage}.{number}", 2 if stage > 1 and number == 0 else 1)
            for stage in (1, 2, 3)
            for number in range(3)
        ]
        self.linear = Dense(weights["linear.weight"], weights["linear.bias"])

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        x = tf.nn.relu(self.bn1(self.conv1(x)))
        for block in self.blocks:
            x = block(x)
        return self.linear(tf.reduce_mean(x, axis=[1, 2]))


def resnet20(folder: Path, dtype: type = np.float32) -> ResNet20:
    with np.load(folder / "resnet20_cifar10_hwio.npz") as weights:
        return ResNet20({name: weight.astype(dtype) for name, weight in weights.items()})


def images(folder: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first test images, normalized, channels last, and their labels."""
    with np.load(folder / "cifar10_test1000.npz") as data:
        return (data["x_test"][:count].astype(np.float32) / 255 - MEAN) / SD, data["y_test"][:count].astype(
            np.int64
        )


def _below(weights: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(f"{prefix}."): value for key, value in weights.items() if key.startswith(f"{prefix}.")}
