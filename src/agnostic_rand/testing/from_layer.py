"""SupportsFromLayer: the model from a named layer's output on."""

from __future__ import annotations

from agnostic_rand.adapters import FromLayer, SupportsFromLayer, SupportsLayerGradient
from agnostic_rand.errors import AgnosticRandError
from agnostic_rand.testing.bench import Bench
from agnostic_rand.testing.check import checks
from agnostic_rand.testing.compare import difference, expect_close
from agnostic_rand.testing.expectation import NotApplicableError, expect


def continues(bench: Bench) -> None:
    """From a layer's own output the model puts out what it does from its inputs, also for copies of the batch."""
    adapter, xp = bench.adapter, bench.adapter.xp
    due = bench.host(adapter.predict(bench.inputs))
    starts = starting_layers(bench)
    if not starts:
        raise NotApplicableError("no layer of this model runs once and puts out one array")
    for name, rest in starts.items():
        output = rest.output
        place = f"from layer {name!r}"
        expect_close(bench.host(rest.predict(output)), due, bench.tolerance, f"the outputs {place}")
        twice = bench.host(rest.predict(xp.concat([output, output], axis=0)))
        expect_close(twice[: len(due)], due, bench.tolerance, f"the outputs {place} of the first of two copies")
        expect_close(twice[len(due) :], due, bench.tolerance, f"the outputs {place} of the second of two copies")
        # Far away: attention hardly sees small changes.
        other = bench.host(rest.predict(10 * xp.flip(output, axis=0)))
        expect(
            difference(other, due) > bench.tolerance,
            f"the outputs {place} are the same for another output of that layer",
        )


def gradient(bench: Bench) -> None:
    """The gradient from a layer on is that of `layer_gradient`, for copies of the batch too."""
    adapter = bench.need(SupportsLayerGradient)
    xp, labels = adapter.xp, adapter.asarray(bench.labels)
    for name, rest in starting_layers(bench).items():
        held, due = (bench.host(part) for part in adapter.layer_gradient(bench.inputs, labels, name))
        output = rest.output
        if difference(bench.host(output), held) > bench.tolerance:
            continue  # A layer that holds its activation may start before or behind it.
        found = bench.host(rest.gradient(output, labels))
        expect_close(found, due, bench.tolerance, f"the gradient from layer {name!r}, beside layer_gradient")
        twice = rest.gradient(xp.concat([output, output], axis=0), xp.concat([labels, labels], axis=0))
        expect_close(
            bench.host(twice)[len(due) :], due, bench.tolerance, f"the gradient from layer {name!r} of a copy"
        )


def starting_layers(bench: Bench) -> dict[str, FromLayer]:
    """The layers that run once; others may be refused."""
    adapter = bench.need(SupportsFromLayer)
    found: dict[str, FromLayer] = {}
    for layer in bench.layers:
        if layer.parameters and not layer.used:
            continue
        try:
            rest = adapter.from_layer(bench.inputs, layer.name)
            _ = rest.output
        except AgnosticRandError:
            continue
        found[layer.name] = rest
    return found


CHECKS = checks("from_layer", continues, gradient)
