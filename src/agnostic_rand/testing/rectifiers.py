"""Forms of a ReLU: one table for all backends, and what an adapter does with each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agnostic_rand.adapters import HostArray, ReluRule, SupportsReluRules
from agnostic_rand.errors import AgnosticRandError
from agnostic_rand.testing.bench import Bench, open_adapter
from agnostic_rand.testing.check import NotApplicableError, checks, expect
from agnostic_rand.testing.compare import difference
from agnostic_rand.testing.reference import DenseChain

RULES: tuple[ReluRule, ...] = ("guided", "deconv")

RELU_FORMS: dict[str, float] = {
    "relu": np.inf,
    "maximum with a number": np.inf,
    "maximum with an array of zeros": np.inf,
    "clip from below": np.inf,
    "clip from 0 to infinity": np.inf,
    "where with a number": np.inf,
    "where with an array of zeros": np.inf,
    "where not, with zeros first": np.inf,
    "times its mask": np.inf,
    "negative entries set to zero": np.inf,
    "threshold": np.inf,
    "half of the sum with its magnitude": np.inf,
    "minus its negative part": np.inf,
    "relu6": 6.0,
    "clip from 0 to 6": 6.0,
    "minimum of a relu with 6": 6.0,
    "relu of a minimum with 6": 6.0,
    "minimum of a relu with 4": 4.0,
}
"""By name, the value at which the form stops to rise: infinity for a ReLU, 6 for a ReLU6."""


@dataclass(frozen=True)
class Rectified:
    """The model of a case with the same weights, of which one ReLU is written in another form.

    Args:
        form: A key of `RELU_FORMS`.
        spelling: How it is called, such as `"module"`, `"function"`, `"method"`, `"operator"`.
        build: Makes the model.
        layer: After which dense layer the form stands, counted from 0. All others are followed by the
            framework's own ReLU function.
    """

    form: str
    spelling: str
    build: Callable[[], Any]
    layer: int

    def __str__(self) -> str:
        return f"{self.form} ({self.spelling})"


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
