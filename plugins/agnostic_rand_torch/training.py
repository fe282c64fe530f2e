"""A plain training step: Adam on the cross entropy of a classifier."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from agnostic_rand.adapters import HostArray, TrainingStep
from agnostic_rand_torch.modes import own_flags, with_gradients
from agnostic_rand_torch.random_state import same_draws


def training_step(
    module: nn.Module,
    call: Callable[[torch.Tensor], torch.Tensor],
    asarray: Callable[[HostArray], torch.Tensor],
    *,
    learning_rate: float,
    seed: int,
) -> TrainingStep:
    """A function that updates the module's parameters by one batch.

    Args:
        module: The module, whose modes, flags and gradients are as before after each step.
        call: From native inputs to outputs `(n, classes)`, taken as logits.
        asarray: From host arrays to native ones.
        learning_rate: Adam's.
        seed: Decides the module's own randomness (dropout).
    """
    parameters = [p for p in module.parameters() if p.is_floating_point()]
    optimizer = torch.optim.Adam(parameters, lr=learning_rate)
    seeds = itertools.count(seed)

    def step(inputs: HostArray, labels: HostArray) -> tuple[float, int]:
        x, y = asarray(inputs), asarray(labels).long()
        with _training(module, parameters), same_draws(x.device, next(seeds)):
            outputs = call(x).float()
            loss = nn.functional.cross_entropy(outputs, y)
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            optimizer.step()
        return float(loss.detach()), int((outputs.argmax(1) == y).sum())

    return step


@contextmanager
def _training(module: nn.Module, parameters: list[nn.Parameter]) -> Iterator[None]:
    parts = {part: part.training for part in module.modules()}
    flags = own_flags(parameters)
    try:
        for part in parts:
            part.training = True
        for parameter in parameters:
            parameter.requires_grad_(True)
        with with_gradients():
            yield
    finally:
        for part, training in parts.items():
            part.training = training
        flags()
