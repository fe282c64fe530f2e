"""Weight copies inside explainers: they get the model's current weights for a call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agnostic_rand.errors import ExplanationError


@contextmanager
def with_weights_of(model: Any, copy: Any, name: str) -> Iterator[None]:
    """Let a Keras model's copy hold the model's weights, and its own again at the end.

    What is no copy, but a model of the same variables, has them already.

    Raises:
        ExplanationError: They have other weights; names the explainer `name`.
    """
    variables = {id(variable) for variable in model.weights}
    if all(id(variable) in variables for variable in copy.weights):
        yield
        return
    own, current = copy.get_weights(), model.get_weights()
    if [weight.shape for weight in own] != [weight.shape for weight in current]:
        raise ExplanationError(
            f"the explainer {name!r}",
            expected="an object made with the model under test, of which it keeps a copy",
            received="an object with a copy of a model of other weights",
            fix="Build the explainer with the very model that you pass to the metric.",
        )
    copy.set_weights(current)
    try:
        yield
    finally:
        copy.set_weights(own)
