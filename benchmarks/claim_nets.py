"""The literature's nets at full size, trained on the real data; trained weights are kept in `.cache/`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

import agnostic_rand as ar
from agnostic_rand.adapters import Parameter

Array = npt.NDArray[np.generic]
Law = Callable[[Array, Parameter, np.random.Generator], Array]

ROOT = Path(__file__).resolve().parents[1]
CACHE = Path(__file__).parent / ".cache"
VALIDATION = 5000
CIFAR_TRAIN = 800
LENET = {"epochs": 2, "rate": 1e-3, "batch": 64}


def data_folder() -> Path:
    return Path(os.environ.get("AGNOSTIC_RAND_TEST_DATA", ROOT / "../shared/data"))


@dataclass(frozen=True)
class Images:
    train_x: Array
    train_y: Array
    test_x: Array
    test_y: Array

    def scaled(self, mean: float, sd: float) -> Images:
        train, test = (((x - mean) / sd).astype(np.float32) for x in (self.train_x, self.test_x))
        return Images(train, self.train_y, test, self.test_y)


@cache
def mnist() -> Images:
    """Pixels in [0, 1]; the last 5000 training images are left out, as validation images are in the paper."""
    with np.load(data_folder() / "mnist.npz") as data:
        train, test = ((data[f"x_{part}"] / 255).astype(np.float32)[:, None] for part in ("train", "test"))
        train_y, test_y = (data[f"y_{part}"].astype(np.int64) for part in ("train", "test"))
    return Images(train[:-VALIDATION], train_y[:-VALIDATION], test, test_y)


@cache
def cifar() -> Images:
    """The thousand test images there are, normalized: 800 to train on, 200 to explain."""
    with np.load(data_folder() / "cifar10_test1000.npz") as data:
        images, labels = data["x_test"].transpose(0, 3, 1, 2), data["y_test"].astype(np.int64)
    x = ((images / 255 - 0.473) / 0.251).astype(np.float32)
    return Images(x[:CIFAR_TRAIN], labels[:CIFAR_TRAIN], x[CIFAR_TRAIN:], labels[CIFAR_TRAIN:])


def truncated(shape: tuple[int, ...], sd: float, rng: np.random.Generator) -> Array:
    """As TensorFlow draws it: values beyond two standard deviations are drawn again."""
    drawn = rng.standard_normal(shape, dtype=np.float32)
    while (outside := np.abs(drawn) > 2).any():
        drawn[outside] = rng.standard_normal(int(outside.sum()), dtype=np.float32)
    return sd * drawn


def paper_cnn_law(value: Array, parameter: Parameter, rng: np.random.Generator) -> Array:
    """What the code of Adebayo et al. 2018 draws for its CNN, before training and to randomize."""
    return truncated(value.shape, 0.1, rng) if parameter.role == "kernel" else np.full(value.shape, 0.1)


def paper_mlp_law(value: Array, parameter: Parameter, rng: np.random.Generator) -> Array:
    """What it draws for its MLP."""
    if parameter.role != "kernel":
        return np.zeros(value.shape)
    return truncated(value.shape, 2 / np.sqrt(parameter.fan_in), rng)


def paper_cnn() -> nn.Sequential:
    convolutions = [nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]
    convolutions += [nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*convolutions, nn.Flatten(), *dense(3136, 1024, 10))


def paper_mlp() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), *dense(784, 2500, 1500, 500, 10))


def lenet(padding: int = 0) -> nn.Sequential:
    """6-16-120-84-10 of modules; with a padding of 2 the one that MetaQuantus trains."""
    convolutions = [nn.Conv2d(1, 6, 5, padding=padding), nn.ReLU(), nn.MaxPool2d(2)]
    convolutions += [nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*convolutions, nn.Flatten(), *dense(400 if padding else 256, 120, 84, 10))


class FunctionalLeNet(nn.Module):
    """The same net and the same weights, ReLU called as a function."""

    def __init__(self, net: nn.Sequential) -> None:
        super().__init__()
        self.conv1, self.conv2, self.fc1, self.fc2, self.fc3 = (net[i] for i in (0, 3, 7, 9, 11))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for convolution in (self.conv1, self.conv2):
            x = nn.functional.max_pool2d(nn.functional.relu(convolution(x)), 2)
        x = nn.functional.relu(self.fc1(x.flatten(1)))
        return self.fc3(nn.functional.relu(self.fc2(x)))


def cifar_net() -> nn.Sequential:
    """The CIFAR-10 net of Sixt et al. 2020."""
    layers: list[nn.Module] = []
    for before, width, last in ((3, 32, False), (32, 64, True), (64, 128, False), (128, 128, True)):
        layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU(), *([nn.MaxPool2d(2)] if last else [])]
    head = dense(8192, 1024, 10)
    return nn.Sequential(*layers, nn.Flatten(), *head[:2], nn.Dropout(0.5), head[2])


def dense(*widths: int) -> list[nn.Module]:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return layers[:-1]


@dataclass(frozen=True)
class Trained:
    """A net in evaluation mode, and what it reached."""

    net: nn.Sequential
    accuracy: float
    epochs: int


def trained(
    name: str,
    build: Callable[[], nn.Sequential],
    images: Images,
    *,
    epochs: int,
    rate: float,
    batch: int,
    law: Law | None = None,
    augment: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Trained:
    """The net, from the cache or trained with Adam; the accuracy is on all test images."""
    torch.manual_seed(0)
    net = build()
    if law is not None:
        net = ar.FullRandomization(perturbation=law).randomize(net, seed=0)
    # What the weights depend on is in the name, so that a changed setting trains anew.
    kept = CACHE / f"{name}-{epochs}x{batch}-{rate:g}-{len(images.train_x)}.pt"
    if kept.exists():
        net.load_state_dict(torch.load(kept, weights_only=True))
    else:
        _fit(name, net, images, epochs, rate, batch, augment)
        CACHE.mkdir(exist_ok=True)
        torch.save(net.state_dict(), kept)
    net.eval()
    return Trained(net, accuracy(net, images), epochs)


def _fit(
    name: str,
    net: nn.Module,
    images: Images,
    epochs: int,
    rate: float,
    batch: int,
    augment: Callable[[torch.Tensor], torch.Tensor] | None,
) -> None:
    rng = np.random.default_rng(0)
    inputs, labels = torch.from_numpy(images.train_x), torch.from_numpy(images.train_y)
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    net.train()
    for epoch in range(epochs):
        start = time.monotonic()
        for rows in np.array_split(rng.permutation(len(inputs)), len(inputs) // batch):
            optimizer.zero_grad()
            x = inputs[rows] if augment is None else augment(inputs[rows])
            nn.functional.cross_entropy(net(x), labels[rows]).backward()
            optimizer.step()
        print(f"training {name}: epoch {epoch + 1} of {epochs}, {time.monotonic() - start:.0f} s", file=sys.stderr)


def accuracy(net: nn.Module, images: Images) -> float:
    with torch.no_grad():
        parts = [net(torch.from_numpy(images.test_x[i : i + 500])) for i in range(0, len(images.test_x), 500)]
    return float((torch.cat(parts).argmax(1).numpy() == images.test_y).mean())


def shifted(x: torch.Tensor) -> torch.Tensor:
    """A batch of images, moved by up to four pixels and mirrored at random."""
    down, right = (int(n) for n in torch.randint(-4, 5, (2,)))
    moved = torch.roll(x, (down, right), (2, 3))
    return torch.where(torch.rand(len(x), 1, 1, 1) < 0.5, moved, moved.flip(3))


def the_cnn(epochs: int = 5) -> Trained:
    """The paper's CNN; ten times its rate stands for ten times as many epochs."""
    return trained("cnn", paper_cnn, mnist(), epochs=epochs, rate=1e-3, batch=50, law=paper_cnn_law)


def the_mlp(epochs: int = 5) -> Trained:
    """The paper's MLP, at the same rate."""
    return trained("mlp", paper_mlp, mnist(), epochs=epochs, rate=1e-3, batch=50, law=paper_mlp_law)


def the_cifar_net() -> Trained:
    return trained("cifar", cifar_net, cifar(), epochs=40, rate=5e-4, batch=50, augment=shifted)
