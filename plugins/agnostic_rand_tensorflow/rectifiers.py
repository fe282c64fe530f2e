"""Which operations of a graph are ReLUs, told by what they compute, in whatever way it is written.

An operation rectifies a tensor `x` where it makes `max(x, 0)` or `min(max(x, 0), 6)` of it by elementwise
operations, or `min(max(x, 0), top)` with TensorFlow's own `Relu`. Else it is none where it clips `x` elsewhere,
as `clip(x, 0, 1)` of an image, or is the floor under a variance. Nor are ReLUs those that another activation is
made of: a hard sigmoid (`relu6(x + 3) / 6`), a sparsemax, a sum of a ReLU and a function of the negative part
of `x` (PReLU, CELU) or a curve over its magnitude (softplus).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand_tensorflow.elementwise import FUNCTIONS, NUMBERS, Elementwise, alike
from agnostic_rand_tensorflow.graph import Operation, Source

_TOPS = (math.inf, 6.0)
_OWN = ("Relu", "Relu6")
_SUMS = ("Add", "AddV2", "Sub")
# Functions of one input that activations are made of besides.
_CURVES = frozenset({"Elu", "Exp", "Expm1", "Log", "Log1p", "Sigmoid", "Softplus", "Tanh"})
# What a hard sigmoid and a hard swish compute, the latter also before its division by 6.
_HARD = [np.clip(NUMBERS + 3, 0, 6) * scale for scale in (1 / 6, NUMBERS, NUMBERS / 6)]
# So many operations may lie between a ReLU and the sum that makes another activation of it,
_NEAR = 6
# and so many between the cumulative sums and the threshold of a sparsemax.
_FAR = 12


@dataclass(frozen=True)
class Rectifier:
    """An operation that rectifies a tensor.

    Args:
        operation: The operation, whose only output is the rectified tensor.
        source: What it rectifies.
        top: Where it stops to rise: infinity, or 6 for a ReLU6.
        hidden: Whether it is one by a part that `stop_gradient` hides from the gradient.
        part: Whether it is only a part of another activation.
    """

    operation: Operation
    source: Source
    top: float
    hidden: bool
    part: bool = False


def rectifiers(operations: Sequence[Operation]) -> list[Rectifier]:
    """The ReLUs among the operations, each of which comes after those that make its inputs."""
    return [found for found in _Recogniser(operations).found.values() if not found.part]


class _Recogniser:
    def __init__(self, operations: Sequence[Operation]) -> None:
        self._elementwise = Elementwise(operations)
        self._users: dict[Operation, list[Operation]] = {}
        self.found: dict[Operation, Rectifier] = {}
        for operation in operations:
            for given in dict.fromkeys(operation.inputs):
                self._users.setdefault(given, []).append(operation)
        for operation in operations:
            found = self._rectifier(operation)
            if found is not None:
                self.found[operation] = found
                if operation.type not in _OWN and (self._is_projected(found) or self._is_floor(operation)):
                    self._take([operation])
        for operation in operations:
            if operation.type in _SUMS:
                for mine, other in permutations(operation.inputs):
                    self._take_parts(mine, other)

    def _rectifier(self, operation: Operation) -> Rectifier | None:
        found, limit = None, math.nan
        for source, between in self._elementwise.functions(operation):
            values, hidden = self._elementwise.values(source, between)
            if any(np.allclose(values, other, rtol=1e-3) for other in _HARD):
                self._take(between)
            top = _top(values)
            if top is not None and not top >= limit:
                if top not in _TOPS and not any(made.type in _OWN for made in between):
                    self._clips(operation, source)
                    return None
                found, limit = Rectifier(operation, source, top, hidden), top
            inner = self.found.get(source[0])
            if inner is not None and not inner.top >= limit:
                # What only passes a ReLU on is none, but what caps it is.
                limit = inner.top
        return found

    def _clips(self, operation: Operation, source: Source) -> None:
        """Note that a maximum, of which a minimum takes all, is the beginning of a clip."""
        for made in operation.inputs:
            found = self.found.get(made)
            if found and found.source == source and made.type not in _OWN and self._users[made] == [operation]:
                self._take([made])

    def _take(self, parts: Iterable[Operation]) -> None:
        for part in parts:
            if part in self.found:
                self.found[part] = replace(self.found[part], part=True)

    def _is_projected(self, found: Rectifier) -> bool:
        """Whether it is a distance to the threshold that a sparsemax finds by cumulative sums."""
        made = found.source[0]
        waiting = {made.inputs[1]} if made.type == "Sub" else set()
        for _ in range(_FAR):
            if any(made.type == "Cumsum" for made in waiting):
                return True
            waiting = {given for made in waiting for given in made.inputs}
        return False

    def _is_floor(self, operation: Operation) -> bool:
        """Whether all that is done with it is to add a constant and to take the square root, as of a variance."""
        users = self._users.get(operation, [])
        return bool(users) and all(user.type in ("Rsqrt", "Sqrt") or self._leads_to_root(user) for user in users)

    def _leads_to_root(self, user: Operation) -> bool:
        shifts = user.type in _SUMS and any(self._elementwise.number(made) is not None for made in user.inputs)
        return (shifts or user.type in ("Cast", "Identity", "Reshape", "Squeeze")) and self._is_floor(user)

    def _take_parts(self, mine: Operation, other: Operation) -> None:
        """Where a sum adds to a ReLU what the negative part of its input is made into, both are parts."""
        added = dict(self._near(other))
        taken = {self.found[made].source for made in added if made in self.found}
        for made, _ in self._near(mine):
            found = self.found.get(made)
            for complement, curved in added.items() if found and found.source not in taken else ():
                for source, between in self._elementwise.functions(complement):
                    values, _ = self._elementwise.values(source, between)
                    if found and source == found.source and _is_complement(values, curved):
                        self._take((made, complement))

    def _near(self, operation: Operation) -> Iterator[tuple[Operation, bool]]:
        """The operation and elementwise ones that lead to it, and whether a curve is between."""
        waiting = {(operation, False)}
        for _ in range(_NEAR):
            waiting = {(made, bent) for made, bent in waiting if made.type in FUNCTIONS or made.type in _CURVES}
            yield from waiting
            waiting = {(given, bent or made.type in _CURVES) for made, bent in waiting for given in made.inputs}


def _top(values: HostArray) -> float | None:
    """Where the values of a ReLU stop to rise; `None` for those of another function."""
    last = float(np.max(values))
    top = math.inf if math.isclose(last, NUMBERS[-1], rel_tol=1e-6) else round(last, 6)
    return top if top > 0 and alike(values, np.clip(NUMBERS, 0, top)) else None


def _is_complement(values: HostArray, curved: bool) -> bool:
    """Whether the values are those of the negative part; or of the magnitude, of which a curve is taken."""
    parts = [np.minimum(NUMBERS, 0), *([np.abs(NUMBERS)] if curved else [])]
    return any(alike(values, sign * part) for part in parts for sign in (1, -1))
