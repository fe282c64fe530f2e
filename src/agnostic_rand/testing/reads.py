"""C2 and SupportsReads: what the outputs depend on, and which model's values a forward pass takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from agnostic_rand.adapters import SupportsReads
from agnostic_rand.errors import ModelError
from agnostic_rand.testing.bench import Bench, open_adapter
from agnostic_rand.testing.check import checks
from agnostic_rand.testing.compare import same_bits, some
from agnostic_rand.testing.expectation import NotApplicableError, expect


def unused(bench: Bench) -> None:
    """`Layer.unused` names parameters that change no output, and those of `facts.unused`."""
    called = {(layer.name, name) for layer in bench.layers for name in layer.unused}
    unknown = called - {(layer.name, p.name) for layer in bench.layers for p in layer.parameters}
    expect(not unknown, f"unused names {some(['/'.join(name) for name in unknown])}, which is no parameter")
    with bench.restored():
        others = bench.other_values(seed=51)
        for layer, name in sorted(called):
            bench.adapter.write(layer, {name: others[layer][name]})
            expect(
                same_bits(bench.predict(bench.inputs), bench.outputs),
                f"{layer}/{name} is called unused, and another value of it changes the outputs",
            )
    due = bench.case.facts.unused
    if due is not None:
        listed = {"/".join(name) for name in called}
        missed = sorted(set(due) - listed)
        expect(not missed, f"layers() does not call {some(missed)} unused, on which no output depends")


def own_values(bench: Bench) -> None:
    """A forward pass reads all parameters in use of its own model, also after a write, and none of its clone's."""
    adapter: Any = bench.need(SupportsReads)
    copy: Any = bench.adapter.clone()
    with bench.restored():
        for moment in ("as opened", "after a write"):
            read = adapter.reads(bench.inputs, adapter)
            used = {(layer.name, p.name) for layer in bench.layers for p in layer.used if p.size}
            missed = sorted("/".join(name) for name in used - read.parameters)
            expect(read.branches or not missed, f"{moment}, reads() leaves out {some(missed)}, which are used")
            bench.write(bench.other_values(seed=52))
    stolen = sorted("/".join(name) for name in copy.reads(bench.inputs, bench.adapter).parameters)
    expect(not stolen, f"reads() says that a clone computes with {some(stolen)} of its original")


def of_the_original(bench: Bench) -> None:
    """A clone with a function that is bound to the original is seen to read the original, or is refused."""
    bench.need(SupportsReads)
    bound = bench.case.facts.bound
    if bound is None:
        raise NotApplicableError("the case does not give facts.bound")
    try:
        adapter = open_adapter(replace(bench.case, model=bound()))
        copy: Any = adapter.clone()
        read = copy.reads(bench.inputs, adapter)
    except ModelError:
        return
    expect(bool(read.parameters), "a clone computes with its original, and reads() does not say so")


CHECKS = (*checks("C2", unused), *checks("reads", own_values, of_the_original))
