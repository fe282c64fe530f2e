"""Explainer under a name of the user's choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agnostic_rand.adapters import Array, ModelAdapter
from agnostic_rand.explainers.context import ExplanationContext
from agnostic_rand.explainers.explainer import Explainer, bound_model


@dataclass(frozen=True)
class NamedExplainer:
    """Another explainer under a name of the user's choice.

    Args:
        explainer: What explains.
        name: The name in results.
    """

    explainer: Explainer
    name: str

    @property
    def bound_model(self) -> Any | None:
        """The model that the explainer holds itself, or `None`."""
        return bound_model(self.explainer)

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The explainer's maps; see `Explainer.explain`."""
        return self.explainer.explain(adapter, inputs, targets, context)


def unnamed(explainer: Explainer) -> Explainer:
    """The explainer itself, where the user gave it a name."""
    return explainer.explainer if isinstance(explainer, NamedExplainer) else explainer
