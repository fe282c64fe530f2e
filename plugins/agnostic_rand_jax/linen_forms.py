"""Forms of a Linen module with its variables besides the pair: a bound module, and a state of training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeAlias

from flax import linen

from agnostic_rand.adapters import Array, Forward, ModelAdapter, OpenRequest
from agnostic_rand_jax.compiled import Values
from agnostic_rand_jax.linen_adapter import LinenAdapter

_OF_STATE = ("step", "apply_fn", "params", "tx", "opt_state")


class BoundModule:
    """What `module.bind(variables)` returns."""

    def __init__(self, model: linen.Module) -> None:
        self.pair: tuple[Any, Mapping[str, Any]] = model.unbind()

    def filled(self, variables: Mapping[str, Any]) -> Any:
        """The module, bound to them."""
        return self.pair[0].bind(variables)


class StateOfTraining:
    """A Flax `TrainState`; collections that a subclass adds, such as `batch_stats`, are variables too."""

    def __init__(self, model: Any) -> None:
        self._model = model
        added = [f.name for f in fields(model) if f.name not in _OF_STATE]
        self._names = [name for name in added if isinstance(held := getattr(model, name), Mapping) and held]
        variables = {name: getattr(model, name) for name in ("params", *self._names)}
        self.pair: tuple[Any, Mapping[str, Any]] = (model.apply_fn, variables)

    def filled(self, variables: Mapping[str, Any]) -> Any:
        """The state with them; its optimizer's are left as they are."""
        return self._model.replace(**{name: variables[name] for name in ("params", *self._names)})


Form: TypeAlias = BoundModule | StateOfTraining
"""A form that leads to the pair and back."""


class LinenFormAdapter(LinenAdapter):
    """A form that is opened as its pair; it stays what `native` and `forward` get.

    Args:
        model: The bound module or the state.
        form: Its way to the pair and back.
        request: As of the pair.
    """

    def __init__(self, model: Any, form: Form, request: OpenRequest) -> None:
        self._form = form
        super().__init__(form.pair, replace(request, forward=_of_pair(form, request.forward)))
        self._model = model

    def _built(self, values: Values) -> Any:
        return self._form.filled(self._tree.filled(values))


def open_form(model: Any, request: OpenRequest) -> ModelAdapter:
    """The adapter of a bound module or a state of training."""
    form = BoundModule(model) if isinstance(model, linen.Module) else StateOfTraining(model)
    return LinenFormAdapter(model, form, request)


def _of_pair(form: Form, forward: Forward | None) -> Forward | None:
    if forward is None:
        return None

    def on_pair(pair: tuple[Any, Mapping[str, Any]], inputs: Array) -> Any:
        return forward(form.filled(pair[1]), inputs)

    return on_pair
