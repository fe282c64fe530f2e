"""C3: what is written is what is read, and nothing else changes."""

from __future__ import annotations

import numpy as np

from agnostic_rand.adapters import HostArray, Parameter
from agnostic_rand.testing.bench import Bench
from agnostic_rand.testing.check import checks
from agnostic_rand.testing.compare import changed, expect_close, representable, same_bits, some
from agnostic_rand.testing.expectation import ContractError, NotApplicableError, expect, expect_library_error


def exact(bench: Bench) -> None:
    """Values of any magnitude and memory layout are read as they were written, bit for bit."""
    rng = np.random.default_rng(11)
    with bench.restored():
        for layer in bench.layers:
            held = bench.values[layer.name]
            listed = (*layer.parameters, *layer.statistics)
            values = {p.name: _extreme(p, held[p.name], rng) for p in listed}
            bench.adapter.write(layer.name, {name: np.asfortranarray(value) for name, value in values.items()})
            wrong = changed({layer.name: values}, {layer.name: bench.adapter.read(layer.name)})
            expect(not wrong, f"{some(wrong)}: read returns other bits than were written")


def nothing_else(bench: Bench) -> None:
    """Writing one array changes no other: neither of its own layer nor of another."""
    others = bench.other_values(seed=12)
    with bench.restored():
        for layer in bench.layers:
            for parameter in layer.parameters[:4]:
                if parameter.name not in others[layer.name]:
                    continue
                before = bench.read()
                bench.adapter.write(layer.name, {parameter.name: others[layer.name][parameter.name].copy()})
                # What is derived from a written parameter, such as singular vectors, follows it.
                derived = {f"{layer.name}/{s.name}" for s in layer.statistics if s.role == "other"}
                moved = set(changed(before, bench.read())) - derived - {f"{layer.name}/{parameter.name}"}
                expect(not moved, f"writing {layer.name}/{parameter.name} changed {some(sorted(moved))} too")


def takes_effect(bench: Bench) -> None:
    """`predict` and `native` follow each write at once, and come back with the old values."""
    truth, after = bench.case.native.outputs, bench.outputs
    with bench.restored():
        in_use = {layer.name for layer in bench.layers if layer.used}
        for layer, held in bench.other_values(seed=13).items():
            if not held or layer not in in_use:
                continue
            before = bench.predict(bench.inputs)
            bench.adapter.write(layer, held)
            after = bench.predict(bench.inputs)
            expect(
                bool(np.abs(after - before).max() > 1e-6 * np.abs(before).max()),
                f"the outputs are the same after other values were written to {layer!r}",
            )
        if truth is not None:
            native = truth(bench.adapter.native, bench.case.inputs)
            expect_close(
                native, after, bench.tolerance, "the outputs of native after a write, beside those of predict"
            )
    expect_close(
        bench.predict(bench.inputs), bench.outputs, bench.tolerance, "the outputs after the old values were written"
    )


def copies(bench: Bench) -> None:
    """Arrays that were read or written are the caller's own: no change of them reaches the model."""
    others = bench.other_values(seed=14)
    with bench.restored():
        for layer, held in others.items():
            given = {name: value.copy() for name, value in held.items()}
            earlier = bench.adapter.read(layer)
            bench.adapter.write(layer, given)
            moved = changed({layer: bench.values[layer]}, {layer: earlier})
            expect(not moved, f"{some(moved)}, as it was read before, changed with a later write")
            touched = [name for name in held if not same_bits(given[name], held[name])]
            expect(not touched, f"write changed the caller's own array {layer}/{some(touched)}")
            before = bench.adapter.read(layer)
            for value in given.values():
                value += 1
            for value in bench.adapter.read(layer).values():
                if value.flags.writeable:
                    value += 1
            moved = changed({layer: before}, {layer: bench.adapter.read(layer)})
            expect(not moved, f"{some(moved)} changed when an array that was read or written was changed")


def keeps_type(bench: Bench) -> None:
    """Values of another floating type are cast: types, shapes and names stay."""
    with bench.restored():
        for layer, held in bench.other_values(seed=15).items():
            bench.adapter.write(layer, {name: value.astype(np.float64) for name, value in held.items()})
            now = bench.adapter.read(layer)
            wrong = [n for n, value in bench.values[layer].items() if now[n].dtype != value.dtype]
            expect(not wrong, f"{layer}/{some(wrong)} has another type after float64 values were written")
        expect(bench.adapter.layers() == bench.layers, "layers() lists other types or shapes after a write")
        truth = zip(bench.state.parameters, bench.native_state().parameters, strict=True)
        expect(
            all(old.dtype == new.dtype and old.shape == new.shape for old, new in truth),
            "a parameter of the framework's own model has another type or shape after a write",
        )


def tied(bench: Bench) -> None:
    """Tied parameters are listed once, with the others' names, and stay tied."""
    arrays = bench.case.facts.tied
    if arrays is None:
        raise NotApplicableError("the case does not give facts.tied")
    expect(
        any(layer.aliases for layer in bench.layers), "no layer lists the names of tied parameters in its aliases"
    )
    with bench.restored():
        for seed in (16, 18):
            # Twice: the first write may be the one that separates them.
            bench.write(bench.other_values(seed))
            _expect_tied([np.array(a) for a in arrays(bench.adapter.native)], "after a write")
        copy = bench.adapter.clone()
        bench.write(bench.other_values(seed=17), copy)
        _expect_tied([np.array(a) for a in arrays(copy.native)], "in a clone, after a write to it")


def refuses_misfits(bench: Bench) -> None:
    """Unknown parameters and arrays of another shape are refused, with nothing written."""
    layer = next(layer for layer in bench.layers if layer.parameters)
    parameter = layer.parameters[0]
    value = bench.values[layer.name][parameter.name]
    name = "no such parameter"
    unknown = {parameter.name: np.full_like(value, 2), name: value}
    with bench.restored():
        expect_library_error(lambda: bench.adapter.write(layer.name, unknown), "writing an unknown parameter")
        _expect_nothing_written(bench)
    wider = np.zeros((2, *value.shape), value.dtype)
    narrower = np.zeros((1,) * value.ndim, value.dtype)
    for misfit in (wider, narrower) if value.size > 1 else (wider,):
        with bench.restored():
            try:
                bench.adapter.write(layer.name, {parameter.name: misfit})
            except Exception:  # noqa: BLE001 - any refusal will do: the contract names no type for it
                _expect_nothing_written(bench)
                continue
            raise ContractError(f"write takes an array of shape {misfit.shape} for one of shape {value.shape}")


def _expect_nothing_written(bench: Bench) -> None:
    wrong = changed(bench.values, bench.read())
    expect(not wrong, f"{some(wrong)} changed by a write that was refused")


def _expect_tied(arrays: list[HostArray], moment: str) -> None:
    apart = any(not np.array_equal(arrays[0], other) for other in arrays[1:])
    expect(not apart, f"tied parameters are not equal any more {moment}")


def _extreme(parameter: Parameter, value: HostArray, rng: np.random.Generator) -> HostArray:
    """Values over the whole range of the type, normal numbers only."""
    kind = value.dtype.kind
    if kind in "iu":
        limits = np.iinfo(value.dtype)
        drawn: HostArray = rng.integers(limits.min, limits.max, value.shape, dtype=value.dtype, endpoint=True)
        return drawn
    if kind != "f":
        return value
    # Statistics may pass through a logarithm or a root on the way; a sign would not survive it.
    sign = 1.0 if parameter.role == "variance" else rng.choice((-1.0, 1.0), value.shape)
    limit = np.log10(float(np.finfo(value.dtype).max)) - 1
    reach = min(limit, -np.log10(float(np.finfo(value.dtype).smallest_normal)) - 1)
    extreme = np.asarray(sign * 10.0 ** rng.uniform(-reach, reach, value.shape)).astype(value.dtype)
    return representable(extreme, parameter.dtype)


CHECKS = checks("C3", exact, nothing_else, takes_effect, copies, keeps_type, tied, refuses_misfits)
