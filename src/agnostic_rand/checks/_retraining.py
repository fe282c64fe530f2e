"""Retraining of the same architecture: by the adapter or by a user's function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np

from agnostic_rand.adapters import HostArray, ModelAdapter, adapt
from agnostic_rand.checks._training import TrainingHistory, TrainingOptions, train
from agnostic_rand.errors import ArgumentError, BackendError, CapabilityError
from agnostic_rand.subject.samples import Samples
from agnostic_rand.subject.subject import Subject
from agnostic_rand.subject.targets import frozen_targets
from agnostic_rand.weights import FullRandomization, Purpose, Randomizer, Streams, independent_copy

Fit: TypeAlias = Callable[[Any, Any, HostArray], Any]
"""`fit(model, inputs, labels) -> trained model`, or `-> (trained model, history)`. `model` is a
re-initialized copy, `inputs` an array or all inputs of a model of several, and a history a mapping
of lists such as `{"loss": [...], "accuracy": [...]}`."""


@dataclass(frozen=True)
class Retrained:
    """A model that was trained again.

    Args:
        adapter: The model.
        accuracy: On its training data, in [0, 1].
        history: Lists by what they are of; `None` where a user's function gave none.
    """

    adapter: ModelAdapter
    accuracy: float
    history: dict[str, list[float]] | None


def fresh_copy(subject: Subject, working: ModelAdapter) -> tuple[ModelAdapter, Streams]:
    """A copy with weights as before training, the same in every call, and the streams of its training."""
    copy = independent_copy(working, subject.example())
    plan = FullRandomization().plan(copy.layers())
    # Other weights than the cascade's: a training starts from a draw of its own.
    streams = Streams(subject.streams.derived_seed(Purpose.TRAINING, 0, 2))
    Randomizer(copy, plan, streams, trained=subject.adapter).apply(draw=0, step=0)
    return copy, streams


def retrained(
    subject: Subject,
    copy: ModelAdapter,
    samples: Samples,
    labels: HostArray,
    fit: Fit | None,
    options: TrainingOptions,
    streams: Streams,
) -> Retrained:
    """The copy, trained on these data.

    Raises:
        ArgumentError: `fit` returned no model, or a model of another framework.
        CapabilityError: The adapter cannot train and there is no `fit`.
    """
    history: dict[str, list[float]] | None
    if fit is None:
        _refuse_several(samples)
        history = _plain(asdict(train(copy, samples.inputs, labels, options, streams)))
        other = copy
    else:
        other, history = _fitted(subject, copy, samples, labels, fit)
    return Retrained(other, accuracy_of(other, samples, labels, subject.batch_size), history)


def _refuse_several(samples: Samples) -> None:
    if samples.side is not None:
        raise CapabilityError(
            "training",
            expected="a model of one input",
            received="a model of several inputs",
            fix="Pass fit=, a function of your own that trains the model.",
        )


def accuracy_of(adapter: ModelAdapter, samples: Samples, labels: HostArray, batch_size: int) -> float:
    """The share of right predictions, in [0, 1]."""
    right = frozen_targets(adapter, samples, batch_size) == labels
    return float(right.mean())


def _fitted(
    subject: Subject, copy: ModelAdapter, samples: Samples, labels: HostArray, fit: Fit
) -> tuple[ModelAdapter, dict[str, list[float]] | None]:
    returned = fit(copy.native, samples.all_inputs, labels)
    history = None
    if isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], Mapping | TrainingHistory):
        returned, given = returned
        history = _plain(asdict(given) if isinstance(given, TrainingHistory) else given)
    try:
        example = subject.samples[: subject.probed.count].all_inputs
        other = adapt(returned, backend=subject.backend, example_inputs=example, forward=subject.forward)
    except BackendError as error:
        raise _no_model(subject, f"{type(returned).__name__}") from error
    if other.framework != subject.adapter.framework:
        raise _no_model(subject, f"a {other.framework!r} model")
    return other, history


def _no_model(subject: Subject, received: str) -> ArgumentError:
    return ArgumentError(
        "fit",
        expected=f"a function that returns a {subject.adapter.framework!r} model, or a pair of it and its history",
        received=received,
        fix="Return the model that was given, trained.",
    )


def _plain(history: Mapping[str, Sequence[Any]]) -> dict[str, list[float]]:
    return {str(name): [float(value) for value in np.asarray(values)] for name, values in history.items()}
