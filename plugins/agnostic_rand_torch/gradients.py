"""The gradient of chosen outputs with respect to the inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from agnostic_rand.adapters import ReluRule
from agnostic_rand.errors import InputError, ModelError
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
    if not inputs.is_floating_point():
        raise InputError(
            "inputs",
            expected="floating-point inputs, which have a gradient",
            received=f"inputs of type {inputs.dtype}",
            fix="Convert images to float32 (and scale them as in training). For token ids pass wrt_layer= with the "
            "name of their embedding.",
        )
    leaf = inputs.detach().clone().requires_grad_()
    if relu == "standard":
        # A model may work on its input in place, which a leaf does not allow.
        outputs = call(leaf.clone())
        try:
            return outputs.detach(), _gradient(outputs, targets, leaf, subject)
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
            raise ModelError(
                f"relu={relu!r} on {subject}",
                expected="ReLUs in the open, in one of their usual forms",
                received=f"one inside {hidden}, where no rule reaches it",
                fix="Use Gradient(), or call torch.relu there: not inside torch.jit, a reentrant checkpoint or an "
                "autograd.Function.",
            )
        gradient = _gradient(outputs, targets, leaf, subject)
    if not rules.applied:
        raise ModelError(
            f"relu={relu!r} on {subject}",
            expected="at least one ReLU in the forward pass",
            received="none",
            fix="Use Gradient(): without a ReLU this method is the plain gradient.",
        )
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


def _gradient(outputs: torch.Tensor, targets: torch.Tensor, leaf: torch.Tensor, subject: str) -> torch.Tensor:
    gradient = None
    if outputs.requires_grad:
        (gradient,) = torch.autograd.grad(selected(outputs, targets), leaf, allow_unused=True)
    if gradient is None:
        raise ModelError(
            f"the gradient of {subject}",
            expected="outputs that depend on the inputs by operations with a gradient",
            received="outputs that no gradient connects to the inputs",
            fix="Remove detach(), no_grad or argmax from the forward pass, or pass forward=.",
        )
    return gradient
