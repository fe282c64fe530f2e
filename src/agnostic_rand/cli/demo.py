"""Demonstration on real data, in well under a minute: train, randomize, explain, score, draw."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand.checks.model_randomization import ModelRandomization
from agnostic_rand.errors import missing_extra
from agnostic_rand.explainers import resolve_explainer
from agnostic_rand.report.maps import MapStrip, recorded
from agnostic_rand.results.scores import Scores
from agnostic_rand.subject.progress import ProgressCallback
from agnostic_rand.subject.subject import Subject
from agnostic_rand.weights import CascadingRandomization, Purpose, Streams

if TYPE_CHECKING:
    from torch import nn

EXPLAINERS = (
    "gradient",
    "saliency",
    "gradient_times_input",
    "integrated_gradients",
    "smoothgrad",
    "guided_backprop",
    "random_map",
    "constant_map",
    "input_map",
    "edge_detector",
)
"""What the demo checks; the last four are controls."""

SAMPLES = 64
"""How many of the test images are explained."""

_EPOCHS = 10
_BATCH = 32
_LEARNING_RATE = 5e-3
_SIDE = 32
_TEST_SHARE = 0.2


@dataclass(frozen=True)
class Digits:
    """Scikit-learn's handwritten digits, upsampled to 32x32, in [0, 1].

    Args:
        train_images: `(n, 1, 32, 32)` in float32.
        train_labels: `(n,)`.
        test_images: As for training; never seen in it.
        test_labels: As for training.
    """

    train_images: HostArray
    train_labels: HostArray
    test_images: HostArray
    test_labels: HostArray


@dataclass(frozen=True)
class TrainedNet:
    """A small CNN and how well it does.

    Args:
        model: conv, relu, pool, conv, relu, pool, fc, relu, fc.
        accuracy: The share of the test images that it classifies right.
        seconds: What the training took.
    """

    model: nn.Module
    accuracy: float
    seconds: float


@dataclass(frozen=True)
class Demonstration:
    """What the demo found.

    Args:
        results: One for each explainer.
        strip: The maps of one image over the steps, which were scored.
        label: The class of that image.
    """

    results: tuple[Scores, ...]
    strip: MapStrip | None
    label: int


def load_digits(streams: Streams) -> Digits:
    """The digits, split at random.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits as read_digits
    except ImportError as error:
        raise missing_extra("agnostic-rand demo", "scikit-learn", "demo") from error
    data = read_digits()
    torch = _torch()
    small = torch.from_numpy(data.images / data.images.max()).float()[:, None]
    large = torch.nn.functional.interpolate(small, size=(_SIDE, _SIDE), mode="bilinear", align_corners=False)
    images, labels = large.numpy(), data.target.astype(np.int64)
    order = streams.generator(Purpose.TRAINING, 0).permutation(len(labels))
    test, train = np.split(order, [round(_TEST_SHARE * len(labels))])
    return Digits(images[train], labels[train], images[test], labels[test])


def train_net(digits: Digits, streams: Streams) -> TrainedNet:
    """Train the CNN in a few seconds; no global random generator changes its state.

    Raises:
        MissingExtraError: torch is not installed.
    """
    torch = _torch()
    start = time.perf_counter()
    model = _net(streams)
    rng = streams.generator(Purpose.TRAINING, 2)
    images, labels = torch.from_numpy(digits.train_images), torch.from_numpy(digits.train_labels)
    count = len(labels) // _BATCH
    optimizer = torch.optim.Adam(model.parameters(), lr=_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _EPOCHS * count)
    for _ in range(_EPOCHS):
        for batch in np.array_split(rng.permutation(len(labels)), count):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        predicted = model(torch.from_numpy(digits.test_images)).argmax(dim=1).numpy()
    return TrainedNet(model, float((predicted == digits.test_labels).mean()), time.perf_counter() - start)


def demonstrate(
    net: TrainedNet,
    digits: Digits,
    *,
    seed: int,
    draws: int,
    progress: ProgressCallback | None = None,
) -> Demonstration:
    """Randomize the net from its output to its input, and score how each explainer changes.

    Args:
        net: Stays as it is.
        digits: Of which the first test images are explained.
        seed: The root of all randomness.
        draws: How often each step is drawn.
        progress: Called after each explained batch.
    """
    images, labels = digits.test_images[:SAMPLES], digits.test_labels[:SAMPLES]
    subject = Subject(net.model, images, labels, seed=seed, progress=progress)
    check = ModelRandomization(CascadingRandomization(), draws)
    results, strip = recorded(check, subject, [resolve_explainer(name) for name in EXPLAINERS])
    return Demonstration(results, strip, int(labels[0]))


def _net(streams: Streams) -> nn.Module:
    torch = _torch()
    from torch import nn

    # Made without values, so that torch's global generator is not asked for any.
    with torch.device("meta"):
        net = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(1, 8, 5, padding=2),
                relu1=nn.ReLU(),
                pool1=nn.MaxPool2d(2),
                conv2=nn.Conv2d(8, 16, 5, padding=2),
                relu2=nn.ReLU(),
                pool2=nn.MaxPool2d(2),
                flatten=nn.Flatten(),
                fc1=nn.Linear(16 * (_SIDE // 4) ** 2, 64),
                relu3=nn.ReLU(),
                fc2=nn.Linear(64, 10),
            )
        )
    net = net.to_empty(device="cpu")
    rng = streams.generator(Purpose.TRAINING, 1)
    with torch.no_grad():
        for parameter in net.parameters():
            fan_in = parameter[0].numel()
            scale = np.sqrt(2 / fan_in) if parameter.ndim > 1 else 0.0
            values = scale * rng.standard_normal(tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(values.astype(np.float32)))
    return net


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise missing_extra("agnostic-rand demo", "torch", "demo") from error
    return torch
