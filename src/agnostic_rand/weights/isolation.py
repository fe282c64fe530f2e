"""Isolation: whose weights change, those of a copy, or the caller's own with a proof that they came back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from typing import Literal, TypeAlias

from agnostic_rand.adapters import ModelAdapter, PlacedInputs, put_back
from agnostic_rand.errors import ArgumentError, IsolationError
from agnostic_rand.weights.fingerprints import model_fingerprints
from agnostic_rand.weights.witness import Witness

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


def independent_copy(adapter: ModelAdapter, example: PlacedInputs | None) -> ModelAdapter:
    """A copy of the model that is seen to compute with weights of its own.

    Args:
        adapter: The original.
        example: A few inputs, or `None` where there are none to see it by.

    Raises:
        ModelError: The copy computes with the original's weights, or cannot be made.
    """
    copy = adapter.clone()
    Witness(copy, example).refuse_reads_of(adapter)
    return copy


@contextmanager
def isolated(adapter: ModelAdapter, isolation: Isolation, example: PlacedInputs | None) -> Iterator[ModelAdapter]:
    """The adapter to randomize; when the context ends, the caller's model is proven to be unchanged.

    The model must have been restored within the context.

    Args:
        adapter: The caller's model.
        isolation: Whether it is copied.
        example: A few inputs, by which a copy is seen to be independent.

    Raises:
        IsolationError: The caller's model holds other weights than before, or another run is on it, and one
            of the two changes its weights.
        ModelError: The copy computes with the original's weights.
    """
    with _claimed(adapter, isolation):
        before = model_fingerprints(adapter)
        working = adapter if isolation == "in_place" else independent_copy(adapter, example)
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
                    fix="Reload the model. Make sure that the explainer uses the model that it is given, and "
                    "neither trains nor modifies it.",
                )


_runs: dict[object, tuple[int, Isolation]] = {}
"""In the order of their beginnings, the runs that are on now: the `id` of the model, which they keep alive."""


@contextmanager
def _claimed(adapter: ModelAdapter, isolation: Isolation) -> Iterator[None]:
    """Refuse a run beside an earlier one where either would read weights that the other randomized."""
    run, model = object(), id(adapter.native)
    with put_back(lambda: _end(run)):
        _runs[run] = model, isolation
        earlier = [known for _, known in takewhile(lambda other: other[0] is not run, list(_runs.items()))]
        if (model, "in_place") in earlier or (isolation == "in_place" and (model, "clone") in earlier):
            raise _second_run()
        yield


def refuse_randomized(adapter: ModelAdapter) -> None:
    """Refuse a model that a run randomizes in place now.

    Raises:
        IsolationError: There is such a run.
    """
    if (id(adapter.native), "in_place") in list(_runs.values()):
        raise _second_run()


def _second_run() -> IsolationError:
    return IsolationError(
        "the model",
        expected="one run at a time where a run randomizes the model itself",
        received="a second run while the first is not over, as in another thread or in an explainer",
        fix="Run one after the other, or pass isolation='clone' to both.",
    )


def _end(run: object) -> None:
    _runs.pop(run, None)
