"""One randomization of one subject, for several explainers that share what they compute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from agnostic_rand.adapters import HostArray, ModelAdapter
from agnostic_rand.checks._guards import (
    GUARD_SAMPLES,
    FirstMaps,
    GuardReport,
    guard,
    left_trained,
    survived_exactly,
)
from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers import Explainer, ExplanationContext, asks_adapter_only
from agnostic_rand.passes.cascade import CascadeSettings, Observer, run_cascade
from agnostic_rand.results.randomization_result import RandomizationResult
from agnostic_rand.similarity import Measure
from agnostic_rand.subject.subject import Subject
from agnostic_rand.subject.targets import frozen_targets
from agnostic_rand.weights import ModelRandomizationStrategy


def randomize_and_explain(
    subject: Subject,
    explainers: Sequence[Explainer],
    strategy: ModelRandomizationStrategy,
    *,
    draws: int,
    measures: tuple[Measure, ...],
    observe: Observer | None = None,
) -> tuple[RandomizationResult, ...]:
    """The results of all explainers, in their order, from one pass over draws and steps.

    Args:
        subject: The model and the data.
        explainers: With distinct names. Those that are bound to the model force the in-place
            isolation on all.
        strategy: Which layers are randomized and how.
        draws: How often each step is drawn.
        measures: How maps are compared.
        observe: Sees every batch of maps, or `None`.

    Raises:
        AgnosticRandError: An explainer, its maps or a random model cannot be used.
    """
    names = [explainer.name for explainer in explainers]
    if len(set(names)) < len(names):
        raise ArgumentError(
            "explainers",
            expected="explainers with names of their own",
            received=repr(names),
            fix="Pass a dictionary {name: explainer}, or give functions different names.",
        )
    plan = strategy.plan(subject.adapter.layers())
    settings = CascadeSettings(
        measures=measures,
        draws=draws,
        batch_size=subject.batch_size,
        channel_axis=subject.channel_axis,
        progress=subject.options.progress,
    )
    with subject.working(explainers) as working, subject.randomizer(working, plan) as randomizer:
        explainers = subject.settled(explainers)
        adapter = subject.activated(working)
        context, targets = subject.context(), subject.targets(adapter)
        guards = {
            one.name: _guarded(subject, adapter, one, targets, context, measures)
            for one in explainers
            if not asks_adapter_only(one)
        }
        first = FirstMaps({one.name for one in explainers} - set(guards), observe)
        settings = replace(settings, observe=first.observe)
        record = run_cascade(adapter, explainers, subject.samples, targets, randomizer, plan, context, settings)
        unchanged, kept = randomizer.unchanged, randomizer.unchanged_parameters
        others = subject.other_arrays()
        told = subject.told_of_batches(record.trained)
    coverage = max(step.coverage for step in plan.steps)
    described: dict[str, Any] = {
        "strategy": repr(strategy),
        "statistics": plan.statistics,
        "fresh": plan.fresh,
        "excluded": list(plan.excluded),
        "draws": draws,
        "measures": {measure.name: repr(measure.form) for measure in measures},
        "distances": [measure.name for measure in measures if measure.distance],
        "unchanged_layers": list(unchanged),
        "unchanged_parameters": list(kept),
        "other_arrays": list(others),
        **subject.described(explainers),
    }
    results = []
    for explainer in explainers:
        similar = {m.name: record.scores[explainer.name][m.name] for m in measures if not m.distance}
        report = guards.get(explainer.name)
        unbound = None if report is None else survived_exactly(similar, record.outputs, coverage)
        if report is None:
            report = GuardReport(first.self_similarity(explainer.name, measures, subject.adapter), ())
        results.append(
            RandomizationResult(
                explainer=explainer.name,
                scores=record.scores[explainer.name],
                steps=plan.steps,
                outputs=record.outputs,
                seed=subject.streams.seed,
                settings={"explainer": repr(explainer), **described},
                versions=subject.versions(),
                self_similarity=report.self_similarity,
                findings=(
                    *report.findings,
                    *told,
                    *([unbound] if unbound else []),
                    *left_trained(plan.unused, others),
                ),
            )
        )
    return tuple(results)


def _guarded(
    subject: Subject,
    adapter: ModelAdapter,
    explainer: Explainer,
    targets: HostArray | str,
    context: ExplanationContext,
    measures: tuple[Measure, ...],
) -> GuardReport:
    samples = subject.few(min(GUARD_SAMPLES, subject.batch_size))
    count = len(samples)
    if isinstance(targets, str):
        targets = frozen_targets(adapter, samples, count)
    return guard(adapter, explainer, samples, targets[:count], context, measures)
