"""C4: a clone is the same model, and shares nothing with it."""

from __future__ import annotations

from agnostic_rand.testing.bench import Bench
from agnostic_rand.testing.check import checks
from agnostic_rand.testing.compare import changed, expect_close, some
from agnostic_rand.testing.expectation import expect


def same_model(bench: Bench) -> None:
    """A clone has the same layers, bits, outputs and gradients."""
    copy = bench.adapter.clone()
    expect(copy.layers() == bench.layers, "the clone lists other layers, or in another order")
    expect(copy.order_source == bench.adapter.order_source, "the clone has another order_source")
    wrong = changed(bench.values, bench.read(copy))
    expect(not wrong, f"the clone holds other values in {some(wrong)}")
    expect_close(bench.predict(bench.inputs, copy), bench.outputs, bench.tolerance, "the clone's outputs")
    if bench.case.inputs.dtype.kind == "f":
        targets = bench.adapter.asarray(bench.labels)
        gradient = bench.host(copy.gradient(bench.inputs, targets))
        expect_close(gradient, bench.gradient(bench.labels), bench.tolerance, "the clone's gradient")


def of_current_weights(bench: Bench) -> None:
    """A clone carries the weights that the model has now, not those that it began with."""
    with bench.restored():
        bench.write(bench.other_values(seed=21))
        now, outputs = bench.read(), bench.predict(bench.inputs)
        copy = bench.adapter.clone()
        wrong = changed(now, bench.read(copy))
        expect(not wrong, f"a clone that was made after a write holds other values in {some(wrong)}")
        expect_close(bench.predict(bench.inputs, copy), outputs, bench.tolerance, "the outputs of a later clone")


def original_is_safe(bench: Bench) -> None:
    """Writing to a clone changes neither the values nor the outputs of the original."""
    copy = bench.adapter.clone()
    bench.write(bench.other_values(seed=22), copy)
    wrong = changed(bench.values, bench.read())
    expect(not wrong, f"writing to the clone changed the original's {some(wrong)}")
    expect_close(
        bench.predict(bench.inputs),
        bench.outputs,
        bench.tolerance,
        "the original's outputs after the clone's write",
    )


def clone_is_safe(bench: Bench) -> None:
    """Writing to the original changes neither a clone nor a clone of a clone."""
    copy = bench.adapter.clone()
    second = copy.clone()
    with bench.restored():
        bench.write(bench.other_values(seed=23))
        for name, adapter in (("a clone", copy), ("a clone of a clone", second)):
            wrong = changed(bench.values, bench.read(adapter))
            expect(not wrong, f"writing to the original changed {some(wrong)} of {name}")
            expect_close(bench.predict(bench.inputs, adapter), bench.outputs, bench.tolerance, f"outputs of {name}")


CHECKS = checks("C4", same_model, of_current_weights, original_is_safe, clone_is_safe)
