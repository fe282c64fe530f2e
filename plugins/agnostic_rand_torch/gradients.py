"""The gradient of chosen outputs with respect to the inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from agnostic_rand.adapters import ReluRule, no_gradient, no_relu, refuse_integers, relu_out_of_reach
from agnostic_rand_torch.modes import active, interpreted, own_gradients
from agnostic_rand_torch.relu import ReluRules


def output_and_input_gradient(
    module: nn.Module,
    call: Callable[[torch.Tensor], torch.Tensor],
    inputs: torch.Tensor,
    targets: torch.Tensor,
    relu: ReluRule,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The outputs of `call` and the gradient of `selected(outputs, targets)`, from one forward pass.

    Raises:
        InputError: The inputs are integers.
        ModelError: The outputs have no gradient, or a rule was asked for and cannot be applied.
    """
    subject = type(module).__name__
    refuse_integers(inputs.dtype, floating=inputs.is_floating_point())
    leaf = inputs.detach().clone().requires_grad_()
    if relu == "standard":
        # A model may work on its input in place, which a leaf does not allow.
        outputs = call(leaf.clone())
        try:
            return outputs.detach(), input_gradient(outputs, targets, leaf, subject)
        except RuntimeError as error:
            if not is_of_reentrant_checkpoint(error):
                raise
        by_backward = gradient_by_backward(module, lambda: selected(call(leaf.clone()), targets), lambda: leaf)
        return outputs.detach(), by_backward
    rules = ReluRules(relu)
    with interpreted():
        with active(rules):
            outputs = call(leaf.clone())
        hidden = rules.hidden(outputs)
        if hidden is not None:
            instead = "call torch.relu there: not inside torch.jit, a reentrant checkpoint or an autograd.Function"
            raise relu_out_of_reach(relu, subject, f"one inside {hidden}", instead)
        gradient = input_gradient(outputs, targets, leaf, subject)
    if not rules.applied:
        raise no_relu(relu, subject)
    return outputs.detach(), gradient


def gradient_by_backward(
    module: nn.Module, run: Callable[[], torch.Tensor], leaf: Callable[[], torch.Tensor]
) -> Any:
    """The gradient of what `run` returns, by a backward pass that goes down to every leaf; `None` without one.

    A reentrant checkpoint allows no other: it runs a backward pass of its own.

    Args:
        module: The module that `run` calls; its parameters are no leaves meanwhile.
        run: Returns one number.
        leaf: Returns what the gradient is with respect to, after `run`.
    """
    with own_gradients(module):
        for parameter in module.parameters():
            parameter.requires_grad_(False)
        number = run()
        if number.requires_grad:
            number.backward()  # type: ignore[no-untyped-call]
        return leaf().grad


def is_of_reentrant_checkpoint(error: RuntimeError) -> bool:
    """Whether a backward pass to a few tensors was refused for a reentrant checkpoint."""
    return "heckpoint" in str(error)


def selected(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The sum of the targets' outputs: of one class for each sample, or of all by weights."""
    if targets.is_inference():
        targets = targets.clone()
    if targets.ndim == 2:
        return (outputs * targets).sum()
    return outputs.gather(1, targets[:, None].long()).sum()


def input_gradient(outputs: torch.Tensor, targets: torch.Tensor, leaf: torch.Tensor, subject: str) -> torch.Tensor:
    """The gradient of `selected(outputs, targets)` with respect to a leaf.

    Raises:
        ModelError: The outputs do not depend on it.
    """
    gradient = None
    if outputs.requires_grad:
        (gradient,) = torch.autograd.grad(selected(outputs, targets), leaf, allow_unused=True)
    if gradient is None:
        raise no_gradient(subject)
    return gradient
