"""Decisions between two opposite claims about each of several explainers, at a common level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from agnostic_rand.errors import ArgumentError
from agnostic_rand.statistics.contrasts import Contrasts
from agnostic_rand.statistics.holm import holm_levels

Outcome: TypeAlias = Literal["sensitive", "insensitive", "inconclusive", "undefined"]


@dataclass(frozen=True)
class Decision:
    """What holds for one explainer.

    Args:
        outcome: As in `Verdict`.
        contrasts: What it was decided from.
        floor: The floor that decided, the highest unless a lower one did; `None` where none is known.
        interval: The score minus that floor (or the place halfway to the ceiling), at the corrected level.
        has_room: Whether the ceiling is clearly above that floor and the margin.
    """

    outcome: Outcome
    contrasts: Contrasts
    floor: str | None
    interval: tuple[float, float]
    has_room: bool

    @property
    def excess(self) -> float:
        """The score minus the floor (or the place halfway to the ceiling)."""
        return self.contrasts.excess[self.floor].mean if self.floor else math.nan


@dataclass(frozen=True)
class _Test:
    """The p-values of "not above every floor" and of "not below a floor that has room", and that floor."""

    not_above: float
    not_below: float
    lower: str

    @property
    def p_value(self) -> float:
        return min(1.0, 2 * min(self.not_above, self.not_below))


def decide(contrasts: Sequence[Contrasts], threshold: float, room: float, level: float) -> tuple[Decision, ...]:
    """The decision on each explainer, with Holm's correction across them.

    *Insensitive*: every excess is above the threshold, each tested at the whole level
    (intersection-union). *Sensitive*: some excess is below it and the ceiling is more than `room`
    above that floor; the floors share the level equally (Bonferroni).

    Args:
        contrasts: Of each explainer.
        threshold: What the excess over a floor is compared with.
        room: How far the ceiling must be above a floor for "sensitive".
        level: One minus the probability of any wrong decision among all.

    Raises:
        ArgumentError: The level is not in (0, 1).

    Source: Holm 1979; Berger 1982.
    """
    if not 0 < level < 1:
        raise ArgumentError("level", expected="a number in (0, 1)", received=repr(level), fix="Pass level=0.95.")
    tests = [_tested(one, threshold, room) for one in contrasts]
    p_values = [_p_value(one, test) for one, test in zip(contrasts, tests, strict=True)]
    levels = holm_levels(p_values, 1 - level)
    return tuple(
        _decision(one, test, p_value, alpha, room)
        for one, test, p_value, alpha in zip(contrasts, tests, p_values, levels, strict=True)
    )


def _tested(one: Contrasts, threshold: float, room: float) -> _Test | None:
    if math.isnan(one.score.standard_error) or any(math.isnan(e.standard_error) for e in one.excess.values()):
        return None
    if not one.excess:
        return None
    below = {
        name: max(excess.probability_below(threshold), one.room[name].probability_above(room))
        for name, excess in one.excess.items()
    }
    lower = min(below, key=lambda name: below[name])
    above = max(excess.probability_above(threshold) for excess in one.excess.values())
    return _Test(above, min(1.0, len(below) * below[lower]), lower)


def _p_value(one: Contrasts, test: _Test | None) -> float:
    if one.unchanged and not math.isnan(one.score.mean):
        return 0.0
    return 1.0 if test is None or one.score.draws == 1 else test.p_value


def _decision(one: Contrasts, test: _Test | None, p_value: float, alpha: float, room: float) -> Decision:
    outcome: Outcome = "inconclusive"
    floor = one.highest
    if one.unchanged and p_value == 0:
        outcome = "insensitive"
    elif test is None:
        outcome = "undefined"
    elif p_value <= alpha and test.not_above < test.not_below:
        outcome = "insensitive"
    elif p_value <= alpha:
        outcome, floor = "sensitive", test.lower
    if floor is None:
        return Decision(outcome, one, None, (math.nan, math.nan), False)
    # "Sensitive" is tested at the floor's share of the level, on one side.
    share = alpha / len(one.excess)
    has_room = one.room[floor].probability_above(room) <= share / 2
    if outcome == "sensitive":
        interval = one.excess[floor].interval(1 - share)
    else:
        low = min(excess.interval(1 - alpha)[0] for excess in one.excess.values())
        interval = low, min(excess.interval(1 - share)[1] for excess in one.excess.values())
    return Decision(outcome, one, floor, interval, has_room)
