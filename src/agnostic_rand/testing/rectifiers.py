"""Rectifiers of a model, in every form: what an adapter does with each of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agnostic_rand.adapters import HostArray, ReluRule, SupportsReluRules
from agnostic_rand.errors import AgnosticRandError
from agnostic_rand.testing.bench import Bench, open_adapter
from agnostic_rand.testing.check import checks
from agnostic_rand.testing.compare import difference
from agnostic_rand.testing.expectation import NotApplicableError, expect
from agnostic_rand.testing.reference import DenseChain
from agnostic_rand.testing.relu_forms import RELU_FORMS, Rectified

RULES: tuple[ReluRule, ...] = ("guided", "deconv")


def each_form(bench: Bench) -> None:
    """A ReLU has the rule's backward pass in whatever form it is written, or the rule is refused."""
    forms = bench.case.facts.rectified
    if not isinstance(bench.adapter, SupportsReluRules):
        raise NotApplicableError("the adapter lacks SupportsReluRules")
    if not forms:
        raise NotApplicableError("the case states no facts.rectified")
    applied, weights = 0, bench.one_hot(bench.labels)
    for rectified in forms:
        adapter = open_adapter(replace(bench.case, model=rectified.build()))
        chain = DenseChain.of_layers(adapter.layers(), bench.read(adapter))
        inputs, labels = adapter.asarray(bench.case.inputs), adapter.asarray(bench.labels)
        for rule in RULES:
            try:
                seen = bench.host(adapter.gradient(inputs, labels, relu=rule))
            except AgnosticRandError:
                continue
            applied += 1
            due = _reference(chain, bench.case.inputs, weights, rule, rectified)
            off = difference(seen, due)
            expect(
                off <= bench.tolerance,
                f"{rectified}: the gradient by relu={rule!r} is off by {off:.2g} of its largest value. "
                "Give this form the rule's backward pass, or refuse it with its name.",
            )
    expect(applied > 0, "every form of a ReLU is refused, torch.relu and its like too")


def _reference(
    chain: DenseChain, inputs: HostArray, weights: HostArray, rule: ReluRule, rectified: Rectified
) -> HostArray:
    x = np.asarray(inputs, np.float64).reshape(len(inputs), -1)
    sums: list[HostArray] = []
    tops = [RELU_FORMS[rectified.form] if i == rectified.layer else np.inf for i in range(len(chain.kernels))]
    for i, (kernel, bias) in enumerate(zip(chain.kernels, chain.biases, strict=True)):
        x = np.clip(sums[-1], 0, tops[i - 1]) if sums else x
        sums.append(x @ kernel + bias)
    gradient: HostArray = np.asarray(weights, np.float64)
    for i in range(len(chain.kernels) - 1, 0, -1):
        gradient = gradient @ chain.kernels[i].T
        gradient = np.maximum(gradient, 0)
        if rule != "deconv":
            gradient = gradient * ((sums[i - 1] > 0) & (sums[i - 1] < tops[i - 1]))
    return (gradient @ chain.kernels[0].T).reshape(np.shape(inputs))


CHECKS = checks("relu_rules", each_form)
