"""Layer-wise relevance propagation (LRP) for modules, by the rules of zennit."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from agnostic_rand.adapters import Array, ModelAdapter
from agnostic_rand.arguments import real_number
from agnostic_rand.errors import ArgumentError, CapabilityError, ExplanationError
from agnostic_rand.explainers.context import ExplanationContext
from agnostic_rand.explainers.explainer import Explainer

Rule: TypeAlias = Literal["epsilon", "zplus", "alpha1_beta0"]
RULES: tuple[Rule, ...] = ("epsilon", "zplus", "alpha1_beta0")

# An addition of two branches doubles relevance; stabilizers and rounding change it by less.
_ROUNDING = 0.02
_PROBED = 8


@dataclass(frozen=True)
class LRP:
    """Layer-wise relevance propagation with one rule for all linear layers and convolutions.

    Batch normalizations right behind a convolution or linear layer are merged into it. Only
    PyTorch modules are seen: where the network computes otherwise (an addition of two branches, a
    functional convolution, attention), relevance would be wrong in silence, so that it is refused.

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
        some = slice(_PROBED)
        conserved = adapter.to_numpy(self._by("zplus").explain(adapter, inputs[some], targets[some], context))
        sums = conserved.reshape(conserved.shape[0], -1).sum(axis=1, dtype=np.float64)
        # Some is lost where a bias alone makes a value positive, as on a black background; none can be gained.
        wrong = sums[(sums > 1 + _ROUNDING) | (sums < -_ROUNDING)]
        if wrong.size:
            raise ExplanationError(
                f"the explainer {self.name!r}",
                expected="a network of modules that have rules, in which z+ makes no relevance",
                received=f"a sum of {wrong[0]:.3g} where 1 is the most: added branches, or functional layers",
                fix="Pass a composite of zennit with canonizers for this network instead of the name.",
            )
        return self._by(self.rule).explain(adapter, inputs, targets, context)

    def _by(self, rule: Rule) -> Explainer:
        from agnostic_rand.explainers.bridges.zennit import ZennitExplainer

        return ZennitExplainer(_composite(rule, self.epsilon), name=self.name)


def _composite(rule: Rule, epsilon: float) -> Any:
    from zennit.canonizers import SequentialMergeBatchNorm
    from zennit.composites import LayerMapComposite, layer_map_base
    from zennit.rules import AlphaBeta, Epsilon, ZPlus
    from zennit.types import Convolution, Linear

    rules = {
        "epsilon": Epsilon(epsilon=epsilon),
        "zplus": ZPlus(zero_params="bias"),
        "alpha1_beta0": AlphaBeta(1, 0),
    }
    layers = [*layer_map_base(), (Convolution, rules[rule]), (Linear, rules[rule])]
    return LayerMapComposite(layer_map=layers, canonizers=[SequentialMergeBatchNorm()])
