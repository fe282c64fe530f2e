"""A user's folder: a module with models and explainers, and files of data."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from agnostic_rand.cli.app import app

MODULE = """
import time
import numpy as np
import torch
from torch import nn

def make():
    rng = np.random.default_rng(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 3))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(0, 0.3, tuple(parameter.shape)).astype("float32")))
    return net

ready = make()

class Net(nn.Linear):
    def __init__(self):
        super().__init__(100, 3)

    def forward(self, x):
        return super().forward(x.flatten(1))

def needs(width):
    return make()

def fails():
    raise RuntimeError("a fault of the user's own")

class Slow(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = make()

    def forward(self, x):
        print("explaining", flush=True)
        time.sleep(0.05)
        return self.net(x)

def my_gradient(model, inputs, targets):
    inputs = inputs.requires_grad_()
    model(inputs).gather(1, targets[:, None]).sum().backward()
    return inputs.grad
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, with `usermodels.py` and `data.npz`."""
    (tmp_path / "usermodels.py").write_text(MODULE)
    rng = np.random.default_rng(1)
    np.savez(
        tmp_path / "data.npz",
        x=rng.normal(size=(6, 1, 10, 10)).astype(np.float32),
        y=np.array([0, 1, 2, 0, 1, 2]),
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    # A terminal of another width would break lines elsewhere.
    monkeypatch.setenv("COLUMNS", "80")
    yield tmp_path
    sys.modules.pop("usermodels", None)


@pytest.fixture
def run(folder: Path) -> object:
    """Runs the command line in this process."""

    def invoke(*words: str) -> Result:
        return CliRunner().invoke(app, list(words))

    return invoke
