"""Model randomization: how much of an explanation survives when the model's weights are random."""

from __future__ import annotations

import importlib.metadata
import platform
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from agnostic_rand.activation import Activation, with_activation
from agnostic_rand.adapters import Forward, HostArray, ModelAdapter, adapt
from agnostic_rand.arguments import whole_number
from agnostic_rand.checks.guards import GUARD_SAMPLES, GuardReport, guard, survived_exactly
from agnostic_rand.engine import (
    CascadeSettings,
    ProgressCallback,
    run_cascade,
)
from agnostic_rand.errors import ArgumentError, UndefinedScoreWarning
from agnostic_rand.explainers import (
    Explainer,
    ExplainerLike,
    ExplanationContext,
    bound_model,
    resolve_explainer,
)
from agnostic_rand.random_state import preserved_random_state
from agnostic_rand.results import RandomizationResult
from agnostic_rand.samples import ArrayLike, Samples, read_samples
from agnostic_rand.similarity import Measure, Pairwise, resolve_measures
from agnostic_rand.targets import DYNAMIC, check_labels, frozen_targets, outputs_of
from agnostic_rand.weights import (
    ProgressiveLayerRandomization,
    RandomizationStrategy,
    Randomizer,
    Streams,
    isolated,
    resolve_isolation,
)

CALIBRATION_SAMPLES = 256
"""How many of the inputs `statistics="recalibrate"` uses, in one batch, whatever the batch size."""


class ModelRandomizationMetric:
    """How similar explanations stay when the model's weights are randomized; lower depends more.

    A score near 1 says that the explanation does not depend on what the randomized layers
    learned. A score near 0 is necessary, not sufficient: independent noise scores 0 too.

    Args:
        model: A model of any framework with an installed backend. It stays as it is.
        inputs: An array or tensor `(n, ...)`, or an iterable of `(inputs, targets)` batches such
            as a DataLoader, which is read once.
        targets: Class indices `(n,)` or one-hot labels `(n, classes)`; `None` for the trained
            model's predictions, kept throughout (a single output explains itself); `"dynamic"`
            for the current model's prediction at each step.
        randomization_strategy: Which layers are randomized and how; by default the top quarter.
        batch_size: The number of samples the model takes at once; scores do not depend on it.
        activation: `"softmax"` or `"sigmoid"` on the outputs, or `None` for the outputs as they
            are. Functions and bound objects see the model itself.
        seed: The root of all randomness; `None` takes a fresh one, which the result records.
        draws: How often each step is drawn.
        measures: Names, `Measure` objects or functions `f(a, b) -> (n,)`.
        isolation: `"clone"` randomizes a copy, `"in_place"` the model itself and restores it bit
            for bit, also after an exception. `None` chooses the copy, or `"in_place"` for an
            explainer object that is bound to the model.
        backend: As in `agnostic_rand.adapt`.
        forward: As in `agnostic_rand.adapt`.
        channel_axis: Where inputs keep their channels; `None` for the framework's convention.
        progress: Called with a `Progress` after each explained batch.

    Raises:
        AgnosticRandError: The model, the data or an argument cannot be used; the message says why.

    Source: Adebayo et al. 2018, section 3.1; the form of the call is Xplique's.

    Example:
        >>> import agnostic_rand as ar, numpy as np, torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
        >>> x = np.random.default_rng(0).standard_normal((10, 4)).astype("float32")
        >>> metric = ar.ModelRandomizationMetric(net, x, randomization_strategy=ar.FullRandomization(), seed=42)
        >>> metric.evaluate("input_map")
        1.0
    """

    def __init__(
        self,
        model: Any,
        inputs: ArrayLike,
        targets: ArrayLike = None,
        *,
        randomization_strategy: RandomizationStrategy | None = None,
        batch_size: int = 64,
        activation: Activation = None,
        seed: int | None = None,
        draws: int = 1,
        measures: Sequence[str | Measure | Pairwise] | str = ("spearman", "spearman_abs"),
        isolation: str | None = None,
        backend: str | None = None,
        forward: Forward | None = None,
        channel_axis: int | None = None,
        progress: ProgressCallback | None = None,
    ) -> None:
        self._strategy = _strategy(randomization_strategy)
        self._activation: Activation = activation
        self._streams = Streams.ensure(seed)
        self._isolation = isolation
        resolve_isolation(isolation, bound=False)
        policy = targets if isinstance(targets, str) else None
        adapter = adapt(model, backend=backend, forward=forward)
        with preserved_random_state(adapter):
            self._samples = read_samples(inputs, None if policy else targets, adapter)
        self._policy = _target_policy(policy, self._samples)
        self._adapter = adapt(model, backend=backend, example_inputs=self._samples.inputs[:1], forward=forward)
        self._settings = CascadeSettings(
            measures=resolve_measures(measures),
            draws=whole_number("draws", draws, least=1, example=3),
            batch_size=whole_number("batch_size", batch_size, least=1, example=64),
            channel_axis=self._adapter.channel_axis if channel_axis is None else channel_axis,
            progress=progress,
        )
        with_activation(self._adapter, activation)
        self._plan = self._strategy.plan(self._adapter.layers())
        outputs = outputs_of(self._adapter, self._adapter.asarray(self._samples.inputs[:1]))
        if self._samples.targets is not None:
            check_labels(self._samples.targets, outputs.shape[1])

    def evaluate(self, explainer: ExplainerLike) -> float:
        """The mean of signed Spearman over draws, steps and samples, channels averaged; in [-1, 1].

        It is the mean of the first of `measures` where Spearman is not among them. Undefined
        scores are left out, with a warning that counts them; NaN where none is defined.

        Args:
            explainer: A name, an explainer, a function `f(model, inputs, targets) -> maps`, or an
                object with `.explain(inputs, targets)` and `.model`.
        """
        result = self.run(explainer)
        measure = "spearman" if "spearman" in result.scores else next(iter(result.scores))
        scores = result.scores[measure]
        missing = int(np.isnan(scores).sum())
        if missing:
            warnings.warn(
                f"{missing} of {scores.size} {measure} scores of {result.explainer!r} are undefined (constant "
                "maps) and left out of the mean: look at .run(explainer).undefined.",
                UndefinedScoreWarning,
                stacklevel=2,
            )
        return float(np.nanmean(scores)) if missing < scores.size else float("nan")

    def run(self, explainer: ExplainerLike) -> RandomizationResult:
        """The scores of every draw, step and sample, with all that they depended on.

        Args:
            explainer: As in `evaluate`.

        Raises:
            AgnosticRandError: The explainer, its maps or the random model cannot be used.
        """
        resolved = resolve_explainer(explainer)
        self._check_bound(resolved)
        isolation = resolve_isolation(self._isolation, bound=bound_model(resolved) is not None)
        with (
            preserved_random_state(self._adapter),
            isolated(self._adapter, isolation) as working,
            self._randomizer(working) as randomizer,
        ):
            adapter = with_activation(working, self._activation)
            context = ExplanationContext(
                self._streams, batch_size=self._settings.batch_size, channel_axis=self._settings.channel_axis
            )
            targets = self._targets(adapter)
            guarded = self._guard(adapter, resolved, targets, context)
            record = run_cascade(
                adapter,
                [resolved],
                self._samples.inputs,
                targets,
                randomizer,
                self._plan,
                context,
                self._settings,
            )
            unchanged = randomizer.unchanged
        scores = record.scores[resolved.name]
        coverage = max(step.coverage for step in self._plan.steps)
        unbound = survived_exactly(scores, record.outputs, coverage)
        return RandomizationResult(
            explainer=resolved.name,
            scores=scores,
            steps=self._plan.steps,
            outputs=record.outputs,
            seed=self._streams.seed,
            settings=self._described(resolved, isolation, unchanged),
            versions=_versions(self._adapter),
            self_similarity=guarded.self_similarity,
            findings=(*guarded.findings, *([unbound] if unbound else [])),
        )

    def _guard(
        self, adapter: ModelAdapter, explainer: Explainer, targets: HostArray | str, context: ExplanationContext
    ) -> GuardReport:
        inputs = self._samples.inputs[:GUARD_SAMPLES]
        if isinstance(targets, str):
            targets = frozen_targets(adapter, inputs, GUARD_SAMPLES)
        return guard(adapter, explainer, inputs, targets[:GUARD_SAMPLES], context, self._settings.measures)

    def _targets(self, adapter: ModelAdapter) -> HostArray | str:
        if self._policy == DYNAMIC:
            return DYNAMIC
        if self._samples.targets is not None:
            return self._samples.targets
        return frozen_targets(adapter, self._samples.inputs, self._settings.batch_size)

    def _randomizer(self, working: ModelAdapter) -> Randomizer:
        calibration = None
        if self._plan.statistics == "recalibrate":
            calibration = working.asarray(self._samples.inputs[:CALIBRATION_SAMPLES])
        trained = None if working is self._adapter else self._adapter
        return Randomizer(working, self._plan, self._streams, trained=trained, calibration=calibration)

    def _check_bound(self, explainer: Explainer) -> None:
        bound = bound_model(explainer)
        if bound is not None and bound is not self._adapter.native:
            raise ArgumentError(
                f"the explainer {explainer.name!r}",
                expected="an object whose .model is the model under test",
                received="an object that holds another model",
                fix="Build the explainer with the very model that you pass to the metric.",
            )

    def _described(self, explainer: Explainer, isolation: str, unchanged: tuple[str, ...]) -> dict[str, Any]:
        layers = self._adapter.layers()
        return {
            "explainer": repr(explainer),
            "strategy": repr(self._strategy),
            "statistics": self._plan.statistics,
            "fresh": self._plan.fresh,
            "excluded": list(self._plan.excluded),
            "targets": self._policy,
            "samples": len(self._samples),
            "input_shape": list(self._samples.inputs.shape[1:]),
            "batch_size": self._settings.batch_size,
            "draws": self._settings.draws,
            "activation": self._activation,
            "channel_axis": self._settings.channel_axis,
            "isolation": isolation,
            "framework": self._adapter.framework,
            "layer_order": self._adapter.order_source,
            "parameters": sum(layer.size for layer in layers),
            "tied": {layer.name: list(layer.aliases) for layer in layers if layer.aliases},
            "unchanged_layers": list(unchanged),
        }


def _strategy(strategy: Any) -> RandomizationStrategy:
    if strategy is None:
        return ProgressiveLayerRandomization()
    if not isinstance(strategy, RandomizationStrategy):
        raise ArgumentError(
            "randomization_strategy",
            expected="a strategy object such as CascadingRandomization()",
            received=repr(strategy),
            fix="Make one of ProgressiveLayerRandomization, CascadingRandomization, "
            "IndependentRandomization or FullRandomization.",
        )
    return strategy


def _target_policy(policy: str | None, samples: Samples) -> str:
    if policy not in (None, DYNAMIC):
        raise ArgumentError(
            "targets",
            expected="labels, None or 'dynamic'",
            received=repr(policy),
            fix="Pass targets='dynamic' to explain the current model's prediction at each step.",
        )
    return policy or ("frozen prediction" if samples.targets is None else "labels")


def _versions(adapter: ModelAdapter) -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in ("agnostic-rand", "numpy", "scipy", adapter.framework):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
