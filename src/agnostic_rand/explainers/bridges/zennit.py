"""Bridge to zennit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn
from zennit.attribution import Attributor, Gradient
from zennit.core import Composite

from agnostic_rand.adapters import Array
from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers.bridges.foreign import Batch
from agnostic_rand.explainers.bridges.torch_library import TorchExplainer, chosen_rows
from agnostic_rand.explainers.naming import snake_case

LIBRARY = "zennit"


def bridge(candidate: Any) -> ZennitExplainer | None:
    """The explainer of a composite or an attributor of zennit; `None` for anything else."""
    if isinstance(candidate, type) and issubclass(candidate, Composite):
        return ZennitExplainer(candidate())
    if isinstance(candidate, Composite | Attributor):
        return ZennitExplainer(candidate)
    if isinstance(candidate, type) and issubclass(candidate, Attributor):
        return ZennitExplainer(candidate)
    return None


@dataclass(frozen=True, eq=False, repr=False)
class ZennitExplainer(TorchExplainer):
    """A composite of zennit, by its gradient attributor, or an attributor.

    The relevance at the output is one at the target and zero elsewhere. Rules and canonizers are on
    the model for the length of a call. zennit's rules hook modules: a ReLU that a model calls as a
    function keeps its own backward pass.

    Args:
        method: A composite, such as `EpsilonPlusFlat()`; or an attributor that is bound to the model;
            or an attributor's class; or a function of the model, such as
            `lambda model: SmoothGrad(model, composite=GuidedBackprop())`.
        arguments: None: attributors take theirs when they are made.
        name: The name in results.

    Raises:
        ArgumentError: `method` is none of these, or a composite that is on a model already.

    Example:
        >>> from zennit.composites import EpsilonPlusFlat
        >>> ZennitExplainer(EpsilonPlusFlat()).name
        'zennit_epsilon_plus_flat'
    """

    library: ClassVar[str] = LIBRARY

    def __post_init__(self) -> None:
        if self.arguments:
            raise ArgumentError(
                "arguments",
                expected="none: an attributor takes its own when it is made",
                received=", ".join(self.arguments),
                fix="Pass a function: ZennitExplainer(lambda model: IntegratedGradients(model, n_iter=50)).",
            )
        if isinstance(self.method, Composite):
            self._refuse_registered(self.method)
            object.__setattr__(self, "name", self.name or f"{LIBRARY}_{snake_case(type(self.method).__name__)}")
            return
        super().__post_init__()

    def _kinds(self) -> tuple[type, ...]:
        return (Attributor,)

    def _model(self, method: Any) -> nn.Module | None:
        model: nn.Module = method.model
        return model

    def _parts(self) -> tuple[str, ...]:
        if isinstance(self.method, Composite):
            return (type(self.method).__name__,)
        composite = self.method.composite if self._is_bound() else None
        return (*super()._parts(), *([type(composite).__name__] if composite is not None else []))

    def _make(self, native: Any) -> Any:
        if isinstance(self.method, Composite):
            self._refuse_registered(self.method)
            return Gradient(native, composite=self.method)
        return super()._make(native)

    def _maps(self, method: Any, batch: Batch) -> Array:
        _, relevance = method(batch.inputs, lambda outputs: chosen_rows(outputs, batch))
        return relevance.detach()

    def _refuse_registered(self, composite: Composite) -> None:
        if composite.handles:
            raise ArgumentError(
                f"the composite {type(composite).__name__} of zennit",
                expected="one that is on no model: it is put on the randomized one",
                received="one that is registered",
                fix="Call its remove(), or pass it outside of the with statement.",
            )
