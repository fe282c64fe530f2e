"""Bridge to SHAP's explainers of differentiable models."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import shap

from agnostic_rand.adapters import HostArray
from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers.bridges.foreign import Batch, ForeignExplainer
from agnostic_rand.weights.streams import Purpose

LIBRARY = "shap"

_OWN = ("X", "ranked_outputs", "output_rank_order", "rseed", "return_variances", "check_additivity")
"""What the bridge passes itself."""


def bridge(candidate: Any) -> ShapExplainer | None:
    """The explainer of a gradient or deep explainer of SHAP; `None` for what is no explainer.

    Raises:
        ArgumentError: A class, which needs a background too, or an explainer of another kind.
    """
    if isinstance(candidate, shap.GradientExplainer | shap.DeepExplainer):
        return ShapExplainer(candidate)
    kind = candidate if isinstance(candidate, type) else type(candidate)
    if not issubclass(kind, shap.Explainer):
        return None
    raise ArgumentError(
        f"the explainer {kind.__name__} of shap",
        expected="a GradientExplainer or a DeepExplainer, bound to the model",
        received="a class" if isinstance(candidate, type) else "one that explains a function",
        fix="Pass the object shap.GradientExplainer(model, background), or a function "
        "f(model, inputs, targets) -> maps of your own.",
    )


@dataclass(frozen=True, eq=False, repr=False)
class ShapExplainer(ForeignExplainer):
    """SHAP's expected gradients or deep explainer, of the target's output.

    Every sample meets the same random numbers. Only the target's output is computed, but by the deep
    explainer on Keras, where SHAP offers no choice. The deep explainer's expected value is that of
    the trained model, so its sum is not checked against it.

    Args:
        method: A `GradientExplainer` or `DeepExplainer` that is bound to the model; or a function of
            the model, such as `lambda model: shap.GradientExplainer(model, background)`.
        arguments: By name, further arguments of `shap_values`, such as `nsamples`.
        name: The name in results.

    Raises:
        ArgumentError: `method` is none of these, or an argument is the run's own.

    Example:
        >>> import shap
        >>> explainer = ShapExplainer(lambda model: shap.DeepExplainer(model, background), name="deep")
        >>> explainer.name
        'deep'
    """

    library: ClassVar[str] = LIBRARY
    framework: ClassVar[str] = ""

    def _kinds(self) -> tuple[type, ...]:
        return (shap.GradientExplainer, shap.DeepExplainer)

    def _model(self, method: Any) -> Any:
        return method.explainer.model

    def _native_kind(self) -> tuple[type, ...]:
        return tuple(kind for kind in (_torch_kind(), _keras_kind()) if kind is not None)

    def _clean(self, native: Any) -> AbstractContextManager[None]:
        if _is_torch(native):
            from agnostic_rand.explainers.bridges.torch_traces import untouched

            return untouched(native)
        return nullcontext()

    def _seeded(self, native: Any) -> tuple[str, ...]:
        # SHAP draws from NumPy alone.
        return ()

    def _check(self, method: Any) -> None:
        for name in self.arguments:
            if name in _OWN:
                raise ArgumentError(
                    f"arguments[{name!r}]",
                    expected="an argument that the run does not pass itself",
                    received=name,
                    fix="Leave it out.",
                )

    def _maps(self, method: Any, batch: Batch) -> HostArray:
        arguments = dict(self.arguments)
        if isinstance(method, shap.GradientExplainer):
            arguments["rseed"] = batch.context.streams.derived_seed(Purpose.SMOOTHING, 3) % 2**32
        else:
            arguments["check_additivity"] = False
        # SHAP goes through samples one by one itself; here each gets the same random numbers.
        one = _of_module if _is_torch(batch.adapter.native) else _of_keras
        inputs = batch.inputs if _is_torch(batch.adapter.native) else batch.adapter.to_numpy(batch.original)
        rows = (one(method, inputs[i : i + 1], int(batch.classes[i]), arguments) for i in range(len(batch.classes)))
        return np.concatenate(list(rows))


def _of_module(method: Any, inputs: Any, target: int, arguments: dict[str, Any]) -> HostArray:
    with _one_output(method.explainer, target):
        values: HostArray = method.shap_values(inputs, **arguments)
    return values[..., 0]


def _of_keras(method: Any, inputs: HostArray, target: int, arguments: dict[str, Any]) -> HostArray:
    with warnings.catch_warnings():
        # SHAP passes its inputs to a functional model as a list of one.
        warnings.filterwarnings("ignore", message="The structure of `inputs` doesn't match")
        if isinstance(method, shap.GradientExplainer) and method.explainer.multi_output:
            ranks = np.array([[target]])
            values, _ = method.shap_values(inputs, ranked_outputs=ranks, output_rank_order="custom", **arguments)
            target = 0
        else:
            values = method.shap_values(inputs, **arguments)
    shown: HostArray = np.asarray(values)
    return shown[..., target]


@contextmanager
def _one_output(inner: Any, target: int) -> Iterator[None]:
    """Let SHAP's explainer of a module explain one output, which costs one output's time.

    It has no argument for that: it explains all outputs, or those of the largest values.
    """
    outputs = "gradients" if hasattr(inner, "gradients") else "num_outputs"
    before = getattr(inner, outputs)
    inner.gradient = partial(_gradient_of, type(inner), inner, target)
    setattr(inner, outputs, [None] if outputs == "gradients" else 1)
    try:
        yield
    finally:
        del inner.gradient
        setattr(inner, outputs, before)


def _gradient_of(kind: Any, inner: Any, target: int, _: Any, inputs: Any) -> Any:
    return kind.gradient(inner, target, inputs)


def _is_torch(native: Any) -> bool:
    kind = _torch_kind()
    return kind is not None and isinstance(native, kind)


def _torch_kind() -> Any:
    torch = sys.modules.get("torch")
    return torch and torch.nn.Module


def _keras_kind() -> Any:
    keras = sys.modules.get("keras")
    return keras and getattr(keras, "Model", None)
