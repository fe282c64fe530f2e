"""Class activation maps: what a layer with spatial output contributes, at the size of the input."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from array_api_compat import array_namespace

from agnostic_rand.adapters import (
    Array,
    ModelAdapter,
    SupportsLayerGradient,
    require,
    require_relu_rule,
)
from agnostic_rand.errors import ArgumentError, InputError
from agnostic_rand.explainers.context import ExplanationContext
from agnostic_rand.explainers.image_layers import axis_of_inputs, has_channels_elsewhere, image_layers, space_of
from agnostic_rand.explainers.registry import METHODS, named
from agnostic_rand.explainers.resize import upsampled


@dataclass(frozen=True)
class _ClassActivationMap(ABC):
    """What the methods share: the layer, its output and gradient, and upsampling."""

    layer: str | None = None

    def settled(self, adapter: ModelAdapter, inputs: Array, channel_axis: int | None) -> Self:
        """The method at the layer that it takes in this model; itself where one is named."""
        if self.layer is not None:
            return self
        capable, method = _capable(adapter, inputs, type(self).__name__), f"{type(self).__name__}()"
        found = image_layers(capable, inputs, channel_axis)
        if not found:
            shapes = list(capable.layer_shapes(inputs).values())
            raise ArgumentError(
                method,
                expected="a model with a convolution whose output is a coarse image of the input",
                received=f"layers of shapes {', '.join(str(s) for s in shapes[-3:])}",
                fix=_another(capable, inputs, channel_axis),
            )
        return replace(self, layer=found[-1])

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, shaped like the inputs without channels; see `Explainer.explain`."""
        capable = _capable(adapter, inputs, type(self).__name__)
        layer = self.settled(adapter, inputs, context.channel_axis).layer
        output, gradient = capable.layer_gradient(inputs, targets, layer)
        shape, image = (
            tuple(output.shape),
            space_of(tuple(inputs.shape), axis_of_inputs(adapter, context.channel_axis)),
        )
        axis = adapter.channel_axis % len(shape)
        usable = len(shape) == inputs.ndim and not has_channels_elsewhere(shape, image, axis)
        if not usable and layer not in image_layers(capable, inputs, context.channel_axis):
            raise ArgumentError(
                f"layer={layer!r}",
                expected=f"a layer whose output has space, and channels at axis {axis}",
                received=f"an output of shape {shape}",
                fix=_another(capable, inputs, context.channel_axis),
            )
        # float32 where the layer computes in half precision.
        output = array_namespace(gradient).astype(output, gradient.dtype)
        maps = self._combine(array_namespace(output), output, gradient, axis)
        return upsampled(maps, image, adapter)

    @abstractmethod
    def _combine(self, xp: Any, output: Array, gradient: Array, axis: int) -> Array:
        """The coarse map: the output summed over its channels in some way."""


@named(METHODS, "gradcam")
@dataclass(frozen=True)
class GradCAM(_ClassActivationMap):
    """The layer's channels, each weighted by its mean gradient, summed; negative values set to zero.

    Args:
        layer: The layer's name. By default the last image-like one: a convolution, or what follows one with
            the same space or a smaller one, and channels where the framework has them. Results name it.

    Images `(n, c, h, w)` or `(n, h, w, c)`, sequences `(n, c, length)` and volumes are taken alike.

    Raises:
        ArgumentError: The layer's output is no coarse image with channels where the framework has them, or
            there is no such layer.
        InputError: The inputs have no space.
        UnknownNameError: There is no such layer.
        CapabilityError: The adapter cannot look inside the model.

    Source: Selvaraju et al. 2017, equations 1 and 2.

    Example:
        >>> GradCAM(layer="layer4").layer
        'layer4'
    """

    name: ClassVar[str] = "gradcam"

    def _combine(self, xp: Any, output: Array, gradient: Array, axis: int) -> Array:
        space = tuple(i for i in range(1, output.ndim) if i != axis)
        weights = xp.mean(gradient, axis=space, keepdims=True)
        return _positive(xp, xp.sum(weights * output, axis=axis))


@named(METHODS, "hirescam")
@dataclass(frozen=True)
class HiResCAM(_ClassActivationMap):
    """The layer's output times its gradient, summed over channels.

    Arguments and errors are those of `GradCAM`. Source: Draelos & Carin 2020, equation 4.
    """

    name: ClassVar[str] = "hirescam"

    def _combine(self, xp: Any, output: Array, gradient: Array, axis: int) -> Array:
        return xp.sum(gradient * output, axis=axis)


@named(METHODS, "layercam")
@dataclass(frozen=True)
class LayerCAM(_ClassActivationMap):
    """The layer's output times the positive part of its gradient, summed over channels, negatives zero.

    Arguments and errors are those of `GradCAM`. Source: Jiang et al. 2021, equations 6 and 7.
    """

    name: ClassVar[str] = "layercam"

    def _combine(self, xp: Any, output: Array, gradient: Array, axis: int) -> Array:
        return _positive(xp, xp.sum(_positive(xp, gradient) * output, axis=axis))


@named(METHODS, "guided_gradcam")
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

    def settled(self, adapter: ModelAdapter, inputs: Array, channel_axis: int | None) -> Self:
        """The method at the layer that it takes in this model; itself where one is named."""
        return replace(self, layer=GradCAM(self.layer).settled(adapter, inputs, channel_axis).layer)

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, shaped like `inputs`; see `Explainer.explain`."""
        require_relu_rule(adapter, "guided", "GuidedGradCAM()")
        coarse = GradCAM(self.layer).explain(adapter, inputs, targets, context)
        guided = adapter.gradient(inputs, targets, relu="guided")
        axis = axis_of_inputs(adapter, context.channel_axis) % inputs.ndim
        return guided * array_namespace(coarse).expand_dims(coarse, axis=axis)


def _capable(adapter: ModelAdapter, inputs: Array, method: str) -> Any:
    if inputs.ndim not in (3, 4, 5):
        raise InputError(
            f"{method}()",
            expected="images, sequences or volumes with channels: three to five dimensions",
            received=f"inputs of shape {tuple(inputs.shape)}",
            fix="Use a gradient method for inputs without space.",
        )
    instead = "Use a gradient method, or hand over the layer's map as a function of your own."
    return require(adapter, SupportsLayerGradient, f"{method}()", instead)


def _another(adapter: Any, inputs: Array, channel_axis: int | None) -> str:
    """What to do instead."""
    shapes = adapter.layer_shapes(inputs)
    deep = [name for name, shape in shapes.items() if len(shape) == inputs.ndim]
    names = image_layers(adapter, inputs, channel_axis)[-1:] or deep[-3:]
    if not names:
        return "Use a gradient method for models without spatial layers."
    return (
        f"Name a convolution or a layer after one, for example {' or '.join(f'layer={name!r}' for name in names)}."
    )


def _positive(xp: Any, values: Array) -> Array:
    return xp.where(values > 0, values, xp.zeros_like(values))
