"""Which steps of a program are ReLUs, told by the values that they take and what those were made of.

A ReLU is a function of its own derivative that computes `max(x, 0)` (`jax.nn.relu`, `relu6`), or
`max(x, 0)`, `clip(x, 0)`, `where(x > 0, x, 0)` or `x * (x > 0)`. Cut off at 6 it is one too; cut off
elsewhere by clipping, as `clip(x, 0, 1)` of an image, it is none. Nor are the maxima that other
activations are made of. Other ways to write a ReLU, such as `(x + abs(x)) / 2`, are not recognised.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

# Where an equation that only calls a function keeps that function's jaxpr.
CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "remat2": "jaxpr", "checkpoint": "jaxpr"}
# Functions of jax.nn that are built of a ReLU and are another activation.
OTHER_ACTIVATIONS = frozenset({"celu", "hard_sigmoid", "hard_silu", "hard_swish"})

_CARRIES = frozenset({"broadcast_in_dim", "reshape", "squeeze", "convert_element_type", "copy", "copy_p"})
# Whether `x` is what a comparison with zero is true for, by the side that `x` stands on.
_POSITIVE = {"gt": (True, False), "ge": (True, False), "lt": (False, True), "le": (False, True)}
_TOPS = (6.0, math.inf)
# So many steps lie between the cumulative sums and the threshold of a sparsemax.
_DEPTH = 12


class Values:
    """What is known of the values of a program while it is evaluated."""

    def __init__(self) -> None:
        self._numbers: dict[int, float] = {}
        self._makers: dict[int, tuple[str, list[Any]]] = {}
        # Kept, so that their ids stay their own.
        self._kept: list[Any] = []

    def note(self, equation: Any, given: list[Any], results: Sequence[Any]) -> None:
        """Remember what the values that an equation made are made of."""
        name = equation.primitive.name
        for result in results:
            self._kept.append(result)
            self._makers[id(result)] = name, given
            number = self.number(given[0]) if name in _CARRIES else None
            if number is not None:
                self._numbers[id(result)] = number

    def number(self, value: Any) -> float | None:
        """The one number that a value is everywhere, where that is known."""
        if isinstance(value, jax.core.Tracer):
            return self._numbers.get(id(value))
        known = np.size(value) == 1 and jnp.issubdtype(jnp.result_type(value), jnp.number)
        return float(np.asarray(value).reshape(())) if known else None

    def rectified(self, equation: Any, given: list[Any]) -> tuple[int, float] | None:
        """Which of what an equation takes it rectifies, and where it stops to rise."""
        name = equation.primitive.name
        if name == "custom_jvp_call":
            top = ceiling(equation)
            return None if top is None else (0, top)
        if not jnp.issubdtype(equation.outvars[0].aval.dtype, jnp.floating):
            return None
        place, top = None, math.inf
        match name:
            case "max":
                place = next((i for i in (0, 1) if self._is_rectified(given[i], given[1 - i])), None)
            case "mul":
                place = next((i for i in (0, 1) if self._masks(given[1 - i], given[i])), None)
            case "select_n" if len(given) == 3:
                place = self._selected(*given)
            case "clamp":
                place, top = 1, self._top(given[0], given[2])
            case _ if equation.params.get("name") == "clip" and len(given) == 3:
                place, top = 0, self._top(given[1], given[2])
        return None if place is None or math.isnan(top) else (place, top)

    def _top(self, low: Any, high: Any) -> float:
        top = self.number(high)
        return top if self.number(low) == 0 and top in _TOPS else math.nan

    def _is_rectified(self, x: Any, bound: Any) -> bool:
        clipped = self._maker(x)[0] == "min"
        return self.number(bound) == 0 and self.number(x) is None and not clipped and not self._is_projected(x)

    def _is_projected(self, x: Any) -> bool:
        """Whether it is a distance to the threshold that a sparsemax finds by cumulative sums."""
        name, given = self._maker(x)
        waiting = [given[1]] if name == "sub" else []
        for _ in range(_DEPTH):
            makers = [self._maker(value) for value in waiting]
            if any(made == "cumsum" for made, _ in makers):
                return True
            waiting = list({id(value): value for _, used in makers for value in used}.values())
        return False

    def _selected(self, predicate: Any, otherwise: Any, chosen: Any) -> int | None:
        if self.number(otherwise) == 0 and self._test(predicate, chosen) is True:
            return 2
        return 1 if self.number(chosen) == 0 and self._test(predicate, otherwise) is False else None

    def _masks(self, mask: Any, x: Any) -> bool:
        name, given = self._maker(mask)
        return name == "convert_element_type" and self._test(given[0], x) is True

    def _test(self, predicate: Any, x: Any) -> bool | None:
        """Whether the predicate holds where `x` is positive, or where it is negative; `None` for others."""
        name, given = self._maker(predicate)
        for side in (0, 1):
            if name in _POSITIVE and given[side] is x and self.number(given[1 - side]) == 0:
                return _POSITIVE[name][side]
        return None

    def _maker(self, value: Any) -> tuple[str, list[Any]]:
        return self._makers.get(id(value), ("", []))


def ceiling(equation: Any) -> float | None:
    """Where a function of its own derivative stops to rise: infinity for `jax.nn.relu`, 6 for `relu6`."""
    if equation.primitive.name != "custom_jvp_call" or len(equation.invars) != 1:
        return None
    steps = [(step.primitive.name, _number(step)) for step in _steps(opened(equation.params["call_jaxpr"])[0])]
    if steps == [("max", 0)]:
        return math.inf
    return 6.0 if steps == [("max", 0), ("min", 6)] else None


def has_relu(jaxpr: Any) -> bool:
    """Whether a ReLU is among the steps, or inside of one."""
    return any(
        ceiling(equation) is not None
        or (equation.primitive.name == "max" and _number(equation) == 0)
        or any(has_relu(part) for part in inner(equation))
        for equation in jaxpr.eqns
        # A function with a derivative of its own, such as softplus, may hold a maximum that is no ReLU.
        if ceiling(equation) is not None or not equation.primitive.name.startswith("custom_")
    )


def inner(equation: Any) -> list[Any]:
    """The bodies of what an equation calls, but for those of other activations."""
    if equation.params.get("name") in OTHER_ACTIVATIONS:
        return []
    parts = [
        part
        for value in equation.params.values()
        for part in (value if isinstance(value, tuple | list) else (value,))
    ]
    return [opened(part)[0] for part in parts if isinstance(part, core.Jaxpr | core.ClosedJaxpr)]


def opened(jaxpr: Any) -> tuple[Any, Sequence[Any]]:
    """A jaxpr, and the values of its constants."""
    return (jaxpr.jaxpr, jaxpr.consts) if isinstance(jaxpr, core.ClosedJaxpr) else (jaxpr, ())


def rule_relu(guided: bool, top: float) -> Callable[[Any], Any]:
    """A ReLU, capped at `top`, with the rule's backward pass."""

    def rectified(x: Any) -> Any:
        return jnp.clip(x, 0, top)

    def forward(x: Any) -> tuple[Any, Any]:
        return rectified(x), (x > 0) & (x < top)

    def backward(passes: Any, gradient: Any) -> tuple[Any]:
        positive = jnp.maximum(gradient, 0)
        return (jnp.where(passes, positive, 0) if guided else positive,)

    function = jax.custom_vjp(rectified)
    function.defvjp(forward, backward)
    return function


def _steps(jaxpr: Any) -> Iterator[Any]:
    """The equations, with those of a called function in its place."""
    for equation in jaxpr.eqns:
        body = equation.params.get(CALLS.get(equation.primitive.name, ""))
        yield from [equation] if body is None else _steps(opened(body)[0])


def _number(equation: Any) -> float | None:
    """The one number among what the equation takes."""
    numbers = [atom.val for atom in equation.invars if isinstance(atom, core.Literal)]
    return float(numbers[0]) if len(numbers) == 1 and np.ndim(numbers[0]) == 0 else None
