"""SupportsLayerGradient: outputs and gradients inside the model, at a named layer."""

from __future__ import annotations

import numpy as np

from agnostic_rand.adapters import SupportsLayerGradient
from agnostic_rand.testing.bench import Bench
from agnostic_rand.testing.check import checks
from agnostic_rand.testing.compare import difference, expect_close
from agnostic_rand.testing.expectation import expect
from agnostic_rand.testing.reference import DenseChain


def shapes(bench: Bench) -> None:
    """Each named layer's output and gradient have the shape that `layer_shapes` says."""
    adapter = bench.need(SupportsLayerGradient)
    labels = adapter.asarray(bench.labels)
    named = adapter.layer_shapes(bench.inputs)
    expect(bool(named), "layer_shapes names no layer")
    expect(any(layer.name in named for layer in bench.layers), "layer_shapes names no layer of layers()")
    unused = {layer.name for layer in bench.layers if layer.parameters and not layer.used}
    for name, shape in named.items():
        if name in unused:
            continue
        output, gradient = map(bench.host, adapter.layer_gradient(bench.inputs, labels, name))
        expect(
            output.shape == gradient.shape == tuple(shape),
            f"layer {name!r} of shape {tuple(shape)}: output {output.shape}, gradient {gradient.shape}",
        )
        expect(bool(np.isfinite(gradient).all()), f"the gradient at layer {name!r} is not finite")


def dense_relu(bench: Bench) -> None:
    """At dense layers with ReLUs between them, outputs and gradients are what NumPy computes.

    A layer may hold its ReLU: then both are those behind it.
    """
    adapter = bench.need(SupportsLayerGradient)
    with bench.restored():
        for seed in (None, 61):
            if seed is not None:
                bench.write(bench.other_values(seed))
            chain = DenseChain.of(bench, bench.read())
            sums = chain.sums(bench.case.inputs)
            for targets in (bench.labels, bench.one_hot(bench.labels)):
                _, *before = chain.gradients(bench.case.inputs, bench.one_hot(bench.labels))
                behind = [after @ kernel.T for after, kernel in zip(before[1:], chain.kernels[1:], strict=True)]
                for i, name in enumerate(chain.names):
                    both = adapter.layer_gradient(bench.inputs, adapter.asarray(targets), name)
                    output, gradient = map(bench.host, both)
                    due_output, due = sums[i], before[i]
                    if i < len(behind) and difference(output, sums[i]) > bench.tolerance:
                        due_output, due = np.maximum(sums[i], 0), behind[i]
                    expect_close(output, due_output, bench.tolerance, f"the output of layer {name!r}, beside NumPy")
                    expect_close(gradient, due, bench.tolerance, f"the gradient at layer {name!r}, beside NumPy")


CHECKS = checks("layer_gradient", shapes, dense_relu)
