"""Adapters that break one clause each (C1 to C7), and the check that must see it."""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
from agnostic_rand_example_numpy.adapter import NumpyAdapter
from agnostic_rand_example_numpy.network import Array, Network
from full_numpy import GENERATOR, FullNumpyAdapter

from agnostic_rand.adapters import HostArray, Layer, ReluRule


@dataclass(frozen=True)
class Fault:
    adapter: type[FullNumpyAdapter]
    check: str
    seen: str
    """A part of the message, so that the fault is seen for what it is."""

    def __str__(self) -> str:
        return f"{self.adapter.__name__}-{self.check}"


class ForgetsAParameter(FullNumpyAdapter):
    def layers(self) -> tuple[Layer, ...]:
        *rest, last = super().layers()
        return (*rest, replace(last, parameters=last.parameters[:1]))

    def read(self, layer: str) -> dict[str, HostArray]:
        listed = next(known for known in self.layers() if known.name == layer)
        return {
            p.name: super(ForgetsAParameter, self).read(layer)[p.name]
            for p in listed.parameters + listed.statistics
        }


class ListsTiedTwice(FullNumpyAdapter):
    def __init__(self, network: Network) -> None:
        super().__init__(network)
        if "again" in self._arrays:
            self._arrays["again"] = {"weight": network.modules["again"].weight, **self._arrays["again"]}  # type: ignore[attr-defined]
            untied: dict[tuple[str, str], list[str]] = {("again", "weight"): [], ("again", "bias"): []}
            self._layers = tuple(self._layer("again", untied) if la.name == "again" else la for la in self._layers)


class WritesToAShadow(FullNumpyAdapter):
    """What is read is what was written, and the model keeps its biases."""

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        for held in self._arrays.values():
            if "bias" in held:
                held["bias"] = held["bias"].copy()


class ForgetsStatistics(FullNumpyAdapter):
    def read(self, layer: str) -> dict[str, HostArray]:
        return {name: value for name, value in super().read(layer).items() if name not in ("mean", "variance")}


class OrderOfDeclaration(FullNumpyAdapter):
    def __init__(self, network: Network) -> None:
        super().__init__(network)
        by_name = {layer.name: layer for layer in self._layers}
        self._layers = tuple(by_name[name] for name in network.modules if name in by_name)


class ReversesAfterACall(FullNumpyAdapter):
    called = 0

    def predict(self, inputs: Array) -> Array:
        self.called += 1
        return super().predict(inputs)

    def layers(self) -> tuple[Layer, ...]:
        return super().layers()[:: -1 if self.called > 1 else 1]


class RoundsToHalf(FullNumpyAdapter):
    def write(self, layer: str, values: Mapping[str, HostArray]) -> None:
        with np.errstate(over="ignore"):
            super().write(layer, {name: value.astype(np.float16) for name, value in values.items()})


class WritesTwoLayers(FullNumpyAdapter):
    def write(self, layer: str, values: Mapping[str, HostArray]) -> None:
        super().write(layer, values)
        for other, held in self._arrays.items():
            if other != layer and "bias" in held:
                held["bias"] *= 0.5


class RunsACompiledCopy(FullNumpyAdapter):
    """As a compiled function that holds the weights as constants."""

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self.compiled = copy.deepcopy(network)
        self.compiled.training = False

    def predict(self, inputs: Array) -> Array:
        return self.compiled(inputs)


class HandsOutLiveArrays(FullNumpyAdapter):
    def read(self, layer: str) -> dict[str, HostArray]:
        return dict(self._held(layer))


class ReplacesArrays(FullNumpyAdapter):
    """Ties are lost, and types follow the written values."""

    def write(self, layer: str, values: Mapping[str, HostArray]) -> None:
        super().write(layer, values)
        for name, value in values.items():
            self._arrays[layer][name] = np.array(value)
            setattr(self.native.modules[layer], name, self._arrays[layer][name])


class ListsNoAliases(FullNumpyAdapter):
    def layers(self) -> tuple[Layer, ...]:
        return tuple(replace(layer, aliases=()) for layer in super().layers())


class UntiesInAClone(FullNumpyAdapter):
    def clone(self) -> Self:
        network = copy.deepcopy(self.native)
        for module in network.modules.values():
            for key, array in vars(module).items():
                setattr(module, key, array.copy())
        twin = type(self)(network)
        twin._layers = self._layers
        return twin


class Broadcasts(FullNumpyAdapter):
    def write(self, layer: str, values: Mapping[str, HostArray]) -> None:
        held = self._held(layer)
        for name, value in values.items():
            if name in held:
                held[name][...] = value


class IgnoresUnknownParameters(FullNumpyAdapter):
    def write(self, layer: str, values: Mapping[str, HostArray]) -> None:
        super().write(layer, {name: value for name, value in values.items() if name in self._held(layer)})


class WritesUntilItRefuses(FullNumpyAdapter):
    def write(self, layer: str, values: Mapping[str, HostArray]) -> None:
        for name, value in values.items():
            super().write(layer, {name: value})


class ClonesWithoutWeights(FullNumpyAdapter):
    def clone(self) -> Self:
        twin = super().clone()
        for held in twin._arrays.values():
            for name in ("weight", "bias"):
                if name in held:
                    held[name][...] = 0.1
        return twin


class ClonesTheBeginning(FullNumpyAdapter):
    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self.beginning = copy.deepcopy(network)

    def clone(self) -> Self:
        return type(self)(copy.deepcopy(self.beginning))


class SharesStorage(FullNumpyAdapter):
    def clone(self) -> Self:
        network = copy.copy(self.native)
        network.modules = {name: copy.copy(module) for name, module in network.modules.items()}
        return type(self)(network)


class CopiesOnWrite(SharesStorage):
    """Its clone is safe to write to, and follows the original until then."""

    shared = False

    def clone(self) -> Self:
        twin = super().clone()
        twin.shared = True
        return twin

    def write(self, layer: str, values: Mapping[str, HostArray]) -> None:
        if self.shared:
            self.shared = False
            NumpyAdapter.__init__(self, copy.deepcopy(self.native))
        super().write(layer, values)


class MutatesInputs(FullNumpyAdapter):
    def predict(self, inputs: Array) -> Array:
        outputs = super().predict(inputs)
        inputs *= 0.5
        return outputs


class LeavesTrainingModeOff(FullNumpyAdapter):
    def gradient(self, inputs: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
        gradient = super().gradient(inputs, targets, relu=relu)
        self.native.training = False
        return gradient


class LeavesTrainingModeOn(FullNumpyAdapter):
    def predict(self, inputs: Array) -> Array:
        outputs = super().predict(inputs)
        self.native.training = True
        return outputs


class LearnsWhileLooking(FullNumpyAdapter):
    def gradient(self, inputs: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
        self._arrays[self._layers[0].name]["bias"] += 1e-3
        return super().gradient(inputs, targets, relu=relu)


class OpensInEvaluationMode(FullNumpyAdapter):
    def __init__(self, network: Network) -> None:
        super().__init__(network)
        network.training = False


class PredictsInTrainingMode(FullNumpyAdapter):
    def predict(self, inputs: Array) -> Array:
        state = copy.deepcopy(self.native)
        return state(inputs)


class RestoresWithoutFinally(FullNumpyAdapter):
    def predict(self, inputs: Array) -> Array:
        training, self.native.training = self.native.training, False
        outputs = self.native(inputs)
        self.native.training = training
        return outputs


class SeedsNumPy(FullNumpyAdapter):
    def predict(self, inputs: Array) -> Array:
        np.random.seed(0)
        return super().predict(inputs)


class DrawsFromPython(FullNumpyAdapter):
    def clone(self) -> Self:
        random.random()
        return super().clone()


class DrawsFromTheFramework(FullNumpyAdapter):
    def write(self, layer: str, values: Mapping[str, HostArray]) -> None:
        GENERATOR.random()
        super().write(layer, values)


class DrawsAtOpening(FullNumpyAdapter):
    def __init__(self, network: Network) -> None:
        super().__init__(network)
        random.random()


class HasKernelsWithoutAxes(FullNumpyAdapter):
    def layers(self) -> tuple[Layer, ...]:
        return _with_axes(super().layers(), kernel=None)


class SwapsAxes(FullNumpyAdapter):
    def layers(self) -> tuple[Layer, ...]:
        return _with_axes(super().layers(), kernel=("out", "in"))


class NamesAnAxisTwice(FullNumpyAdapter):
    def layers(self) -> tuple[Layer, ...]:
        return _with_axes(super().layers(), kernel=("in/2", "in"))


class InventsStrides(FullNumpyAdapter):
    def layers(self) -> tuple[Layer, ...]:
        return _with_axes(super().layers(), kernel=("in/2", "out"))


class MisnamesTheBias(FullNumpyAdapter):
    def layers(self) -> tuple[Layer, ...]:
        return _with_axes(super().layers(), kernel=("in", "out"), bias=("features",))


class ReturnsProbabilities(FullNumpyAdapter):
    def predict(self, inputs: Array) -> Array:
        powers: Array = np.exp(super().predict(inputs))
        powers /= powers.sum(axis=1, keepdims=True)
        return powers


class SqueezesSingles(FullNumpyAdapter):
    def predict(self, inputs: Array) -> Array:
        outputs = super().predict(inputs)
        return outputs[0] if len(outputs) == 1 else outputs


class ReturnsAVector(FullNumpyAdapter):
    def predict(self, inputs: Array) -> Array:
        return super().predict(inputs)[:, 0]


class AliasesTheInputs(FullNumpyAdapter):
    def asarray(self, x: HostArray) -> Array:
        return np.asarray(x)


class MakesLabelsFloat(FullNumpyAdapter):
    def asarray(self, x: HostArray) -> Array:
        return np.array(x, np.float32)

    def gradient(self, inputs: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
        return super().gradient(inputs, targets if targets.ndim == 2 else targets.astype(int), relu=relu)


class HasAnotherNamespace(FullNumpyAdapter):
    xp: Any = SimpleNamespace(**vars(np) | {"sum": lambda array, axis: np.mean(array, axis=axis)})


class RaisesKeyErrors(FullNumpyAdapter):
    def read(self, layer: str) -> dict[str, HostArray]:
        return {name: array.copy() for name, array in self._arrays[layer].items()}


def _with_axes(
    layers: tuple[Layer, ...], kernel: tuple[str, ...] | None, bias: tuple[str, ...] = ("out",)
) -> tuple[Layer, ...]:
    axes = {"kernel": kernel, "bias": bias}
    return tuple(
        replace(layer, parameters=tuple(replace(p, axes=axes.get(p.role, p.axes)) for p in layer.parameters))
        for layer in layers
    )


FAULTS = (
    Fault(ForgetsAParameter, "C1_total", "lists 108 elements of 111"),
    Fault(ForgetsAParameter, "C1_nothing_left_out", "stayed as they were"),
    Fault(ListsTiedTwice, "C1_total", "the framework's own model has"),
    Fault(ListsTiedTwice, "C1_each_once", "listed twice"),
    Fault(WritesToAShadow, "C1_nothing_left_out", "stayed as they were"),
    Fault(ForgetsStatistics, "C1_read_is_listed", "layers() lists"),
    Fault(OrderOfDeclaration, "C2_first_use", "first used are"),
    Fault(ReversesAfterACall, "C2_stable", "changed after a forward pass"),
    Fault(RoundsToHalf, "C3_exact", "other bits"),
    Fault(WritesTwoLayers, "C3_nothing_else", "changed"),
    Fault(RunsACompiledCopy, "C3_takes_effect", "the outputs are the same"),
    Fault(HandsOutLiveArrays, "C3_copies", "changed with a later write"),
    Fault(ReplacesArrays, "C3_keeps_type", "another type"),
    Fault(ReplacesArrays, "C3_tied", "not equal any more after a write"),
    Fault(ListsNoAliases, "C3_tied", "aliases"),
    Fault(UntiesInAClone, "C3_tied", "in a clone"),
    Fault(Broadcasts, "C3_refuses_misfits", "unknown parameter is not refused"),
    Fault(IgnoresUnknownParameters, "C3_refuses_misfits", "unknown parameter is not refused"),
    Fault(WritesUntilItRefuses, "C3_refuses_misfits", "changed by a write that was refused"),
    Fault(ClonesWithoutWeights, "C4_same_model", "holds other values"),
    Fault(ClonesTheBeginning, "C4_of_current_weights", "made after a write"),
    Fault(SharesStorage, "C4_original_is_safe", "writing to the clone changed"),
    Fault(SharesStorage, "C4_clone_is_safe", "writing to the original changed"),
    Fault(CopiesOnWrite, "C4_clone_is_safe", "writing to the original changed"),
    Fault(MutatesInputs, "C5_calls_change_nothing", "changed the inputs"),
    Fault(LeavesTrainingModeOff, "C5_calls_change_nothing", "gradient changed the flags"),
    Fault(LeavesTrainingModeOn, "C5_calls_change_nothing", "predict changed the flags"),
    Fault(LearnsWhileLooking, "C5_calls_change_nothing", "gradient changed"),
    Fault(OpensInEvaluationMode, "C5_opening_changes_nothing", "the flags (from True to False)"),
    Fault(PredictsInTrainingMode, "C5_evaluation_mode", "the batch 0:1"),
    Fault(RestoresWithoutFinally, "C5_failures_change_nothing", "which failed, changed the flags"),
    Fault(SeedsNumPy, "C6_calls_draw_nothing", "predict moved NumPy's"),
    Fault(DrawsFromPython, "C6_calls_draw_nothing", "clone moved Python's"),
    Fault(DrawsFromTheFramework, "C6_calls_draw_nothing", "write moved the framework's"),
    Fault(DrawsAtOpening, "C6_calls_draw_nothing", "moved Python's"),
    Fault(HasKernelsWithoutAxes, "C7_well_formed", "a kernel without axes"),
    Fault(NamesAnAxisTwice, "C7_well_formed", "one name for each is due"),
    Fault(InventsStrides, "C7_known", "has the axes ('in/2', 'out'), not ('in', 'out')"),
    Fault(MisnamesTheBias, "C7_known", "first/bias"),
    Fault(SwapsAxes, "C7_known", "first/weight"),
    Fault(SwapsAxes, "C7_out_is_out", "is named 'in'"),
    Fault(SwapsAxes, "C7_in_is_in", "is named 'out'"),
    Fault(ReturnsProbabilities, "predict_truth", "beside native.outputs"),
    Fault(SqueezesSingles, "predict_shape", "(n, classes) is due"),
    Fault(ReturnsAVector, "opening", "(n, classes) is due"),
    Fault(AliasesTheInputs, "arrays_round_trip", "float64"),
    Fault(MakesLabelsFloat, "arrays_round_trip", "integer labels"),
    Fault(HasAnotherNamespace, "arrays_namespace", "the sum of outputs"),
    Fault(RaisesKeyErrors, "errors_unknown_layer", "KeyError"),
)
