"""`sanity_check`: every explainer, every check, controls, floors and verdicts in one call."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from agnostic_rand.arguments import real_number, whole_number
from agnostic_rand.checks._fitting import described_measures
from agnostic_rand.checks._naming import named_explainers
from agnostic_rand.errors import InputError
from agnostic_rand.explainers import ExplainerLike
from agnostic_rand.sanity.findings import findings_of
from agnostic_rand.sanity.sanity_report import ExplainerReport, SanityReport
from agnostic_rand.sanity.sanity_run import ORDERS, SanityRun
from agnostic_rand.sanity.verdicts import step_verdicts_of, verdicts_of
from agnostic_rand.similarity import MeasureLikes
from agnostic_rand.statistics import DEFAULT_MARGIN, Verdict
from agnostic_rand.subject.samples import ArrayLike
from agnostic_rand.subject.subject import RunOptions, Subject

LEAST_SAMPLES = 4

_DEFAULT_OPTIONS = RunOptions()


def sanity_check(
    model: Any,
    inputs: ArrayLike,
    targets: ArrayLike = None,
    *,
    explainers: Sequence[ExplainerLike] | Mapping[str, ExplainerLike],
    seed: int | None = None,
    draws: int = 3,
    blocks: int = 10,
    measures: MeasureLikes | None = None,
    margin: float = DEFAULT_MARGIN,
    options: RunOptions = _DEFAULT_OPTIONS,
) -> SanityReport:
    """Say which explanations depend on the model, with how much certainty, and whether they tell anything.

    Runs the cascade in both orders, the model's own decay, random logit and faithfulness over the
    explainers and the controls (random map, constant, input, edges), which share what they compute.
    The verdict is on full randomization against a floor; each step from the top has one of its own,
    on whether more than half of the explanation survived. Both count how well floor and ceiling are
    known, and are corrected for the number of explainers (Holm 1979). Three draws are enough for
    what is clear; an *inconclusive* explainer often needs ten, because other random weights are
    other scores. With one draw every verdict is *inconclusive*, unless not one map changed.

    Args:
        model: As in `ModelRandomizationMetric`.
        inputs: As in `ModelRandomizationMetric`; at least four samples.
        targets: As in `ModelRandomizationMetric`.
        explainers: Names, explainers, functions or bound objects, with distinct names; or a
            dictionary of them by the names that they shall have.
        seed: The root of all randomness; `None` takes a fresh one, which the report records.
        draws: How often each step is drawn; verdicts need two or more.
        blocks: The most steps of a cascade: layers are gathered into so many equal blocks.
        measures: How maps are compared. Verdicts are on the first, a similarity.
        margin: How much above the floor still counts as nothing.
        options: How the model is run; its seed is not used.

    Raises:
        AgnosticRandError: The model, the data, an explainer or an argument cannot be used.

    Source: Adebayo et al. 2018; Sixt et al. 2020; Binder et al. 2023; floors: Arun et al. 2021.

    Example:
        >>> import agnostic_rand as ar, numpy as np, torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
        >>> x = np.random.default_rng(0).standard_normal((40, 8)).astype("float32")
        >>> report = ar.sanity_check(net, x, explainers=["gradient"], seed=0)
        >>> report["input_map"].verdict.outcome
        'insensitive'
    """
    whole_number("draws", draws, least=1, example=3)
    whole_number("blocks", blocks, least=1, example=10)
    real_number("margin", margin, least=0, example=DEFAULT_MARGIN)
    chosen = named_explainers(explainers, options)
    subject = Subject.open(model, inputs, targets, replace(options, seed=seed))
    if len(subject.samples) < LEAST_SAMPLES:
        raise InputError(
            "inputs",
            expected=f"at least {LEAST_SAMPLES} samples, to know how scores vary over them",
            received=f"{len(subject.samples)}",
            fix="Pass more samples; 50 or more give narrow intervals.",
        )
    start = time.monotonic()
    run = SanityRun.of(subject, chosen, measures, draws, blocks)
    estimated = run.estimate()
    references = run.references()
    cascades, floors = run.cascades(references)
    decay, logits = run.decay(), run.random_logit()
    faithful, information = run.faithfulness()
    measure = run.measures[0]
    top_down = cascades["top_down"]
    own = {one.name for one in chosen}
    verdicts: dict[str, Verdict] = {}
    by_step: dict[str, tuple[Verdict, ...]] = {}
    # Controls are a family of their own: nobody asks whether they are sensitive, so they cost no certainty.
    for mine in (True, False):
        family = {name: result for name, result in top_down.items() if (name in own) is mine}
        if family:
            verdicts |= verdicts_of(family, floors, measure.name, margin)
            by_step |= step_verdicts_of(family, floors, measure.name, margin)
    reports = tuple(
        ExplainerReport(
            name=name,
            control=name not in own,
            verdict=verdicts[name],
            informative=information[name].outcome if name in information else "unknown",
            floors={one: scores.means for one, scores in floors[name].items()},
            cascades={order: cascades[order][name] for order in ORDERS},
            random_logit=logits.get(name),
            faithfulness=faithful.get(name),
            findings=findings_of(top_down[name], measure, references[name], by_step[name], information.get(name)),
            by_step=by_step[name],
            information=information.get(name),
            likeness=references[name].likeness,
        )
        for name in top_down
    )
    return SanityReport(
        explainers=reports,
        seed=subject.streams.seed,
        settings={
            "draws": draws,
            "blocks": blocks,
            "margin": margin,
            "orders": list(ORDERS),
            "verdict_measure": measure.name,
            "measures": described_measures(run.measures),
            **subject.described(run.explainers),
        },
        versions=subject.versions(),
        estimated_seconds=estimated,
        seconds=time.monotonic() - start,
        decay=decay,
    )
