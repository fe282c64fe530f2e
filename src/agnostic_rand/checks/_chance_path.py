"""Path from the trained model to one that only guesses, by noise on all weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from agnostic_rand.adapters import Array, HostArray, ModelAdapter
from agnostic_rand.checks._probabilities import SOFTMAX, with_probabilities
from agnostic_rand.checks._retraining import accuracy_of
from agnostic_rand.errors import InputError
from agnostic_rand.explainers import Explainer
from agnostic_rand.passes.explained_batches import explained_batches
from agnostic_rand.similarity import Measure
from agnostic_rand.subject.subject import Subject
from agnostic_rand.subject.targets import frozen_targets, output_batches
from agnostic_rand.weights import FullRandomization, GaussianNoise, MultiplicativeNoise, Perturbation

NOISES: dict[str, Callable[[float], Perturbation]] = {
    "multiplicative": MultiplicativeNoise,
    "gaussian_relative": lambda level: GaussianNoise(level, relative=True),
}
"""By name, the noise of a level."""

_MOST_DOUBLINGS = 20


@dataclass(frozen=True)
class ChancePath:
    """One explainer on the way to chance.

    Args:
        subject: The model and the data.
        explainer: The method.
        measure: A similarity.
        noise: One of `NOISES`.
        draws: How often noise is drawn; a draw is the same at every level but for its size.
    """

    subject: Subject
    explainer: Explainer
    measure: Measure
    noise: str
    draws: int

    def to_chance(self, labels: HostArray) -> tuple[float, dict[str, float]]:
        """The level at which the model guesses, and the accuracies that were seen on the way.

        Raises:
            InputError: The model is at chance already, or no noise takes it there.
        """
        subject = self.subject
        size = subject.batch_size
        samples = subject.samples
        accuracies: dict[str, float] = {}
        classes = subject.classes
        chance = 1 / classes
        # So few samples show no more of a model that guesses.
        twice_standard_error = 2 * math.sqrt(chance * (1 - chance) / len(labels))
        bound = chance + max(0.1 * chance, 0.01, twice_standard_error)
        first = accuracy_of(subject.adapter, samples, labels, size)
        accuracies["0"] = first
        if first <= bound:
            raise InputError(
                "the model",
                expected=f"an accuracy above {bound:.3f} on the inputs, from which noise can take it",
                received=f"{first:.3f}",
                fix="Pass a trained model, and the labels of the inputs.",
            )
        level = 0.1
        for _ in range(_MOST_DOUBLINGS):
            seen = [accuracy_of(model, samples, labels, size) for model in self._states(level)]
            accuracies[f"{level:g}"] = float(np.mean(seen))
            if accuracies[f"{level:g}"] <= bound:
                return level, accuracies
            level *= 2
        raise InputError(
            "the inputs and labels",
            expected=f"an accuracy of at most {bound:.3f} under some noise",
            received=f"{min(accuracies.values()):.3f} under noise of up to {level / 2:g}",
            fix="Pass more samples, with all classes about equally often.",
        )

    def probability(self) -> str:
        """How the trained model's outputs are made probabilities, in words."""
        return with_probabilities(self.subject)[1]

    def changes(self, levels: tuple[float, ...]) -> tuple[HostArray, HostArray]:
        """By level, draw and sample, the changes of the probabilities and of the maps."""
        subject = self.subject
        targets = frozen_targets(subject.adapter, subject.samples, subject.batch_size)
        # Decided on the trained model: a noisy one that ends in a softmax still does.
        softmax = self.probability() == SOFTMAX
        trained = _probabilities(subject.adapter, subject, softmax)
        with subject.working([self.explainer]) as working:
            base = [self.measure.prepare(maps) for _, maps in self._maps(working, targets, draw=-1, step=-1)]
        shape = len(levels), self.draws, len(targets)
        outputs, changes = np.full(shape, np.nan), np.full(shape, np.nan)
        for number, level in enumerate(levels):
            for draw, model in enumerate(self._states(level)):
                outputs[number, draw] = np.linalg.norm(_probabilities(model, subject, softmax) - trained, axis=1)
                pairs = zip(base, self._maps(model, targets, draw=draw, step=number), strict=True)
                for prepared, (rows, maps) in pairs:
                    changes[number, draw, rows] = 1 - model.to_numpy(self.measure.compare(prepared, maps))
        return outputs, changes

    def _states(self, level: float) -> Iterator[ModelAdapter]:
        """The model under noise of a level, draw by draw; the same noise at every level but for its size."""
        strategy = FullRandomization(perturbation=NOISES[self.noise](level))
        plan = strategy.plan(self.subject.adapter.layers())
        subject = self.subject
        with subject.working([self.explainer]) as working, subject.randomizer(working, plan) as randomizer:
            for draw in range(self.draws):
                randomizer.apply(draw=draw, step=0)
                yield working
            randomizer.verify()
            randomizer.restore()

    def _maps(
        self, model: ModelAdapter, targets: HostArray, *, draw: int, step: int
    ) -> Iterator[tuple[slice, Array]]:
        context = replace(self.subject.context(), draw=draw, step=step)
        adapter, place = self.subject.activated(model), f"noise level {step + 1}, draw {draw}"
        for batch in explained_batches(adapter, self.explainer, self.subject.samples, targets, context, place):
            yield batch.rows, self.measure.form.apply(batch.maps, batch.channel_axis)


def _probabilities(adapter: ModelAdapter, subject: Subject, softmax: bool) -> HostArray:
    # SciPy takes longer to import than this library: not before it is needed.
    from scipy import special

    # In double precision: small changes of a confident model would be lost.
    batches = output_batches(adapter, subject.samples, subject.batch_size)
    outputs = np.concatenate([adapter.to_numpy(part) for part in batches]).astype(np.float64)
    probabilities: HostArray = special.softmax(outputs, axis=1) if softmax else outputs
    return probabilities
