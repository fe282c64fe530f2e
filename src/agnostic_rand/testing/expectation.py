"""Expectation of a check of the kit, and how it ends where it is not met."""

from __future__ import annotations

from collections.abc import Callable

from agnostic_rand.errors import AgnosticRandError


class ContractError(AssertionError):
    """The adapter breaks the clause; the message says what was seen."""


class NotApplicableError(Exception):
    """The check says nothing of this model or adapter; the message says why."""


def expect(condition: bool, message: str) -> None:
    """State what must hold.

    Raises:
        ContractError: It does not.
    """
    if not condition:
        raise ContractError(message)


def expect_library_error(call: Callable[[], object], subject: str) -> None:
    """State that a call is refused with an error of `agnostic_rand.errors`.

    Raises:
        ContractError: It is not refused, or with another error.
    """
    try:
        call()
    except AgnosticRandError:
        return
    except Exception as error:
        raise ContractError(
            f"{subject} raises {type(error).__name__}, no error of agnostic_rand.errors (unknown_name makes one)"
        ) from error
    raise ContractError(f"{subject} is not refused")
