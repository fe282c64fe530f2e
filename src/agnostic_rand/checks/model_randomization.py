"""Model randomization: how much of an explanation survives when the model's weights are random."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from agnostic_rand.adapters import Forward
from agnostic_rand.adapters.activation import Activation
from agnostic_rand.arguments import whole_number
from agnostic_rand.checks._cascade import randomize_and_explain
from agnostic_rand.errors import UndefinedScoreWarning
from agnostic_rand.explainers import ExplainerLike
from agnostic_rand.results.randomization_result import RandomizationResult
from agnostic_rand.similarity import MeasureLikes, resolve_measures
from agnostic_rand.subject.progress import ProgressCallback
from agnostic_rand.subject.samples import ArrayLike
from agnostic_rand.subject.subject import RunOptions, Subject
from agnostic_rand.weights import ProgressiveLayerRandomization, StrategyLike, resolve_strategy


class ModelRandomizationMetric:
    """How similar explanations stay when the model's weights are randomized; lower depends more.

    A score near 1 says that the explanation does not depend on what the randomized layers
    learned. A score near 0 is necessary, not sufficient: independent noise scores 0 too.

    Args:
        model: A model of any framework with an installed backend. It stays as it is.
        inputs: An array, tensor or table `(n, ...)`; a tuple or dictionary of them for a model of several
            inputs; or a loader or data set of `(inputs, targets)`, which is read once, to its end.
        targets: Class indices `(n,)` or one-hot labels `(n, classes)`; `None` for the trained
            model's predictions, kept throughout; `"dynamic"` for the current model's prediction at
            each step. A single output is what is explained, also for labels 0 and 1 of two classes.
        randomization_strategy: Which layers are randomized and how: a strategy, its name, or a function
            from the layers to the steps; by default the top quarter.
        batch_size: The number of samples the model takes at once, `None` for all; scores depend on it by the
            rounding of kernels alone (`docs/one-seed-one-score.md`, "Ties within rounding").
        activation: `"softmax"` or `"sigmoid"` on the outputs, or `None` for the outputs as they
            are. Functions and bound objects see the model itself.
        seed: The root of all randomness, so that two runs give one number; `None` takes a fresh one, which the
            result records.
        draws: How often each step is drawn.
        measures: Names, `Measure` objects or functions `f(a, b) -> (n,)`.
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

    Raises:
        AgnosticRandError: The model, the data or an argument cannot be used; the message says why.

    Source: Adebayo et al. 2018, section 3.1; the call's form, and the order and defaults of its first seven
    arguments, are Xplique's.

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
        randomization_strategy: StrategyLike | None = None,
        batch_size: int | None = 64,
        activation: Activation = None,
        seed: int | None = 42,
        *,
        draws: int = 1,
        measures: MeasureLikes = ("spearman", "spearman_abs"),
        isolation: str | None = None,
        backend: str | None = None,
        forward: Forward | None = None,
        channel_axis: int | None = None,
        progress: ProgressCallback | None = None,
        wrt_layer: str | None = None,
        explained_input: int | str | None = None,
    ) -> None:
        options = RunOptions(
            batch_size,
            activation,
            seed,
            isolation,
            backend,
            forward,
            channel_axis,
            progress,
            wrt_layer,
            explained_input,
        )
        strategy = ProgressiveLayerRandomization() if randomization_strategy is None else randomization_strategy
        self._strategy = resolve_strategy(strategy, "randomization_strategy")
        chosen = resolve_measures(measures)
        draws = whole_number("draws", draws, least=1, example=3)
        self._subject = Subject.open(model, inputs, targets, options)
        self._strategy.plan(self._subject.adapter.layers())
        self._draws, self._measures = draws, chosen

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
        return randomize_and_explain(
            self._subject,
            [self._subject.options.explainer(explainer)],
            self._strategy,
            draws=self._draws,
            measures=self._measures,
        )[0]
