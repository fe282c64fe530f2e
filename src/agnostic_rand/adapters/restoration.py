"""Restoration of what belongs to the caller, whatever ends a run, and wherever a Ctrl-C strikes."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

from agnostic_rand.adapters.capabilities import innermost
from agnostic_rand.adapters.protocol import ModelAdapter, SupportsKeptState

_LEAVING = contextlib._GeneratorContextManager.__exit__.__code__


@contextmanager
def put_back(restore: Callable[[], object]) -> Iterator[None]:
    """Call `restore` at the end, to its end.

    One interrupt may strike at any point, also while `restore` runs, which is then called again. Further
    ones wait until all is put back. In the main thread `SIGINT` waits for `restore` to begin with.

    Args:
        restore: Puts things back; it may be called again where it was interrupted.
    """
    restoration = _Restoration(restore)
    # Twice: an interrupt at the very end of the inner stack leaves the outer one to do it.
    with ExitStack() as again, ExitStack() as once:
        again.callback(_interrupts.release, restoration)
        again.callback(restoration.end)
        once.callback(restoration.end)
        _interrupts.watch(restoration)
        yield


@contextmanager
def untouched(adapter: ModelAdapter) -> Iterator[None]:
    """Put back at the end what calls and foreign code change of a model besides its weights."""
    inner = innermost(adapter)
    if not isinstance(inner, SupportsKeptState):
        yield
        return
    with put_back(inner.kept_state()):
        yield


def go_on() -> None:
    """Say that a run goes on: an interrupt that waits is raised now, and the next one at once."""
    _interrupts.go_on()


class _Restoration:
    def __init__(self, restore: Callable[[], object]) -> None:
        self._restore = restore
        self._done = False

    def end(self) -> None:
        if not self._done:
            _interrupts.hold(self)
            self._restore()
            self._done = True
        _interrupts.release(self)


class _Interrupts:
    """What `SIGINT` does while something is to be put back, in the main thread: no other gets it."""

    def __init__(self) -> None:
        self._open: set[_Restoration] = set()
        self._ending: set[_Restoration] = set()
        self._previous: Any = None
        self._struck = self._waits = False

    def watch(self, restoration: _Restoration) -> None:
        previous = signal.getsignal(signal.SIGINT)
        if not callable(previous) or not _in_main_thread():
            return
        first = not self._open
        self._open.add(restoration)
        if first:
            self._previous = previous
            signal.signal(signal.SIGINT, self._strike)

    def hold(self, restoration: _Restoration) -> None:
        if restoration in self._open:
            self._ending.add(restoration)

    def release(self, restoration: _Restoration) -> None:
        if restoration not in self._open or not _in_main_thread():
            return
        self._ending.discard(restoration)
        if self._open == {restoration}:
            # Another handler that was set meanwhile is the caller's.
            if signal.getsignal(signal.SIGINT) == self._strike:
                signal.signal(signal.SIGINT, self._previous)
            self._struck = False
        self._open.discard(restoration)
        if not self._open:
            self._raise_waiting()

    def go_on(self) -> None:
        if self._open and _in_main_thread():
            self._struck = False
            self._raise_waiting()

    def _raise_waiting(self) -> None:
        waits, self._waits = self._waits, False
        if waits and not isinstance(sys.exc_info()[1], KeyboardInterrupt):
            self._previous(signal.SIGINT, None)

    def _strike(self, number: int, frame: FrameType | None) -> None:
        # A context that is about to end would be left open.
        leaving = frame is not None and frame.f_code is _LEAVING
        if self._struck or self._ending or leaving:
            self._waits = True
            return
        try:
            self._previous(number, frame)
        except BaseException:
            self._struck = True
            raise


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


_interrupts = _Interrupts()
