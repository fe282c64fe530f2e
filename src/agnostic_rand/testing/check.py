"""What a check is, and the three ways in which it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from agnostic_rand.errors import AgnosticRandError

if TYPE_CHECKING:
    from agnostic_rand.testing.bench import Bench

CheckFunction: TypeAlias = "Callable[[Bench], None]"


class ContractError(AssertionError):
    """The adapter breaks the clause; the message says what was seen."""


class NotApplicableError(Exception):
    """The check says nothing of this model or adapter; the message says why."""


@dataclass(frozen=True)
class Check:
    """One statement of the contract, as it is tested on one case.

    Args:
        name: The clause or capability, and what is stated, such as `"C4_same_outputs"`.
        run: Returns where the adapter keeps to it, and raises where not.
    """

    name: str
    run: CheckFunction

    def __str__(self) -> str:
        return self.name

    @property
    def statement(self) -> str:
        """What the check states, in a sentence."""
        return (self.run.__doc__ or "").strip().splitlines()[0]


def checks(clause: str, *functions: CheckFunction) -> tuple[Check, ...]:
    """The checks of one clause, named after their functions."""
    return tuple(Check(f"{clause}_{function.__name__}", function) for function in functions)


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
