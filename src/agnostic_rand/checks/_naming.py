"""Several explainers with names of their own, as a list or by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agnostic_rand.adapters import Array, ModelAdapter
from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers import Explainer, ExplainerLike, ExplanationContext, bound_model
from agnostic_rand.subject.subject import RunOptions


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


def named_explainers(
    explainers: Sequence[ExplainerLike] | Mapping[str, ExplainerLike], options: RunOptions
) -> list[Explainer]:
    """The explainers that a list or a dictionary stands for.

    Raises:
        ArgumentError: There is none, or one explainer is passed where several belong.
        AgnosticRandError: One stands for no explainer.
    """
    if isinstance(explainers, str) or not isinstance(explainers, Mapping | Sequence):
        raise ArgumentError(
            "explainers",
            expected="a list, or a dictionary {name: explainer}",
            received=repr(explainers),
            fix=f"Pass [{explainers!r}].",
        )
    if not explainers:
        raise ArgumentError(
            "explainers", expected="at least one explainer", received="none", fix="Pass for example ['gradient']."
        )
    if isinstance(explainers, Mapping):
        return [NamedExplainer(options.explainer(one), str(name)) for name, one in explainers.items()]
    return [options.explainer(explainer) for explainer in explainers]
