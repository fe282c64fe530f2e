"""Sanity check in one call: every explainer, every check, controls, floors and verdicts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from agnostic_rand.adapters import Forward
from agnostic_rand.adapters.activation import Activation
from agnostic_rand.arguments import real_number, whole_number
from agnostic_rand.checks.check import resolve_explainers
from agnostic_rand.checks.measures import described_measures
from agnostic_rand.errors import ArgumentError, InputError
from agnostic_rand.explainers import ExplainerLike
from agnostic_rand.sanity.explainer_report import ExplainerReport
from agnostic_rand.sanity.findings import findings_of
from agnostic_rand.sanity.report import SanityReport
from agnostic_rand.sanity.sanity_run import ORDERS, SanityRun
from agnostic_rand.sanity.verdicts import step_verdicts_of, verdicts_of
from agnostic_rand.similarity import MeasureLikes
from agnostic_rand.statistics import DEFAULT_MARGIN, Verdict
from agnostic_rand.subject.progress import ProgressLike
from agnostic_rand.subject.samples import ArrayLike
from agnostic_rand.subject.subject import Subject

LEAST_SAMPLES = 4


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
    batch_size: int | None = 64,
    activation: Activation = None,
    forward: Forward | None = None,
    backend: str | None = None,
    isolation: str | None = None,
    channel_axis: int | None = None,
    wrt_layer: str | None = None,
    explained_input: int | str | None = None,
    progress: ProgressLike = None,
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
        model: As in `Subject`.
        inputs: As in `Subject`; at least four samples.
        targets: As in `Subject`.
        explainers: Names, explainers, functions or bound objects, with distinct names; or a
            dictionary of them by the names that they shall have.
        seed: The root of all randomness; `None` takes a fresh one, which the report records.
        draws: How often each step is drawn; verdicts need two or more.
        blocks: The most steps of a cascade: layers are gathered into so many equal blocks.
        measures: How maps are compared. Verdicts are on the first, a similarity.
        margin: How much above the floor still counts as nothing.
        batch_size: As in `Subject`, like all that follow.
        activation: See `batch_size`.
        forward: See `batch_size`.
        backend: See `batch_size`.
        isolation: See `batch_size`.
        channel_axis: See `batch_size`.
        wrt_layer: See `batch_size`.
        explained_input: See `batch_size`.
        progress: See `batch_size`.

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
    subject = Subject(
        model,
        inputs,
        targets,
        seed=seed,
        batch_size=batch_size,
        activation=activation,
        forward=forward,
        backend=backend,
        isolation=isolation,
        channel_axis=channel_axis,
        wrt_layer=wrt_layer,
        explained_input=explained_input,
        progress=progress,
    )
    if isinstance(explainers, str) or not isinstance(explainers, Mapping | Sequence):
        raise ArgumentError(
            "explainers",
            expected="a list, or a dictionary {name: explainer}",
            received=repr(explainers),
            fix=f"Pass [{explainers!r}].",
        )
    chosen, _ = resolve_explainers(subject, explainers)
    if len(subject.samples) < LEAST_SAMPLES:
        raise InputError(
            "inputs",
            expected=f"at least {LEAST_SAMPLES} samples, to know how scores vary over them",
            received=f"{len(subject.samples)}",
            fix="Pass more samples; 50 or more give narrow intervals.",
        )
    start = time.monotonic()
    run = SanityRun.of(subject, chosen, measures, draws, blocks)
    found = run.evidence()
    measure = run.measures[0]
    top_down = found.cascades["top_down"]
    own = {one.name for one in chosen}
    verdicts: dict[str, Verdict] = {}
    by_step: dict[str, tuple[Verdict, ...]] = {}
    # Controls are a family of their own: nobody asks whether they are sensitive, so they cost no certainty.
    for mine in (True, False):
        family = {name: result for name, result in top_down.items() if (name in own) is mine}
        if family:
            verdicts |= verdicts_of(family, found.floors, measure.name, margin)
            by_step |= step_verdicts_of(family, found.floors, measure.name, margin)
    information = found.information
    reports = tuple(
        ExplainerReport(
            name=name,
            control=name not in own,
            verdict=verdicts[name],
            informative=information[name].outcome if name in information else "unknown",
            floors={one: scores.means for one, scores in found.floors[name].items()},
            cascades={order: found.cascades[order][name] for order in ORDERS},
            random_logit=found.random_logit.get(name),
            faithfulness=found.faithfulness.get(name),
            findings=findings_of(
                top_down[name], measure, found.references[name], by_step[name], information.get(name)
            ),
            by_step=by_step[name],
            information=information.get(name),
            likeness=found.references[name].likeness,
        )
        for name in top_down
    )
    return SanityReport(
        explainers=reports,
        seed=subject.seed,
        settings={
            "draws": draws,
            "blocks": blocks,
            "margin": margin,
            "orders": list(ORDERS),
            "verdict_measure": measure.name,
            **described_measures(run.measures),
            **subject.described(run.explainers),
        },
        versions=subject.versions(),
        seconds=time.monotonic() - start,
        decay=dict(found.decay),
    )
