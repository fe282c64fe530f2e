"""Adapters whose gradients or optional capabilities are wrong, and the check that must see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import numpy as np
from agnostic_rand_example_numpy.network import Array, Network
from broken_contract import Fault
from full_numpy import FullNumpyAdapter, NumpyFromLayer
from relu_forms import Masked, Opaque

from agnostic_rand.adapters import HostArray, Layer, ModelAdapter, Reads, ReluRule, SideInputs, TrainingStep


class SumsTheGradient(FullNumpyAdapter):
    def gradient(self, inputs: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
        summed: Array = super().gradient(inputs, targets, relu=relu).sum(axis=1)
        return summed


class IsOffByAFactor(FullNumpyAdapter):
    def gradient(self, inputs: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
        return 1.05 * super().gradient(inputs, targets, relu=relu)


class ExplainsThePrediction(FullNumpyAdapter):
    def gradient(self, inputs: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
        if targets.ndim == 1:
            targets = self.predict(inputs).argmax(axis=1)
        return super().gradient(inputs, targets, relu=relu)


class IgnoresWeights(FullNumpyAdapter):
    def gradient(self, inputs: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
        return super().gradient(inputs, targets if targets.ndim == 1 else targets.argmax(axis=1), relu=relu)


class ReturnsStaleOutputs(FullNumpyAdapter):
    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self.seen: dict[bytes, Array] = {}

    def output_and_gradient(
        self, inputs: Array, targets: Array, *, relu: ReluRule = "standard"
    ) -> tuple[Array, Array]:
        outputs, gradient = super().output_and_gradient(inputs, targets, relu=relu)
        return self.seen.setdefault(inputs.tobytes(), outputs), gradient


class GuidesNothing(FullNumpyAdapter):
    def gradient(self, inputs: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
        return super().gradient(inputs, targets)


class KnowsOneForm(FullNumpyAdapter):
    def gradient(self, inputs: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
        others = [module for module in self.native.modules.values() if type(module) is Masked]
        try:
            for module in others:
                module.__class__ = Opaque
            return super().gradient(inputs, targets, relu=relu)
        finally:
            for module in others:
                module.__class__ = Masked


class CallsEverythingUsed(FullNumpyAdapter):
    def layers(self) -> tuple[Layer, ...]:
        return tuple(replace(layer, unused=()) for layer in super().layers())


class CallsBiasesUnused(FullNumpyAdapter):
    def layers(self) -> tuple[Layer, ...]:
        return tuple(
            replace(layer, unused=tuple(p.name for p in layer.parameters if p.name == "bias"))
            for layer in super().layers()
        )


class ReadsNothing(FullNumpyAdapter):
    def reads(self, inputs: Array, of: ModelAdapter) -> Reads:
        return Reads(frozenset())


class SeesItselfAlone(FullNumpyAdapter):
    def reads(self, inputs: Array, of: ModelAdapter) -> Reads:
        return super().reads(inputs, of) if of is self else Reads(frozenset())


class ReadsByName(FullNumpyAdapter):
    def reads(self, inputs: Array, of: ModelAdapter) -> Reads:
        return super().reads(inputs, self)


class TakesWhatItDoesNotOffer(FullNumpyAdapter):
    def relu_rules(self) -> tuple[ReluRule, ...]:
        return ("standard", "guided")


class PredictsWithABias(FullNumpyAdapter):
    def predict(self, inputs: Array) -> Array:
        return super().predict(inputs) + np.float32(0.01)


class GuidesAlways(FullNumpyAdapter):
    def gradient(self, inputs: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
        has_relu = "relu" in self.native.modules
        return super().gradient(inputs, targets, relu="guided" if has_relu else relu)


class TakesDeconvForGuided(FullNumpyAdapter):
    def gradient(self, inputs: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
        return super().gradient(inputs, targets, relu="deconv" if relu == "guided" else relu)


class InitializesTransposed(FullNumpyAdapter):
    def native_init(self, layer: str, seed: int) -> dict[str, HostArray]:
        return {name: value.T for name, value in super().native_init(layer, seed).items()}


class DrawsTheSameForEachSeed(FullNumpyAdapter):
    def native_init(self, layer: str, seed: int) -> dict[str, HostArray]:
        return super().native_init(layer, 0)


class DrawsAnewForOneSeed(FullNumpyAdapter):
    def native_init(self, layer: str, seed: int) -> dict[str, HostArray]:
        return super().native_init(layer, int(np.random.default_rng().integers(2**31)))


class InitializesTrained(FullNumpyAdapter):
    def native_init(self, layer: str, seed: int) -> dict[str, HostArray]:
        noise = np.random.default_rng(seed)
        return {p: v + noise.normal(0, 1e-2, v.shape) for p, v in self.read(layer).items() if p == "weight"}


class EstimatesHalf(FullNumpyAdapter):
    def estimate_statistics(self, inputs: Array, layers: Sequence[str]) -> dict[str, dict[str, HostArray]]:
        estimated = super().estimate_statistics(inputs, layers)
        return {layer: {"mean": values["mean"]} for layer, values in estimated.items()}


class EstimatesWhatIsHeld(FullNumpyAdapter):
    def estimate_statistics(self, inputs: Array, layers: Sequence[str]) -> dict[str, dict[str, HostArray]]:
        return {name: {key: self.read(name)[key] for key in ("mean", "variance")} for name in layers}


class AveragesWithWhatIsHeld(FullNumpyAdapter):
    def estimate_statistics(self, inputs: Array, layers: Sequence[str]) -> dict[str, dict[str, HostArray]]:
        estimated = super().estimate_statistics(inputs, layers)
        return {
            name: {k: (v + self.read(name)[k]) / 2 for k, v in found.items()} for name, found in estimated.items()
        }


class EstimatesDeviations(FullNumpyAdapter):
    def estimate_statistics(self, inputs: Array, layers: Sequence[str]) -> dict[str, dict[str, HostArray]]:
        estimated = super().estimate_statistics(inputs, layers)
        return {name: {**found, "variance": found["variance"] ** 0.5 * 3} for name, found in estimated.items()}


class KeepsItsEstimates(FullNumpyAdapter):
    def estimate_statistics(self, inputs: Array, layers: Sequence[str]) -> dict[str, dict[str, HostArray]]:
        estimated = super().estimate_statistics(inputs, layers)
        for name, values in estimated.items():
            self.write(name, values)
        return estimated


class ReturnsInputGradients(FullNumpyAdapter):
    def layer_gradient(self, inputs: Array, targets: Array, layer: str) -> tuple[Array, Array]:
        output, _ = super().layer_gradient(inputs, targets, layer)
        return output, self.gradient(inputs, targets)


class RectifiesInside(FullNumpyAdapter):
    def layer_gradient(self, inputs: Array, targets: Array, layer: str) -> tuple[Array, Array]:
        output, gradient = super().layer_gradient(inputs, targets, layer)
        return np.maximum(output, 0), gradient


class TakesAnyLayer(FullNumpyAdapter):
    def layer_gradient(self, inputs: Array, targets: Array, layer: str) -> tuple[Array, Array]:
        known = layer in self.native.path
        return super().layer_gradient(inputs, targets, layer if known else self.native.path[-1])


class ContinuesFromTheInputs(FullNumpyAdapter):
    def from_layer(self, inputs: Array, layer: str) -> NumpyFromLayer:
        rest = super().from_layer(inputs, layer)

        class Rest(NumpyFromLayer):
            def predict(self, output: Array) -> Array:
                return np.concatenate([self.adapter.predict(inputs)] * (len(output) // len(inputs)))

        return Rest(rest.adapter, rest.inputs, rest.start)


class ForgetsCopies(FullNumpyAdapter):
    def from_layer(self, inputs: Array, layer: str) -> NumpyFromLayer:
        rest = super().from_layer(inputs, layer)

        class Rest(NumpyFromLayer):
            def predict(self, output: Array) -> Array:
                return super().predict(output[: len(inputs)])

        return Rest(rest.adapter, rest.inputs, rest.start)


class FlipsTheGradientFromALayer(FullNumpyAdapter):
    def from_layer(self, inputs: Array, layer: str) -> NumpyFromLayer:
        rest = super().from_layer(inputs, layer)

        class Rest(NumpyFromLayer):
            def gradient(self, output: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
                return -super().gradient(output, targets, relu=relu)

        return Rest(rest.adapter, rest.inputs, rest.start)


class StartsAnywhere(FullNumpyAdapter):
    def from_layer(self, inputs: Array, layer: str) -> NumpyFromLayer:
        return super().from_layer(inputs, layer if layer in self.native.path else self.native.path[0])


class ForgetsTheSecondInput(FullNumpyAdapter):
    def factors(self, rows: int) -> Array | float:
        return 1.0


class RepeatsEachRow(FullNumpyAdapter):
    def factors(self, rows: int) -> Array | float:
        found = super().factors(rows)
        return found if self.side_inputs is None else np.repeat(found, 2, axis=0)[:rows]


class KeepsTheFirstSecondInput(FullNumpyAdapter):
    def beside(self, inputs: SideInputs) -> FullNumpyAdapter:
        self.first = getattr(self, "first", inputs)
        return super().beside(self.first)


class ForgetsTheSecondInputsSlope(FullNumpyAdapter):
    def gradient(self, inputs: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
        return super().gradient(inputs, targets, relu=relu) / self.factors(len(inputs))


class TakesWeightsOfItsOwn(FullNumpyAdapter):
    def clone_once(self) -> FullNumpyAdapter:
        self.kept = getattr(self, "kept", None) or self.clone()
        return self.kept

    def beside(self, inputs: SideInputs) -> FullNumpyAdapter:
        return FullNumpyAdapter(self.clone_once().native).beside(inputs)


class ChangesItself(FullNumpyAdapter):
    def beside(self, inputs: SideInputs) -> FullNumpyAdapter:
        self.side_inputs = inputs
        return self


class DoesNotLearn(FullNumpyAdapter):
    def trainer(self, *, learning_rate: float, seed: int) -> TrainingStep:
        return self.clone_trainer(learning_rate, seed)

    def clone_trainer(self, learning_rate: float, seed: int) -> TrainingStep:
        return FullNumpyAdapter(self.clone().native).trainer(learning_rate=learning_rate, seed=seed)


class IgnoresTheRate(FullNumpyAdapter):
    def trainer(self, *, learning_rate: float, seed: int) -> TrainingStep:
        return super().trainer(learning_rate=1e-3, seed=seed)


class CountsMisses(FullNumpyAdapter):
    def trainer(self, *, learning_rate: float, seed: int) -> TrainingStep:
        step = super().trainer(learning_rate=learning_rate, seed=seed)

        def counting(inputs: HostArray, labels: HostArray) -> tuple[float, int]:
            loss, correct = step(inputs, labels)
            return loss, len(labels) - correct

        return counting


class SumsTheLoss(FullNumpyAdapter):
    def trainer(self, *, learning_rate: float, seed: int) -> TrainingStep:
        step = super().trainer(learning_rate=learning_rate, seed=seed)

        def summing(inputs: HostArray, labels: HostArray) -> tuple[float, int]:
            loss, correct = step(inputs, labels)
            return loss * len(labels), correct

        return summing


class TrainsWithoutASeed(FullNumpyAdapter):
    def trainer(self, *, learning_rate: float, seed: int) -> TrainingStep:
        rng = np.random.default_rng()
        step = super().trainer(learning_rate=learning_rate, seed=seed)

        def dropping(inputs: HostArray, labels: HostArray) -> tuple[float, int]:
            return step(inputs * (rng.random(inputs.shape) > 0.3), labels)

        return dropping


class StaysInTrainingMode(FullNumpyAdapter):
    def trainer(self, *, learning_rate: float, seed: int) -> TrainingStep:
        self.native.training = False
        return super().trainer(learning_rate=learning_rate, seed=seed)


class PutsNothingBack(FullNumpyAdapter):
    def set_random_state(self, state: Any) -> None:
        pass


class PutsBackOnce(FullNumpyAdapter):
    """As a context that was left already."""

    def kept_state(self) -> Callable[[], None]:
        restores = [super().kept_state()]
        return lambda: restores.pop()() if restores else None


class SwallowsExceptions(FullNumpyAdapter):
    @contextmanager
    def explaining(self, inputs: Array) -> Iterator[Callable[[], Array | None]]:
        with suppress(Exception), self._evaluating():
            yield lambda: None


class NotesWrongOutputs(FullNumpyAdapter):
    @contextmanager
    def explaining(self, inputs: Array) -> Iterator[Callable[[], Array | None]]:
        noted: list[Array] = []
        with self._evaluating():
            yield lambda: noted[0] if noted else None
        noted.append(self.predict(inputs)[::-1])


FAULTS = (
    Fault(SumsTheGradient, "gradient_shape", "the gradient has shape"),
    Fault(IsOffByAFactor, "gradient_finite_differences", "slopes of predict differ"),
    Fault(IsOffByAFactor, "dense_relu_gradient", "beside NumPy"),
    Fault(ExplainsThePrediction, "gradient_of_every_class", "one-hot weights"),
    Fault(IgnoresWeights, "gradient_linear_in_weights", "weighted sum"),
    Fault(IgnoresWeights, "dense_relu_gradient", "beside NumPy"),
    Fault(ReturnsStaleOutputs, "gradient_with_outputs", "after a write"),
    Fault(GuidesNothing, "gradient_no_silent_rule", "returns the plain gradient"),
    Fault(KnowsOneForm, "relu_rules_each_form", "times its mask"),
    Fault(CallsEverythingUsed, "C2_unused", "does not call second_head/"),
    Fault(CallsBiasesUnused, "C2_unused", "changes the outputs"),
    Fault(ReadsNothing, "reads_own_values", "leaves out"),
    Fault(ReadsByName, "reads_own_values", "of its original"),
    Fault(SeesItselfAlone, "reads_of_the_original", "does not say so"),
    Fault(TakesWhatItDoesNotOffer, "gradient_no_silent_rule", "does not list"),
    Fault(PredictsWithABias, "dense_relu_outputs", "beside NumPy"),
    Fault(GuidesAlways, "gradient_finite_differences", "slopes of predict differ"),
    Fault(GuidesAlways, "dense_relu_gradient", "beside NumPy"),
    Fault(TakesDeconvForGuided, "dense_relu_relu_rules", "relu='guided'"),
    Fault(InitializesTransposed, "native_init_fits", "has shape"),
    Fault(DrawsTheSameForEachSeed, "native_init_seeded", "the same for two seeds"),
    Fault(DrawsAnewForOneSeed, "native_init_seeded", "differs when called again"),
    Fault(InitializesTrained, "native_init_fresh", "depends on the model's current weights"),
    Fault(EstimatesHalf, "statistics_fits", "variance"),
    Fault(EstimatesWhatIsHeld, "statistics_of_the_inputs", "the same for other inputs"),
    Fault(AveragesWithWhatIsHeld, "statistics_of_the_inputs", "other statistics in the model before"),
    Fault(EstimatesDeviations, "statistics_normalize", "variances"),
    Fault(KeepsItsEstimates, "C5_calls_change_nothing", "estimate_statistics changed"),
    Fault(ReturnsInputGradients, "layer_gradient_shapes", "gradient (8, 5)"),
    Fault(RectifiesInside, "layer_gradient_dense_relu", "the gradient at layer"),
    Fault(TakesAnyLayer, "errors_unknown_layer", "layer_gradient of an unknown layer is not refused"),
    Fault(ContinuesFromTheInputs, "from_layer_continues", "the same for another output"),
    Fault(ForgetsCopies, "from_layer_continues", "second of two copies"),
    Fault(FlipsTheGradientFromALayer, "from_layer_gradient", "beside layer_gradient"),
    Fault(StartsAnywhere, "errors_unknown_layer", "from_layer of an unknown layer is not refused"),
    Fault(ForgetsTheSecondInput, "several_inputs_outputs", "the outputs"),
    Fault(RepeatsEachRow, "several_inputs_outputs", "the outputs"),
    Fault(KeepsTheFirstSecondInput, "several_inputs_outputs", "beside other inputs"),
    Fault(ForgetsTheSecondInputsSlope, "several_inputs_gradient", "the gradient"),
    Fault(TakesWeightsOfItsOwn, "several_inputs_weights", "after a write"),
    Fault(ChangesItself, "several_inputs_weights", "changed the adapter itself"),
    Fault(DoesNotLearn, "training_learns", "no step changed layer"),
    Fault(IgnoresTheRate, "training_first_step", "the learning rate"),
    Fault(CountsMisses, "training_first_step", "said to be right"),
    Fault(SumsTheLoss, "training_first_step", "NumPy computes"),
    Fault(TrainsWithoutASeed, "training_seeded", "two runs with one seed"),
    Fault(StaysInTrainingMode, "training_leaves_modes", "changed the flags"),
    Fault(PutsNothingBack, "C6_state_is_put_back", "draws other numbers"),
    Fault(PutsBackOnce, "C5_kept_state", "put back by what kept_state returned, changed the flags"),
    Fault(SwallowsExceptions, "C5_explaining", "swallows"),
    Fault(NotesWrongOutputs, "C5_explaining", "the outputs that explaining noted"),
)
