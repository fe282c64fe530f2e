"""Host arrays of numbers, made of whatever array, tensor, table or list a user has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agnostic_rand.adapters import AllInputs, HostArray, ModelAdapter
from agnostic_rand.errors import InputError
from agnostic_rand.subject.several_inputs import is_several

SCALE_IMAGES = "Convert to float32 and scale as in training, for example numpy.asarray(images, 'float32') / 255."


def host_array(subject: str, value: Any, adapter: ModelAdapter) -> HostArray:
    """The numbers of one array, tensor, table or nested list.

    Args:
        subject: What it is called in errors.
        value: The array.
        adapter: Converts native arrays.

    Raises:
        InputError: It holds no real numbers, or pictures whose scale is not known.
    """
    if is_picture(value) or (isinstance(value, list | tuple) and value and is_picture(value[0])):
        raise InputError(
            subject,
            expected="arrays of the numbers that the model takes",
            received="PIL images, whose bytes have another scale",
            fix=SCALE_IMAGES,
        )
    try:
        array = adapter.to_numpy(value)
    except (TypeError, ValueError) as error:
        raise InputError(
            subject,
            expected="an array, a tensor or nested lists of numbers",
            received=f"{type(value).__name__} ({error})",
            fix="Convert it with numpy.asarray first.",
        ) from error
    if array.dtype.kind not in "fiub":
        raise InputError(
            subject,
            expected="real numbers",
            received=f"{type(value).__name__} of element type {array.dtype}",
            fix="Convert it to a numeric array first.",
        )
    return array


def host_inputs(subject: str, value: Any, adapter: ModelAdapter) -> HostArray | AllInputs:
    """One input, or several by name or position."""
    if isinstance(value, Mapping):
        return {name: host_array(f"{subject}, {name!r}", array, adapter) for name, array in value.items()}
    if is_several(value):
        return tuple(host_array(f"{subject}, at {i}", array, adapter) for i, array in enumerate(value))
    return host_array(subject, value, adapter)


def is_picture(value: Any) -> bool:
    """Whether it is an image of PIL, which is not imported to find out."""
    return any(kind.__module__.partition(".")[0] == "PIL" for kind in type(value).__mro__)
