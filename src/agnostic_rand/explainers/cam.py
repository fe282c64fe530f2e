"""Class activation maps: what a layer with spatial output contributes, at the size of the input."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from array_api_compat import array_namespace

from agnostic_rand.adapters import (
    Array,
    ModelAdapter,
    SupportsLayerGradient,
    require,
    require_relu_rule,
)
from agnostic_rand.errors import ArgumentError, InputError, unknown_name
from agnostic_rand.explainers.context import ExplanationContext
from agnostic_rand.explainers.resize import upsampled


@dataclass(frozen=True)
class _ClassActivationMap(ABC):
    """What the methods share: the layer, its output and gradient, and upsampling."""

    layer: str | None = None

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps `(n, h, w)`; see `Explainer.explain`."""
        if inputs.ndim != 4:
            raise InputError(
                f"{type(self).__name__}()",
                expected="images with channels, four dimensions",
                received=f"inputs of shape {tuple(inputs.shape)}",
                fix="Use a gradient method for inputs that are not images.",
            )
        axis = context.channel_axis % 4
        capable = require(
            adapter,
            SupportsLayerGradient,
            f"{type(self).__name__}()",
            "Use a gradient method, or hand over the layer's map as a function of your own.",
        )
        layer = self._layer(capable, inputs)
        output, gradient = capable.layer_gradient(inputs, targets, layer)
        # float32 where the layer computes in half precision.
        output = array_namespace(gradient).astype(output, gradient.dtype)
        maps = self._combine(array_namespace(output), output, gradient, axis)
        height, width = (size for i, size in enumerate(inputs.shape) if i not in (0, axis))
        return upsampled(maps, (height, width), adapter)

    @abstractmethod
    def _combine(self, xp: Any, output: Array, gradient: Array, axis: int) -> Array:
        """The coarse map `(n, h, w)`."""

    def _layer(self, adapter: SupportsLayerGradient, inputs: Array) -> str:
        shapes = adapter.layer_shapes(inputs[:1, ...])
        if self.layer is not None and self.layer not in shapes:
            raise unknown_name("layer", self.layer, shapes)
        spatial = [
            name for name, shape in shapes.items() if len(shape) == 4 and sum(size > 1 for size in shape[1:]) == 3
        ]
        if self.layer is None:
            if not spatial:
                raise ArgumentError(
                    f"{type(self).__name__}()",
                    expected="a model with a layer whose output has space and channels",
                    received=f"layers of shapes {', '.join(str(s) for s in list(shapes.values())[-3:])}",
                    fix="Use a gradient method for models without spatial layers.",
                )
            return spatial[-1]
        if len(shapes[self.layer]) != 4:
            near = f" Use for example layer={spatial[-1]!r}." if spatial else ""
            raise ArgumentError(
                f"layer={self.layer!r}",
                expected="a layer whose output has space and channels, four dimensions",
                received=f"an output of shape {shapes[self.layer]}",
                fix=f"Name a convolution or a layer after one.{near}",
            )
        return self.layer


@dataclass(frozen=True)
class GradCAM(_ClassActivationMap):
    """The layer's channels, each weighted by its mean gradient, summed; negative values set to zero.

    Args:
        layer: The layer's name; by default the last whose output has space and channels.

    Raises:
        ArgumentError: The layer has no spatial output.
        UnknownNameError: There is no such layer.
        CapabilityError: The adapter cannot look inside the model.

    Source: Selvaraju et al. 2017, equations 1 and 2.

    Example:
        >>> GradCAM(layer="layer4").layer
        'layer4'
    """

    name: ClassVar[str] = "gradcam"

    def _combine(self, xp: Any, output: Array, gradient: Array, axis: int) -> Array:
        space = tuple(i for i in (1, 2, 3) if i != axis)
        weights = xp.mean(gradient, axis=space, keepdims=True)
        return _positive(xp, xp.sum(weights * output, axis=axis))


@dataclass(frozen=True)
class HiResCAM(_ClassActivationMap):
    """The layer's output times its gradient, summed over channels.

    Arguments and errors are those of `GradCAM`. Source: Draelos & Carin 2020, equation 4.
    """

    name: ClassVar[str] = "hirescam"

    def _combine(self, xp: Any, output: Array, gradient: Array, axis: int) -> Array:
        return xp.sum(gradient * output, axis=axis)


@dataclass(frozen=True)
class LayerCAM(_ClassActivationMap):
    """The layer's output times the positive part of its gradient, summed over channels, negatives zero.

    Arguments and errors are those of `GradCAM`. Source: Jiang et al. 2021, equations 6 and 7.
    """

    name: ClassVar[str] = "layercam"

    def _combine(self, xp: Any, output: Array, gradient: Array, axis: int) -> Array:
        return _positive(xp, xp.sum(_positive(xp, gradient) * output, axis=axis))


@dataclass(frozen=True)
class GuidedGradCAM:
    """Guided backpropagation times GradCAM.

    Args:
        layer: As in `GradCAM`.

    Raises:
        AgnosticRandError: As in `GradCAM` and `GuidedBackprop`.

    Source: Selvaraju et al. 2017, section 3.2.
    """

    name: ClassVar[str] = "guided_gradcam"

    layer: str | None = None

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, shaped like `inputs`; see `Explainer.explain`."""
        require_relu_rule(adapter, "guided", "GuidedGradCAM()")
        coarse = GradCAM(self.layer).explain(adapter, inputs, targets, context)
        guided = adapter.gradient(inputs, targets, relu="guided")
        return guided * array_namespace(coarse).expand_dims(coarse, axis=context.channel_axis % 4)


def _positive(xp: Any, values: Array) -> Array:
    return xp.where(values > 0, values, xp.zeros_like(values))
