"""C7: the axes of a kernel mean what they are named, as the outputs and gradients show."""

from __future__ import annotations

import numpy as np

from agnostic_rand.adapters import HostArray, Layer, Parameter, axis_name
from agnostic_rand.testing.bench import Bench
from agnostic_rand.testing.check import checks
from agnostic_rand.testing.compare import some
from agnostic_rand.testing.expectation import NotApplicableError, expect

_STATISTIC_ROLES = ("mean", "variance", "other")
_PARAMETER_ROLES = ("kernel", "bias", "scale", "shift", "magnitude", "other")
_FLAT = 1e-5


def well_formed(bench: Bench) -> None:
    """Each kernel names its axes, each axis once; a bias is as long as its kernel has outputs."""
    for layer in bench.layers:
        for parameter in layer.parameters:
            place = f"{layer.name}/{parameter.name}"
            expect(parameter.role in _PARAMETER_ROLES, f"{place} has the role {parameter.role!r}")
            expect(
                parameter.role != "kernel" or parameter.axes is not None,
                f"{place} is a kernel without axes: its fan-in is then unknown (role 'other' needs none)",
            )
            if parameter.axes is not None:
                expect(
                    len(parameter.axes) == len(parameter.shape) == len(set(map(axis_name, parameter.axes))),
                    f"{place} of shape {parameter.shape} has the axes {parameter.axes}: one name for each is due",
                )
        wrong = [s.name for s in layer.statistics if s.role not in _STATISTIC_ROLES]
        expect(not wrong, f"the statistics {layer.name}/{some(wrong)} have the role of a parameter")
        kernels = [p for p in layer.parameters if p.role == "kernel" and p.axes is not None and "out" in p.axes]
        biases = [p for p in layer.parameters if p.role == "bias" and p.axes == ("out",)]
        if len(kernels) == len(biases) == 1:
            outputs = kernels[0].shape[(kernels[0].axes or ()).index("out")]
            # A grouped transposed convolution has as many outputs in each of its groups.
            expect(
                biases[0].size % max(outputs, 1) == 0,
                f"{layer.name} has {outputs} along 'out' of its kernel and {biases[0].size} biases",
            )


def known(bench: Bench) -> None:
    """The axes are those that the case states."""
    if not bench.case.facts.axes:
        raise NotApplicableError("the case does not give facts.axes")
    listed = {f"{layer.name}/{p.name}": p for layer in bench.layers for p in layer.parameters}
    for place, axes in bench.case.facts.axes.items():
        expect(place in listed, f"no parameter is listed as {place!r}, of which the case states axes")
        named = listed[place].axes
        expect(
            named == tuple(axes), f"{place} of shape {listed[place].shape} has the axes {named}, not {tuple(axes)}"
        )


def out_is_out(bench: Bench) -> None:
    """In the last layer, the slices of a kernel along `out` make one output each."""
    layer, kernel = _plain_kernels(bench)[-1]
    value = bench.values[layer.name][kernel.name]
    found = []
    for axis, size in enumerate(kernel.shape):
        if size != bench.classes or size < 2:
            continue
        with bench.restored():
            other = value.copy()
            picked = np.moveaxis(other, axis, 0)
            picked[0] = picked[0] * 0.5 + 0.25
            bench.adapter.write(layer.name, {kernel.name: other})
            moved = _relative(bench, bench.predict(bench.inputs)) - _relative(bench, bench.outputs)
        moves = np.abs(moved).max(axis=0)
        if moves[0] > _FLAT and (moves[1:] <= _FLAT * max(1.0, float(moves[0]))).all():
            found.append(axis)
    if len(found) != 1:
        raise NotApplicableError("the last kernel does not make the outputs, one by a slice")
    named = (kernel.axes or ())[found[0]]
    expect(
        named == "out",
        f"dimension {found[0]} of {layer.name}/{kernel.name} makes one output a slice, and is named {named!r}",
    )


def in_is_in(bench: Bench) -> None:
    """In the first layer, the slices of a kernel along `in` read one input channel each."""
    bench.need_gradient()
    layer, kernel = _plain_kernels(bench)[0]
    channel_axis = bench.adapter.channel_axis if bench.case.inputs.ndim > 2 else -1
    channels = bench.case.inputs.shape[channel_axis]
    value = bench.values[layer.name][kernel.name]
    if _channel_gradients(bench, layer, kernel, np.zeros_like(value), channel_axis).any():
        raise NotApplicableError("the inputs reach the outputs beside the first kernel too")
    found = []
    for axis, size in enumerate(kernel.shape):
        if size != channels or size < 2:
            continue
        other = value.copy()
        np.moveaxis(other, axis, 0)[0] = 0
        reached = _channel_gradients(bench, layer, kernel, other, channel_axis)
        if reached[0] == 0 and (reached[1:] > 0).all():
            found.append(axis)
    if len(found) != 1:
        raise NotApplicableError("the first kernel does not read the input channels, one by a slice")
    named = (kernel.axes or ())[found[0]]
    expect(
        axis_name(named) == "in",
        f"dimension {found[0]} of {layer.name}/{kernel.name} reads one channel a slice, and is named {named!r}",
    )


def _plain_kernels(bench: Bench) -> list[tuple[Layer, Parameter]]:
    """Kernels that act as they are written, in the order of their layers."""
    plain = [
        (layer, parameter)
        for layer in bench.layers
        for parameter in layer.parameters
        if parameter.role == "kernel"
        and parameter.axes is not None
        and len(parameter.axes) == len(parameter.shape)
        and bench.values[layer.name][parameter.name].dtype.kind == "f"
        and {p.role for p in layer.parameters} <= {"kernel", "bias"}
        and not layer.statistics
    ]
    if not plain:
        raise NotApplicableError("no layer has a kernel and biases only")
    return plain


def _relative(bench: Bench, outputs: HostArray) -> HostArray:
    """The outputs, freed of a softmax where they are probabilities: relative to the last class."""
    sums = bench.outputs.sum(axis=1)
    if bench.classes > 2 and (bench.outputs > 0).all() and np.allclose(sums, 1, atol=1e-3):
        logits: HostArray = np.log(outputs) - np.log(outputs[:, -1:])
        return logits
    return outputs


def _channel_gradients(
    bench: Bench, layer: Layer, kernel: Parameter, value: HostArray, channel_axis: int
) -> HostArray:
    """The largest gradient in each input channel, with another kernel."""
    with bench.restored():
        bench.adapter.write(layer.name, {kernel.name: value})
        gradient = np.abs(bench.gradient(bench.labels))
    largest: HostArray = (
        np.moveaxis(gradient, channel_axis, 0).reshape(gradient.shape[channel_axis], -1).max(axis=1)
    )
    return largest


CHECKS = checks("C7", well_formed, known, out_is_out, in_is_in)
