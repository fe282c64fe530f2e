"""The fan-in of transposed convolutions: what one output sums over, on average."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import agnostic_rand as ar


class Upsampling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(4, 6, 3, stride=(2, 3), groups=2)
        self.unused = nn.ConvTranspose1d(4, 6, 3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.up(x).mean((2, 3))


X = torch.zeros(2, 4, 5, 5)


def saved(module: torch.jit.ScriptModule) -> nn.Module:
    file = io.BytesIO()
    torch.jit.save(module, file)
    file.seek(0)
    loaded: nn.Module = torch.jit.load(file)
    return loaded


MADE: dict[str, Callable[[], nn.Module]] = {
    "plain": Upsampling,
    "scripted": lambda: torch.jit.script(Upsampling()),
    "scripted and saved": lambda: saved(torch.jit.script(Upsampling())),
    "traced": lambda: torch.jit.trace(Upsampling(), X),
    "traced and saved": lambda: saved(torch.jit.trace(Upsampling(), X)),
    "parametrized": lambda: spectral(Upsampling()),
}


def spectral(net: Upsampling) -> nn.Module:
    nn.utils.parametrizations.spectral_norm(net.up)
    return net


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize("made", MADE)
def test_strides_and_groups_are_known_in_every_form_of_a_module(made: str) -> None:
    layers = {layer.name: layer for layer in ar.adapt(MADE[made](), example_inputs=X.numpy()).layers()}
    kernel = next(p for p in layers["up"].parameters if p.role == "kernel")
    assert kernel.axes == ("in/2", "out", "h/2", "w/3")
    assert kernel.fan_in == pytest.approx(4 * 3 * 3 / 2 / 2 / 3)
    unused = layers["unused"].parameters[0]
    # What was not called while it was traced tells nothing of its strides.
    assert (unused.role, unused.axes) == (("other", None) if "traced" in made else ("kernel", ("in", "out", "w/2")))


@pytest.mark.parametrize("stride", [1, 2, (2, 3), 4])
@pytest.mark.parametrize("groups", [1, 4])
def test_drawn_weights_give_outputs_of_twice_the_inputs_second_moment(
    stride: int | tuple[int, int], groups: int
) -> None:
    layer = nn.ConvTranspose2d(64, 64, 4, stride, groups=groups)
    drawn = ar.FullRandomization().randomize(nn.Sequential(layer), seed=1)[0]
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 64, 24, 24)).astype(np.float32))
    with torch.no_grad():
        # At the border outputs sum over less.
        inner = drawn(x)[:, :, 12:-12, 12:-12]
    assert inner.square().mean().item() == pytest.approx(2, rel=0.05)
