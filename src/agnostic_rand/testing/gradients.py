"""`gradient`: equal to finite differences of `predict`, linear in the targets' weights."""

from __future__ import annotations

import numpy as np

from agnostic_rand.adapters import (
    Array,
    HostArray,
    ReluRule,
    SupportsOutputAndGradient,
    SupportsReluRules,
)
from agnostic_rand.errors import AgnosticRandError
from agnostic_rand.testing.bench import Bench
from agnostic_rand.testing.check import checks
from agnostic_rand.testing.compare import difference, expect_close
from agnostic_rand.testing.expectation import NotApplicableError, expect

_STEPS = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3)
_ERROR = 0.02
_ROUNDING = {True: 2e-15, False: 1e-6}


def shape(bench: Bench) -> None:
    """The gradient is shaped like the inputs, of full precision, on partial batches too."""
    bench.need_gradient()
    for n in (1, 3, len(bench.labels)):
        inputs = bench.adapter.asarray(bench.case.inputs[:n])
        gradient = bench.adapter.gradient(inputs, bench.adapter.asarray(bench.labels[:n]))
        on_host = np.asarray(bench.adapter.to_numpy(gradient))
        expect(
            on_host.shape == bench.case.inputs[:n].shape,
            f"the gradient has shape {on_host.shape} for inputs of shape {bench.case.inputs[:n].shape}",
        )
        expect(on_host.dtype in (np.float32, np.float64), f"the gradient is {on_host.dtype} on the host")


def finite_differences(bench: Bench) -> None:
    """The gradient is the slope of `predict`, before and after a write."""
    bench.need_gradient()
    if bench.tolerance > 1e-2:
        raise NotApplicableError("half precision is too coarse for finite differences")
    _expect_slopes(bench, "with the model's weights")
    with bench.restored():
        bench.write(bench.other_values(seed=31))
        _expect_slopes(bench, "after a write")


def of_every_class(bench: Bench) -> None:
    """Integer targets give what one-hot weights give, for every class, in one batch or another."""
    bench.need_gradient()
    for shift in range(min(bench.classes, 4)):
        labels = (bench.labels + shift) % bench.classes
        expect_close(
            bench.gradient(labels),
            bench.gradient(bench.one_hot(labels)),
            bench.tolerance,
            f"the gradient for the classes {labels[:4].tolist()} …, beside that for one-hot weights",
        )


def linear_in_weights(bench: Bench) -> None:
    """Weights `(n, classes)` give the weighted sum of the classes' gradients."""
    bench.need_gradient()
    n = len(bench.labels)
    weights = np.random.default_rng(32).uniform(-2, 2, (n, bench.classes)).astype(np.float32)
    parts = [
        weights[:, k].reshape((n,) + (1,) * (bench.case.inputs.ndim - 1)) * bench.gradient(np.full(n, k))
        for k in range(bench.classes)
    ]
    scale = max(float(np.abs(part).max()) for part in parts) or 1.0
    actual, expected = bench.gradient(weights), np.sum(parts, axis=0)
    expect(
        actual.shape == expected.shape and float(np.abs(actual - expected).max()) <= 4 * bench.tolerance * scale,
        f"the gradient for weights of the classes is off their gradients' weighted sum by "
        f"{difference(actual, expected):.2g} of its largest value",
    )


def with_outputs(bench: Bench) -> None:
    """`output_and_gradient` returns what `predict` and `gradient` return, after writes too."""
    adapter = bench.need(SupportsOutputAndGradient)
    bench.need_gradient()
    rules: tuple[ReluRule, ...] = ("standard", *bench.working_rules())
    with bench.restored():
        for moment in ("with the model's weights", "after a write"):
            for rule in rules:
                for targets in (bench.labels, bench.one_hot(bench.labels)):
                    both = adapter.output_and_gradient(bench.inputs, adapter.asarray(targets), relu=rule)
                    outputs, gradient = map(bench.host, both)
                    due, subject = (
                        bench.gradient(targets, rule),
                        f"of output_and_gradient (relu={rule!r}, {moment})",
                    )
                    expect_close(outputs, bench.predict(bench.inputs), bench.tolerance, f"the outputs {subject}")
                    expect_close(gradient, due, bench.tolerance, f"the gradient {subject}")
            bench.write(bench.other_values(seed=33))


def no_silent_rule(bench: Bench) -> None:
    """A ReLU rule that is not offered, or finds no ReLU, is refused: never the plain gradient."""
    bench.need_gradient()
    offered = bench.adapter.relu_rules() if isinstance(bench.adapter, SupportsReluRules) else ()
    rules: tuple[ReluRule, ...] = ("guided", "deconv")
    plain = bench.gradient(bench.labels)
    for rule in rules:
        try:
            modified = bench.gradient(bench.labels, rule)
        except AgnosticRandError:
            continue
        expect(rule in offered, f"gradient takes relu={rule!r}, which relu_rules() does not list")
        with bench.restored():
            # Weights of both signs send negative gradients through every ReLU.
            bench.write(bench.other_values(seed=34))
            plain, modified = bench.gradient(bench.labels), bench.gradient(bench.labels, rule)
        expect(
            not np.abs(plain).any() or difference(modified, plain) > 1e-4,
            f"relu={rule!r} returns the plain gradient: raise a ModelError where the model shows no ReLU",
        )


def _expect_slopes(bench: Bench, moment: str) -> None:
    x = np.asarray(bench.case.inputs, dtype=np.float64)
    axes = tuple(range(1, x.ndim))
    gradient = bench.gradient(bench.labels)
    norms = np.sqrt((gradient**2).sum(axis=axes, keepdims=True))
    rng = np.random.default_rng(35)
    directions = [gradient / np.where(norms > 0, norms, 1.0)]
    directions += [d / np.sqrt((d**2).sum(axis=axes, keepdims=True)) for d in rng.standard_normal((3, *x.shape))]
    reach = (np.sqrt((x**2).mean()) or 1.0) * np.sqrt(x[0].size)
    outputs = float(np.abs(bench.predict(bench.inputs)).max())
    here = _picked(bench, x)
    judged = agreed = 0
    worst = ""
    for direction in directions:
        claimed = (gradient * direction).sum(axis=axes)
        scale = np.maximum(np.abs(claimed), norms.reshape(-1) / np.sqrt(x[0].size))
        within = np.zeros(len(x), bool)
        able = np.zeros(len(x), bool)
        seen = np.zeros(len(x))
        for step in _STEPS:
            h = step * reach
            ahead, behind = _picked(bench, x + h * direction), _picked(bench, x - h * direction)
            rounding = _ROUNDING[bench.tolerance < 1e-6] * outputs / h
            clear = rounding < 0.2 * np.maximum(scale, 1e-30)
            # Where one side has a kink, such as a ReLU's, the other side has the slope.
            for slope in ((ahead - behind) / (2 * h), (ahead - here) / h, (here - behind) / h):
                within |= clear & (np.abs(slope - claimed) <= _ERROR * scale + 2 * rounding)
            seen = np.where(clear, (ahead - behind) / (2 * h), seen)
            able |= clear
        judged, agreed = judged + int(able.sum()), agreed + int(within.sum())
        if (able & ~within).any():
            i = int(np.argmax(able & ~within))
            worst = f"{seen[i]:.5g} where the gradient says {claimed[i]:.5g} (sample {i})"
    if not judged:
        raise NotApplicableError("the gradients are too small beside the outputs for finite differences")
    # Kinks on both sides within the smallest step are possible, if rare.
    expect(agreed >= 0.9 * judged, f"{moment}, {judged - agreed} of {judged} slopes of predict differ: {worst}")


def _picked(bench: Bench, x: HostArray) -> HostArray:
    inputs: Array = bench.adapter.asarray(x.astype(bench.case.inputs.dtype))
    return bench.predict(inputs)[np.arange(len(x)), bench.labels]


CHECKS = checks(
    "gradient", shape, finite_differences, of_every_class, linear_in_weights, with_outputs, no_silent_rule
)
