"""What is put back is put back whole, wherever an interrupt strikes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from agnostic_rand.adapters import go_on, put_back


@pytest.fixture
def handler() -> Iterator[Any]:
    before = signal.getsignal(signal.SIGINT)
    # A suite that runs in the background inherits that Ctrl-C is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def strike() -> None:
    os.kill(os.getpid(), signal.SIGINT)


class Thing:
    """Two values that are changed one after the other."""

    def __init__(self) -> None:
        self.first = self.second = 0

    def change(self) -> None:
        self.first = 1
        self.second = 1

    def restore(self) -> None:
        self.first = 0
        self.second = 0


def used(thing: Thing) -> None:
    with put_back(thing.restore):
        thing.change()


def interrupted(thing: Thing, at: int) -> int:
    """Raise at that line of what puts back, of what is put back or of what uses both."""
    lines = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines
        if not frame.f_code.co_filename.endswith(("restoration.py", "test_restoration.py")):
            return None
        if event == "line":
            lines += 1
            if lines == at:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        used(thing)
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    return lines


def test_every_line(handler: Any) -> None:
    total = interrupted(Thing(), 0)
    assert total > 20
    for at in range(1, total + 1):
        thing = Thing()
        interrupted(thing, at)
        assert (thing.first, thing.second) == (0, 0), at
        assert signal.getsignal(signal.SIGINT) is handler, at
        # Nothing of it is left that would hold the next one.
        with pytest.raises(KeyboardInterrupt), put_back(thing.restore):
            strike()


def test_a_signal_waits_until_all_is_put_back(handler: Any) -> None:
    thing, seen = Thing(), []

    def restore() -> None:
        seen.append("begun")
        strike()
        thing.restore()
        strike()
        seen.append("done")

    with pytest.raises(KeyboardInterrupt), put_back(restore):
        thing.change()
    # Once: no signal struck in the midst of it.
    assert seen == ["begun", "done"]
    assert signal.getsignal(signal.SIGINT) is handler


def test_the_first_signal_strikes_at_once_and_the_next_wait(handler: Any) -> None:
    seen = []

    def run() -> None:
        try:
            strike()
        finally:
            strike()
            seen.append("went on")

    with pytest.raises(KeyboardInterrupt) as caught, put_back(strike):
        run()
    assert seen == ["went on"]
    # Not a second one, which would hide where the first struck.
    assert caught.value.__context__ is None


def test_a_run_that_goes_on_gets_the_signal_that_waits(handler: Any) -> None:
    with put_back(lambda: None):
        with pytest.raises(KeyboardInterrupt):
            strike()
        strike()
        with pytest.raises(KeyboardInterrupt):
            go_on()
        with pytest.raises(KeyboardInterrupt):
            strike()


def test_a_handler_that_was_set_meanwhile_stays(handler: Any) -> None:
    with put_back(lambda: None):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_an_ignored_signal_stays_ignored(handler: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with put_back(lambda: None):
        strike()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_errors_of_what_puts_back_are_told(handler: Any) -> None:
    def restore() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), put_back(restore):
        pass
    assert signal.getsignal(signal.SIGINT) is handler
