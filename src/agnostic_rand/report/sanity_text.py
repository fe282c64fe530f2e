"""A sanity report for a terminal of 80 columns."""

from __future__ import annotations

import math
import textwrap

from agnostic_rand.sanity_report import NECESSARY, ExplainerReport, SanityReport

_WIDTH = 80
_HEADINGS = f"{'explainer':24}{'verdict':14}{'score [95 %]':22}{'floor':>6}  {'output':13}"


def sanity_text(report: SanityReport) -> str:
    """The verdicts as a table, the reason of each, and what was found in words."""
    settings = report.settings
    measure = settings["verdict_measure"]
    own = [explainer for explainer in report.explainers if not explainer.control]
    controls = [explainer for explainer in report.explainers if explainer.control]
    lines = [
        f"Sanity check of {len(own)} explainers: {settings['framework']} model, {settings['samples']} samples, "
        f"{settings['draws']} draws, seed {report.seed}",
        f"Score: {measure} of the trained model's maps and those of a fully random model",
        "",
        _HEADINGS,
        "-" * _WIDTH,
        *(_row(explainer, measure) for explainer in own),
        "controls",
        *(_row(explainer, measure) for explainer in controls),
        "",
    ]
    for explainer in own:
        lines += _wrapped(f"{explainer.name}: {explainer.verdict.reason}")
        for finding in explainer.findings:
            lines += _wrapped(f"! {finding}", indent="    ")
    moved = own[0].cascades["top_down"].outputs if own else controls[0].cascades["top_down"].outputs
    lines += ["", *_wrapped(_moved(float(moved.correlation[:, -1].mean()))), *_wrapped(NECESSARY)]
    return "\n".join(lines)


def _row(explainer: ExplainerReport, measure: str) -> str:
    verdict = explainer.verdict
    low, high = verdict.interval
    score = "undefined" if math.isnan(verdict.score) else f"{verdict.score:6.3f}"
    span = "" if math.isnan(low) else f" [{low:.2f}, {high:.2f}]"
    floor = explainer.floors[measure].floor
    shown = "" if math.isnan(floor) else f"{floor:.2f}"
    return f"{_cut(explainer.name):24}{verdict.outcome:14}{score + span:22}{shown:>6}  {explainer.informative:13}"


def _moved(correlation: float) -> str:
    if math.isnan(correlation):
        return "The model's own outputs became constant."
    return f"The model's own outputs: correlation {correlation:.2f} with the trained model's at full randomization."


def _cut(name: str) -> str:
    return name if len(name) < 24 else f"{name[:20]}…{name[-2:]}"


def _wrapped(text: str, indent: str = "  ") -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent=indent)
