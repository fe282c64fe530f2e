"""Small PyTorch modules, each with something that adapters get wrong, and what torch says of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_relu_forms import rectified_forms

from agnostic_rand.adapters import HostArray
from agnostic_rand.testing import Case, Facts, Native


def parameters_of(model: nn.Module) -> list[HostArray]:
    return [_host(parameter) for parameter in model.parameters()]


def outputs_of(model: nn.Module, inputs: HostArray) -> HostArray:
    modes = [(part, part.training) for part in model.modules()]
    first = next(model.parameters())
    given = torch.from_numpy(inputs)
    try:
        for part, _ in modes:
            part.training = False
        with torch.no_grad():
            return _host(model(given.to(first.dtype) if given.is_floating_point() else given))
    finally:
        for part, training in modes:
            part.training = training


def flags_of(model: nn.Module) -> object:
    return (
        [part.training for part in model.modules()],
        [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules()],
        [(p.requires_grad, p.grad is None, p.dtype) for p in model.parameters()],
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
    )


def disturb(model: nn.Module) -> None:
    for part in model.modules():
        part.training = not part.training
    model.register_forward_hook(lambda module, args, output: None)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    torch.set_grad_enabled(False)


NATIVE = Native(
    outputs=outputs_of,
    parameters=parameters_of,
    flags=flags_of,
    draw=lambda: torch.rand(3).numpy().copy(),
    disturb=disturb,
)


def times(model: Any, inputs: Any) -> Any:
    return model(inputs[0]) * inputs[1]


class Tied(nn.Module):
    """An autoencoder whose decoder uses the encoder's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(6, 6)
        self.decoder = nn.Linear(6, 6)
        self.decoder.weight = self.encoder.weight

    def forward(self, x: Tensor) -> Any:
        return self.decoder(torch.relu(self.encoder(x)))


class Residual(nn.Module):
    """Functional and in-place ReLU, declared from output to input, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.wide = nn.Conv2d(6, 6, (3, 1), padding=(1, 0))
        self.stem = nn.Conv2d(2, 6, 3, padding=1)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Any:
        x = functional.relu(self.stem(x), inplace=True)
        y = self.norm(self.wide(x))
        y += x
        return self.head(self.dropout(y.relu_().mean((2, 3))))


class Transformer(nn.Module):
    """A class token and positions as bare parameters, packed attention projections."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 8) * 0.5)
        self.positions = nn.Parameter(torch.randn(1, 5, 8) * 0.5)
        self.embed = nn.Linear(6, 8)
        self.norm = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Any:
        x = torch.cat([self.token.expand(len(x), -1, -1), self.embed(x)], 1) + self.positions
        y = self.norm(x)
        return self.head((x + self.attention(y, y, y, need_weights=False)[0])[:, 0])


class Tokens(nn.Module):
    """Integer inputs, an embedding and a recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 5)
        self.cell = nn.LSTM(5, 6, batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.cell(self.table(x))[0][:, -1])


class Reparametrized(nn.Module):
    """Weight normalization and spectral normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.utils.parametrizations.weight_norm(nn.Linear(5, 7))
        self.second = nn.utils.parametrizations.spectral_norm(nn.Linear(7, 6))
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Any:
        return self.head(torch.relu(self.second(torch.relu(self.first(x)))))


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 3))


class Bound(nn.Module):
    """Calls its first layer by a function that refers to it, which no copy of the module changes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(6, 7), nn.Linear(7, 3)
        first = self.first
        self.hidden = lambda x: sum(first(part) for part in (x.flatten(1),))

    def forward(self, x: Tensor) -> Any:
        return self.head(torch.relu(self.hidden(x)))


def bound() -> nn.Module:
    return Bound()


class SecondHead(nn.Module):
    """Two heads, of which `forward=` takes one; and a norm that nobody calls."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(5, 6)
        self.second = nn.Linear(6, 2)
        self.head = nn.Linear(6, 3)
        self.norm = nn.LayerNorm(6)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = functional.relu(self.hidden(x))
        return {"second": self.second(hidden), "first": self.head(hidden)}


def torch_cases() -> list[Case]:
    """New modules, always with the same weights."""
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        return [
            Case(
                "mlp",
                mlp(),
                _inputs(3, 2),
                np.array([2, 0, 1, 1, 0, 2, 2, 1]),
                facts=Facts(
                    order=("1", "3", "5"),
                    parameter_count=118,
                    dense_relu=True,
                    times=times,
                    unused=(),
                    bound=bound,
                    rectified=rectified_forms(),
                ),
                native=NATIVE,
            ),
            Case(
                "residual",
                _with_statistics(Residual()),
                _inputs(2, 7, 6),
                facts=Facts(
                    times=times,
                    order=("stem", "wide", "norm", "head"),
                    axes={"wide/weight": ("out", "in", "h", "w"), "head/weight": ("out", "in")},
                ),
                native=NATIVE,
            ),
            Case(
                "tied",
                Tied().eval(),
                _inputs(6),
                facts=Facts(
                    times=times,
                    parameter_count=48,
                    tied=lambda model: [_host(model.encoder.weight), _host(model.decoder.weight)],
                ),
                native=NATIVE,
            ),
            Case(
                "transformer",
                Transformer(),
                _inputs(4, 6),
                facts=Facts(
                    order=("embed", "token", "positions", "norm", "attention", "attention.out_proj", "head")
                ),
                native=NATIVE,
            ),
            Case("reparametrized", Reparametrized(), _inputs(5), native=NATIVE),
            Case("tokens", Tokens(), np.arange(32).reshape(8, 4) % 11, native=NATIVE),
            Case("single", nn.Linear(5, 1), _inputs(5), facts=Facts(parameter_count=6), native=NATIVE),
            Case(
                "bfloat16",
                mlp().to(torch.bfloat16),
                _inputs(3, 2),
                facts=Facts(parameter_count=118, dense_relu=True),
                native=NATIVE,
            ),
            Case(
                "double",
                mlp().double(),
                _inputs(3, 2).astype(np.float64),
                facts=Facts(dense_relu=True),
                native=NATIVE,
            ),
            Case(
                "second head",
                SecondHead(),
                _inputs(5),
                forward=lambda model, inputs: model(inputs)["first"],
                facts=Facts(unused=("second/weight", "second/bias", "norm/weight", "norm/bias")),
                native=replace(NATIVE, outputs=lambda model, inputs: outputs_of(First(model), inputs)),
            ),
            Case(
                "forward",
                Dictionary(),
                _inputs(5),
                forward=lambda model, inputs: model(inputs)["logits"],
                facts=Facts(order=("hidden", "head")),
            ),
            Case(
                "upsampling",
                nn.Sequential(
                    nn.ConvTranspose2d(4, 6, (3, 2), (2, 1), groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(126, 3)
                ),
                _inputs(4, 3, 2),
                facts=Facts(order=("0", "3"), axes={"0/weight": ("in/2", "out", "h/2", "w")}),
                native=NATIVE,
            ),
        ]


class First(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Any:
        return self.model(x)["first"]


class Dictionary(nn.Module):
    """A model that is not called as `model(inputs) -> outputs`."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(5, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.head(functional.relu(self.hidden(x)))}


def _with_statistics(model: nn.Module) -> nn.Module:
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d) and part.running_mean is not None and part.running_var is not None:
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 2)
    return model


def _inputs(*shape: int) -> HostArray:
    return np.random.default_rng(7).normal(0.3, 1.0, (8, *shape)).astype(np.float32)


def _host(tensor: Tensor) -> HostArray:
    held = tensor.detach().clone()
    return (held.float() if held.dtype is torch.bfloat16 else held).numpy()
