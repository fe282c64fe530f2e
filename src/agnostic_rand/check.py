"""`sanity_check`: every explainer, every check, controls, floors and verdicts in one call."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand.arguments import real_number, whole_number
from agnostic_rand.check_result import CheckResult
from agnostic_rand.checks.cascade import randomize_and_explain
from agnostic_rand.checks.faithfulness import faithfulness_of
from agnostic_rand.checks.random_logit import random_logit_of
from agnostic_rand.checks.subject import RunOptions, Subject
from agnostic_rand.engine import Progress
from agnostic_rand.errors import InputError
from agnostic_rand.explainers import CONTROLS, Explainer, ExplainerLike, resolve_explainer
from agnostic_rand.explaining import explained_batches
from agnostic_rand.kept_maps import KeptMaps
from agnostic_rand.results import RandomizationResult
from agnostic_rand.samples import ArrayLike
from agnostic_rand.sanity_report import ExplainerReport, Informative, SanityReport
from agnostic_rand.similarity import Measure, MeasureLikes, resolve_measures
from agnostic_rand.statistics import DEFAULT_MARGIN, Floors, Verdict, estimate_mean, judge
from agnostic_rand.targets import outputs_of
from agnostic_rand.weights import CascadingRandomization, Purpose

ORDERS = ("top_down", "bottom_up")
LEAST_SAMPLES = 4

_DEFAULT_OPTIONS = RunOptions()
_FOR_IMAGES = ("spearman", "spearman_abs", "spearman_abs_nonzero", "ssim")
_FOR_OTHERS = ("spearman", "spearman_abs", "spearman_abs_nonzero")


def sanity_check(
    model: Any,
    inputs: ArrayLike,
    targets: ArrayLike = None,
    *,
    explainers: Sequence[ExplainerLike],
    seed: int | None = None,
    draws: int = 3,
    blocks: int = 10,
    measures: MeasureLikes | None = None,
    margin: float = DEFAULT_MARGIN,
    options: RunOptions = _DEFAULT_OPTIONS,
) -> SanityReport:
    """Say which explanations depend on the model, with how much certainty, and whether they tell anything.

    Runs the cascade in both orders, random logit and faithfulness over the explainers and the
    controls (random map, constant, input, edges), which share what they compute.

    Args:
        model: As in `ModelRandomizationMetric`.
        inputs: As in `ModelRandomizationMetric`; at least four samples.
        targets: As in `ModelRandomizationMetric`.
        explainers: Names, explainers, functions or bound objects, with distinct names.
        seed: The root of all randomness; `None` takes a fresh one, which the report records.
        draws: How often each step is drawn.
        blocks: The most steps of a cascade: layers are gathered into so many equal blocks.
        measures: How maps are compared. Verdicts are on the first.
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
    chosen = [options.explainer(explainer) for explainer in explainers]
    subject = Subject.open(model, inputs, targets, replace(options, seed=seed))
    if len(subject.samples) < LEAST_SAMPLES:
        raise InputError(
            "inputs",
            expected=f"at least {LEAST_SAMPLES} samples, to know how scores vary over them",
            received=f"{len(subject.samples)}",
            fix="Pass more samples; 50 or more give narrow intervals.",
        )
    start = time.monotonic()
    run = _Run.of(subject, chosen, measures, draws, blocks)
    estimated = run.estimate()
    cascades, floors = run.cascades()
    logits, faithful = run.random_logit(), run.faithfulness()
    verdicts = run.verdicts(cascades, floors, margin)
    reports = []
    for explainer in run.explainers:
        name = explainer.name
        cascade = {order: cascades[order][name] for order in ORDERS}
        reports.append(
            ExplainerReport(
                name=name,
                control=name not in {one.name for one in chosen},
                verdict=verdicts[name],
                informative=_informative(faithful, name),
                floors=floors[name],
                cascades=cascade,
                random_logit=logits.get(name),
                faithfulness=faithful.get(name),
                findings=_findings(cascade["top_down"], _informative(faithful, name)),
            )
        )
    return SanityReport(
        explainers=tuple(reports),
        seed=subject.streams.seed,
        settings={
            "draws": draws,
            "blocks": blocks,
            "margin": margin,
            "orders": list(ORDERS),
            "verdict_measure": run.measures[0].name,
            **subject.described(run.explainers),
        },
        versions=subject.versions(),
        estimated_seconds=estimated,
        seconds=time.monotonic() - start,
    )


@dataclass(frozen=True)
class _Run:
    subject: Subject
    explainers: tuple[Explainer, ...]
    measures: tuple[Measure, ...]
    draws: int
    blocks: int

    @classmethod
    def of(
        cls,
        subject: Subject,
        chosen: Sequence[Explainer],
        measures: MeasureLikes | None,
        draws: int,
        blocks: int,
    ) -> _Run:
        images = subject.samples.inputs.ndim in (3, 4)
        names = {explainer.name for explainer in chosen}
        fitting = [n for n in CONTROLS if n in ("random_map", "constant_map", "input_map")]
        fitting += ["edge_detector"] if images else []
        controls = [resolve_explainer(name) for name in fitting if name not in names]
        given = measures if measures is not None else _FOR_IMAGES if images else _FOR_OTHERS
        return cls(subject, (*chosen, *controls), resolve_measures(given), draws, blocks)

    def strategy(self, order: Any) -> CascadingRandomization:
        return CascadingRandomization(order=order, groups=self.blocks)

    def estimate(self) -> float:
        """The seconds that the cascades will take, from one explanation of one batch each."""
        subject = self.subject
        rows = min(len(subject.samples), subject.options.batch_size)
        passes = len(subject.samples) / rows
        steps = len(self.strategy("top_down").plan(subject.adapter.layers()).steps)
        started = time.monotonic()
        with subject.working(self.explainers) as working:
            adapter = subject.activated(working)
            targets = subject.fixed_targets(adapter)[:rows]
            inputs, context = subject.samples.inputs[:rows], subject.context()
            for explainer in self.explainers:
                for _ in explained_batches(adapter, explainer, inputs, targets, context, "the trained model"):
                    pass
        once = time.monotonic() - started
        seconds = once * passes * len(ORDERS) * (1 + self.draws * steps)
        if subject.options.progress is not None:
            subject.options.progress(Progress(0, 1, f"about {seconds:.0f} s"))
        return seconds

    def cascades(self) -> tuple[dict[str, dict[str, RandomizationResult]], dict[str, dict[str, Floors]]]:
        found: dict[str, dict[str, RandomizationResult]] = {}
        floors: dict[str, dict[str, Floors]] = {explainer.name: {} for explainer in self.explainers}
        for order in ORDERS:
            strategy = self.strategy(order)
            last = len(strategy.plan(self.subject.adapter.layers()).steps) - 1
            kept = KeptMaps(self.subject.adapter, last)
            results = randomize_and_explain(
                self.subject,
                self.explainers,
                strategy,
                draws=self.draws,
                measures=self.measures,
                observe=kept.observe if order == "top_down" else None,
            )
            found[order] = {result.explainer: result for result in results}
            if order != "top_down":
                continue
            for result in results:
                for measure in self.measures:
                    rng = self.subject.streams.generator(Purpose.FLOOR)
                    ceiling = result.self_similarity[measure.name]
                    floors[result.explainer][measure.name] = kept.floors(
                        result.explainer, measure, self.draws, ceiling, rng
                    )
        return found, floors

    def random_logit(self) -> dict[str, CheckResult]:
        if self._classes() < 2:
            return {}
        return {e.name: random_logit_of(self.subject, e, "one", self.measures[:1]) for e in self.explainers}

    def faithfulness(self) -> dict[str, CheckResult]:
        if self._classes() < 2 or self.subject.samples.inputs.ndim not in (3, 4):
            return {}
        return {e.name: faithfulness_of(self.subject, e) for e in self.explainers}

    def verdicts(
        self,
        cascades: dict[str, dict[str, RandomizationResult]],
        floors: dict[str, dict[str, Floors]],
        margin: float,
    ) -> dict[str, Verdict]:
        measure = self.measures[0].name
        names = [explainer.name for explainer in self.explainers]
        estimates = [estimate_mean(cascades["top_down"][name].scores[measure][:, -1]) for name in names]
        found = judge(estimates, [floors[name][measure] for name in names], margin=margin)
        return dict(zip(names, found, strict=True))

    def _classes(self) -> int:
        adapter = self.subject.adapter
        return int(outputs_of(adapter, adapter.asarray(self.subject.samples.inputs[:1])).shape[1])


def _informative(faithful: dict[str, CheckResult], name: str) -> Informative:
    """Whether the class's probability falls faster than where the random control points at."""
    if name not in faithful or "random_map" not in faithful:
        return "unknown"
    if name == "random_map":
        return "uninformative"
    own, noise = (_mean_probability(faithful[key]) for key in (name, "random_map"))
    low, high = estimate_mean((own - noise)[None]).interval()
    if np.isnan(low):
        return "unknown"
    return "informative" if high < 0 else "uninformative"


def _mean_probability(result: CheckResult) -> HostArray:
    probabilities: HostArray = result.scores["probability"].mean(axis=0)
    return probabilities


def _findings(result: RandomizationResult, informative: Informative) -> tuple[str, ...]:
    findings = list(result.findings)
    if {"spearman", "spearman_abs", "spearman_abs_nonzero"} <= set(result.scores):
        signed, absolute, masked = (
            float(result.mean(name)[-1]) for name in ("spearman", "spearman_abs", "spearman_abs_nonzero")
        )
        if absolute - abs(signed) > 0.3 and absolute - masked > 0.2:
            findings.append(
                f"Absolute maps agree ({absolute:.2f}) where signed ones do not ({signed:.2f}): both are zero at "
                f"the same pixels. Over the other pixels absolute maps score {masked:.2f}."
            )
    if informative == "uninformative":
        findings.append("Blurring where it points at lowers the output no more than blurring where noise does.")
    return tuple(findings)
