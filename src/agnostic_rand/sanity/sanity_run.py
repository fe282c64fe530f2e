"""The parts of a sanity check: what each explainer goes through, over one subject."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand.checks._cascade import randomize_and_explain
from agnostic_rand.checks.faithfulness import FAITHFULNESS_STEPS, faithfulness_of
from agnostic_rand.checks.model_decay import model_decay_of
from agnostic_rand.checks.random_logit import random_logit_of
from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers import CONTROLS, Explainer, RandomMap, resolve_explainer
from agnostic_rand.passes.explained_batches import explained_batches
from agnostic_rand.passes.kept_maps import KeptMaps
from agnostic_rand.results.check_result import CheckResult
from agnostic_rand.results.randomization_result import RandomizationResult
from agnostic_rand.sanity.references import References, references_of
from agnostic_rand.similarity import Measure, MeasureLikes, resolve_measures
from agnostic_rand.statistics import FloorScores, Information, estimate_mean, judge_information
from agnostic_rand.subject.progress import Progress
from agnostic_rand.subject.subject import Subject
from agnostic_rand.subject.targets import output_batches
from agnostic_rand.weights import CascadingRandomization, Purpose

Order: TypeAlias = Literal["top_down", "bottom_up"]

ORDERS: tuple[Order, ...] = ("top_down", "bottom_up")

_FOR_IMAGES = ("spearman", "spearman_abs", "spearman_abs_nonzero", "ssim")
_FOR_OTHERS = ("spearman", "spearman_abs", "spearman_abs_nonzero")
_NOISES = 3

LEAST_GAIN = 0.02
"""How much lower, as a share of the probability that noise leaves, blurring must get it to matter. Guided
backprop gains three percent on digits, ten on CIFAR-10 with a ResNet-20, and fourteen on MNIST with a LeNet."""


@dataclass(frozen=True)
class SanityRun:
    """One subject, all explainers and controls, and how they are compared.

    Args:
        subject: The model and the data.
        explainers: The user's, then the controls that are not among them.
        measures: Verdicts are on the first, a similarity.
        draws: How often each step is drawn.
        blocks: The most steps of a cascade.
        controls: How many of the explainers, the last, are controls that the user did not ask for.
    """

    subject: Subject
    explainers: tuple[Explainer, ...]
    measures: tuple[Measure, ...]
    draws: int
    blocks: int
    controls: int

    @classmethod
    def of(
        cls,
        subject: Subject,
        chosen: Sequence[Explainer],
        measures: MeasureLikes | None,
        draws: int,
        blocks: int,
    ) -> SanityRun:
        """The run on a subject, with the controls that fit it.

        Raises:
            ArgumentError: The first measure is a distance, or there is none.
        """
        images = _are_images(subject)
        names = {explainer.name for explainer in chosen}
        fitting = [n for n in CONTROLS if n in ("random_map", "constant_map", "input_map")]
        fitting += ["edge_detector"] if images else []
        controls = [resolve_explainer(name) for name in fitting if name not in names]
        given = measures if measures is not None else _FOR_IMAGES if images else _FOR_OTHERS
        resolved = resolve_measures(given)
        if resolved[0].distance:
            raise ArgumentError(
                "measures",
                expected="a similarity first, on which verdicts are given",
                received=f"{resolved[0].name!r}, whose larger scores mean less alike",
                fix="Put for example 'spearman' before it.",
            )
        return cls(subject, (*chosen, *controls), resolved, draws, blocks, len(controls))

    def strategy(self, order: Order) -> CascadingRandomization:
        """The cascade in one order."""
        return CascadingRandomization(order=order, groups=self.blocks)

    def estimate(self) -> float:
        """The seconds that all will take, from one batch, explained once by each explainer and compared."""
        subject = self.subject
        rows = min(len(subject.samples), subject.batch_size)
        passes = len(subject.samples) / rows
        steps = len(self.strategy("top_down").plan(subject.adapter.layers()).steps)
        started = time.monotonic()
        with subject.working(self.explainers) as working:
            adapter = subject.activated(working)
            targets = subject.fixed_targets(adapter)[:rows]
            samples, context = subject.samples[:rows], subject.context()
            for explainer in self.explainers:
                for batch in explained_batches(adapter, explainer, samples, targets, context, "the trained model"):
                    for measure in self.measures:
                        maps = measure.form.apply(batch.maps, batch.channel_axis)
                        measure.compare(measure.prepare(maps), maps)
            once = (time.monotonic() - started) * passes
            started = time.monotonic()
            list(output_batches(working, samples, rows))
            forward = (time.monotonic() - started) * passes
        # Both cascades; random logit, faithfulness and references explain five times more.
        seconds = once * (len(ORDERS) * (1 + self.draws * steps) + 5)
        if _are_images(subject):
            seconds += forward * FAITHFULNESS_STEPS * (len(self.explainers) + _NOISES)
        if subject.options.progress is not None:
            subject.options.progress(Progress(0, 1, f"about {seconds:.0f} s"))
        return seconds

    def references(self) -> dict[str, References]:
        """By explainer, its own noise and its likeness to what copies the input."""
        names = {explainer.name for explainer in self.explainers}
        copiers = [name for name in ("input_map", "edge_detector") if name in names]
        return references_of(self.subject, self.explainers, copiers, self.measures)

    def cascades(
        self, references: dict[str, References]
    ) -> tuple[dict[str, dict[str, RandomizationResult]], dict[str, dict[str, FloorScores]]]:
        """By order and explainer, the scores; by explainer and measure, the floors."""
        found: dict[str, dict[str, RandomizationResult]] = {}
        floors: dict[str, dict[str, FloorScores]] = {explainer.name: {} for explainer in self.explainers}
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
                    ceiling = references[result.explainer].again[measure.name]
                    floors[result.explainer][measure.name] = kept.floors(
                        result.explainer, measure, self.draws, ceiling, rng
                    )
        return found, floors

    def decay(self) -> dict[str, CheckResult]:
        """By order, the model's accuracy and outputs at each step of the cascade."""
        return {order: model_decay_of(self.subject, self.strategy(order), self.draws) for order in ORDERS}

    def random_logit(self) -> dict[str, CheckResult]:
        """By explainer; empty for a model with one output."""
        if self._classes() < 2:
            return {}
        return {e.name: random_logit_of(self.subject, e, "one", self.measures[:1]) for e in self.explainers}

    def faithfulness(self) -> tuple[dict[str, CheckResult], dict[str, Information]]:
        """By explainer, the probabilities and what they say; empty where there are no images or classes."""
        if self._classes() < 2 or not _are_images(self.subject):
            return {}, {}
        found = {e.name: faithfulness_of(self.subject, e) for e in self.explainers}
        # Noise of its own, so that the control is compared as every explainer is.
        noise = np.mean(
            [_curve_mean(faithfulness_of(self.subject, RandomMap(), noise=k)) for k in range(_NOISES)], axis=0
        )
        differences = [estimate_mean((_curve_mean(result) - noise)[None]) for result in found.values()]
        gain = LEAST_GAIN * float(noise.mean())
        # The user's explainers and the controls, each a family of its own, as for verdicts.
        own = len(found) - self.controls
        judged = (
            *judge_information(differences[:own], gain=gain),
            *judge_information(differences[own:], gain=gain),
        )
        return found, dict(zip(found, judged, strict=True))

    def _classes(self) -> int:
        return self.subject.classes


def _are_images(subject: Subject) -> bool:
    # Three dimensions may be sequences with channels.
    return subject.samples.inputs.ndim == 4


def _curve_mean(result: CheckResult) -> HostArray:
    probabilities: HostArray = result.scores["probability"].mean(axis=0)
    return probabilities
