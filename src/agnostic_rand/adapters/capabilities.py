"""Capabilities of an adapter: whether it has an optional one, also through the views that wrap it."""

from __future__ import annotations

from typing import Any

from agnostic_rand.adapters.protocol import (
    ModelAdapter,
    ReluRule,
    SideInputs,
    SupportsReluRules,
    SupportsSeveralInputs,
)
from agnostic_rand.adapters.view import AdapterView
from agnostic_rand.errors import CapabilityError


def supports(adapter: ModelAdapter, capability: type) -> bool:
    """Whether the adapter has the capability; a view has what it passes on, if its adapter has it."""
    return isinstance(innermost(adapter), capability) and isinstance(adapter, capability)


def side_inputs_of(adapter: ModelAdapter) -> SideInputs | None:
    """What stands beside the explained input; `None` for a model of one input."""
    inner = innermost(adapter)
    return inner.side_inputs if isinstance(inner, SupportsSeveralInputs) else None


def innermost(adapter: ModelAdapter) -> Any:
    """The backend's own adapter, behind all views."""
    inner: Any = adapter
    while isinstance(inner, AdapterView):
        inner = inner.wrapped
    return inner


def require(adapter: ModelAdapter, capability: type, purpose: str, instead: str) -> Any:
    """The adapter, known to have the capability.

    Raises:
        CapabilityError: The adapter lacks it; `instead` says what works.
    """
    if supports(adapter, capability):
        return adapter
    raise CapabilityError(
        purpose,
        expected=f"an adapter with the capability {capability.__name__}",
        received=f"the {adapter.framework!r} adapter, which lacks it",
        fix=instead,
    )


def require_relu_rule(adapter: ModelAdapter, rule: ReluRule, purpose: str) -> None:
    """Refuse an adapter whose backward pass through ReLU cannot be changed so.

    Raises:
        CapabilityError: The adapter lacks the rule.
    """
    instead = "Use Gradient(), or another backend."
    if rule not in require(adapter, SupportsReluRules, purpose, instead).relu_rules():
        raise CapabilityError(
            purpose,
            expected=f"an adapter whose gradient takes relu={rule!r}",
            received=f"the {adapter.framework!r} adapter, which does not",
            fix=instead,
        )
