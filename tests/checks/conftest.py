"""Small nets, trained once for all tests of the checks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from .nets import cnn, digits, fitted, mlp, random_images

torch.set_num_threads(1)

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Trained:
    """A net, the images and labels that it was trained on, and those that it was not."""

    model: nn.Module
    train_x: Array
    train_y: npt.NDArray[np.int64]
    x: Array
    y: npt.NDArray[np.int64]


@pytest.fixture(scope="session")
def trained_cnn() -> Trained:
    """A CNN on scikit-learn's digits, 16 x 16."""
    train_x, train_y, x, y = digits()
    return Trained(fitted(cnn(0), train_x, train_y, epochs=12, rate=3e-3), train_x, train_y, x, y)


@pytest.fixture(scope="session")
def trained_mlp() -> Trained:
    """An MLP on the same digits."""
    train_x, train_y, x, y = digits()
    return Trained(fitted(mlp(0), train_x, train_y, epochs=10, rate=2e-3), train_x, train_y, x, y)


@pytest.fixture(scope="session")
def small() -> tuple[nn.Module, Array]:
    """An untrained net in double precision and a few images, for comparisons with slow code."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 36, 4)).double()
    return net.eval(), random_images(5, (2, 6, 6)).astype(np.float64)
