"""The forms of a ReLU that PyTorch can write, in all their spellings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from agnostic_rand.testing import Rectified

Form = Callable[[Tensor], Tensor]
ZERO = torch.tensor(0.0)


def _last(*values: Tensor | None) -> Tensor:
    """The value after what was done to it in place."""
    assert values[-1] is not None
    return values[-1]


def _set(x: Tensor, mask: Tensor) -> Tensor:
    x[mask] = 0
    return x


def _set_part(x: Tensor) -> Tensor:
    y = torch.empty_like(x)
    y[:, :3] = x[:, :3].relu()
    y[:, 3:] = functional.relu(x[:, 3:])
    return y


def _part_of(x: Tensor, form: Form, width: int) -> Tensor:
    form(x[:, :width])
    return x[:, :width] + 0 * x[:, width:]


FORMS: dict[str, dict[str, Form]] = {
    "relu": {
        "module": nn.ReLU(),
        "module in place": nn.ReLU(inplace=True),
        "function of torch.nn": functional.relu,
        "function in place": lambda x: functional.relu(x, inplace=True),
        "function in place, positional": lambda x: functional.relu(x, True),
        "function of torch.nn with an underscore": functional.relu_,
        "function": lambda x: torch.relu(input=x),
        "function with an underscore": torch.relu_,
        "method": lambda x: x.relu(),
        "method in place": lambda x: x.relu_(),
        "operator": torch.ops.aten.relu.default,
        "operator in place": torch.ops.aten.relu_,
        "a view in place": lambda x: _last(x.view(-1).relu_(), x),
        "a transposed view in place": lambda x: _last(x.t().relu_(), x),
        "a part in place": lambda x: _part_of(torch.cat([x, x + 1], 1), torch.relu_, x.shape[1]),
        "assigned to parts": _set_part,
        "recomputed": lambda x: checkpoint(torch.relu, x, use_reentrant=False),
        "mapped": torch.func.vmap(torch.relu),
        "leaky without a slope": lambda x: functional.leaky_relu(x, 0.0),
    },
    "maximum with a number": {
        "maximum": lambda x: torch.maximum(x, ZERO.to(x)),
        "max": lambda x: torch.max(ZERO.to(x), x),
        "method": lambda x: x.maximum(ZERO.to(x)),
        "fmax": lambda x: torch.fmax(x, ZERO.to(x)),
    },
    "maximum with an array of zeros": {
        "zeros_like": lambda x: torch.maximum(x, torch.zeros_like(x)),
        "zeros on the left": lambda x: torch.max(torch.zeros(x.shape[1:]).to(x), x),
        "zeros that are wider": lambda x: torch.maximum(x, torch.zeros_like(x, dtype=torch.float64)).to(x.dtype),
        "zeros of more rows": lambda x: torch.maximum(x, torch.zeros_like(x).expand(2, -1, -1)).mean(0),
    },
    "clip from below": {
        "method": lambda x: x.clamp(min=0),
        "positional": lambda x: torch.clamp(x, 0.0),
        "in place": lambda x: x.clamp_(0),
        "clip": lambda x: torch.clip(x, 0, None),
        "by a tensor": lambda x: x.clamp(min=torch.zeros_like(x)),
        "clamp_min": lambda x: torch.clamp_min(x, 0),
        "clamp_min in place": lambda x: x.clamp_min_(min=0),
    },
    "clip from 0 to infinity": {
        "clamp": lambda x: x.clamp(0, float("inf")),
        "hardtanh": lambda x: functional.hardtanh(x, 0.0, float("inf")),
    },
    "where with a number": {
        "function": lambda x: torch.where(x > 0, x, 0.0),
        "method": lambda x: x.where(x.ge(0), 0),
        "of a detached mask": lambda x: torch.where(x.detach() > 0, x, 0),
    },
    "where with an array of zeros": {
        "zeros_like": lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
        "a scalar": lambda x: torch.where(torch.less(ZERO, x), x, ZERO.to(x)),
    },
    "where not, with zeros first": {
        "a number": lambda x: torch.where(x < 0, 0.0, x),
        "inverted": lambda x: torch.where(~(x > 0), torch.zeros_like(x), x),
    },
    "negative entries set to zero": {
        "masked_fill": lambda x: x.masked_fill(x < 0, 0),
        "masked_fill in place": lambda x: x.masked_fill_(x <= 0, 0.0),
        "by an index": lambda x: _set(x, x < 0),
        "by an index into a view": lambda x: _last(_set(x.view(-1), x.view(-1) < 0), x),
        "by an index of signs": lambda x: _set(x, x.detach().sign() == -1),
    },
    "times its mask": {
        "bool": lambda x: x * (x > 0),
        "on the left": lambda x: (x > 0).to(x.dtype) * x,
        "in place": lambda x: x.mul_((x > 0).type_as(x)),
        "of a mask from signs": lambda x: x * torch.heaviside(x.detach(), ZERO.to(x)),
        "of a mask from data": lambda x: x * (x.data > 0),
    },
    "threshold": {
        "function": lambda x: functional.threshold(x, 0, 0),
        "module in place": nn.Threshold(0.0, 0.0, inplace=True),
        "torch.threshold": lambda x: torch.threshold(x, 0.0, 0.0),
    },
    "half of the sum with its magnitude": {
        "quotient": lambda x: (x + x.abs()) / 2,
        "product": lambda x: 0.5 * (torch.abs(x) + x),
        "in place": lambda x: x.clone().add_(abs(x)).div_(2),
        "halves first": lambda x: 0.5 * x + 0.5 * x.abs(),
        "less its negative part": lambda x: x - x.clamp(max=0),
        "less its negative part, in place": lambda x: x.clone().sub_(x.clamp(max=0)),
    },
    "relu6": {
        "module": nn.ReLU6(),
        "module in place": nn.ReLU6(inplace=True),
        "function": functional.relu6,
        "operator": torch.ops.aten.relu6.default,
    },
    "clip from 0 to 6": {
        "hardtanh": nn.Hardtanh(0, 6),
        "clamp": lambda x: x.clamp(0, 6),
        "clip in place": lambda x: torch.clip_(x, min=0.0, max=6.0),
        "a view in place": lambda x: _last(x.view(-1).clamp_(0, 6), x),
    },
    "minimum of a relu with 6": {
        "clamp": lambda x: x.relu().clamp(max=6),
        "minimum": lambda x: torch.minimum(torch.maximum(x, ZERO.to(x)), torch.full_like(x, 6)),
    },
    "relu of a minimum with 6": {
        "clamp": lambda x: x.clamp(max=6).relu(),
        "in place": lambda x: x.clamp_(max=6).relu_(),
        "minimum": lambda x: torch.maximum(torch.minimum(torch.tensor(6.0).to(x), x), torch.zeros_like(x)),
    },
    "minimum of a relu with 4": {"clamp": lambda x: x.relu().clamp(max=4)},
}


class Written(nn.Module):
    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form = form

    def forward(self, x: Tensor) -> Tensor:
        return self.form(x)


def network(form: Form, at: int) -> nn.Module:
    """Three linear layers; after the one numbered `at` the form stands, else a ReLU.

    Their weights are so large that some of what is rectified is above 6.
    """
    first, second = (Written(form) if i == at else nn.ReLU() for i in range(2))
    linear = [nn.Linear(6, 7), nn.Linear(7, 6), nn.Linear(6, 3)]
    drawn = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in (p for layer in linear for p in layer.parameters()):
            parameter.normal_(0, 2, generator=drawn)
    return nn.Sequential(nn.Flatten(), linear[0], first, linear[1], second, linear[2])


def rectified_forms() -> tuple[Rectified, ...]:
    """Each form after each of the two layers in turn."""
    spelled = [(name, spelling, form) for name, forms in FORMS.items() for spelling, form in forms.items()]
    return tuple(
        Rectified(name, spelling, partial(network, form, i % 2), i % 2)
        for i, (name, spelling, form) in enumerate(spelled)
    )
