"""Run of a sanity check: which checks each explainer goes through, from one pass over one subject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from agnostic_rand.adapters import HostArray
from agnostic_rand.checks.check import PassCheck
from agnostic_rand.checks.faithfulness import Faithfulness
from agnostic_rand.checks.model_decay import ModelDecay
from agnostic_rand.checks.model_randomization import ModelRandomization
from agnostic_rand.checks.random_logit import RandomLogit
from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers import CONTROLS, Explainer, RandomMap, resolve_explainer
from agnostic_rand.passes.needs import Found, Look, Needs, Variant
from agnostic_rand.passes.run import run
from agnostic_rand.results.scores import Scores
from agnostic_rand.sanity.kept_maps import KeptMaps
from agnostic_rand.sanity.references import References, explained_again, references_of
from agnostic_rand.similarity import Measure, MeasureLikes, resolve_measures
from agnostic_rand.statistics import FloorScores, Information, estimate_mean, judge_information
from agnostic_rand.subject.subject import Subject
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

    def evidence(self) -> Evidence:
        """All scores, from one pass.

        Raises:
            AgnosticRandError: An explainer, its maps or a random model cannot be used.
        """
        subject = self.subject
        cascades = {order: self._cascade(order) for order in ORDERS}
        decays = {order: ModelDecay(cascades[order].strategy, self.draws) for order in ORDERS}
        logit = RandomLogit(measures=self.measures[:1]) if subject.classes > 1 else None
        faithfulness = Faithfulness() if subject.classes > 1 and _are_images(subject) else None
        checks: list[PassCheck] = [*cascades.values(), *decays.values()]
        checks += [one for one in (logit, faithfulness) if one is not None]
        last = len(CascadingRandomization(groups=self.blocks).plan(subject.adapter.layers()).steps) - 1
        kept = KeptMaps(subject.adapter, last)
        needs = [check.needs(subject, self.explainers) for check in checks]
        needs[0] = replace(needs[0], walks=(replace(needs[0].walks[0], observe=kept.observe),))
        needs.append(Needs(looks=(explained_again(self.explainers, self.measures),)))
        needs.append(Needs() if faithfulness is None else self._noise(faithfulness))
        found = _shared(subject, needs)
        read = {
            id(check): check.read(subject, self.explainers, part)
            for check, part in zip(checks, found, strict=False)
        }
        by_name = {key: {one.explainer: one for one in results} for key, results in read.items()}
        names = {explainer.name for explainer in self.explainers}
        copiers = [name for name in ("input_map", "edge_detector") if name in names]
        references = references_of(found[-2].looks[0], kept, copiers, self.measures[0])
        faithful = {} if faithfulness is None else by_name[id(faithfulness)]
        noise = [look[RandomMap.name]["probability"].mean(axis=0) for look in found[-1].looks]
        return Evidence(
            cascades={order: by_name[id(check)] for order, check in cascades.items()},
            decay={order: read[id(check)][0] for order, check in decays.items()},
            random_logit={} if logit is None else by_name[id(logit)],
            faithfulness=faithful,
            information=self._information(faithful, noise),
            references=references,
            floors=self._floors(kept, references),
        )

    def _cascade(self, order: Order) -> ModelRandomization:
        strategy = CascadingRandomization(order=order, groups=self.blocks)
        return ModelRandomization(strategy, self.draws, self.measures)

    def _noise(self, faithfulness: Faithfulness) -> Needs:
        """Noise of its own, so that the control is compared as every explainer is."""
        curve = faithfulness.curve(self.subject)
        return Needs(looks=tuple(Look((RandomMap(),), curve, (Variant(draw=number),)) for number in range(_NOISES)))

    def _floors(self, kept: KeptMaps, references: Mapping[str, References]) -> dict[str, dict[str, FloorScores]]:
        found: dict[str, dict[str, FloorScores]] = {}
        for name, reference in references.items():
            for measure in self.measures:
                rng = self.subject.streams.generator(Purpose.FLOOR)
                ceiling = reference.again[measure.name]
                floors = kept.floors(name, measure, self.draws, ceiling, rng)
                found.setdefault(name, {})[measure.name] = floors
        return found

    def _information(self, faithful: Mapping[str, Scores], noise: Sequence[HostArray]) -> dict[str, Information]:
        if not faithful:
            return {}
        left = sum(noise[1:], noise[0]) / len(noise)
        curves = [result.scores["probability"].mean(axis=0) for result in faithful.values()]
        differences = [estimate_mean((curve - left)[None]) for curve in curves]
        gain = LEAST_GAIN * float(left.mean())
        # The user's explainers and the controls, each a family of its own, as for verdicts.
        own = len(faithful) - self.controls
        judged = (
            *judge_information(differences[:own], gain=gain),
            *judge_information(differences[own:], gain=gain),
        )
        return dict(zip(faithful, judged, strict=True))


@dataclass(frozen=True)
class Evidence:
    """All that was found about every explainer.

    Args:
        cascades: By order and explainer.
        decay: By order, the model's accuracy and outputs at each step.
        random_logit: By explainer; empty for a model with one output.
        faithfulness: By explainer; empty where there are no images or classes.
        information: By explainer, what faithfulness says.
        references: By explainer, its own noise and its likeness to what copies the input.
        floors: By explainer and measure.
    """

    cascades: Mapping[Order, Mapping[str, Scores]]
    decay: Mapping[str, Scores]
    random_logit: Mapping[str, Scores]
    faithfulness: Mapping[str, Scores]
    information: Mapping[str, Information]
    references: Mapping[str, References]
    floors: Mapping[str, Mapping[str, FloorScores]]


def _shared(subject: Subject, needs: Sequence[Needs]) -> list[Found]:
    """What was found for each of several needs, from one pass."""
    before = [Needs()]
    for one in needs:
        before.append(before[-1] + one)
    found = run(subject, before[-1])
    return [found.part(one, after) for one, after in zip(needs, before, strict=False)]


def _are_images(subject: Subject) -> bool:
    # Three dimensions may be sequences with channels.
    return subject.samples.inputs.ndim == 4
