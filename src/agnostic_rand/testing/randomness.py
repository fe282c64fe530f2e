"""C6: no call moves a global random generator; the framework's can be read and put back."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from agnostic_rand.adapters import HostArray, SupportsRandomState
from agnostic_rand.testing.bench import Bench, open_adapter
from agnostic_rand.testing.calls import Call, calls, changing_calls
from agnostic_rand.testing.check import checks
from agnostic_rand.testing.expectation import NotApplicableError, expect


def calls_draw_nothing(bench: Bench) -> None:
    """No call moves the global generator of Python, NumPy or the framework."""
    for name, call in calls(bench):
        _expect_still(bench, name, call)
    with bench.restored():
        for name, call in changing_calls(bench):
            _expect_still(bench, name, call)
    _expect_still(bench, "opening the adapter", lambda: open_adapter(bench.case))


def state_is_put_back(bench: Bench) -> None:
    """After `set_random_state` the framework draws the same numbers again."""
    adapter = bench.need(SupportsRandomState)
    draw = bench.case.native.draw
    if draw is None:
        raise NotApplicableError("the case does not give native.draw")
    state = adapter.random_state()
    first, second = np.array(draw()), np.array(draw())
    expect(not np.array_equal(first, second), "native.draw draws the same twice: it does not use the generator")
    adapter.set_random_state(state)
    again = np.array(draw())
    adapter.set_random_state(state)
    expect(np.array_equal(first, again), "the framework draws other numbers after its random state was put back")


def _expect_still(bench: Bench, name: str, call: Call) -> None:
    held = _GlobalState(bench)
    try:
        # From a state that no seed gives: reseeding at each call would else go unseen.
        held.advance()
        before = _GlobalState(bench)
        due = before.draw()
        before.put_back()
        call()
        now = _GlobalState(bench)
        expect(now.python == before.python, f"{name} moved Python's global generator")
        expect(_equal(now.numpy, before.numpy), f"{name} moved NumPy's global generator")
        moved = not _equal(now.framework, before.framework)
        moved = moved or not np.array_equal(before.draw(), due)
        expect(not moved, f"{name} moved the framework's global generator")
    finally:
        held.put_back()


class _GlobalState:
    """The global generators, as they are when it is made."""

    def __init__(self, bench: Bench) -> None:
        self._adapter = bench.adapter
        self._draw = bench.case.native.draw
        self.python = random.getstate()
        self.numpy = np.random.get_state()  # noqa: NPY002 - the global state is what is tested
        self.framework: Any = None
        if isinstance(self._adapter, SupportsRandomState):
            self.framework = self._adapter.random_state()

    def draw(self) -> HostArray:
        """What the framework draws next; nothing where it cannot be put back."""
        if self._draw is None or not isinstance(self._adapter, SupportsRandomState):
            return np.empty(0)
        return np.array(self._draw())

    def advance(self) -> None:
        """Draw one number from each."""
        random.random()
        np.random.random_sample()  # noqa: NPY002 - the global generator is meant
        self.draw()

    def put_back(self) -> None:
        """Bring them back into this state."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)  # noqa: NPY002 - put back as it was
        if isinstance(self._adapter, SupportsRandomState):
            self._adapter.set_random_state(self.framework)


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, tuple | list):
        return isinstance(b, tuple | list) and len(a) == len(b) and all(map(_equal, a, b))
    return bool(np.all(np.asarray(a == b)))


CHECKS = checks("C6", calls_draw_nothing, state_is_put_back)
