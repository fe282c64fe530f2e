"""Relevance by one rule: zennit's rules on the modules, the adapter's own backward pass through them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from zennit.canonizers import NamedMergeBatchNorm
from zennit.composites import LayerMapComposite, layer_map_base
from zennit.core import BasicHook
from zennit.rules import AlphaBeta, Epsilon, ZPlus
from zennit.types import Linear

from agnostic_rand.adapters import Array, ModelAdapter, innermost
from agnostic_rand.errors import ExplanationError
from agnostic_rand.explainers.bridges.module_graph import Node, Trace, judged, tensors
from agnostic_rand.explainers.bridges.torch_traces import untouched


def relevance(
    adapter: ModelAdapter, inputs: Array, targets: Array, *, rule: str, epsilon: float, name: str
) -> Array:
    """The relevance of each input, shaped like `inputs`; that of the target's output is one.

    Raises:
        ExplanationError: The model is not PyTorch's, or holds what has no rule.
    """
    plain = innermost(adapter)
    if plain.framework != "torch":
        raise ExplanationError(
            f"the explainer {name!r}",
            expected="a torch.nn.Module",
            received=f"a {type(plain.native).__name__} of the {plain.framework!r} backend",
            fix="Use an explainer that works with every backend, such as 'gradient_times_input'.",
        )
    native: nn.Module = plain.native
    layers = _layer_map(rule, epsilon)
    with untouched(native):
        merged = _merged(plain, inputs, targets, layers, name)
        canonizers = [NamedMergeBatchNorm([([layer], norm) for layer, norm in merged])]
        # A rule is a backward pass of its own, so that the gradient is the relevance.
        with LayerMapComposite(layers, canonizers).context(native):
            found: Array = plain.gradient(inputs, targets)
    return found


def _layer_map(rule: str, epsilon: float) -> list[tuple[Any, Any]]:
    rules = {
        "epsilon": Epsilon(epsilon=epsilon),
        "zplus": ZPlus(zero_params="bias"),
        "alpha1_beta0": AlphaBeta(1, 0),
    }
    return [*layer_map_base(), (Linear, rules[rule])]


def _merged(
    plain: Any, inputs: Array, targets: Array, layers: list[tuple[Any, Any]], name: str
) -> tuple[tuple[str, str], ...]:
    """The layers and batch normalizations that become one, by name, of a network that has rules throughout."""

    def rule_of(module: nn.Module) -> Any:
        return next((hook for kinds, hook in layers if isinstance(module, kinds)), None)

    with Trace(plain.native, lambda module: rule_of(module) is not None) as trace:
        outputs, _ = plain.output_and_gradient(inputs, targets)
    made = _made(trace, outputs)
    if made is None:
        raise ExplanationError(
            f"the explainer {name!r}",
            expected="outputs that one call of the model returns as they are",
            received="outputs that forward= computes besides the model's own call",
            fix="Put that computation into a torch.nn.Module, or return one of the model's outputs from forward=.",
        )
    judgement = judged(trace, made, tuple(inputs.shape), lambda module: isinstance(rule_of(module), BasicHook))
    if judgement.fault is not None:
        raise ExplanationError(
            f"the explainer {name!r}",
            expected="a network in which relevance has a rule everywhere: torch's linear layers, convolutions, "
            "activations and average poolings as modules, and between them what only moves values (reshaping, "
            "concatenation, max pooling, ReLU)",
            received=judgement.fault,
            fix="Pass a composite of zennit with canonizers for this network instead of the name.",
        )
    return judgement.merged


def _made(trace: Trace, outputs: torch.Tensor) -> Node | None:
    """The operation that made the outputs, among what the one outermost call returned."""
    if len(trace.returned) != 1:
        return None
    for one in tensors(trace.returned[0]):
        same = one.numel() == outputs.numel() and torch.equal(
            one.detach().to(outputs.dtype).reshape(outputs.shape), outputs
        )
        if same and one.grad_fn is not None:
            return one.grad_fn
    return None
