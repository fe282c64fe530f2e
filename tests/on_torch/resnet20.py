"""The CIFAR-10 form of ResNet-20 (He et al. 2015, section 4.2), with functional ReLU, and its images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)[:, None, None]
SD = np.array([0.229, 0.224, 0.225], dtype=np.float32)[:, None, None]


class BasicBlock(nn.Module):
    """Two convolutions; the shortcut takes every second pixel and pads the channels with zeros."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride, self.padding = stride, (width - before) // 2

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        return F.relu(y + F.pad(shortcut, (0, 0, 0, 0, self.padding, self.padding)))


class ResNet20(nn.Module):
    """0.27 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        for number, (before, width) in enumerate(((16, 16), (16, 32), (32, 64)), start=1):
            stride = 1 if before == width else 2
            blocks = [BasicBlock(before, width, stride), *(BasicBlock(width, width, 1) for _ in range(2))]
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def load_resnet20(folder: Path) -> ResNet20:
    """The trained network of the data folder, in evaluation mode."""
    net = ResNet20()
    # The file holds no counts of batches.
    missing = net.load_state_dict(
        torch.load(folder / "resnet20_cifar10_torch.pth", weights_only=True), strict=False
    )
    unexpected = [name for name in missing.missing_keys if not name.endswith("num_batches_tracked")]
    if unexpected or missing.unexpected_keys:
        raise ValueError(f"another network: {missing}")
    return net.eval()


def load_images(folder: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Normalized images `(count, 3, 32, 32)` and their labels."""
    with np.load(folder / "cifar10_test1000.npz") as data:
        images, labels = data["x_test"][:count], data["y_test"][:count].astype(np.int64)
    scaled = images.transpose(0, 3, 1, 2).astype(np.float32) / 255
    return (scaled - MEAN) / SD, labels
