"""Consistency of scores: arrays, dimensions, steps and notes that say the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from agnostic_rand.errors import ArgumentError
from agnostic_rand.results.labelled import LabelledScores
from agnostic_rand.results.output_change import OutputChange
from agnostic_rand.results.typed import typed

# What is read from the settings, beside what is printed as it stands.
_SETTINGS = {
    "ranges": Mapping[str, tuple[float | None, float | None]],
    "distances": tuple[str, ...],
    "excluded": tuple[str, ...],
    "unchanged_layers": tuple[str, ...],
    "tied": Mapping[str, tuple[str, ...]],
}


def refuse_inconsistent(scores: LabelledScores) -> None:
    """Refuse scores whose parts contradict each other.

    Raises:
        ArgumentError: They do; it says which.
    """
    for expected, received in _faults(scores):
        raise ArgumentError(
            f"the scores of {scores.check!r}",
            expected=expected,
            received=received,
            fix="Pass arrays of the dimensions, with the steps and notes that belong to them.",
        )


def refuse_unreadable(described: Mapping[str, Any]) -> None:
    """Refuse what a file may say of scores, but no scores do.

    Args:
        described: The fields of a description, of the right types.

    Raises:
        ArgumentError: It does; it says which.
    """
    for expected, received in _told_faults(described):
        raise ArgumentError("the description", expected=expected, received=received, fix="Save the scores again.")
    for settings in (described["settings"], *(one.settings for one in described["notes"].values())):
        for name, kind in _SETTINGS.items():
            if name in settings:
                typed(kind, settings[name], f"the setting {name!r}")


def _faults(scores: LabelledScores) -> Iterator[tuple[str, str]]:
    names, shape = list(scores.dimensions), tuple(map(len, scores.dimensions.values()))
    if not scores.scores or not scores.notes or 0 in shape:
        yield "a measure, an explainer and a value of each dimension at least", "none"
    for name, array in scores.scores.items():
        if array.dtype != np.float64 or array.shape != shape:
            sizes = ", ".join(f"{one}: {len(values)}" for one, values in scores.dimensions.items())
            yield f"float64 of the dimensions ({sizes}) for {name!r}", f"{array.dtype} of shape {array.shape}"
    explainers = scores.dimensions.get("explainer")
    if explainers != (tuple(scores.notes) if explainers else None) or (not explainers and len(scores.notes) != 1):
        yield f"notes on each explainer of {explainers or 'one'}", f"notes on {', '.join(scores.notes)}"
    if "explainer" in names[1:] or "sample" in names[:-1]:
        yield "'explainer' as the first dimension and 'sample' as the last", ", ".join(names)
    yield from _step_faults(scores)
    known = {*names, "draw", "sample"} - {"explainer"} - ({"step"} if scores.steps else set())
    wanted = {"draw", "sample"} & set(names)
    if not wanted <= set(scores.averaged) <= known or len(set(scores.averaged)) < len(scores.averaged):
        yield (
            f"a mean over {', '.join(sorted(wanted))} at least, and over {', '.join(sorted(known))} at most",
            (f"one over {', '.join(scores.averaged) or 'nothing'}"),
        )


def _step_faults(scores: LabelledScores) -> Iterator[tuple[str, str]]:
    steps = tuple(step.name for step in scores.steps)
    if steps and scores.dimensions.get("step") != steps:
        yield f"the dimension 'step' with the names of the steps {steps}", f"{scores.dimensions.get('step')}"
    for step in scores.steps:
        if not 0 <= step.covered <= step.total or step.total == 0:
            yield f"a share of the parameters that is random in {step.name!r}", f"{step.covered} of {step.total}"
    if scores.outputs is None:
        return
    shape = (len(scores.dimensions.get("draw", ())), len(steps))
    for name, array in vars(scores.outputs).items():
        if array.dtype != np.float64 or array.shape != shape or 0 in shape:
            yield f"float64 of {shape} (draws, steps) for the outputs' {name}", f"{array.dtype} of {array.shape}"


def _told_faults(described: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    several = "explainer" in described["dimensions"]
    name = None if several else ", ".join(described["notes"])
    if described["explainer"] != name:
        yield f"the explainer {name!r}, of whom the notes are", repr(described["explainer"])
    if len(set(described["scores"])) < len(described["scores"]):
        yield "measures with names of their own", ", ".join(described["scores"])
    if described["outputs"] is not None and set(described["outputs"]) != {one.name for one in fields(OutputChange)}:
        yield f"the outputs' {', '.join(one.name for one in fields(OutputChange))}", ", ".join(described["outputs"])
    if described["seed"] < 0:
        yield "a seed of at least 0", str(described["seed"])
    for name, values in described["dimensions"].items():
        for value in values:
            parts = value if isinstance(value, list) else [value]
            if not all(type(part) in (str, int, float) for part in parts) or not parts:
                yield f"words and numbers in the dimension {name!r}", f"{value!r:.80}"
        whole = name not in ("draw", "sample") or all(type(value) is int for value in values)
        if not whole or (name in ("draw", "sample", "explainer") and len(set(values)) < len(values)):
            yield f"numbers or names of their own in the dimension {name!r}", f"{values!r:.80}"
