"""Relevance propagation by layers (LRP) for modules, by the rules of zennit."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

from agnostic_rand.adapters import Array, ModelAdapter
from agnostic_rand.arguments import real_number
from agnostic_rand.errors import ArgumentError, CapabilityError
from agnostic_rand.explainers.context import ExplanationContext
from agnostic_rand.explainers.registry import RELEVANCE

Rule: TypeAlias = Literal["epsilon", "zplus", "alpha1_beta0"]
RULES: tuple[Rule, ...] = ("epsilon", "zplus", "alpha1_beta0")


@dataclass(frozen=True)
class LRP:
    """Layer-wise relevance propagation with one rule for all linear layers and convolutions.

    Batch normalizations right behind a convolution or linear layer are merged into it. A traced
    forward pass shows what else the network computes: reshaping, concatenation, max pooling and ReLU
    may be functions; where anything else is no module with a rule (an addition of two branches, a
    mean, layer normalization, attention), relevance would be wrong in silence, so that it is refused.

    Args:
        rule: `"epsilon"`, `"zplus"` (positive products only, without biases) or `"alpha1_beta0"` (positive
            products and biases only).
        epsilon: The stabilizer of the epsilon rule, above 0.

    Raises:
        ArgumentError: The rule is not known, or `epsilon` is not above 0.
        CapabilityError: zennit is not installed.
        ExplanationError: The model is not PyTorch's, or computes outside of modules that have rules.

    Source: Bach et al. 2015, equations 58 and 60; Montavon et al. 2017 (z+).

    Example:
        >>> LRP("zplus").name
        'lrp_zplus'
    """

    rule: Rule = "epsilon"
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ArgumentError(
                "rule",
                expected=" or ".join(map(repr, RULES)),
                received=repr(self.rule),
                fix="Leave it out for the epsilon rule.",
            )
        real_number("epsilon", self.epsilon, least=0, example=1e-6, above=True)

    @property
    def name(self) -> str:
        """`"lrp_"` and the rule."""
        return f"lrp_{self.rule}"

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The relevance of each input, shaped like `inputs`; see `Explainer.explain`."""
        if importlib.util.find_spec("zennit") is None:
            raise CapabilityError(
                f"the explainer {self.name!r}",
                expected="zennit, which has the rules of relevance",
                received="no such package",
                fix="pip install zennit",
            )
        from agnostic_rand.explainers.bridges.relevance import relevance

        return relevance(adapter, inputs, targets, rule=self.rule, epsilon=self.epsilon, name=self.name)


RELEVANCE.update({f"lrp_{rule}": partial(LRP, rule) for rule in RULES})
