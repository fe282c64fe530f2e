"""SupportsTraining: Adam on the cross entropy, in training mode within a step only."""

from __future__ import annotations

from typing import Any

import numpy as np

from agnostic_rand.adapters import SupportsTraining
from agnostic_rand.testing.bench import Bench
from agnostic_rand.testing.check import checks
from agnostic_rand.testing.compare import changed, some
from agnostic_rand.testing.expectation import NotApplicableError, expect
from agnostic_rand.testing.reference import DenseChain, cross_entropy

_RATE = 1e-2


def learns(bench: Bench) -> None:
    """Sixty steps on one batch lower its loss clearly; the adapter's own model is what learns."""
    adapter = _capable(bench)
    with bench.restored():
        step = adapter.trainer(learning_rate=3 * _RATE, seed=71)
        losses = [step(bench.case.inputs, bench.labels)[0] for _ in range(60)]
        expect(
            bool(np.isfinite(losses).all()), f"the loss of step {int(np.argmin(np.isfinite(losses)))} is not finite"
        )
        # Means, as dropout makes single losses noisy.
        first, last = float(np.mean(losses[:5])), float(np.mean(losses[-5:]))
        expect(last < 0.9 * first, f"the loss went from {first:.4g} to {last:.4g} in 60 steps")
        moved = {place.rpartition("/")[0] for place in changed(bench.values, bench.read())}
        still = [layer.name for layer in bench.layers if layer.used and layer.name not in moved]
        expect(not still, f"no step changed layer {some(still)}")
        outputs = bench.predict(bench.inputs)
        expect(bool(np.abs(outputs - bench.outputs).max() > 0), "predict is the same after training")


def first_step(bench: Bench) -> None:
    """A step returns the loss and the number of hits from before it, and moves weights by Adam's first step."""
    adapter = _capable(bench)
    chain = DenseChain.of(bench)
    outputs = chain.sums(bench.case.inputs)[-1]
    due, hits = cross_entropy(outputs, bench.labels), int((outputs.argmax(axis=1) == bench.labels).sum())
    with bench.restored():
        loss, correct = adapter.trainer(learning_rate=_RATE, seed=72)(bench.case.inputs, bench.labels)
        now = bench.read()
    expect(abs(loss - due) <= bench.tolerance * max(1.0, due), f"the loss is {loss:.6g}, NumPy computes {due:.6g}")
    expect(correct == hits, f"{correct} predictions are said to be right, {hits} of {len(bench.labels)} are")
    steps = [float(np.abs(now[a][b] - v).max()) for a, held in bench.values.items() for b, v in held.items()]
    expect(
        0.9 * _RATE <= max(steps) <= 1.1 * _RATE,
        f"the first step moved weights by up to {max(steps):.4g}; Adam's moves them by the learning rate, {_RATE}",
    )


def seeded(bench: Bench) -> None:
    """The same seed gives the same training from the same weights."""
    adapter = _capable(bench)
    runs = []
    for _ in range(2):
        with bench.restored():
            step = adapter.trainer(learning_rate=_RATE, seed=73)
            runs.append([step(bench.case.inputs, bench.labels)[0] for _ in range(4)])
    apart = float(np.abs(np.subtract(runs[0], runs[1])).max())
    expect(
        apart <= bench.tolerance * max(runs[0]), f"two runs with one seed have the losses {runs[0]} and {runs[1]}"
    )


def leaves_modes(bench: Bench) -> None:
    """After a step, modes and flags are as before it, and the model evaluates again."""
    adapter = _capable(bench)
    with bench.restored():
        adapter.trainer(learning_rate=1e-3, seed=74)(bench.case.inputs, bench.labels)
        flags = bench.native_state().flags
        expect(flags == bench.state.flags, f"a step changed the flags from {bench.state.flags!r} to {flags!r}")
        first = bench.predict(bench.adapter.asarray(bench.case.inputs[:1]))
        apart = float(np.abs(first - bench.predict(bench.inputs)[:1]).max())
        expect(apart <= bench.tolerance * max(1.0, float(np.abs(first).max())), "predict depends on the batch")


def _capable(bench: Bench) -> Any:
    adapter = bench.need(SupportsTraining)
    if bench.classes < 2:
        raise NotApplicableError("a model with one output is no classifier")
    return adapter


CHECKS = checks("training", learns, first_step, seeded, leaves_modes)
