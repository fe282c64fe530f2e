"""Whose weights change: those of a copy, or the caller's own with a proof that they came back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

from agnostic_rand.adapters import ModelAdapter
from agnostic_rand.errors import ArgumentError, IsolationError
from agnostic_rand.weights.fingerprints import model_fingerprints

Isolation: TypeAlias = Literal["clone", "in_place"]


def resolve_isolation(isolation: str | None, *, bound: bool) -> Isolation:
    """The isolation that was asked for; in place by default for explainers that hold the model itself.

    Raises:
        ArgumentError: It is neither, or a copy is asked for an explainer that cannot see one.
    """
    if isolation not in (None, "clone", "in_place"):
        raise ArgumentError(
            "isolation",
            expected="'clone', 'in_place' or None",
            received=repr(isolation),
            fix="Leave it out: the model is copied, and stays as it is.",
        )
    if isolation == "clone" and bound:
        raise ArgumentError(
            "isolation",
            expected="'in_place' for an explainer object that is bound to the model",
            received="'clone'",
            fix="Leave isolation out, or pass a function f(model, inputs, targets) instead of the object.",
        )
    return "in_place" if isolation == "in_place" or bound else "clone"


@contextmanager
def isolated(adapter: ModelAdapter, isolation: Isolation) -> Iterator[ModelAdapter]:
    """The adapter to randomize; when the context ends, the caller's model is proven to be unchanged.

    The model must have been restored within the context.

    Raises:
        IsolationError: The caller's model holds other weights than before.
    """
    before = model_fingerprints(adapter)
    working = adapter if isolation == "in_place" else adapter.clone()
    try:
        yield working
    finally:
        after = model_fingerprints(adapter)
        changed = [name for name in before if after.get(name) != before[name]]
        if changed:
            raise IsolationError(
                "your model",
                expected="the same weights after the run as before it",
                received=f"other values in {', '.join(changed[:5])}" + (" …" if len(changed) > 5 else ""),
                fix="Reload the model. Make sure that the explainer uses the model that it is given, and neither "
                "trains nor modifies it.",
            )
