"""What every check is about: a model, data, and how both are run."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from agnostic_rand.adapters import Forward, HostArray, ModelAdapter, PlacedInputs, SupportsReads, adapt, untouched
from agnostic_rand.adapters.activation import ActivatedAdapter, Activation, with_activation
from agnostic_rand.adapters.random_state import drawing, preserved_random_state
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
from agnostic_rand.subject.probing import Probe, depends_on_batch, probe
from agnostic_rand.subject.progress import ProgressCallback
from agnostic_rand.subject.samples import ArrayLike, Samples, read_samples
from agnostic_rand.subject.targets import DYNAMIC, explained_outputs, frozen_targets
from agnostic_rand.weights import (
    Isolation,
    Plan,
    Randomizer,
    Streams,
    isolated,
    randomizing,
    refuse_randomized,
    resolve_isolation,
    unused_parameters,
)

CALIBRATION_SAMPLES = 256
"""How many of the inputs `statistics="recalibrate"` uses, in one batch, whatever the batch size.

A model that takes one size alone gets its first batch."""


@dataclass(frozen=True)
class RunOptions:
    """How a model is run, the same for every check.

    Args:
        batch_size: The number of samples the model takes at once, `None` for all; scores depend on it by the
            rounding of kernels alone (`docs/one-seed-one-score.md`, "Ties within rounding").
        activation: `"softmax"` or `"sigmoid"` on the outputs, or `None` for the outputs as they
            are. Functions and bound objects see the model itself.
        seed: The root of all randomness; `None` takes a fresh one, which the result records.
        isolation: `"clone"` randomizes a copy, `"in_place"` the model itself and restores it bit
            for bit, also after an exception. `None` chooses the copy, or `"in_place"` for an
            explainer object that is bound to the model.
        backend: As in `agnostic_rand.adapt`.
        forward: As in `agnostic_rand.adapt`.
        channel_axis: Where inputs keep their channels, which are averaged before maps are compared; `None` for
            the framework's convention on images and volumes, and for no axis on sequences and tables.
        progress: Called with a `Progress` after each explained batch.
        wrt_layer: The layer whose output is explained instead of the inputs, such as the embedding
            of tokens, summed over its features; for the methods of this library.
        explained_input: Which input is explained where the model takes several, by position in a
            tuple or by name in a dictionary.
    """

    batch_size: int | None = 64
    activation: Activation = None
    seed: int | None = None
    isolation: str | None = None
    backend: str | None = None
    forward: Forward | None = None
    channel_axis: int | None = None
    progress: ProgressCallback | None = None
    wrt_layer: str | None = None
    explained_input: int | str | None = None

    def explainer(self, explainer: ExplainerLike) -> Explainer:
        """The explainer that a name, a function or an object stands for, at the layer that was asked for.

        Raises:
            AgnosticRandError: It stands for none.
        """
        return resolve_explainer(explainer, self.wrt_layer)


@dataclass(frozen=True)
class Subject:
    """A model and data that were read and checked.

    Args:
        probed: The first look at the caller's model.
        samples: The data.
        policy: `"labels"`, `"frozen prediction"` or `"dynamic"`.
        streams: The root of randomness.
        options: How the model is run.
    """

    probed: Probe
    samples: Samples
    policy: str
    streams: Streams
    options: RunOptions

    @classmethod
    def open(cls, model: Any, inputs: ArrayLike, targets: ArrayLike, options: RunOptions) -> Subject:
        """Read the data, open the adapter, and refuse what cannot be explained.

        Raises:
            AgnosticRandError: The model, the data or an option cannot be used.
        """
        if options.batch_size is not None:
            size = whole_number("batch_size", options.batch_size, least=1, example=64)
            options = replace(options, batch_size=size)
        _check_progress(options.progress)
        resolve_isolation(options.isolation, bound=False)
        streams = Streams.ensure(options.seed)
        policy = targets if isinstance(targets, str) else None
        first = adapt(model, backend=options.backend, forward=options.forward)
        with_activation(first, options.activation)
        refuse_randomized(first)
        with preserved_random_state(first):
            samples = read_samples(inputs, None if policy else targets, first, options.explained_input)
        with drawing(first, foreign=options.forward is not None), untouched(first):
            size = len(samples) if options.batch_size is None else options.batch_size
            probed = probe(model, samples, size, backend=options.backend, forward=options.forward)
        options = replace(options, channel_axis=_channel_axis(options.channel_axis, samples.inputs.ndim))
        samples = explained_outputs(samples, probed.classes)
        return cls(probed, samples, _target_policy(policy, samples), streams, options)

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
        return channels_of(self.options.channel_axis, self.adapter, self.samples.inputs.ndim)

    @property
    def layer_axis(self) -> int:
        """Where convolutions keep their channels."""
        return self.adapter.channel_axis if self.channel_axis is None else self.channel_axis

    @property
    def batch_size(self) -> int:
        """The number of samples that the model takes at once."""
        return len(self.samples) if self.options.batch_size is None else self.options.batch_size

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
        return resolve_isolation(self.options.isolation, bound=bool(bound))

    def few(self, count: int) -> Samples:
        """The first so many samples; whole batches of a model that takes one size alone."""
        size = self.batch_size
        return self.samples[: count if self.probed.any_size else max(1, count // size) * size]

    def example(self) -> PlacedInputs:
        """The inputs with which the model was looked at, to see again how it computes."""
        return self.samples[: self.probed.count].placed(self.adapter)

    @contextmanager
    def working(self, explainers: Sequence[Explainer], *, foreign: bool = False) -> Iterator[ModelAdapter]:
        """The adapter whose weights may change; afterwards the caller's model and generators are as before.

        Generators are touched only where foreign code may draw: other threads draw from them too.

        Args:
            explainers: Those that may be bound to the model.
            foreign: Whether other foreign code runs besides these and `forward=`.
        """
        isolation = self.isolation(explainers)
        foreign = foreign or self.options.forward is not None or not all(map(asks_adapter_only, explainers))
        with (
            drawing(self.adapter, foreign=foreign),
            untouched(self.adapter),
            isolated(self.adapter, isolation, self.example()) as working,
        ):
            yield working

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
        return with_activation(adapter, self.options.activation)

    def randomizer(self, working: ModelAdapter, plan: Plan) -> AbstractContextManager[Randomizer]:
        """What puts the working model into the states of a plan; afterwards the caller's is trained again."""
        calibration = None
        if plan.statistics == "recalibrate":
            count = CALIBRATION_SAMPLES if self.probed.any_size else self.batch_size
            calibration = self.samples[:count].placed(working)
        trained = None if working is self.adapter else self.adapter
        return randomizing(
            working, plan, self.streams, trained=trained, calibration=calibration, example=self.example()
        )

    def targets(self, adapter: ModelAdapter) -> HostArray | str:
        """The classes to explain `(n,)`, or `"dynamic"`."""
        return DYNAMIC if self.policy == DYNAMIC else self.fixed_targets(adapter)

    def fixed_targets(self, adapter: ModelAdapter) -> HostArray:
        """The labels `(n,)`, or the trained model's predictions where there are none."""
        if self.samples.targets is not None:
            return self.samples.targets
        return frozen_targets(adapter, self.samples, self.batch_size)

    def described(self, explainers: Sequence[Explainer]) -> dict[str, Any]:
        """What a result records of all this, as plain values."""
        layers = self.adapter.layers()
        return {
            "targets": self.policy,
            "samples": len(self.samples),
            "input_shape": list(self.samples.inputs.shape[1:]),
            **({} if self.samples.feature_names is None else {"feature_names": list(self.samples.feature_names)}),
            "batch_size": self.batch_size,
            "activation": self.options.activation,
            "channel_axis": self.channel_axis,
            "wrt_layer": self.options.wrt_layer,
            "explainers": {one.name: repr(one) for one in self.settled(explainers)},
            "explained_input": self.options.explained_input,
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


def _check_progress(progress: Any) -> None:
    if progress is not None and not callable(progress):
        raise ArgumentError(
            "progress",
            expected="a function of one Progress, or None",
            received=repr(progress),
            fix="Pass for example progress=print.",
        )


def _target_policy(policy: str | None, samples: Samples) -> str:
    if policy not in (None, DYNAMIC):
        raise ArgumentError(
            "targets",
            expected="labels, None or 'dynamic'",
            received=repr(policy),
            fix="Pass targets='dynamic' to explain the current model's prediction at each step.",
        )
    return policy or ("frozen prediction" if samples.targets is None else "labels")
