"""Nets and data for the tests of the checks."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

Array = npt.NDArray[Any]


def cnn(seed: int, side: int = 16, classes: int = 10) -> nn.Module:
    """conv, relu, pool, conv, relu, pool, fc, relu, fc."""
    torch.manual_seed(seed)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 8, 3, padding=1),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(8, 16, 3, padding=1),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(16 * (side // 4) ** 2, 64),
            relu3=nn.ReLU(),
            fc2=nn.Linear(64, classes),
        )
    )


def mlp(seed: int, features: int = 256, widths: tuple[int, ...] = (256, 128, 64), classes: int = 10) -> nn.Module:
    """Linear layers with ReLU between them, on flattened images."""
    torch.manual_seed(seed)
    parts: list[nn.Module] = [nn.Flatten()]
    for before, after in zip((features, *widths), widths, strict=False):
        parts += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(widths[-1], classes))


def digits(side: int = 16, train: int = 1200) -> tuple[Array, Array, Array, Array]:
    """Scikit-learn's handwritten digits, enlarged, in [0, 1]: training images and labels, then others."""
    from sklearn.datasets import load_digits

    data = load_digits()
    small = torch.from_numpy(data.images / 16.0).float()[:, None]
    images = nn.functional.interpolate(small, size=(side, side), mode="bilinear", align_corners=False).numpy()
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order], data.target[order].astype(np.int64)
    return images[:train], labels[:train], images[train:], labels[train:]


def fitted(
    model: nn.Module, x: Array, y: Array, *, epochs: int, rate: float, batch: int = 64, seed: int = 0
) -> nn.Module:
    """The model, trained in place with Adam, in evaluation mode."""
    rng = np.random.default_rng(seed)
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    model.train()
    for _ in range(epochs):
        for rows in np.array_split(rng.permutation(len(x)), max(1, len(x) // batch)):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs[rows]), labels[rows]).backward()
            optimizer.step()
    return model.eval()


def random_images(count: int, shape: tuple[int, ...], seed: int = 0) -> Array:
    """Images of normal noise."""
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)
