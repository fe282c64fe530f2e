"""Case of a plugin's author: a small model, and what the framework itself says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agnostic_rand.adapters import Forward, HostArray, ModelAdapter, OpenRequest
from agnostic_rand.errors import ArgumentError
from agnostic_rand.testing.relu_forms import Rectified

LEAST_SAMPLES = 4


@dataclass(frozen=True)
class Native:
    """How the framework itself sees a model, without the adapter: one object serves all cases.

    Each that is given lets the kit compare the adapter with the truth; each that is left out
    skips the checks that need it, and the kit says so.

    Args:
        outputs: `outputs(model, inputs) -> (n, classes)`, both on the host: the model called as its
            users call it for evaluation. It leaves the model's modes as they are.
        parameters: `parameters(model) -> arrays`: host copies of all that gradient descent
            learns, tied ones once.
        flags: `flags(model) -> value`: whatever a call must leave as it is, comparable with
            `==`: training modes, what requires gradients, accumulated gradients, hooks.
        draw: `draw() -> array`: a number from the framework's global random generator, by which
            the kit sees whether anything moved it.
        disturb: `disturb(model)`: changes what `flags` sees, as careless foreign code does.
    """

    outputs: Callable[[Any, HostArray], HostArray] | None = None
    parameters: Callable[[Any], Iterable[HostArray]] | None = None
    flags: Callable[[Any], Any] | None = None
    draw: Callable[[], Any] | None = None
    disturb: Callable[[Any], None] | None = None


@dataclass(frozen=True)
class Facts:
    """What is known of one model; each that is left out skips the checks that need it.

    Args:
        order: The names of all layers in the order of their first use in a forward pass.
        unused: By `"layer/parameter"`, all parameters on which no output depends.
        parameter_count: The number of elements of all parameters, tied ones counted once.
        axes: By `"layer/parameter"`, the axes that the adapter must name.
        tied: `tied(model) -> arrays`: host copies of arrays that are one parameter (transposed
            where the model uses it transposed), which must stay equal.
        dense_relu: Whether the model is nothing but dense layers with a ReLU between each two,
            on inputs that are flattened first. The kit then computes outputs, gradients, ReLU
            rules and losses itself, in float64, and compares.
        times: `times(model, (inputs, factors)) -> (n, classes)`: the model as one of two inputs, its
            outputs on the first multiplied by the second `(n, 1)`. Passed as `forward`.
        bound: `bound() -> model`: a model with a function that is bound to one of its own layers, as a
            closure is, so that a copy of the model would compute with the original.
        rectified: With `dense_relu`, the case's model with one ReLU in each form of `RELU_FORMS` that
            the framework can write.
    """

    order: tuple[str, ...] | None = None
    unused: tuple[str, ...] | None = None
    parameter_count: int | None = None
    axes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tied: Callable[[Any], Iterable[HostArray]] | None = None
    dense_relu: bool = False
    times: Forward | None = None
    bound: Callable[[], Any] | None = None
    rectified: tuple[Rectified, ...] = ()


@dataclass(frozen=True)
class Case:
    """One small model, and data that it takes.

    Where the framework has a training mode, leave some models in it and one in evaluation mode: the
    kit then sees whether the adapter evaluates in evaluation mode, and gives each model back in
    its own.

    Args:
        name: Names the case in reports.
        model: The framework's model, new at each call of the function that makes the cases.
        inputs: A batch `(n, ...)` of at least 4 samples; 8 or so.
        labels: The class of each sample `(n,)`; by default the classes in turn.
        forward: As in `agnostic_rand.adapt`.
        backend: As in `agnostic_rand.adapt`.
        open: `open(model, request) -> adapter`, to test an adapter whose plugin is not installed;
            by default the installed plugin that claims the model.
        facts: What is known of the model.
        native: How the framework itself sees it.

    Raises:
        ArgumentError: There are fewer than 4 samples, or as many labels as samples are not.

    Example:
        >>> Case("mlp", object(), np.zeros((8, 4), np.float32)).labels_for(3).tolist()
        [0, 1, 2, 0, 1, 2, 0, 1]
    """

    name: str
    model: Any
    inputs: HostArray
    labels: HostArray | None = None
    forward: Forward | None = field(default=None, kw_only=True)
    backend: str | None = field(default=None, kw_only=True)
    open: Callable[[Any, OpenRequest], ModelAdapter] | None = field(default=None, kw_only=True)
    facts: Facts = field(default_factory=Facts, kw_only=True)
    native: Native = field(default_factory=Native, kw_only=True)

    def __post_init__(self) -> None:
        shape = np.shape(self.inputs)
        if len(shape) < 2 or shape[0] < LEAST_SAMPLES:
            raise ArgumentError(
                f"the inputs of case {self.name!r}",
                expected=f"a host array (n, ...) of at least {LEAST_SAMPLES} samples",
                received=f"shape {shape}",
                fix="Give about 8 samples: the kit compares batches of different sizes.",
            )
        if self.labels is not None and np.shape(self.labels) != shape[:1]:
            raise ArgumentError(
                f"the labels of case {self.name!r}",
                expected=f"one integer class for each of the {shape[0]} samples",
                received=f"shape {np.shape(self.labels)}",
                fix="Leave labels out: the classes are then taken in turn.",
            )

    def labels_for(self, classes: int) -> HostArray:
        """The labels `(n,)`, for a model with so many outputs."""
        if self.labels is not None:
            return np.asarray(self.labels, dtype=np.int64)
        return np.arange(self.inputs.shape[0], dtype=np.int64) % classes
