"""Foreign explainers that are bound to a model: what the bridges to their libraries share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from agnostic_rand.adapters import Array, HostArray, ModelAdapter, side_inputs_of
from agnostic_rand.errors import ArgumentError, ExplanationError
from agnostic_rand.explainers.bridges.seeding import seeded
from agnostic_rand.explainers.context import ExplanationContext
from agnostic_rand.explainers.foreign_code import own_arrays, watched
from agnostic_rand.explainers.naming import snake_case


@dataclass(frozen=True)
class Batch:
    """One call of foreign code: what it gets are copies, which it may change or mark.

    Args:
        inputs: Native inputs `(n, ...)`.
        targets: Native class indices `(n,)`.
        classes: The same indices on the host.
        adapter: The model's adapter.
        context: Where the batch stands in the run.
        original: The inputs that were copied, for the adapter.
    """

    inputs: Any
    targets: Any
    classes: HostArray
    adapter: ModelAdapter
    context: ExplanationContext
    original: Array

    def single_output(self) -> bool:
        """Whether the model has one output only, which explains itself."""
        # Targets of such a model are all 0: where one is not, the model need not be asked.
        return not self.classes.any() and self.adapter.predict(self.original[:1, ...]).shape[1] == 1

    def one_hot(self) -> HostArray:
        """The targets as rows of zeros with a one, `(n, outputs)`."""
        outputs = self.adapter.predict(self.original).shape[1]
        return np.eye(outputs, dtype=np.float32)[self.classes]


@dataclass(frozen=True, eq=False, repr=False)
class ForeignExplainer(ABC):
    """An explainer of another library.

    Args:
        method: An object of the library that is bound to the model, whose weights are then randomized
            in place; or a class of it that takes the model alone; or a function `f(model) -> object`.
        arguments: By name, further arguments of the library's own call.
        name: The name in results; by default the library's and the method's.

    Raises:
        ArgumentError: `method` is none of these.
    """

    library: ClassVar[str]
    framework: ClassVar[str]

    method: Any
    arguments: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.method, type):
            usable = issubclass(self.method, self._kinds())
        else:
            usable = callable(self.method) or isinstance(self.method, self._kinds())
        if not usable:
            raise ArgumentError(
                f"{type(self).__name__}()",
                expected=f"an explainer of {self.library}, its class, or a function f(model) -> explainer",
                received=repr(self.method),
                fix="Pass the object that you would call yourself.",
            )
        if not self.name:
            object.__setattr__(self, "name", f"{self.library}_{'_of_'.join(map(snake_case, self._parts()))}")
        if self._is_bound():
            self._check(self.method)
            if self._model(self.method) is None:
                raise ArgumentError(
                    f"the explainer {self.name!r}",
                    expected="an object that holds the model itself, or a function that refers to one model",
                    received="one whose model cannot be told",
                    fix=f"Say how it is made: {type(self).__name__}(lambda model: {self._parts()[0]}(...)).",
                )

    def __repr__(self) -> str:
        parts = self._parts()
        shown = "(".join(parts) + ")" * (len(parts) - 1)
        return f"{type(self).__name__}({shown}{shown_arguments(self.arguments)})"

    @property
    def bound_model(self) -> Any | None:
        """The model that the object holds; `None` for a class or a function."""
        return self._model(self.method) if self._is_bound() else None

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The library's maps; see `Explainer.explain`."""
        native = adapter.native
        self._check_model(adapter)
        with watched(adapter, inputs), self._clean(native), seeded(adapter, context, *self._seeded(native)):
            batch = Batch(
                *own_arrays(adapter, inputs, targets), adapter.to_numpy(targets), adapter, context, inputs
            )
            with ExitStack() as stack:
                method = self.method if self._is_bound() else self._made(native, stack)
                return self._maps(method, batch)

    @abstractmethod
    def _kinds(self) -> tuple[type, ...]:
        """The library's classes whose objects are used."""

    @abstractmethod
    def _model(self, method: Any) -> Any:
        """The model that an object of the library holds; `None` where it cannot be told."""

    @abstractmethod
    def _native_kind(self) -> tuple[type, ...]:
        """What a model of the library's framework is."""

    @abstractmethod
    def _maps(self, method: Any, batch: Batch) -> Array:
        """The maps, without a link to the framework's record of gradients."""

    def _check(self, method: Any) -> None:  # noqa: B027 - most bridges refuse nothing more
        """Refuse an object that cannot be used with `arguments`."""

    def _make(self, native: Any) -> Any:
        """An object for one call."""
        return self.method(native)

    def _release(self, method: Any) -> None:  # noqa: B027 - most objects set up nothing
        """Take away what an object that was made for one call set up."""

    def _clean(self, native: Any) -> AbstractContextManager[None]:
        """The model keeps nothing that foreign code leaves behind."""
        return nullcontext()

    def _seeded(self, native: Any) -> tuple[str, ...]:
        return (self.framework,)

    def _is_bound(self) -> bool:
        return isinstance(self.method, self._kinds())

    def _parts(self) -> tuple[str, ...]:
        """The names of the method and of what it works on, from the outside in."""
        own = type(self.method) if self._is_bound() else self.method
        name = str(getattr(own, "__name__", type(own).__name__))
        return ("function" if name == "<lambda>" else name,)

    def _made(self, native: Any, stack: ExitStack) -> Any:
        method = self._make(native)
        if not isinstance(method, self._kinds()):
            raise ArgumentError(
                f"{type(self).__name__}({self._parts()[0]})",
                expected=f"a function that returns an explainer of {self.library}",
                received=f"{type(method).__name__}",
                fix="Return the library's object, made with the model that the function is given.",
            )
        stack.callback(self._release, method)
        self._check(method)
        model = self._model(method)
        if model is not None and not self._is_part(native, model):
            raise self._holds_another("a function that makes it with the model that the function is given")
        return method

    def _is_part(self, native: Any, model: Any) -> bool:
        return native is model

    def _check_model(self, adapter: ModelAdapter) -> None:
        if not isinstance(adapter.native, self._native_kind()):
            kinds = " or ".join(f"{kind.__module__}.{kind.__qualname__}" for kind in self._native_kind())
            raise ExplanationError(
                f"the explainer {self.name!r}",
                expected=f"a model that {self.library} explains ({kinds})",
                received=f"a {type(adapter.native).__name__} of the {adapter.framework!r} backend",
                fix="Use an explainer of this library, which work with every backend, such as 'saliency'.",
            )
        if side_inputs_of(adapter) is not None:
            raise ExplanationError(
                f"the explainer {self.name!r}",
                expected="a model of one input",
                received="a model of several inputs",
                fix=f"Call {self.library} in a function of your own: f(model, inputs, targets) gets all inputs.",
            )
        if self.bound_model is not None and self.bound_model is not adapter.native:
            raise self._holds_another("an object that holds the model under test")

    def _holds_another(self, expected: str) -> ExplanationError:
        return ExplanationError(
            f"the explainer {self.name!r}",
            expected=expected,
            received="an object that holds another model",
            fix="Build the explainer with the very model that you pass to the metric.",
        )


def shown_arguments(arguments: Mapping[str, Any]) -> str:
    """The arguments as the end of a call, arrays by their shape; nothing where there are none."""
    shown = ", ".join(f"{name!r}: {_shown(value)}" for name, value in arguments.items())
    return f", {{{shown}}}" if arguments else ""


def _shown(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return repr(value) if shape is None else f"{type(value).__name__}{tuple(shape)}"
