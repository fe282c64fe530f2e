"""SupportsNativeInit: fresh values from the framework's own initializers."""

from __future__ import annotations

import numpy as np

from agnostic_rand.adapters import HostArray, SupportsNativeInit
from agnostic_rand.testing.bench import Bench
from agnostic_rand.testing.check import checks
from agnostic_rand.testing.compare import changed, some
from agnostic_rand.testing.expectation import NotApplicableError, expect


def fits(bench: Bench) -> None:
    """What is drawn has the names and shapes of the layer's parameters, and is finite."""
    adapter = bench.need(SupportsNativeInit)
    for layer in bench.layers:
        shapes = {p.name: p.shape for p in layer.parameters}
        for name, value in adapter.native_init(layer.name, 51).items():
            place = f"native_init of {layer.name}/{name}"
            expect(name in shapes, f"{place}: the layer has no such parameter")
            expect(value.shape == shapes[name], f"{place} has shape {value.shape}, not {shapes[name]}")
            expect(bool(np.isfinite(value).all()), f"{place} is not finite")


def seeded(bench: Bench) -> None:
    """One seed gives the same values again, another seed gives others."""
    first, again, other = _drawn(bench, 52), _drawn(bench, 52), _drawn(bench, 53)
    moved = changed(first, again)
    expect(not moved, f"native_init of {some(moved)} differs when called again with the same seed")
    same = set(_random(first)) - set(changed(first, other))
    expect(not same, f"native_init of {some(sorted(same))} is the same for two seeds")


def fresh(bench: Bench) -> None:
    """What is drawn does not depend on the weights that the model has."""
    first = _drawn(bench, 54)
    with bench.restored():
        bench.write(bench.other_values(seed=55))
        moved = changed(first, _drawn(bench, 54))
    expect(not moved, f"native_init of {some(moved)} depends on the model's current weights")
    kept = set(_random(first)) - set(changed(first, bench.values))
    expect(not kept, f"native_init of {some(sorted(kept))} returns the trained values")


def _drawn(bench: Bench, seed: int) -> dict[str, dict[str, HostArray]]:
    adapter = bench.need(SupportsNativeInit)
    drawn = {layer.name: dict(adapter.native_init(layer.name, seed)) for layer in bench.layers}
    if not any(drawn.values()):
        raise NotApplicableError("no layer of the model has an initializer")
    return drawn


def _random(drawn: dict[str, dict[str, HostArray]]) -> list[str]:
    """The arrays that an initializer draws, rather than fills with one number."""
    return [
        f"{layer}/{name}"
        for layer, held in drawn.items()
        for name, value in held.items()
        if value.size > 1 and np.ptp(value) > 0
    ]


CHECKS = checks("native_init", fits, seeded, fresh)
