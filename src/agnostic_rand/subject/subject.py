"""Subject of every check: a model, data, and how both are run."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cache
from threading import get_ident
from typing import Any

import numpy as np

from agnostic_rand.adapters import Forward, HostArray, ModelAdapter, PlacedInputs, SupportsReads, adapt, untouched
from agnostic_rand.adapters.activation import ActivatedAdapter, Activation, with_activation
from agnostic_rand.adapters.random_state import drawing
from agnostic_rand.arguments import whole_number
from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers import (
    Explainer,
    ExplainerLike,
    ExplanationContext,
    asks_adapter_only,
    bound_model,
    resolve_explainer,
    settled,
)
from agnostic_rand.explainers.maps import channels_of
from agnostic_rand.subject.datasets import is_dataset
from agnostic_rand.subject.probing import depends_on_batch, probe
from agnostic_rand.subject.progress import ProgressLike, resolve_progress
from agnostic_rand.subject.samples import ArrayLike, Samples, read_samples
from agnostic_rand.subject.targets import DYNAMIC, explained_outputs, frozen_targets
from agnostic_rand.weights import (
    Isolation,
    Plan,
    Randomizer,
    StrategyLike,
    Streams,
    isolated,
    randomizing,
    refuse_randomized,
    resolve_isolation,
    resolve_strategy,
    unused_parameters,
)

CALIBRATION_SAMPLES = 256
"""How many of the inputs `statistics="recalibrate"` uses, in one batch, whatever the batch size.

A model that takes one size alone gets its first batch."""


class Subject:
    """A model and data, opened once however many checks are run on them, and how they are run.

    Args:
        model: A model of any framework with an installed backend. It stays as it is.
        inputs: An array, tensor or table `(n, ...)`; a tuple or dictionary of them for a model of several
            inputs; or a loader or data set of `(inputs, targets)`, which is read once, to its end.
        targets: Class indices `(n,)` or one-hot labels `(n, classes)`; `None` for the trained
            model's predictions, kept throughout; `"dynamic"` for the current model's prediction at
            each step. A single output is what is explained, also for labels 0 and 1 of two classes.
        seed: The root of all randomness; `None` takes a fresh one, which results record.
        batch_size: The number of samples the model takes at once, `None` for all; scores depend on it by the
            rounding of kernels alone (`docs/one-seed-one-score.md`, "Ties within rounding").
        activation: `"softmax"` or `"sigmoid"` on the outputs, or `None` for the outputs as they
            are. Functions and bound objects see the model itself.
        forward: As in `agnostic_rand.adapt`.
        backend: As in `agnostic_rand.adapt`.
        isolation: `"clone"` randomizes a copy, `"in_place"` the model itself and restores it bit
            for bit, also after an exception. `None` chooses the copy, or `"in_place"` for an
            explainer object that is bound to the model.
        channel_axis: Where inputs keep their channels, which are averaged before maps are compared; `None` for
            the framework's convention on images and volumes, and for no axis on sequences and tables.
        wrt_layer: The layer whose output is explained instead of the inputs, such as the embedding
            of tokens, summed over its features; for the methods of this library.
        explained_input: Which input is explained where the model takes several, by position in a
            tuple or by name in a dictionary.
        progress: `True` for a bar, or a function of one `Progress`, called after each explained batch.
        within_run: Whether the model may be one that another run randomizes now, as in `state`.

    Raises:
        AgnosticRandError: The model, the data or an argument cannot be used; the message says why.

    Example:
        >>> import agnostic_rand as ar, numpy as np, torch
        >>> subject = ar.Subject(torch.nn.Linear(4, 3), np.eye(4, dtype="float32"), seed=0)
        >>> ar.RandomLogit(off_class="all").run(subject, "input_map").mean("spearman").tolist()
        [1.0, 1.0]
    """

    def __init__(
        self,
        model: Any,
        inputs: ArrayLike,
        targets: ArrayLike = None,
        *,
        seed: int | None = None,
        batch_size: int | None = 64,
        activation: Activation = None,
        forward: Forward | None = None,
        backend: str | None = None,
        isolation: str | None = None,
        channel_axis: int | None = None,
        wrt_layer: str | None = None,
        explained_input: int | str | None = None,
        progress: ProgressLike = None,
        within_run: bool = False,
    ) -> None:
        if batch_size is not None:
            batch_size = whole_number("batch_size", batch_size, least=1, example=64)
        self.progress = resolve_progress(progress)
        resolve_isolation(isolation, bound=False)
        self.streams = Streams.ensure(seed)
        policy = targets if isinstance(targets, str) else None
        first = adapt(model, backend=backend, forward=forward)
        with_activation(first, activation)
        if not within_run:
            refuse_randomized(first)
        # A data set is the user's code, which may draw; arrays do not.
        with drawing(first, foreign=is_dataset(inputs)):
            samples = read_samples(inputs, None if policy else targets, first, explained_input)
        size = len(samples) if batch_size is None else batch_size
        with drawing(first, foreign=forward is not None), untouched(first):
            self.probed = probe(model, samples, size, backend=backend, forward=forward)
        self.batch_size = size
        self.activation = activation
        self.forward = forward
        self.backend = backend
        self.wrt_layer = wrt_layer
        self.explained_input = explained_input
        self._isolation = isolation
        self._channel_axis = _channel_axis(channel_axis, samples.inputs.ndim)
        self.samples = explained_outputs(samples, self.probed.classes)
        self.policy = _target_policy(policy, self.samples)
        self._open: dict[int, tuple[Isolation, ModelAdapter]] = {}
        self._predicted: HostArray | None = None

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.samples.inputs.shape[1:]))
        return (
            f"<Subject: {self.adapter.framework} model of {self.classes} outputs, {len(self.samples)} samples of "
            f"{shape}, seed {self.seed}>"
        )

    @property
    def seed(self) -> int:
        """The root of all randomness."""
        return self.streams.seed

    @property
    def adapter(self) -> ModelAdapter:
        """The caller's model."""
        return self.probed.adapter

    @property
    def classes(self) -> int:
        """The number of the model's outputs."""
        return self.probed.classes

    @property
    def channel_axis(self) -> int | None:
        """Where inputs keep their channels; `None` for inputs without."""
        return channels_of(self._channel_axis, self.adapter, self.samples.inputs.ndim)

    @property
    def layer_axis(self) -> int:
        """Where convolutions keep their channels."""
        return self.adapter.channel_axis if self.channel_axis is None else self.channel_axis

    def explainer(self, explainer: ExplainerLike) -> Explainer:
        """The explainer that a name, a function or an object stands for, at the layer that is explained.

        Raises:
            AgnosticRandError: It stands for none.
        """
        return resolve_explainer(explainer, self.wrt_layer)

    def context(self) -> ExplanationContext:
        """Where explainers get their randomness."""
        columns = self.samples.classes
        return ExplanationContext(self.streams, self.batch_size, self.channel_axis, target_columns=columns)

    def isolation(self, explainers: Sequence[Explainer]) -> Isolation:
        """Whose weights change when these explainers are checked.

        Raises:
            ArgumentError: An explainer is bound to another model, or cannot see a copy.
        """
        bound = [explainer for explainer in explainers if bound_model(explainer) is not None]
        for explainer in bound:
            if bound_model(explainer) is not self.adapter.native:
                raise ArgumentError(
                    f"the explainer {explainer.name!r}",
                    expected="an object that is bound to the model under test",
                    received=f"an object that holds another model, a {type(bound_model(explainer)).__name__}",
                    fix="Build the explainer with the very model that you pass to the check.",
                )
        return resolve_isolation(self._isolation, bound=bool(bound))

    def few(self, count: int) -> Samples:
        """The first so many samples; whole batches of a model that takes one size alone."""
        size = self.batch_size
        return self.samples[: count if self.probed.any_size else max(1, count // size) * size]

    def example(self) -> PlacedInputs:
        """The inputs with which the model was looked at, to see again how it computes."""
        return self.samples[: self.probed.count].placed(self.adapter)

    @property
    def is_open(self) -> bool:
        """Whether this thread is within `working`, so that what it opens now is shared."""
        return get_ident() in self._open

    @contextmanager
    def working(self, explainers: Sequence[Explainer], *, foreign: bool = False) -> Iterator[ModelAdapter]:
        """The adapter whose weights may change; afterwards the caller's model and generators are as before.

        Generators are touched only where foreign code may draw: other threads draw from them too.

        Args:
            explainers: Those that may be bound to the model.
            foreign: Whether other foreign code runs besides these and `forward=`.
        """
        isolation = self.isolation(explainers)
        if self.is_open:
            opened, adapter = self._open[get_ident()]
            if (opened, isolation) == ("clone", "in_place"):
                raise ArgumentError(
                    "explainers",
                    expected=f"explainers that can be checked with isolation={opened!r}, in which a run is open",
                    received=f"one that needs {isolation!r}",
                    fix="Check it by itself, or all with isolation='in_place'.",
                )
            yield adapter
            return
        foreign = foreign or self.forward is not None or not all(map(asks_adapter_only, explainers))
        with (
            drawing(self.adapter, foreign=foreign),
            untouched(self.adapter),
            isolated(self.adapter, isolation, self.example()) as working,
        ):
            self._open[get_ident()] = isolation, working
            try:
                yield working
            finally:
                del self._open[get_ident()]

    @contextmanager
    def state(self, strategy: StrategyLike, *, draw: int = 0, step: int = -1) -> Iterator[Any]:
        """The model in the state that it has in a run: a randomized copy, or the model itself until the end.

        With `agnostic_rand.explain` every score can be made again by hand.

        Args:
            strategy: Which layers are randomized and how.
            draw: Which repetition.
            step: Which step of the strategy; by default the last.

        Raises:
            ArgumentError: There is no such step, or the strategy is none.
            ModelError: The model cannot be randomized.

        Example:
            >>> import agnostic_rand as ar, numpy as np, torch
            >>> net, x = torch.nn.Linear(4, 3), np.eye(4, dtype="float32")
            >>> subject = ar.Subject(net, x, seed=0)
            >>> with subject.state("full_randomization", draw=2) as randomized:
            ...     bool((randomized.weight == net.weight).any())
            False
        """
        plan = resolve_strategy(strategy).plan(self.adapter.layers())
        whole_number("draw", draw, least=0, example=0)
        if not isinstance(step, int | np.integer) or not -len(plan.steps) <= step < len(plan.steps):
            raise ArgumentError(
                "step",
                expected=f"an int from 0 to {len(plan.steps) - 1}, or from -1 down",
                received=repr(step),
                fix="The steps are: " + ", ".join(one.name for one in plan.steps[:12]) + ".",
            )
        with self.working([], foreign=True) as working, self.randomizer(working, plan) as randomizer:
            randomizer.apply(draw=draw, step=step % len(plan.steps))
            yield working.native
            randomizer.verify()

    def other_arrays(self) -> tuple[str, ...]:
        """Names of arrays that the outputs depend on and that no step can randomize."""
        return self.adapter.other_arrays if isinstance(self.adapter, SupportsReads) else ()

    def told_of_batches(self, outputs: HostArray) -> tuple[str, ...]:
        """Whether these outputs for the first batch, activated, depend on what is in it: a finding, or none."""
        activated = self.activated(self.adapter)
        probed = self.probed
        if isinstance(activated, ActivatedAdapter):
            probed = replace(probed, outputs=activated.activated(probed.outputs))
        found = depends_on_batch(probed, outputs)
        return () if found is None else (found,)

    def settled(self, explainers: Sequence[Explainer]) -> tuple[Explainer, ...]:
        """The explainers, those that choose a layer by the model with its name."""
        first = self.samples[: self.batch_size].placed(self.adapter)
        adapter = first.seen_by(self.adapter)
        return tuple(settled(one, adapter, first.explained, self.channel_axis) for one in explainers)

    def activated(self, adapter: ModelAdapter) -> ModelAdapter:
        """The adapter with the activation that was asked for."""
        return with_activation(adapter, self.activation)

    @contextmanager
    def randomizer(self, working: ModelAdapter, plan: Plan) -> Iterator[Randomizer]:
        """What puts the working model into the states of a plan; afterwards the caller's is trained again."""
        with self.randomizers(working, [plan]) as (one,):
            yield one

    def randomizers(
        self, working: ModelAdapter, plans: Sequence[Plan]
    ) -> AbstractContextManager[tuple[Randomizer, ...]]:
        """One `randomizer` of each plan, of which one works at a time and restores what it wrote.

        What they take for trained is what the model holds now: they are made before an explainer sees it.
        """
        calibration = None
        if any(plan.statistics == "recalibrate" for plan in plans):
            count = CALIBRATION_SAMPLES if self.probed.any_size else self.batch_size
            calibration = self.samples[:count].placed(working)
        trained = None if working is self.adapter else self.adapter
        return randomizing(
            working, plans, self.streams, trained=trained, calibration=calibration, example=self.example()
        )

    def targets(self, adapter: ModelAdapter) -> HostArray | str:
        """The classes to explain `(n,)`, or `"dynamic"`."""
        return DYNAMIC if self.policy == DYNAMIC else self.fixed_targets(adapter)

    def fixed_targets(self, adapter: ModelAdapter) -> HostArray:
        """The labels `(n,)`, or the trained model's predictions where there are none, which are found once."""
        if self.samples.targets is not None:
            return self.samples.targets
        if self._predicted is None:
            with drawing(self.adapter, foreign=self.forward is not None), untouched(self.adapter):
                self._predicted = frozen_targets(adapter, self.samples, self.batch_size)
        return self._predicted

    def described(self, explainers: Sequence[Explainer]) -> dict[str, Any]:
        """What a result records of all this, as plain values."""
        layers = self.adapter.layers()
        return {
            "targets": self.policy,
            "samples": len(self.samples),
            "input_shape": list(self.samples.inputs.shape[1:]),
            **({} if self.samples.feature_names is None else {"feature_names": list(self.samples.feature_names)}),
            "batch_size": self.batch_size,
            "activation": self.activation,
            "channel_axis": self.channel_axis,
            "wrt_layer": self.wrt_layer,
            "explainers": {one.name: repr(one) for one in self.settled(explainers)},
            "explained_input": self.explained_input,
            "isolation": self.isolation(explainers),
            "framework": self.adapter.framework,
            "layer_order": self.adapter.order_source,
            "parameters": sum(layer.size for layer in layers),
            "unused_parameters": list(unused_parameters(layers)),
            "tied": {layer.name: list(layer.aliases) for layer in layers if layer.aliases},
        }

    def versions(self) -> dict[str, str]:
        """The versions of what the scores depend on."""
        packages = ("agnostic-rand", "numpy", "scipy", self.adapter.framework)
        found = {package: _version(package) for package in packages}
        return {"python": platform.python_version(), **{name: v for name, v in found.items() if v is not None}}


@cache
def _version(package: str) -> str | None:
    # Read once: the metadata of one package takes longer than an explanation of a small batch.
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _channel_axis(axis: Any, dimensions: int) -> int | None:
    """The axis as a plain int; the batch has no channels."""
    if axis is None:
        return None
    whole = isinstance(axis, int | np.integer) and not isinstance(axis, bool)
    if not whole or not -dimensions < axis < dimensions or axis == 0:
        raise ArgumentError(
            "channel_axis",
            expected=f"an axis of the inputs besides the first, from 1 to {dimensions - 1} or from -1 down",
            received=repr(axis),
            fix="Leave it out for the framework's convention.",
        )
    return int(axis)


def _target_policy(policy: str | None, samples: Samples) -> str:
    if policy not in (None, DYNAMIC):
        raise ArgumentError(
            "targets",
            expected="labels, None or 'dynamic'",
            received=repr(policy),
            fix="Pass targets='dynamic' to explain the current model's prediction at each step.",
        )
    return policy or ("frozen prediction" if samples.targets is None else "labels")
