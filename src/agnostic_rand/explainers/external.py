"""External explainers: a user's function, or an object of another library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from agnostic_rand.adapters import Array, ModelAdapter
from agnostic_rand.errors import ExplanationError
from agnostic_rand.explainers.context import ExplanationContext
from agnostic_rand.explainers.foreign_code import own_arrays, watched


@dataclass(frozen=True)
class FunctionExplainer:
    """A user's function `f(model, inputs, targets) -> maps`, called with positional arguments.

    Args:
        function: Gets the framework's model with its current weights, native inputs `(n, ...)`
            and native class indices `(n,)`. Returns maps, native or NumPy.
        name: The name in results.
    """

    function: Callable[[Any, Array, Array], Array]
    name: str

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The function's maps; see `Explainer.explain`."""
        with watched(adapter, inputs):
            own = own_arrays(adapter, inputs, targets)
            return self.function(adapter.native, *own)


@dataclass(frozen=True)
class BoundExplainer:
    """An object with `.explain(inputs, targets)` that holds its model as `.model`.

    It gets targets in the form in which the caller passes them: one-hot as float32, or class indices.
    Its model's weights are randomized in place, so that whatever else the object refers to (a layer, a
    hook) is randomized too.

    Args:
        bound: The object.
        name: The name in results.
    """

    bound: Any
    name: str

    @property
    def bound_model(self) -> Any:
        """The model that the object holds."""
        return self.bound.model

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The object's maps; see `Explainer.explain`."""
        if self.bound.model is not adapter.native:
            raise ExplanationError(
                f"the explainer {self.name!r}",
                expected="an object whose .model is the model under test",
                received="an object that holds another model",
                fix="Build the explainer with the very model that you pass to the metric.",
            )
        with watched(adapter, inputs):
            own = own_arrays(adapter, inputs, _in_the_callers_form(adapter, targets, context))
            return self.bound.explain(*own)


def _in_the_callers_form(adapter: ModelAdapter, targets: Array, context: ExplanationContext) -> Array:
    if context.target_columns is None:
        return targets
    return adapter.asarray(np.eye(context.target_columns, dtype=np.float32)[adapter.to_numpy(targets)])
