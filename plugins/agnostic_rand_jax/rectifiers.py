"""Which steps of a program are ReLUs.

A step is one if what it makes is `max(x, 0)` or `min(max(x, 0), 6)` of an earlier value that depends on
the data, however many elementwise steps lie between. Cut off elsewhere it is none, as `clip(x, 0, 1)`
of an image, unless `jax.nn.relu` is a part of it. Nor are the floor that normalization layers put under a
variance, `max(variance, 0)` whose square root is taken, the distance to the threshold of a sparsemax, and
what other activations are made of. Masks that are made in another shape or order are not followed.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jax.extend import core

from agnostic_rand_jax.forms import Known, Values, is_floating
from agnostic_rand_jax.loops import LOOPS
from agnostic_rand_jax.program import Atom, Program, Step, bodies

# Functions of JAX that are built of a ReLU or a maximum with zero, and are another activation.
_OTHER_ACTIVATIONS = frozenset(
    {"celu", "hard_sigmoid", "hard_silu", "hard_swish", "logaddexp", "logaddexp2", "softplus"}
)
_TOPS = (6.0, np.inf)
_SHIFTS = frozenset({"convert_element_type", "broadcast_in_dim", "reshape", "squeeze", "expand_dims", "copy"})


@dataclass(frozen=True)
class Rectifier:
    """A step that is a ReLU.

    Args:
        source: The number of the value that is rectified.
        top: Where it stops to rise; infinity where it does not.
    """

    source: int
    top: float


class Rectifiers:
    """The ReLUs of a program.

    Args:
        program: The program; bodies of loops are programs of their own.
        known: What is known of its arguments.

    Attributes:
        found: By position of the step.
        hidden: Of steps to which no other backward pass can be given, what they are.
        inside: As `Values.inside`.
    """

    def __init__(self, program: Program, known: Known) -> None:
        self._values = Values(program, known)
        self.inside = self._values.inside
        self.found: dict[int, Rectifier] = {}
        self.hidden: list[str] = []
        live = self._live(program)
        for position, step in enumerate(program.steps):
            if any(self._values.first(n) in live and self._values.depends(n) for n in step.outputs):
                self._decide(position, step)

    def _live(self, program: Program) -> set[Atom]:
        """The values through which a gradient passes from the outputs."""
        live = {self._values.first(n) for n in program.outputs if not isinstance(n, core.Literal)}
        for step in reversed(program.steps):
            if step.name != "stop_gradient" and any(self._values.first(n) in live for n in step.outputs):
                pairs = zip(step.inputs, step.equation.invars, strict=True)
                live.update(
                    self._values.first(n)
                    for n, v in pairs
                    if not isinstance(n, core.Literal) and is_floating(v.aval)
                )
        return live

    def _decide(self, position: int, step: Step) -> None:
        if {*step.scope, _function(step)} & _OTHER_ACTIVATIONS:
            return
        made, aval = self._values.first(step.outputs[0]), step.equation.outvars[0].aval
        forms = self._values.forms.get(made, {}) if is_floating(aval) else {}
        sources = [n for n, form in sorted(forms.items()) if n != made and form.top and self._is_like(n, aval)]
        if self._is_clipped(made, sources):
            return
        exact = [n for n in sources if not forms[n].assumed and forms[n].passes]
        if exact:
            if not self._is_variance(made) and not any(self._is_projected(n) for n in exact):
                self.found[position] = Rectifier(exact[0], forms[exact[0]].top or np.inf)
        elif any(forms[n].assumed for n in sources):
            self.hidden.append(f"{step.name!r} with a value of the model: a ReLU where that value is zero")
        elif any(forms[n].passes is False for n in sources):
            self.hidden.append(f"a ReLU to which 'stop_gradient' gives another gradient, made by {step.name!r}")
        elif step.name not in LOOPS and any(_holds(body, self.inside(step, body)) for body in bodies(step)):
            of = f" of {_function(step)!r}" if _function(step) else ""
            self.hidden.append(f"a ReLU inside {step.name!r}{of}")

    def _is_like(self, source: int, aval: Any) -> bool:
        own = self._values.avals[source]
        return own.shape == aval.shape and is_floating(own)

    def _is_clipped(self, made: int, sources: Container[int]) -> bool:
        """Whether it is, or becomes, a ReLU of the same value that is cut off elsewhere than at 6."""
        forms = [form for n, form in self._values.forms.get(made, {}).items() if n in sources and form.top]
        if any(form.called for form in forms):
            return False
        if any(form.top not in _TOPS for form in forms):
            return True
        later = {n for user in self._values.users.get(made, []) for n in user.outputs}
        return bool(forms) and any(self._is_clipped(n, sources) for n in later)

    def _is_variance(self, made: int) -> bool:
        """Whether all that is done with the value is to add a constant and take the square root."""
        users = self._values.users.get(made, [])
        return bool(users) and all(self._leads_to_root(user, made) for user in users)

    def _leads_to_root(self, step: Step, made: int) -> bool:
        if step.name in ("sqrt", "rsqrt"):
            return True
        shifted = step.name == "add" and sum(self._values.depends(atom) for atom in step.inputs) == 1
        return (shifted or step.name in _SHIFTS) and self._is_variance(self._values.first(step.outputs[0]))

    def _is_projected(self, source: int) -> bool:
        """Whether it is `x` minus a threshold that is found by cumulative sums of `x`, as in a sparsemax."""
        maker = self._values.makers.get(source)
        if maker is None or maker.name != "sub":
            return False
        start, threshold = map(self._values.first, maker.inputs)
        if isinstance(start, core.Literal):
            return False
        sums = [n for n in self._behind([threshold], start) if n != start and self._is_sum(n)]
        return any(start in self._behind(self._values.makers[n].inputs, start) for n in sums)

    def _is_sum(self, value: int) -> bool:
        maker = self._values.makers.get(value)
        return maker is not None and maker.name == "cumsum"

    def _behind(self, values: Iterable[Atom], start: Atom) -> set[int]:
        """The values themselves, and what they are made of, down to `start`."""
        found: set[int] = set()
        waiting = list(values)
        while waiting:
            value = self._values.first(waiting.pop())
            if isinstance(value, core.Literal) or value in found:
                continue
            found.add(value)
            if value != start and value in self._values.makers:
                waiting.extend(self._values.makers[value].inputs)
        return found


def _function(step: Step) -> str | None:
    """The name of the function with a derivative of its own that the step calls."""
    body = step.params.get("call_jaxpr")
    return getattr(getattr(getattr(body, "jaxpr", body), "debug_info", None), "func_name", None)


def _holds(program: Program, known: Known) -> bool:
    """Whether a body that will not be interpreted holds a ReLU."""
    inner = Rectifiers(program, known)
    return bool(inner.found or inner.hidden) or any(
        _holds(body, inner.inside(step, body))
        for step in program.steps
        if step.name in LOOPS
        for body in bodies(step)
    )
