"""C1: every parameter is in exactly one layer. C2: layers come in the order of the forward pass."""

from __future__ import annotations

from collections import Counter

import numpy as np

from agnostic_rand.testing.bench import Bench
from agnostic_rand.testing.check import checks
from agnostic_rand.testing.compare import changed, some
from agnostic_rand.testing.expectation import NotApplicableError, expect


def total(bench: Bench) -> None:
    """The listed parameters have as many elements as the model's, tied ones counted once."""
    facts, truth = bench.case.facts, bench.state.parameters
    if facts.parameter_count is None and not truth:
        raise NotApplicableError("the case gives neither facts.parameter_count nor native.parameters")
    listed = sum(layer.size for layer in bench.layers)
    if facts.parameter_count is not None:
        expect(listed == facts.parameter_count, f"layers() lists {listed} elements of {facts.parameter_count}")
    if truth:
        held = sum(array.size for array in truth)
        expect(listed == held, f"layers() lists {listed} elements, the framework's own model has {held}")


def each_once(bench: Bench) -> None:
    """Names are unique, no layer is empty, and writing one parameter changes no other."""
    twice = [name for name, n in Counter(layer.name for layer in bench.layers).items() if n > 1]
    expect(not twice, f"two layers are named {some(twice)}")
    for layer in bench.layers:
        held = (*layer.parameters, *layer.statistics)
        expect(bool(held), f"layer {layer.name!r} has neither parameters nor statistics")
        twice = [name for name, n in Counter(p.name for p in held).items() if n > 1]
        expect(not twice, f"layer {layer.name!r} lists {some(twice)} twice")
    with bench.restored():
        others = bench.other_values(seed=1)
        bench.write(others)
        now = bench.read()
    lost = changed(others, now)
    expect(not lost, f"{some(lost)} changed when something else was written: one array is listed twice")


def nothing_left_out(bench: Bench) -> None:
    """After all listed parameters were written, none of the framework's own is as it was."""
    before = bench.state.parameters
    if not before:
        raise NotApplicableError("the case does not give native.parameters")
    with bench.restored():
        bench.write(bench.other_values(seed=2))
        after = bench.native_state().parameters
    expect(len(before) == len(after), f"the model had {len(before)} parameters, and has {len(after)} after writing")
    kept = [
        f"number {i} of shape {old.shape}"
        for i, (old, new) in enumerate(zip(before, after, strict=True))
        if old.size and np.mean(old == new) > 0.5
    ]
    expect(not kept, f"parameters that no layer lists stayed as they were: {some(kept)}")


def read_is_listed(bench: Bench) -> None:
    """What `read` returns has the names, shapes and types that `layers` lists."""
    for layer in bench.layers:
        listed = {p.name: p for p in (*layer.parameters, *layer.statistics)}
        held = bench.values[layer.name]
        expect(
            set(held) == set(listed), f"read({layer.name!r}) has {sorted(held)}, layers() lists {sorted(listed)}"
        )
        for name, parameter in listed.items():
            place, value = f"{layer.name}/{name}", held[name]
            expect(isinstance(value, np.ndarray), f"{place} is read as {type(value).__name__}, no NumPy array")
            expect(
                value.shape == parameter.shape,
                f"{place} is read with shape {value.shape}, listed with {parameter.shape}",
            )
            due = "float32" if parameter.dtype == "bfloat16" else parameter.dtype
            expect(value.dtype.name == due, f"{place} is read as {value.dtype}, listed as {parameter.dtype}")


def first_use(bench: Bench) -> None:
    """With example inputs, layers come in the order in which the forward pass first uses them."""
    order = bench.case.facts.order
    if order is None:
        raise NotApplicableError("the case does not give facts.order")
    listed = tuple(layer.name for layer in bench.layers)
    expect(listed == tuple(order), f"layers() lists {', '.join(listed)}; first used are {', '.join(order)}")


def stable(bench: Bench) -> None:
    """`layers` returns the same at each call, also after a forward pass, a gradient and a write."""
    source = bench.adapter.order_source
    expect(source in ("traced", "declared"), f"order_source is {source!r}, neither 'traced' nor 'declared'")
    bench.predict(bench.inputs)
    with bench.restored():
        bench.write(bench.other_values(seed=3))
        expect(bench.adapter.layers() == bench.layers, "layers() changed after a forward pass and a write")
    expect(bench.adapter.order_source == source, "order_source changed after a forward pass")


CHECKS = (
    *checks("C1", total, each_once, nothing_left_out, read_is_listed),
    *checks("C2", first_use, stable),
)
