"""Randomizer of a model: applies the steps of a plan, only what is new, verified, and undone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np

from agnostic_rand.adapters import (
    HostArray,
    Layer,
    ModelAdapter,
    Parameter,
    PlacedInputs,
    SupportsStatistics,
    go_on,
    put_back,
    require,
)
from agnostic_rand.errors import WeightsError
from agnostic_rand.weights.drawing import TrainedLayer, draw_layer, refuse_unfit
from agnostic_rand.weights.fingerprints import fingerprint
from agnostic_rand.weights.perturbations import NativeInit
from agnostic_rand.weights.plan import Plan, full_name
from agnostic_rand.weights.streams import Streams
from agnostic_rand.weights.witness import Witness, refuse_unmoved

# Relative rounding of element types that NumPy does not have; others are compared bit by bit.
_ROUNDING = {"bfloat16": 2.0**-7}


class Randomizer:
    """Puts one model into the states of a plan, step by step, draw by draw.

    Args:
        adapter: The model whose weights change.
        plan: The steps.
        streams: The root of randomness.
        trained: Where trained values are read, which is not written.
        calibration: Inputs on which `statistics="recalibrate"` estimates statistics.
        example: A few inputs, by which the model is seen to compute with what was written.
    """

    def __init__(
        self,
        adapter: ModelAdapter,
        plan: Plan,
        streams: Streams,
        *,
        trained: ModelAdapter | HostCopy,
        calibration: PlacedInputs | None = None,
        example: PlacedInputs | None = None,
    ) -> None:
        self._adapter = adapter
        self._plan = plan
        self._streams = streams
        self._trained = trained
        self._calibration = calibration
        self._witness = Witness(adapter, example)
        self._layers: dict[str, Layer] = {layer.name: layer for layer in adapter.layers()}
        self._index = {name: i for i, name in enumerate(self._layers)}
        touched = {name for step in plan.steps for name in step.layers}
        self._trained_sums: dict[str, dict[str, int]] = {}
        self._dtypes: dict[str, dict[str, np.dtype[Any]]] = {}
        for name, layer in self._layers.items():
            values = adapter.read(name)
            self._trained_sums[name] = fingerprint(values)
            self._dtypes[name] = {key: value.dtype for key, value in values.items()}
            if name in touched:
                self._refuse_unfit(layer, values)
        self._sums = dict(self._trained_sums)
        self._drawn: dict[str, tuple[int, ...]] = {}
        self._unchanged: set[str] = set()
        self._unchanged_parameters: dict[str, None] = {}

    @property
    def unchanged(self) -> tuple[str, ...]:
        """Layers whose draws so far equal their trained values, such as an untrained normalization."""
        return tuple(name for name in self._layers if name in self._unchanged)

    @property
    def unchanged_parameters(self) -> tuple[str, ...]:
        """Parameters whose draws so far equal their trained values, such as a bias that stayed zero."""
        return tuple(self._unchanged_parameters)

    def apply(self, *, draw: int, step: int) -> None:
        """Bring the model into the state of a step: what is not random in it is trained again.

        Raises:
            WeightsError: A layer cannot be drawn, or does not hold what was written to it.
            ModelError: The model does not compute with what was written.
        """
        go_on()
        wanted = self._plan.steps[step].layers
        suffix = (step,) if self._plan.fresh else ()
        keys = {name: (draw, self._index[name], *suffix) for name in wanted}
        for name in [name for name in self._drawn if name not in keys]:
            self._verify_layer(name)
            self._write(name, self._trained.read(name))
            del self._drawn[name]
        for name, key in keys.items():
            if self._drawn.get(name) != key:
                self._draw(name, key)
        if self._plan.statistics == "recalibrate":
            self._recalibrate(wanted)
        if step == len(self._plan.steps) - 1 or not set(wanted) <= set(self._plan.steps[-1].layers):
            self._witness.look(self._layers, wanted)

    def refuse_unmoved(self, trained: HostArray, random: HostArray, *, step: int, place: str) -> None:
        """Refuse a random model that puts out what the trained model does, bit for bit.

        Args:
            trained: The trained model's outputs on a batch `(n, classes)`.
            random: Those in the state of the step, which was applied.
            step: The step's number.
            place: What the state is called in errors.

        Raises:
            ModelError: All weights are new, and the outputs are not.
        """
        if self._plan.steps[step].coverage == 1 and self._all_kernels_new():
            refuse_unmoved(trained, random, place)

    def restore(self) -> None:
        """Write the trained values back into every layer that the plan touches; it may be called again."""
        for name in {name for step in self._plan.steps for name in step.layers}:
            self._adapter.write(name, self._trained.read(name))
            self._sums[name] = self._trained_sums[name]
        self._drawn.clear()

    def verify(self) -> None:
        """Compare every layer with what this object wrote, or with its trained values.

        Raises:
            WeightsError: A layer holds something else: the explainer trained the model, say.
        """
        for name in self._sums:
            self._verify_layer(name)

    def _all_kernels_new(self) -> bool:
        used = [(layer.name, p) for layer in self._layers.values() for p in layer.used]
        kernels = [(name, p) for name, p in used if p.role == "kernel"] or used
        return all(full_name(name, p.name) not in self._unchanged_parameters for name, p in kernels)

    def _verify_layer(self, name: str) -> None:
        if fingerprint(self._adapter.read(name)) != self._sums[name]:
            state = "the random weights that were written" if name in self._drawn else "its trained weights"
            raise WeightsError(
                f"layer {name!r}",
                expected=f"{state}, unchanged by the explanations",
                received="other values",
                fix="Make sure that the explainer does not train or modify the model.",
            )

    def _refuse_unfit(self, layer: Layer, values: dict[str, HostArray]) -> None:
        """Before anything is written; native initializers are asked when a layer is drawn."""
        if not isinstance(self._plan.perturbation, NativeInit):
            for parameter in layer.parameters:
                refuse_unfit(layer, parameter, values[parameter.name], self._plan.perturbation)

    def _draw(self, name: str, key: tuple[int, ...]) -> None:
        # Before the draw, so that the model's values and the drawn ones are not held at once.
        self._verify_layer(name)
        self._write(name, self._drawn_values(name, key))
        self._drawn[name] = key
        layer, sums, trained = self._layers[name], self._sums[name], self._trained_sums[name]
        if layer.parameters and sums == trained:
            self._unchanged.add(name)
        same = (p.name for p in layer.parameters if sums[p.name] == trained[p.name])
        self._unchanged_parameters.update((full_name(name, key), None) for key in same)

    def _drawn_values(self, name: str, key: tuple[int, ...]) -> dict[str, HostArray]:
        layer = self._layers[name]
        trained = TrainedLayer(layer, self._dtypes[name], partial(self._trained.read, name))
        values = draw_layer(self._adapter, trained, self._plan.perturbation, self._streams, key)
        statistics = [p for p in layer.statistics if p.role != "other"]
        if statistics:
            # A layer that was random before holds another draw's statistics: start from the trained state.
            held = self._trained.read(name)
            fresh = _fresh_statistics(layer, held) if self._plan.statistics == "reset" else {}
            values |= {p.name: fresh.get(p.name, held[p.name]) for p in statistics}
        return values

    def _recalibrate(self, names: tuple[str, ...]) -> None:
        with_statistics = [name for name in names if self._layers[name].statistics]
        if not with_statistics:
            return
        require(self._adapter, SupportsStatistics, "statistics='recalibrate'", "Use 'reset' or 'keep'.")
        if self._calibration is None:
            raise WeightsError(
                "statistics='recalibrate'",
                expected="inputs to estimate statistics on",
                received="none",
                fix="Pass example_inputs.",
            )
        capable: Any = self._calibration.seen_by(self._adapter)
        for name, values in capable.estimate_statistics(self._calibration.explained, with_statistics).items():
            self._verify_layer(name)
            self._write(name, dict(values))

    def _write(self, name: str, values: dict[str, HostArray]) -> None:
        """Write values to a layer that was looked at before, and see that it holds them; `values` is emptied."""
        known = {p.name: p for p in (*self._layers[name].parameters, *self._layers[name].statistics)}
        rounded = {key: value for key, value in values.items() if known[key].dtype in _ROUNDING}
        expected = fingerprint(values)
        self._adapter.write(name, values)
        values.clear()
        held = self._adapter.read(name)
        sums = fingerprint(held)
        for key, due in expected.items():
            if sums[key] != due and not (key in rounded and _close(held[key], rounded[key], known[key])):
                raise WeightsError(
                    f"{name}.{key}",
                    expected="the values that were written",
                    received="other values when they were read back",
                    fix=f"This is a fault of the {self._adapter.framework!r} backend: report it.",
                )
        self._sums[name] = sums


@contextmanager
def randomizing(
    adapter: ModelAdapter,
    plans: Sequence[Plan],
    streams: Streams,
    *,
    trained: ModelAdapter | None,
    calibration: PlacedInputs | None = None,
    example: PlacedInputs | None = None,
) -> Iterator[tuple[Randomizer, ...]]:
    """A `Randomizer` of each plan, of which one works at a time and restores what it wrote.

    Args:
        adapter: As in `Randomizer`, like all that are not named here.
        plans: The steps of each.
        streams: See `adapter`.
        trained: An adapter of another copy; or `None` for a model of its own trained values, of which a host copy
            is kept of those layers that the plans touch. It is trained again at the end.
        calibration: See `adapter`.
        example: See `adapter`.
    """
    touched = {name for plan in plans for step in plan.steps for name in step.layers}
    source = HostCopy(adapter, touched) if trained is None else trained
    with put_back(source.restore) if isinstance(source, HostCopy) else nullcontext():
        yield tuple(
            Randomizer(adapter, plan, streams, trained=source, calibration=calibration, example=example)
            for plan in plans
        )


class HostCopy:
    """Trained values of some layers of a model, kept on the host while the model itself is random.

    Args:
        adapter: The trained model.
        names: The layers.
    """

    def __init__(self, adapter: ModelAdapter, names: Iterable[str]) -> None:
        self._adapter = adapter
        self._values = {name: adapter.read(name) for name in names}

    def read(self, layer: str) -> dict[str, HostArray]:
        """The trained values of a layer that is kept."""
        return dict(self._values[layer])

    def restore(self) -> None:
        """Write all of them back into the model; it may be called again."""
        for name in self._values:
            self._adapter.write(name, self.read(name))


def _fresh_statistics(layer: Layer, trained: dict[str, HostArray]) -> dict[str, HostArray]:
    fresh = {"mean": np.zeros_like, "variance": np.ones_like}
    return {
        parameter.name: fresh[parameter.role](trained[parameter.name])
        for parameter in layer.statistics
        if parameter.role in fresh
    }


def _close(held: HostArray, written: HostArray, parameter: Parameter) -> bool:
    return bool(np.allclose(held, written, rtol=_ROUNDING[parameter.dtype], atol=1e-38))
