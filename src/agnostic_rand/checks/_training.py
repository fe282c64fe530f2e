"""Training loop of a plain classifier, written once over the adapters' training steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from agnostic_rand.adapters import HostArray, ModelAdapter, SupportsTraining, require
from agnostic_rand.arguments import real_number, whole_number
from agnostic_rand.errors import ArgumentError, ModelError
from agnostic_rand.weights import Purpose, Streams


@dataclass(frozen=True)
class TrainingHistory:
    """How a training went, one entry an epoch.

    Args:
        loss: The mean cross entropy of each epoch.
        accuracy: The share of right predictions during each epoch, in [0, 1].
    """

    loss: tuple[float, ...]
    accuracy: tuple[float, ...]


@dataclass(frozen=True)
class TrainingOptions:
    """How a classifier is trained.

    Args:
        epochs: The most passes over the data.
        batch_size: The number of samples of one update.
        learning_rate: Adam's.
        stop_at_accuracy: The training accuracy at which training ends early, in (0, 1].

    Raises:
        ArgumentError: An option is out of range.
    """

    epochs: int = 100
    batch_size: int = 50
    learning_rate: float = 1e-3
    stop_at_accuracy: float = 1.0

    def __post_init__(self) -> None:
        whole_number("epochs", self.epochs, least=1, example=100)
        whole_number("batch_size", self.batch_size, least=1, example=50)
        real_number("learning_rate", self.learning_rate, least=0, example=1e-3, above=True)
        if real_number("stop_at_accuracy", self.stop_at_accuracy, least=0, example=0.99, above=True) > 1:
            raise ArgumentError(
                "stop_at_accuracy",
                expected="a share in (0, 1]",
                received=repr(self.stop_at_accuracy),
                fix="Pass for example stop_at_accuracy=0.99.",
            )


EpochCallback: TypeAlias = Callable[[int, TrainingHistory], None]


def train(
    adapter: ModelAdapter,
    inputs: HostArray,
    labels: HostArray,
    options: TrainingOptions,
    streams: Streams,
    *,
    on_epoch: EpochCallback | None = None,
) -> TrainingHistory:
    """Train the adapter's own model in place with Adam on the cross entropy.

    Args:
        adapter: Its model changes.
        inputs: `(n, ...)`.
        labels: Class indices `(n,)`.
        options: How long and how fast.
        streams: Decide the order of samples and the model's own randomness.
        on_epoch: Called after each epoch with its number and the history so far.

    Raises:
        CapabilityError: The adapter cannot train.
        ModelError: The model has a single output.
    """
    instead = "Pass fit=, a function of your own that trains a model."
    capable = require(adapter, SupportsTraining, "training", instead)
    classes = adapter.predict(adapter.asarray(inputs[:1])).shape[-1]
    if classes < 2:
        raise ModelError(
            "the model",
            expected="a classifier of at least two classes, with an output for each",
            received="one of a single output, which no cross entropy trains",
            fix="Give the model two outputs, or pass fit=, a function of your own that trains a model.",
        )
    seed = streams.derived_seed(Purpose.TRAINING)
    step = capable.trainer(learning_rate=options.learning_rate, seed=seed)
    losses: list[float] = []
    accuracies: list[float] = []
    for epoch in range(options.epochs):
        order = streams.generator(Purpose.TRAINING, epoch + 1).permutation(len(inputs))
        loss, correct = 0.0, 0
        for start in range(0, len(order), options.batch_size):
            rows = order[start : start + options.batch_size]
            batch_loss, batch_correct = step(inputs[rows], labels[rows])
            loss += batch_loss * len(rows)
            correct += batch_correct
        losses.append(loss / len(order))
        accuracies.append(correct / len(order))
        history = TrainingHistory(tuple(losses), tuple(accuracies))
        if on_epoch is not None:
            on_epoch(epoch, history)
        if accuracies[-1] >= options.stop_at_accuracy:
            break
    return history
