"""SupportsStatistics: running means and variances, estimated anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agnostic_rand.adapters import HostArray, SupportsLayerGradient, SupportsStatistics
from agnostic_rand.testing.bench import Bench
from agnostic_rand.testing.calls import with_statistics
from agnostic_rand.testing.check import checks
from agnostic_rand.testing.compare import expect_close, some
from agnostic_rand.testing.expectation import NotApplicableError, expect


def fits(bench: Bench) -> None:
    """Each layer that was asked for, and no other, has a mean and a variance of its shape."""
    adapter, names = _capable(bench)
    for asked in (names, names[:1]):
        estimated = adapter.estimate_statistics(bench.inputs, asked)
        expect(set(estimated) == set(asked), f"asked for {some(asked)}, got {some(sorted(estimated))}")
        for layer in (layer for layer in bench.layers if layer.name in asked):
            due = {s.name: s.shape for s in layer.statistics if s.role in ("mean", "variance")}
            got = {name: value.shape for name, value in estimated[layer.name].items() if name in due}
            expect(got == due, f"the estimates for {layer.name!r} have the shapes {got}, not {due}")


def of_the_inputs(bench: Bench) -> None:
    """The estimates follow the inputs, and not the statistics that the layers hold now."""
    adapter, names = _capable(bench)
    first = adapter.estimate_statistics(bench.inputs, names)
    other = adapter.estimate_statistics(bench.adapter.asarray(_spread(bench)), names)
    for name in names:
        moved = any(not np.allclose(first[name][key], other[name][key], rtol=1e-3) for key in first[name])
        expect(moved, f"the estimates for {name!r} are the same for other inputs")
    with bench.restored():
        for layer in (layer for layer in bench.layers if layer.name in names):
            spread = {
                s.name: bench.values[layer.name][s.name] * 3 + 2 for s in layer.statistics if s.role != "other"
            }
            bench.adapter.write(layer.name, spread)
        again = adapter.estimate_statistics(bench.inputs, names)
    for name in names:
        _expect_same(again[name], first[name], bench, f"of {name!r}, with other statistics in the model before")


def normalize(bench: Bench) -> None:
    """With its estimates, a layer's output has mean 0 and variance 1 over the inputs."""
    adapter, names = _capable(bench)
    bench.need(SupportsLayerGradient)
    named = [name for name in names if name in adapter.layer_shapes(bench.inputs)]
    if not named:
        raise NotApplicableError("layer_shapes names no layer with statistics")
    with bench.restored():
        for layer in (layer for layer in bench.layers if layer.name in names):
            held = bench.values[layer.name]
            plain = {p.name: np.ones_like(held[p.name]) for p in layer.parameters if p.role == "scale"}
            plain |= {p.name: np.zeros_like(held[p.name]) for p in layer.parameters if p.role == "shift"}
            bench.adapter.write(layer.name, plain)
        for name, values in adapter.estimate_statistics(bench.inputs, names).items():
            bench.adapter.write(name, values)
        for name in named:
            output = bench.host(adapter.layer_gradient(bench.inputs, adapter.asarray(bench.labels), name)[0])
            axis = bench.adapter.channel_axis if output.ndim > 2 else -1
            features = np.moveaxis(output, axis, -1).reshape(-1, output.shape[axis])
            # Frameworks divide by n or n - 1, and add a small number to a variance that may be 0.
            spread = features.var(axis=0)
            n = len(features)
            live = spread > 0.5
            centered = float(np.abs(features.mean(axis=0)).max()) < 0.05
            expect(centered, f"the outputs of {name!r} have means up to {np.abs(features.mean(axis=0)).max():.3g}")
            scaled = bool((spread[live] < 1.05 * n / max(n - 1, 1)).all() and live.any())
            expect(scaled, f"the outputs of {name!r} have variances from {spread.min():.3g} to {spread.max():.3g}")


def _capable(bench: Bench) -> tuple[Any, list[str]]:
    adapter = bench.need(SupportsStatistics)
    names = with_statistics(bench)
    if not names:
        raise NotApplicableError("no layer of the model has running statistics")
    return adapter, names


def _spread(bench: Bench) -> HostArray:
    inputs = np.asarray(bench.case.inputs)
    spread: HostArray = inputs[::-1] * 2 + 1 if inputs.dtype.kind == "f" else np.roll(inputs, 1, axis=-1)
    return spread.astype(inputs.dtype)


def _expect_same(
    actual: Mapping[str, HostArray], expected: Mapping[str, HostArray], bench: Bench, subject: str
) -> None:
    for key, value in expected.items():
        expect_close(actual[key], value, 4 * bench.tolerance, f"the estimated {key} {subject}")


CHECKS = checks("statistics", fits, of_the_inputs, normalize)
