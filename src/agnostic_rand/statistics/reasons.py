"""Reasons of a verdict, in words."""

from __future__ import annotations

from agnostic_rand.statistics.decisions import Decision

REPEATED = 0.999
"""An explainer whose maps of one model score less among themselves draws noise that shows."""

_NO_SCORE = "There is no score: the maps are constant, or too few to know how their mean varies."
_ONE_DRAW = "One draw says nothing of other random weights: pass for example draws=5."
_UNCHANGED = "With random weights every map is still the trained model's: they owe everything to something else."
_FLOORS = {"cross_image": "Maps of different inputs", "shuffled": "Maps with shuffled pixels"}


def reason_of(decision: Decision, margin: float) -> str:
    """Why, where all weights are random."""
    known = _without_test(decision)
    if known is not None:
        return known
    span, excess = _spans(decision)
    floor = f"the floor of {_value(decision, str(decision.floor)):.2f}"
    if decision.outcome == "insensitive":
        return (
            f"With random weights the maps still score {span}; minus {floor} that is {excess}, above the margin of "
            f"{margin:.2f}: they owe much to something else."
        )
    if decision.outcome == "sensitive":
        return (
            f"With random weights the maps score {span}; minus {floor} that is {excess}, below the margin of "
            f"{margin:.2f}: they depend on the weights."
        )
    if not decision.has_room:
        return _no_room(decision, margin)
    return (
        f"With random weights the maps score {span}; minus {floor} that is {excess}, which may be above or below "
        f"the margin of {margin:.2f}: {_needed(decision)}."
    )


def step_reason_of(decision: Decision, margin: float) -> str:
    """Why, where some weights are random."""
    known = _without_test(decision)
    if known is not None:
        return known
    span, excess = _spans(decision)
    half = f"{decision.contrasts.limit(str(decision.floor)):.2f}, halfway from the floor to the ceiling"
    if decision.outcome == "insensitive":
        return f"The maps still score {span}, above {half}: they hardly depend on what these layers learned."
    if decision.outcome == "sensitive":
        return f"The maps score {span}, below {half}: they depend on what these layers learned."
    if not decision.has_room:
        return _no_room(decision, margin)
    return f"The score {span} differs by {excess} from {half}, which may be nothing: {_needed(decision)}."


def _without_test(decision: Decision) -> str | None:
    if decision.outcome == "insensitive" and decision.contrasts.unchanged:
        return _UNCHANGED
    if decision.outcome == "undefined":
        return _NO_SCORE
    if decision.outcome == "inconclusive" and decision.contrasts.score.draws == 1:
        return _ONE_DRAW
    return None


def _no_room(decision: Decision, margin: float) -> str:
    """Why no score, however low, would tell a dependence on the weights."""
    floor, ceiling = str(decision.floor), decision.contrasts.floors.ceiling
    value = _value(decision, floor)
    if not ceiling >= REPEATED:
        return (
            f"Its own noise hides it: the same model explained twice scores {ceiling:.2f}, not clearly more than "
            f"the floor of {value:.2f} plus the margin of {margin:.2f}."
        )
    return (
        f"{_FLOORS[floor]} already score this much: {value:.2f}, and the same model explained twice {ceiling:.2f}, "
        f"not clearly more than the margin of {margin:.2f} above."
    )


def _spans(decision: Decision) -> tuple[str, str]:
    low, high = decision.contrasts.score.interval()
    score = f"{decision.contrasts.score.mean:.2f} [{low:.2f}, {high:.2f}]"
    return score, f"{decision.excess:.2f} [{decision.interval[0]:.2f}, {decision.interval[1]:.2f}]"


def _value(decision: Decision, floor: str) -> float:
    value: float = getattr(decision.contrasts.floors, floor)
    return value


def _needed(decision: Decision) -> str:
    return f"more {decision.contrasts.excess[str(decision.floor)].limited_by} are needed"
