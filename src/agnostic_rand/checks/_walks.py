"""Scores of a walk: what a check that compares maps over the steps of a strategy says."""

from __future__ import annotations

from typing import Any

from agnostic_rand.checks.measures import described_measures
from agnostic_rand.explainers import asks_adapter_only
from agnostic_rand.passes.guards import survived_exactly, told_unbound
from agnostic_rand.passes.needs import Walk, WalkRecord
from agnostic_rand.results.scores import Notes, Scores
from agnostic_rand.subject.subject import Subject


def scores_of(
    check: str, meaning: str, subject: Subject, walk: Walk, record: WalkRecord, left_out: tuple[str, ...] = ()
) -> tuple[Scores, ...]:
    """The scores of each explainer of a walk over draws, steps and samples.

    Args:
        check: The check's name.
        meaning: What a high score says.
        subject: The model and the data.
        walk: What was asked for.
        record: What was found.
        left_out: Findings about measures that do not fit.
    """
    plan, explainers = record.plan, tuple(record.explainers.values())
    described: dict[str, Any] = {
        "strategy": repr(walk.strategy),
        "statistics": plan.statistics,
        "fresh": plan.fresh,
        "excluded": list(plan.excluded),
        "draws": walk.draws,
        **described_measures(walk.measures),
        "unchanged_layers": list(record.unchanged_layers),
        "unchanged_parameters": list(record.unchanged_parameters),
        "other_arrays": list(subject.other_arrays()),
        **subject.described(explainers),
    }
    coverage = max(step.coverage for step in plan.steps)
    found = []
    for name, explainer in record.explainers.items():
        scores = record.scores[name]
        similar = {m.name: scores[m.name] for m in walk.measures if not m.distance}
        seen = asks_adapter_only(explainer)
        unbound = not seen and survived_exactly(similar, record.outputs, coverage)
        notes = record.notes[name]
        findings = (*left_out, *notes.findings, *record.told, *([told_unbound(explainer)] if unbound else []))
        found.append(
            Scores(
                check=check,
                dimensions={
                    "draw": tuple(range(walk.draws)),
                    "step": tuple(step.name for step in plan.steps),
                    "sample": tuple(range(len(subject.samples))),
                },
                scores=scores,
                notes={name: Notes(findings, notes.self_similarity)},
                meaning=meaning,
                seed=subject.seed,
                settings={"explainer": repr(explainer), **described},
                versions=subject.versions(),
                steps=plan.steps,
                outputs=record.outputs,
            )
        )
    return tuple(found)
