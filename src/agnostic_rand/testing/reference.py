"""Dense layers with ReLUs between them, computed in float64: the truth for one kind of model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agnostic_rand.adapters import HostArray, Layer, ReluRule
from agnostic_rand.testing.bench import Bench
from agnostic_rand.testing.check import checks
from agnostic_rand.testing.compare import Values, expect_close
from agnostic_rand.testing.expectation import ContractError, NotApplicableError


@dataclass(frozen=True)
class DenseChain:
    """The model of a case with `facts.dense_relu`, read through `layers` and `read`.

    Args:
        names: The names of the dense layers.
        kernels: Their kernels `(in, out)`.
        biases: Their biases `(out,)`.
    """

    names: tuple[str, ...]
    kernels: tuple[HostArray, ...]
    biases: tuple[HostArray, ...]

    @classmethod
    def of(cls, bench: Bench, values: Values | None = None) -> DenseChain:
        """The chain with the model's weights, or with others.

        Raises:
            NotApplicableError: The model is none.
            ContractError: What is listed makes none.
        """
        if not bench.case.facts.dense_relu:
            raise NotApplicableError("the case does not state facts.dense_relu")
        return cls.of_layers(bench.layers, bench.values if values is None else values)

    @classmethod
    def of_layers(cls, layers: Sequence[Layer], values: Values) -> DenseChain:
        """The chain of these layers, with these values.

        Raises:
            ContractError: What is listed makes none.
        """
        kernels: list[HostArray] = []
        biases: list[HostArray] = []
        for layer in layers:
            kernel = next((p for p in layer.parameters if p.role == "kernel"), None)
            if kernel is None or set(kernel.axes or ()) != {"in", "out"}:
                raise ContractError(
                    f"layer {layer.name!r} is dense, and lists no kernel with the axes 'in' and 'out'"
                )
            array = np.transpose(values[layer.name][kernel.name], kernel.canonical_order).astype(np.float64)
            if kernels and kernels[-1].shape[1] != array.shape[0]:
                raise ContractError(
                    f"layer {layer.name!r} takes {array.shape[0]} inputs by its axes, "
                    f"and the layer before it has {kernels[-1].shape[1]} outputs"
                )
            bias = [values[layer.name][p.name] for p in layer.parameters if p.role == "bias"]
            kernels.append(array)
            biases.append(bias[0].astype(np.float64) if bias else np.zeros(array.shape[1]))
        return cls(tuple(layer.name for layer in layers), tuple(kernels), tuple(biases))

    def sums(self, inputs: HostArray) -> list[HostArray]:
        """What each dense layer returns; the last are the outputs."""
        x = np.asarray(inputs, np.float64).reshape(len(inputs), -1)
        reached: list[HostArray] = []
        for kernel, bias in zip(self.kernels, self.biases, strict=True):
            x = np.maximum(reached[-1], 0) if reached else x
            reached.append(x @ kernel + bias)
        return reached

    def gradients(self, inputs: HostArray, weights: HostArray, relu: ReluRule = "standard") -> list[HostArray]:
        """The gradient with respect to the inputs, and to what each dense layer returns."""
        sums = self.sums(inputs)
        gradient: HostArray = np.asarray(weights, np.float64)
        found = [gradient]
        for i in range(len(self.kernels) - 1, 0, -1):
            gradient = gradient @ self.kernels[i].T
            if relu != "standard":
                gradient = np.maximum(gradient, 0)
            if relu != "deconv":
                gradient = gradient * (sums[i - 1] > 0)
            found.append(gradient)
        found.append((gradient @ self.kernels[0].T).reshape(np.shape(inputs)))
        return found[::-1]


def cross_entropy(outputs: HostArray, labels: HostArray) -> float:
    """The mean over samples of `log(sum(exp(outputs))) - outputs[label]`."""
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]
    return float(losses.mean())


def outputs(bench: Bench) -> None:
    """`predict` on dense layers with ReLUs is what NumPy computes from the values that were read."""
    chain = DenseChain.of(bench)
    expect_close(bench.outputs, chain.sums(bench.case.inputs)[-1], bench.tolerance, "predict, beside NumPy")


def gradient(bench: Bench) -> None:
    """`gradient` on dense layers with ReLUs is what NumPy computes from the values that were read."""
    chain = DenseChain.of(bench)
    weights = np.random.default_rng(41).uniform(-2, 2, bench.outputs.shape).astype(np.float32)
    for targets in (bench.one_hot(bench.labels), weights):
        due = chain.gradients(bench.case.inputs, targets)[0]
        expect_close(bench.gradient(targets), due, bench.tolerance, "gradient, beside NumPy")


def relu_rules(bench: Bench) -> None:
    """Guided and deconv gradients on dense layers with ReLUs are what NumPy computes."""
    chain = DenseChain.of(bench)
    rules = bench.working_rules()
    if not rules:
        raise NotApplicableError("the adapter offers no ReLU rule, or finds no ReLU in the model")
    for rule in rules:
        due = chain.gradients(bench.case.inputs, bench.one_hot(bench.labels), rule)[0]
        expect_close(
            bench.gradient(bench.labels, rule), due, bench.tolerance, f"gradient, relu={rule!r}, beside NumPy"
        )


CHECKS = checks("dense_relu", outputs, gradient, relu_rules)
