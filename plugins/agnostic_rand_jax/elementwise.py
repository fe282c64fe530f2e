"""Functions of one value, number by number: what elementwise steps make of a few numbers that stand for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.extend import core

from agnostic_rand_jax.program import Step, bodies, literal_value

CUSTOM_RULES = frozenset({"custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"})

# What is near 0 and 6, of so few digits that sums with numbers such as 6 are exact.
_ABOVE = np.array([2.0**-30, 0.25, 1, 1.5, 3, 5.75, 6, 6.25, 7, 1000, 2.0**30])
_NUMBERS = np.concatenate([-_ABOVE, [0], _ABOVE])
_PROBES = np.stack([_NUMBERS, _NUMBERS * (1 + 2.0**-10)])
# By where it stops to rise, the largest value of a ReLU.
_ENDS = ((np.inf, _NUMBERS[-1]), (6.0, 6.0))

# Steps that carry a value on without changing what it is, but for its shape.
_CARRIES = frozenset({"broadcast_in_dim", "reshape", "squeeze", "expand_dims", "copy", "copy_p", "name"})
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "add": np.add,
    "add_any": np.add,
    "and": np.bitwise_and,
    "clamp": lambda low, x, high: np.minimum(np.maximum(x, low), high),
    "div": np.divide,
    "eq": np.equal,
    "ge": np.greater_equal,
    "gt": np.greater,
    "le": np.less_equal,
    "lt": np.less,
    "max": np.maximum,
    "min": np.minimum,
    "mul": np.multiply,
    "ne": np.not_equal,
    "neg": np.negative,
    "not": np.invert,
    "or": np.bitwise_or,
    "pow": np.float_power,
    "select_n": lambda which, *cases: np.choose(which.astype(int), cases),
    "shift_right_arithmetic": np.right_shift,
    "sign": np.sign,
    "sqrt": np.sqrt,
    "square": np.square,
    "sub": np.subtract,
    "xor": np.bitwise_xor,
}
_ALONG_AXIS: dict[str, Callable[..., Any]] = {
    "argmax": np.argmax,
    "argmin": np.argmin,
    "cumsum": np.cumsum,
    "reduce_and": np.all,
    "reduce_max": np.max,
    "reduce_min": np.min,
    "reduce_or": np.any,
    "reduce_sum": np.sum,
}


@dataclass(frozen=True)
class Form:
    """A function of one value, by its results on a few numbers; or a number, which needs none.

    Args:
        results: At the numbers, and a little farther from zero as a gradient sees it `(2, numbers)`; several
            functions that are stacked `(functions, 2, numbers)`; of a number `()`.
        axis: Along which axis of the program's array functions are stacked.
        assumed: Whether something that is not known was taken for zero.
        called: Whether a ReLU of a derivative of its own, as `jax.nn.relu` is, is a part of it.
    """

    results: Any
    axis: int | None = None
    assumed: bool = False
    called: bool = False

    @property
    def top(self) -> float | None:
        """The value at which it stops to rise, if it is a ReLU, cut off or not; infinity for one that is not."""
        if self.results.ndim != 2:
            return None
        most = self.results[0].max()
        top = next((top for top, last in _ENDS if _alike(most, last)), float(most))
        return top if top > 0 and _alike(self.results[0], _PROBES[0].clip(0, top)) else None

    @property
    def passes(self) -> bool | None:
        """Whether a ReLU has the gradient of one; `None` where it has none at all."""
        if _alike(self.results[1], self.results[0]):
            return None
        return _alike(self.results[1], _PROBES[1].clip(0, self.top))


IDENTITY = Form(_PROBES)
UNKNOWN = Form(np.zeros(()), assumed=True)


def _alike(results: Any, due: Any) -> bool:
    return bool(np.isclose(results, due, rtol=1e-9, atol=0).all())


def number(value: Any) -> Form | None:
    """The number that a value is everywhere."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        # A value that is not known while the function is traced.
        return None
    kind = _kind(array.dtype)
    if kind is None or array.size == 0 or not (array == array.flat[0]).all():
        return None
    return Form(array.flat[0].astype(kind))


def computed(step: Step, given: Sequence[Form]) -> Form | None:
    """What the step makes of functions of one value, if that is one too."""
    axes = {form.axis for form in given if form.results.ndim}
    if len(axes) > 1 or len(step.outputs) != 1:
        return None
    with np.errstate(all="ignore"):
        made = _made(step, given, next(iter(axes), None))
    if made is None:
        return None
    called = any(form.called for form in given) or (step.name in CUSTOM_RULES and made.top is not None)
    return replace(made, assumed=any(form.assumed for form in given), called=called)


def _made(step: Step, given: Sequence[Form], axis: int | None) -> Form | None:
    name, params, results = step.name, step.params, [form.results for form in given]
    if name in CUSTOM_RULES:
        return _of_body(step, given)
    if name in _FUNCTIONS:
        return Form(_FUNCTIONS[name](*results), axis)
    if name in _CARRIES:
        return _carried(step, given[0])
    match name:
        case "convert_element_type":
            kind = _kind(params["new_dtype"])
            return None if kind is None else Form(results[0].astype(kind), axis)
        case "bitcast_convert_type":
            before = step.equation.invars[0].aval.dtype
            return Form(results[0].astype(before).view(params["new_dtype"]), axis) if axis is None else None
        case "dot_general" if not any(params["dimension_numbers"][0]):
            batch, ndim = params["dimension_numbers"][1], step.equation.outvars[0].aval.ndim
            is_product = all(tuple(dimensions) == tuple(range(ndim)) for dimensions in batch)
            return Form(np.multiply(*results), axis) if is_product else None
        case "integer_pow":
            return Form(np.float_power(results[0], params["y"]), axis)
        case "stop_gradient":
            still = results[0] if not results[0].ndim else np.repeat(results[0][..., :1, :], 2, axis=-2)
            return Form(still, axis)
        case "stack" if axis is None:
            return Form(np.stack(np.broadcast_arrays(*results)), params["axis"])
        case "concatenate" if axis == params["dimension"]:
            sizes = [variable.aval.shape[axis] for variable in step.equation.invars]
            parts = [np.broadcast_to(r, (n, *_PROBES.shape)) for r, n in zip(results, sizes, strict=True)]
            return Form(np.concatenate(parts), axis)
    along = params.get("axes", (params.get("axis"),))
    if name in _ALONG_AXIS and axis is not None and tuple(along) == (axis,) and not params.get("reverse"):
        return Form(_ALONG_AXIS[name](results[0], axis=0), axis if name == "cumsum" else None)
    return None


def _carried(step: Step, form: Form) -> Form | None:
    before, after = (variable.aval.shape for variable in (step.equation.invars[0], step.equation.outvars[0]))
    if before == after or not form.results.ndim:
        return form
    if step.name == "broadcast_in_dim" and form.axis is None and len(after) == len(before) + 1:
        (new,) = set(range(len(after))) - set(step.params["broadcast_dimensions"])
        return Form(form.results[None], new) if after[new] == 1 else None
    return None


def _of_body(step: Step, given: Sequence[Form]) -> Form | None:
    inner = bodies(step)
    if len(inner) != 1 or len(inner[0].inputs) != len(given):
        return None
    forms: dict[Any, Form | None] = {n: number(value) for n, value in inner[0].constants.items()}
    forms.update(zip(inner[0].inputs, given, strict=True))

    def read(atom: Any) -> Form | None:
        return number(literal_value(atom)) if isinstance(atom, core.Literal) else forms.get(atom)

    for part in inner[0].steps:
        taken = [form for atom in part.inputs if (form := read(atom)) is not None]
        if len(taken) == len(part.inputs):
            forms[part.outputs[0]] = computed(part, taken)
    return read(inner[0].outputs[0])


def _kind(dtype: Any) -> Any:
    kinds = ((jnp.bool_, bool), (jnp.integer, int), (jnp.floating, float))
    return next((kind for of, kind in kinds if jnp.issubdtype(dtype, of)), None)
