"""The same ResNet-20 and the same metric in PyTorch, run in a process of its own.

Usage: python torch_reference.py FOLDER OUTPUT
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import agnostic_rand as ar

COUNT, BLOCKS, SEED = 100, 2, 11
MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
SD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.stride = outputs // inputs
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=self.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = functional.relu(self.bn1(self.conv1(x)))
        if self.stride > 1:
            quarter = x.shape[1] // 2
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, quarter, quarter))
        return functional.relu(self.bn2(self.conv2(inner)) + x)


class ResNet20(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Block(16, 16) for _ in range(3)))
        self.layer2 = nn.Sequential(Block(16, 32), Block(32, 32), Block(32, 32))
        self.layer3 = nn.Sequential(Block(32, 64), Block(64, 64), Block(64, 64))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean(dim=(2, 3)))


EXPLAINERS = {
    "saliency": "saliency",
    "gradient_times_input": "gradient_times_input",
    "integrated_gradients": ar.explainers.IntegratedGradients(steps=2),
    "smoothgrad": ar.explainers.SmoothGrad(samples=2),
    "guided_backprop": "guided_backprop",
}


def main() -> None:
    folder, output = Path(sys.argv[1]), sys.argv[2]
    model = ResNet20()
    model.load_state_dict(torch.load(folder / "resnet20_cifar10_torch.pth", weights_only=True))
    with np.load(folder / "cifar10_test1000.npz") as data:
        images = (data["x_test"][:COUNT].astype(np.float32) / 255 - MEAN) / SD
        y = data["y_test"][:COUNT].astype(np.int64)
    x = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    strategy = ar.CascadingRandomization(groups=BLOCKS)
    options = {"randomization_strategy": strategy, "batch_size": 50, "seed": SEED}
    metric = ar.ModelRandomizationMetric(model, x, y, **options)
    results = {f"float32 {name}": metric.run(given).scores["spearman"] for name, given in EXPLAINERS.items()}
    double = ar.ModelRandomizationMetric(copy.deepcopy(model).double(), x.astype(np.float64), y, **options)
    results["float64 saliency"] = double.run("saliency").scores["spearman"]
    adapter = ar.adapt(model, example_inputs=x[:1])
    results["outputs"] = adapter.to_numpy(adapter.predict(adapter.asarray(x)))
    random = ar.FullRandomization().randomize(model, seed=SEED, example_inputs=x[:1])
    drawn = ar.adapt(random, example_inputs=x[:1])
    for place, layer in enumerate(drawn.layers()):
        values = drawn.read(layer.name)
        for number, parameter in enumerate(layer.drawing_order()):
            canonical = values[parameter.name].transpose(parameter.canonical_order)
            results[f"weight {place} {number} {parameter.role}"] = canonical
    np.savez(output, **results)


if __name__ == "__main__":
    main()
