"""Image layers: those whose output is a coarse image of the input, with channels in their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agnostic_rand.adapters import Array, Layer, axis_meaning

Shape = tuple[int, ...]


def axis_of_inputs(adapter: Any, channel_axis: int | None) -> int:
    """Where convolutions take the inputs' channels: where the caller says, else where the framework does."""
    axis: int = adapter.channel_axis if channel_axis is None else channel_axis
    return axis


def image_layers(adapter: Any, inputs: Array, channel_axis: int | None) -> list[str]:
    """The layers of a model whose output is image-like, in the order of the forward pass, until space vanishes.

    That a convolution's output is image-like is known from its kernel's axes. What follows one is
    where it has no fewer channels, and the same space or one that shrank alike in all directions, unless
    its channels could be elsewhere: a map of another layout must never be averaged over a wrong axis. In
    doubt it is the convolution. Heads are fewer than channels, and matrices of attention are larger than
    the image of which they relate the pieces.

    Args:
        adapter: The model; it can look inside itself.
        inputs: Images, sequences or volumes.
        channel_axis: Where the caller says that inputs keep their channels; layers do where the framework does.
    """
    shapes: Mapping[str, Shape] = adapter.layer_shapes(inputs)
    axis = adapter.channel_axis % inputs.ndim
    kernels = {layer.name: space for layer in adapter.layers() if (space := _kernel_space(layer))}
    before = space_of(tuple(inputs.shape), axis_of_inputs(adapter, channel_axis))
    channels = 0
    found: list[str] = []
    for name, shape in shapes.items():
        if len(shape) != inputs.ndim or shape[0] != inputs.shape[0] or min(shape[1:]) < 2:
            continue
        space = space_of(shape, axis)
        if len(kernels.get(name, ())) == len(space):
            # Padding adds less than a kernel's width.
            fits = all(new < old + width for new, old, width in zip(space, before, kernels[name], strict=True))
        else:
            follows = bool(found) and shape[axis] >= channels
            fits = follows and shrank(space, before) and not _could_be_elsewhere(shape, before, axis)
        if fits:
            channels = shape[axis]
            before = space
            found.append(name)
    return found


def has_channels_elsewhere(shape: Shape, image: Shape, axis: int) -> bool:
    """Whether an output is a coarse image, of the space `image`, with its channels at the other end only."""
    return not shrank(space_of(shape, axis), image) and shrank(_other_space(shape, axis), image)


def space_of(shape: Shape, axis: int) -> Shape:
    """The shape without samples and channels."""
    return tuple(size for i, size in enumerate(shape) if i not in (0, axis % len(shape)))


def shrank(coarse: Shape, fine: Shape) -> bool:
    """Whether one space is another, shrunk alike in all directions: by strides, by borders cut off, or both."""
    if not all(1 < new <= old for new, old in zip(coarse, fine, strict=True)):
        return False
    return all(_alike(coarse[i], coarse[j], fine[i], fine[j]) for i in range(len(fine)) for j in range(i))


def _alike(height: int, width: int, old_height: int, old_width: int) -> bool:
    if old_height == old_width:
        return height == width
    if old_height < old_width:
        height, width, old_height, old_width = width, height, old_width, old_height
    # Cutting keeps the difference of two sides, strides divide it; what is left over at the border is rounded.
    cut = old_height - old_width
    return cut * height / old_height - 1 <= height - width <= cut + 1


def _could_be_elsewhere(shape: Shape, before: Shape, axis: int) -> bool:
    # Class tokens and padding lengthen a sequence.
    return shrank(_other_space(shape, axis), tuple(2 * size for size in before))


def _other_space(shape: Shape, axis: int) -> Shape:
    return space_of(shape, 1 if axis == len(shape) - 1 else len(shape) - 1)


def _kernel_space(layer: Layer) -> Shape:
    """The width of a convolution's kernel in each direction; nothing for other layers."""
    for parameter in layer.parameters:
        if parameter.role == "kernel" and parameter.axes is not None:
            sized = zip(parameter.axes, parameter.shape, strict=True)
            return tuple(size for axis, size in sized if axis_meaning(axis) in ("d", "h", "w"))
    return ()
