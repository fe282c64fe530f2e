"""The zoo: every network with inputs, in a state in which no parameter has the value of a fresh one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from networks import (
    BareParameters,
    DictionaryOutput,
    Recurrent,
    ResNet,
    SharedModule,
    SingleOutput,
    TiedAutoencoder,
    TiedByMemory,
    TiedHead,
    UncalledModule,
    VisionTransformer,
    cnn_with_norm,
    convolutions_1d,
    convolutions_3d,
    grouped_convolutions,
    mlp,
    transformer_encoder,
)
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from agnostic_rand.adapters import ModelAdapter, adapt


@dataclass(frozen=True)
class Case:
    """One network.

    Args:
        name: Its name in test reports.
        build: Makes it, fresh.
        shape: The shape of one input.
        dtype: The inputs' type; integers are tokens below 7.
        forward: For outputs that are not one tensor.
        wrap: Put around the trained network.
    """

    name: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...] = (6,)
    dtype: torch.dtype = torch.float32
    forward: Callable[[Any, Any], Any] | None = None
    wrap: Callable[[nn.Module], nn.Module] | None = None

    def model(self) -> nn.Module:
        """The network with weights as if trained, always the same."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = self.build()
            net(self.tensor(2))
            trained(net)
            # Weights that are computed from others follow in the next pass.
            net(self.tensor(2))
        net.to(self.dtype if self.dtype.is_floating_point else torch.float32)
        return net if self.wrap is None else self.wrap(net)

    def inputs(self, count: int = 3) -> np.ndarray:
        """`(count, *shape)`."""
        rng = np.random.default_rng(1)
        if not self.dtype.is_floating_point:
            return rng.integers(0, 7, (count, *self.shape))
        return rng.standard_normal((count, *self.shape)).astype(np.float32)

    def tensor(self, count: int = 3) -> torch.Tensor:
        """The same as a tensor, in single precision where it is floating."""
        return torch.from_numpy(self.inputs(count))

    def adapter(self) -> ModelAdapter:
        """The adapter of the network, its order traced."""
        return adapt(self.model(), example_inputs=self.inputs(1), forward=self.forward)


def trained(net: nn.Module) -> None:
    """Move every parameter and running statistic away from what any initializer gives."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator) + 0.05)
        for name, buffer in net.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(0.3 * torch.randn(buffer.shape, generator=generator))
            elif name.endswith("running_var"):
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
    net.eval()


def _older(norm: Callable[[nn.Module], nn.Module], *layers: nn.Module) -> tuple[nn.Module, ...]:
    with warnings.catch_warnings():
        # The hook style is deprecated; models that were saved with it are still about.
        warnings.simplefilter("ignore", FutureWarning)
        return tuple(norm(layer) for layer in layers)


def _normed(norm: Callable[[nn.Module], nn.Module]) -> nn.Module:
    first, second = _older(norm, nn.Conv2d(3, 6, 3), nn.ConvTranspose2d(6, 6, 3))
    (head,) = _older(norm, nn.Linear(6, 4))
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)


def _weight_normed_lstm() -> nn.Module:
    net = Recurrent(nn.LSTM)
    for name in ("weight_ih_l0", "weight_hh_l0"):
        _older(lambda cell, name=name: weight_norm(cell, name), net.cell)
    return net


def scripted(net: nn.Module) -> nn.Module:
    """The module compiled by TorchScript."""
    with warnings.catch_warnings():
        # Deprecated too, and as long-lived.
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(net)


def _pruned() -> nn.Module:
    net = mlp()
    prune.random_unstructured(net[2], "weight", 0.3)
    return net


def _nested_compile() -> nn.Module:
    body = torch.compile(nn.Sequential(nn.Linear(6, 8), nn.ReLU()), backend="eager")
    return nn.Sequential(body, nn.Linear(8, 4))


_IMAGE = (3, 8, 8)

CASES = (
    Case("mlp", mlp),
    Case("cnn with batch normalization", cnn_with_norm, _IMAGE),
    Case("resnet with functional relu", ResNet, _IMAGE),
    Case("vision transformer", VisionTransformer, _IMAGE),
    Case("tied autoencoder", TiedAutoencoder),
    Case("tied head", TiedHead, (5,), torch.int64),
    Case("tied by memory", TiedByMemory),
    Case("shared module", SharedModule),
    Case("weight_norm", lambda: _normed(parametrizations.weight_norm), _IMAGE),
    Case("weight_norm hooks", lambda: _normed(weight_norm), _IMAGE),
    Case(
        "weight_norm over all", lambda: _normed(lambda layer: parametrizations.weight_norm(layer, dim=None)), _IMAGE
    ),
    Case("weight_norm hooks lstm", _weight_normed_lstm, (5, 3)),
    Case("spectral_norm", lambda: _normed(parametrizations.spectral_norm), _IMAGE),
    Case("spectral_norm hooks", lambda: _normed(spectral_norm), _IMAGE),
    Case("spectral_norm root", lambda: parametrizations.spectral_norm(nn.Linear(6, 4))),
    Case("pruned", _pruned),
    Case("lstm", lambda: Recurrent(nn.LSTM), (5, 3)),
    Case("gru", lambda: Recurrent(nn.GRU), (5, 3)),
    Case("grouped convolutions", grouped_convolutions, (4, 6, 6)),
    Case("1d convolutions, lazy", convolutions_1d, (3, 9)),
    Case("3d convolutions", convolutions_3d, (2, 3, 3, 3)),
    Case("bare parameters", BareParameters),
    Case("uncalled module", UncalledModule),
    Case("transformer encoder", transformer_encoder, (5, 6)),
    Case("root layer", lambda: nn.Linear(6, 4)),
    Case("single output", SingleOutput),
    Case("dictionary output", DictionaryOutput, forward=lambda model, inputs: model(inputs)["logits"]),
    Case("float16", mlp, dtype=torch.float16),
    Case("bfloat16", mlp, dtype=torch.bfloat16),
    Case("float64", mlp, dtype=torch.float64),
    Case("compiled", mlp, wrap=lambda net: torch.compile(net, backend="eager")),
    Case("compiled inside", _nested_compile),
    Case("data parallel", mlp, wrap=nn.DataParallel),
    Case("scripted", cnn_with_norm, _IMAGE, wrap=scripted),
)

BY_NAME = {case.name: case for case in CASES}


def cases(*names: str) -> pytest.MarkDecorator:
    """Run a test on each network of these names; on all where there is none."""
    chosen = [BY_NAME[name] for name in names] or CASES
    return pytest.mark.parametrize("case", chosen, ids=[case.name for case in chosen])
