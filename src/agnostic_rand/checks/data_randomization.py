"""Data randomization: do explanations change when the model learned permuted labels instead?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from agnostic_rand.adapters import HostArray, ModelAdapter
from agnostic_rand.arguments import real_number
from agnostic_rand.checks._pairs import compared_models
from agnostic_rand.checks._retraining import Fit, Retrained, accuracy_of, fresh_copy, retrained
from agnostic_rand.checks._training import TrainingOptions
from agnostic_rand.checks.check import Check
from agnostic_rand.checks.measures import described_measures, fitting_measures
from agnostic_rand.errors import ArgumentError, InputError
from agnostic_rand.explainers import Explainer, bound_model
from agnostic_rand.results.scores import Notes, Scores
from agnostic_rand.similarity import MeasureLikes, resolve_measures
from agnostic_rand.subject.samples import ArrayLike, Samples, read_samples
from agnostic_rand.subject.subject import Subject
from agnostic_rand.subject.targets import check_labels
from agnostic_rand.weights import Purpose

_DEFAULT_TRAINING = TrainingOptions()


@dataclass(frozen=True)
class DataRandomization(Check):
    """How alike the maps of the model and of one that learned permuted labels are; lower depends more.

    A copy with fresh weights is trained on the same inputs with their labels permuted once, until it
    has memorized them; it is refused where it has not, because then nothing can be compared. The
    same fresh weights are trained on the true labels too: what two trainings alike have in common is
    the ceiling of the score. The subject's model is the one that was trained on the true labels. It cannot tell
    whether a map is right.

    Args:
        train_inputs: The training set `(m, ...)`.
        train_labels: Its true labels `(m,)`.
        fit: Your own training function `fit(model, inputs, labels)`, which returns the trained model,
            or a pair of it and its history `{"loss": [...], "accuracy": [...]}`; by default the
            library's training (Adam, cross entropy).
        training: How the library's is run.
        least_accuracy: What the accuracy on the permuted labels must reach, in [0, 1].
        ceiling: Whether the fresh weights are trained on the true labels too.
        measures: How maps are compared.

    Raises:
        ArgumentError: `least_accuracy` is not in [0, 1], or `measures` are none.

    Source: Adebayo et al. 2018, section 5.2; the accuracy of 95 % is the paper's.
    """

    name: ClassVar[str] = "data_randomization"
    question: ClassVar[str] = "Do explanations change when the model learned permuted labels instead?"
    meaning: ClassVar[str] = (
        "a high score under permuted labels says that the map hardly depends on what was learned"
    )
    cannot_say: ClassVar[str] = "whether a map is right"

    train_inputs: ArrayLike
    train_labels: ArrayLike
    fit: Fit | None = None
    training: TrainingOptions = _DEFAULT_TRAINING
    least_accuracy: float = 0.95
    ceiling: bool = True
    measures: MeasureLikes = ("spearman", "spearman_abs")

    def __post_init__(self) -> None:
        if real_number("least_accuracy", self.least_accuracy, least=0, example=0.95) > 1:
            raise ArgumentError(
                "least_accuracy",
                expected="a share in [0, 1]",
                received=repr(self.least_accuracy),
                fix="Pass for example least_accuracy=0.95.",
            )
        resolve_measures(self.measures)

    def results(self, subject: Subject, explainers: Sequence[Explainer]) -> tuple[Scores, ...]:
        """The scores by labels (`"permuted"`, `"true"`: the ceiling) and sample; the models are trained once.

        The accuracies and histories of both trainings are in `settings`.

        Raises:
            ArgumentError: An explainer is bound to a model.
            InputError: There are no training labels, or the permuted ones were not memorized.
            CapabilityError: The adapter cannot train and there is no `fit`.
            AgnosticRandError: The model, the data or the explainer cannot be used.
        """
        for one in explainers:
            if bound_model(one) is not None:
                raise ArgumentError(
                    f"the explainer {one.name!r}",
                    expected="an explainer that takes any model",
                    received="an object that is bound to one",
                    fix="Pass a function f(model, inputs, targets) that builds the object.",
                )
        measures, left_out = fitting_measures(self.measures, subject.samples.inputs)
        data, true = self._training_data(subject)
        permuted = subject.streams.generator(Purpose.TRAINING, 0, 1).permutation(true)
        with subject.working([], foreign=True) as working:
            others = {"permuted": self._trained(subject, working, data, permuted)}
            self._refuse_unlearned(others["permuted"].accuracy)
            if self.ceiling:
                others["true"] = self._trained(subject, working, data, true)
            settings = {
                "permuted_label_accuracy": others["permuted"].accuracy,
                "permuted_test_accuracy": _test_accuracy(subject, others["permuted"].adapter),
                "true_label_accuracy": accuracy_of(subject.adapter, data, true, subject.batch_size),
                "histories": {labels: other.history for labels, other in others.items()},
                "retrained_accuracies": {labels: other.accuracy for labels, other in others.items()},
                "labels_changed": float(np.mean(permuted != true)),
                **described_measures(measures),
                **subject.described([]),
            }
            found = [
                [
                    compared_models(subject, subject.adapter, other.adapter, one, measures)
                    for other in others.values()
                ]
                for one in explainers
            ]
        return tuple(
            Scores(
                check=self.name,
                notes={one.name: Notes(left_out)},
                dimensions={"labels": tuple(others), "sample": tuple(range(len(subject.samples)))},
                scores={m.name: np.stack([part[m.name] for part in parts]) for m in measures},
                meaning=self.meaning,
                seed=subject.seed,
                settings=settings,
                versions=subject.versions(),
            )
            for one, parts in zip(explainers, found, strict=True)
        )

    def _trained(self, subject: Subject, working: ModelAdapter, data: Samples, labels: HostArray) -> Retrained:
        # Both trainings start from the same weights and see the samples in the same order.
        copy, streams = fresh_copy(subject, working)
        return retrained(subject, copy, data, labels, self.fit, self.training, streams)

    def _training_data(self, subject: Subject) -> tuple[Samples, HostArray]:
        data: Samples = read_samples(self.train_inputs, self.train_labels, subject.adapter, subject.explained_input)
        if data.targets is None:
            raise InputError(
                "train_labels",
                expected="a label for each training input",
                received="none",
                fix="Pass the labels that the model was trained on.",
            )
        check_labels(data.targets, subject.classes)
        if len(np.unique(data.targets)) < 2:
            raise InputError(
                "train_labels",
                expected="at least two classes, so that permuting labels changes them",
                received="a single class",
                fix="Pass training data of all classes.",
            )
        return data, data.targets

    def _refuse_unlearned(self, accuracy: float) -> None:
        if accuracy < self.least_accuracy:
            raise InputError(
                "the training on permuted labels",
                expected=f"an accuracy of at least {self.least_accuracy:.2f} on them, so that they are learned",
                received=f"{accuracy:.3f}",
                fix="Train longer (training=TrainingOptions(epochs=...)), on fewer samples, or a larger model.",
            )


def _test_accuracy(subject: Subject, other: ModelAdapter) -> float | None:
    """The accuracy on what is explained, which is about chance after permuted labels; `None` without labels."""
    labels = subject.samples.targets
    if labels is None:
        return None
    return accuracy_of(other, subject.samples, labels, subject.batch_size)
