"""C5: the calls that only look at the model leave everything as it was, also where they fail."""

from __future__ import annotations

from typing import Any

import numpy as np

from agnostic_rand.adapters import Array, SupportsExternalExplainers, SupportsKeptState
from agnostic_rand.testing.bench import Bench
from agnostic_rand.testing.calls import calls, failing_calls
from agnostic_rand.testing.check import checks
from agnostic_rand.testing.compare import changed, expect_close, same_bits, some
from agnostic_rand.testing.expectation import NotApplicableError, expect


def calls_change_nothing(bench: Bench) -> None:
    """Weights, statistics, modes, flags and inputs are the same after each call as before it."""
    # The kit called it when it opened the case.
    _expect_unchanged(bench, "predict")
    for name, call in calls(bench):
        given = np.array(bench.adapter.to_numpy(bench.inputs))
        call()
        _expect_unchanged(bench, name)
        expect(same_bits(bench.adapter.to_numpy(bench.inputs), given), f"{name} changed the inputs")


def opening_changes_nothing(bench: Bench) -> None:
    """The model is the same after it was opened as before."""
    differences = bench.before_opening.differences(bench.after_opening)
    expect(not differences, f"opening the adapter changed {some(differences)}")
    same_type = type(bench.adapter.native) is type(bench.case.model)
    expect(
        same_type,
        f"native is a {type(bench.adapter.native).__name__}, the model a {type(bench.case.model).__name__}",
    )


def evaluation_mode(bench: Bench) -> None:
    """Outputs and gradients are the same at each call, and a sample's do not depend on its batch."""
    expect_close(bench.predict(bench.inputs), bench.outputs, bench.tolerance, "predict, called again")
    if bench.case.inputs.dtype.kind == "f":
        gradient = bench.gradient(bench.labels)
        expect_close(bench.gradient(bench.labels), gradient, bench.tolerance, "gradient, called again")
    n = len(bench.outputs)
    for part in (slice(0, 1), slice(0, 3), slice(n - 3, n)):
        inputs = bench.adapter.asarray(bench.case.inputs[part])
        where = f"the batch {part.start}:{part.stop}, beside the same samples in the whole batch"
        expect_close(bench.predict(inputs), bench.outputs[part], bench.tolerance, f"predict on {where}")
        if bench.case.inputs.dtype.kind == "f":
            alone = bench.gradient(bench.labels[part], inputs=inputs)
            expect_close(alone, gradient[part], 4 * bench.tolerance, f"gradient on {where}")


def failures_change_nothing(bench: Bench) -> None:
    """A call that fails leaves weights, modes and flags as they were."""
    failed = 0
    for name, call in failing_calls(bench):
        try:
            call()
        except Exception:  # noqa: BLE001 - any failure is fine: what is left behind is not
            failed += 1
        _expect_unchanged(bench, f"{name}, which failed,")
    if not failed:
        raise NotApplicableError("the model takes inputs of every shape that was tried")


def explaining(bench: Bench) -> None:
    """Foreign code finds the model evaluating; its outputs are those of `predict`, or `None`."""
    adapter = bench.need(SupportsExternalExplainers)
    outputs = bench.case.native.outputs
    with adapter.explaining(bench.inputs) as captured:
        expect(captured() is None, "explaining knows outputs before any call was made")
        if outputs is not None:
            outputs(adapter.native, bench.case.inputs)
    noted = captured()
    if noted is not None:
        expect_close(bench.host(noted), bench.outputs, bench.tolerance, "the outputs that explaining noted")
    _expect_unchanged(bench, "explaining")
    expect(_fails(adapter, bench.inputs), "explaining swallows the exceptions of foreign code")
    _expect_unchanged(bench, "explaining code that fails")


def kept_state(bench: Bench) -> None:
    """What `kept_state` returns puts back what foreign code changed, each time that it is called."""
    adapter = bench.need(SupportsKeptState)
    disturb = bench.case.native.disturb
    if disturb is None:
        raise NotApplicableError("the case does not give native.disturb")
    restore = adapter.kept_state()
    for _ in range(2):
        disturb(adapter.native)
        seen = bench.state.differences(bench.native_state())
        expect(bool(seen), "native.disturb changes nothing that native.flags sees")
        restore()
        _expect_unchanged(bench, "foreign code, put back by what kept_state returned,")
    restore()
    _expect_unchanged(bench, "what kept_state returned, called again,")


class _ForeignError(Exception):
    pass


def _fails(adapter: Any, inputs: Array) -> bool:
    try:
        with adapter.explaining(inputs):
            _fail()
    except _ForeignError:
        return True
    return False


def _fail() -> None:
    raise _ForeignError


def _expect_unchanged(bench: Bench, name: str) -> None:
    differences = bench.state.differences(bench.native_state())
    expect(not differences, f"{name} changed {some(differences)}")
    moved = changed(bench.values, bench.read())
    expect(not moved, f"{name} changed {some(moved)}")


CHECKS = checks(
    "C5",
    calls_change_nothing,
    opening_changes_nothing,
    evaluation_mode,
    failures_change_nothing,
    explaining,
    kept_state,
)
