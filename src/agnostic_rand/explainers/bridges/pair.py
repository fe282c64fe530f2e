"""Bridge to PAIR's saliency, whose methods call a model through a function."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from saliency.core import base as pair

from agnostic_rand.adapters import (
    Array,
    HostArray,
    ModelAdapter,
    SupportsLayerGradient,
    require,
)
from agnostic_rand.errors import ArgumentError, unknown_name
from agnostic_rand.explainers.bridges.foreign import shown_arguments
from agnostic_rand.explainers.bridges.seeding import seeded
from agnostic_rand.explainers.context import ExplanationContext
from agnostic_rand.explainers.image_layers import image_layers
from agnostic_rand.explainers.naming import snake_case

LIBRARY = "saliency.core"

_OWN = ("x_value", "call_model_function", "call_model_args")
"""What the bridge passes itself."""


def bridge(candidate: Any) -> PairExplainer | None:
    """The explainer of a saliency method of PAIR, or of its class; `None` for anything else."""
    if isinstance(candidate, type) and issubclass(candidate, pair.CoreSaliency):
        return PairExplainer(candidate())
    return PairExplainer(candidate) if isinstance(candidate, pair.CoreSaliency) else None


@dataclass(frozen=True, eq=False, repr=False)
class PairExplainer:
    """A saliency method of PAIR, on a model of any backend, one sample at a time.

    The method gets a sample with its channels last, and the model's gradients, layers and outputs
    through the adapter. Every sample meets the same random numbers.

    Args:
        method: A `CoreSaliency`, such as `IntegratedGradients()`.
        arguments: By name, further arguments of its `GetMask` or `GetSmoothedMask`.
        smoothed: Whether `GetSmoothedMask` is called.
        layer: The layer that `GradCam` looks at; by default the last whose output has space and channels.
        name: The name in results.

    Raises:
        ArgumentError: `method` is no `CoreSaliency`, or takes other arguments.

    Example:
        >>> from saliency.core import IntegratedGradients
        >>> PairExplainer(IntegratedGradients(), {"x_steps": 50}).name
        'pair_integrated_gradients'
    """

    method: Any
    arguments: Mapping[str, Any] = field(default_factory=dict)
    smoothed: bool = False
    layer: str | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.method, pair.CoreSaliency):
            raise ArgumentError(
                "PairExplainer()",
                expected="a CoreSaliency of PAIR's saliency",
                received=repr(self.method),
                fix="Pass for example saliency.core.IntegratedGradients().",
            )
        taken = {**self._taken("GetMask"), **(self._taken("GetSmoothedMask") if self.smoothed else {})}
        for name in self.arguments:
            if name not in taken or name in _OWN:
                known = [known for known in taken if known not in (*_OWN, "kwargs")]
                raise unknown_name(f"argument of {type(self.method).__name__}", name, known)
        if not self.name:
            smooth = "smoothed_" if self.smoothed else ""
            object.__setattr__(self, "name", f"pair_{smooth}{snake_case(type(self.method).__name__)}")

    def __repr__(self) -> str:
        smoothed = ", smoothed=True" if self.smoothed else ""
        layer = f", layer={self.layer!r}" if self.layer is not None else ""
        return f"PairExplainer({type(self.method).__name__}{shown_arguments(self.arguments)}{smoothed}{layer})"

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The library's maps; see `Explainer.explain`."""
        model = _Model(
            adapter, None if context.channel_axis is None else context.channel_axis % inputs.ndim, self.layer
        )
        arguments = {**self._defaults(context), **self.arguments}
        call = self.method.GetSmoothedMask if self.smoothed else self.method.GetMask
        masks = []
        for sample, target in zip(
            model.channels_last(adapter.to_numpy(inputs)), adapter.to_numpy(targets), strict=True
        ):
            with seeded(adapter, context):
                masks.append(np.asarray(call(sample, model, int(target), **arguments)))
        maps = np.stack(masks)
        return model.own_layout(maps) if maps.ndim == inputs.ndim else maps

    def _taken(self, call: str) -> dict[str, inspect.Parameter]:
        return dict(inspect.signature(getattr(self.method, call)).parameters)

    def _defaults(self, context: ExplanationContext) -> dict[str, Any]:
        # The library's own: one step at a time, and a map of GradCam copied to three channels.
        wanted = {"batch_size": context.batch_size, "three_dims": False}
        return {name: value for name, value in wanted.items() if name in self._taken("GetMask")}


@dataclass(frozen=True)
class _Model:
    """The function through which a method calls the model.

    Args:
        adapter: The model.
        channel_axis: Where its inputs keep their channels; `None` where they have none.
        layer: The layer whose output and gradient are given.
    """

    adapter: ModelAdapter
    channel_axis: int | None
    layer: str | None

    def __call__(
        self, x_value_batch: Any, call_model_args: int, expected_keys: Sequence[str]
    ) -> dict[str, HostArray]:
        samples = self.own_layout(np.asarray(x_value_batch, dtype=np.float32))
        inputs = self.adapter.asarray(np.ascontiguousarray(samples))
        targets = self.adapter.asarray(np.full(len(samples), call_model_args))
        answers: dict[str, HostArray] = {}
        if pair.INPUT_OUTPUT_GRADIENTS in expected_keys:
            gradient = self.adapter.to_numpy(self.adapter.gradient(inputs, targets))
            answers[pair.INPUT_OUTPUT_GRADIENTS] = self.channels_last(gradient)
        if pair.OUTPUT_LAYER_VALUES in expected_keys:
            outputs = self.adapter.to_numpy(self.adapter.predict(inputs))
            answers[pair.OUTPUT_LAYER_VALUES] = outputs[:, call_model_args]
        if pair.CONVOLUTION_LAYER_VALUES in expected_keys or pair.CONVOLUTION_OUTPUT_GRADIENTS in expected_keys:
            output, gradient = self._at_layer(inputs, targets)
            answers[pair.CONVOLUTION_LAYER_VALUES] = output
            answers[pair.CONVOLUTION_OUTPUT_GRADIENTS] = gradient
        return answers

    def channels_last(self, values: HostArray) -> HostArray:
        return values if self.channel_axis is None else np.moveaxis(values, self.channel_axis, -1)

    def own_layout(self, values: HostArray) -> HostArray:
        return values if self.channel_axis is None else np.moveaxis(values, -1, self.channel_axis)

    def _at_layer(self, inputs: Array, targets: Array) -> tuple[HostArray, HostArray]:
        adapter = require(
            self.adapter, SupportsLayerGradient, "GradCam() of PAIR's saliency", "Use another method."
        )
        layer = self.layer
        if layer is None:
            spatial = image_layers(adapter, inputs, self.channel_axis)
            if not spatial:
                raise ArgumentError(
                    "GradCam() of PAIR's saliency",
                    expected="a model with a layer whose output has space and channels",
                    received="none",
                    fix="Use a gradient method for models without spatial layers.",
                )
            layer = spatial[-1]
        output, gradient = (
            self.adapter.to_numpy(array) for array in adapter.layer_gradient(inputs, targets, layer)
        )
        return self.channels_last(output), self.channels_last(gradient)
