"""Text of a sanity report for a terminal of 80 columns."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from agnostic_rand.results.foreign import printable
from agnostic_rand.sanity.explainer_report import ExplainerReport
from agnostic_rand.statistics import defined_mean

NECESSARY = (
    "A sensitive explanation depends on the weights. That is necessary, not sufficient: it may still be wrong, "
    "and nothing scores lower than independent noise. No number here ranks methods."
)

_WIDTH = 80
_HEADINGS = f"{'explainer':20}{'verdict':13}{'score [95 %]':22}{'floor':>5}{'rel.':>6} {'output'}"
_LEGEND = (
    "rel.: the score's place between the floor (0) and the same model explained twice (1). output: whether the "
    "output falls faster where the map points at than where noise does. Verdicts follow from the score minus the "
    "floor, with an interval that is corrected for the number of explainers."
)
_FLOORS = (
    ("cross_image", "other inputs"),
    ("shuffled", "shuffled pixels"),
    ("between_draws", "other random weights"),
    ("ceiling", "the same model again"),
)


def sanity_text(explainers: Sequence[ExplainerReport], settings: Mapping[str, Any], seed: int) -> str:
    """The verdicts as a table, the reason of each, and what was found in words."""
    measure = settings["verdict_measure"]
    own = [explainer for explainer in explainers if not explainer.control]
    controls = [explainer for explainer in explainers if explainer.control]
    lines = [
        f"Sanity check of {len(own)} explainers: {settings['framework']} model, {settings['samples']} samples, "
        f"{settings['draws']} draws, seed {seed}",
        f"Score: {measure} of the trained model's maps and those of a fully random model",
        "",
        _HEADINGS,
        "-" * _WIDTH,
        *(_row(explainer, measure) for explainer in own),
        "controls",
        *(_row(explainer, measure) for explainer in controls),
        "",
        *_wrapped(_LEGEND),
        "",
    ]
    for explainer in own:
        lines += _wrapped(f"{explainer.name}: {explainer.verdict.reason}")
        lines += _wrapped(_references(explainer, measure), indent="    ")
        for finding in explainer.findings:
            lines += _wrapped(f"! {finding}", indent="    ")
    moved = explainers[0].cascades["top_down"].outputs
    if moved is not None:
        lines += ["", *_wrapped(_moved(float(defined_mean(moved.correlation[:, -1]))))]
    lines += _wrapped(NECESSARY)
    return "\n".join(map(printable, lines))


def _row(explainer: ExplainerReport, measure: str) -> str:
    verdict = explainer.verdict
    low, high = verdict.interval
    score = "undefined" if math.isnan(verdict.score) else f"{verdict.score:6.3f}"
    span = "" if math.isnan(low) else f" [{low:.2f}, {high:.2f}]"
    floor = explainer.floors[measure].floor
    place = _figure(explainer.normalized(measure))
    return (
        f"{_cut(explainer.name):20}{verdict.outcome:13}{score + span:22}{_figure(floor):>5}{place:>6} "
        f"{explainer.informative:13}"
    ).rstrip()


def _references(explainer: ExplainerReport, measure: str) -> str:
    """What else the same measure gives, as figures."""
    floors = explainer.floors[measure]
    found = [(words, getattr(floors, name)) for name, words in _FLOORS]
    found += [(f"{name} and the trained model's maps", value) for name, value in explainer.likeness.items()]
    return "  For comparison: " + ", ".join(f"{w} {_figure(value)}" for w, value in found if _figure(value)) + "."


def _figure(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"


def _moved(correlation: float) -> str:
    if math.isnan(correlation):
        return "The model's own outputs became constant."
    return f"The model's own outputs: correlation {correlation:.2f} with the trained model's at full randomization."


def _cut(name: str) -> str:
    return name if len(name) < 20 else f"{name[:16]}…{name[-2:]}"


def _wrapped(text: str, indent: str = "  ") -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent=indent)
