"""The CIFAR ResNet-20 of the real data in PyTorch, under the same metric, in a process of its own.

Usage: python torch_reference.py DATA OUTPUT
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import agnostic_rand as ar
from agnostic_rand.adapters import HostArray

SEED, GROUPS = 11, 2
MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
SD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


class Block(nn.Module):
    """Two convolutions beside a shortcut without parameters."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.missing = (width - channels) // 2
        self.conv1 = nn.Conv2d(channels, width, 3, 2 if self.missing else 1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if self.missing:
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.missing, self.missing))
        return functional.relu(x + y)


class ResNet20(nn.Module):
    """He et al. 2015, section 4.2."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(Block(16, 16), Block(16, 16), Block(16, 16))
        self.layer2 = nn.Sequential(Block(16, 32), Block(32, 32), Block(32, 32))
        self.layer3 = nn.Sequential(Block(32, 64), Block(64, 64), Block(64, 64))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


def images(data: Path, count: int) -> tuple[HostArray, HostArray]:
    """Normalized images `(count, 32, 32, 3)` and their labels."""
    with np.load(data / "cifar10_test1000.npz") as held:
        x, y = held["x_test"][:count], held["y_test"][:count]
    return (x.astype(np.float32) / 255 - MEAN) / SD, y.reshape(-1).astype(np.int64)


def explainers() -> dict[str, object]:
    """Those that are compared."""
    return {
        "saliency": "saliency",
        "gradient_times_input": "gradient_times_input",
        "integrated_gradients": ar.explainers.IntegratedGradients(steps=2),
        "smoothgrad": ar.explainers.SmoothGrad(samples=2),
        "guided_backprop": "guided_backprop",
    }


def scores(model: object, x: HostArray, y: HostArray, names: list[str], batch: int = 50) -> dict[str, HostArray]:
    """By explainer, Spearman of a cascade `(draws, steps, samples)`."""
    strategy = ar.CascadingRandomization(groups=GROUPS)
    metric = ar.ModelRandomizationMetric(model, x, y, randomization_strategy=strategy, batch_size=batch, seed=SEED)
    return {name: metric.run(explainers()[name]).scores["spearman"] for name in names}


def main(data: Path, output: str) -> None:
    # Threads that wait for each other cost more than they save on nets of this size.
    torch.set_num_threads(1)
    model = ResNet20()
    state = torch.load(data / "resnet20_cifar10_torch.pth", weights_only=True)
    missing = model.load_state_dict(state, strict=False).missing_keys
    if any(not name.endswith("num_batches_tracked") for name in missing):
        raise ValueError(f"the file lacks {missing}")
    model.eval()
    x, y = images(data, 100)
    channels_first = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    found = {f"float32 {name}": s for name, s in scores(model, channels_first, y, list(explainers())).items()}
    few = channels_first[:20].astype(np.float64)
    found |= {f"float64 {name}": s for name, s in scores(model.double(), few, y[:20], ["saliency"]).items()}
    with torch.no_grad():
        found["outputs"] = model.float()(torch.from_numpy(channels_first)).numpy()
    drawn = ar.adapt(ar.FullRandomization().randomize(model.float(), seed=SEED, example_inputs=channels_first[:1]))
    for place, layer in enumerate(drawn.layers()):
        values = drawn.read(layer.name)
        for number, parameter in enumerate(layer.drawing_order()):
            found[f"weight {place} {number}"] = values[parameter.name].transpose(parameter.canonical_order)
    np.savez(output, **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
