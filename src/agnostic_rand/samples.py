"""What users hand over as data, as arrays on the host: checked, and read once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from agnostic_rand.adapters import (
    AllInputs,
    HostArray,
    ModelAdapter,
    PlacedInputs,
    SideInputs,
    beside,
    joined,
    mapped,
)
from agnostic_rand.errors import InputError
from agnostic_rand.several_inputs import chosen_place, gathered, is_several

ArrayLike: TypeAlias = Any

_SIDE = "an input beside the explained one"


@dataclass(frozen=True)
class Samples:
    """The inputs `(n, ...)` and the targets that came with them, on the host.

    Args:
        inputs: The explained ones: finite, at least one sample.
        targets: Class indices `(n,)`, or `None`.
        classes: The number of columns that one-hot labels had, or `None`.
        side: The inputs beside the explained one, for models of several.
    """

    inputs: HostArray
    targets: HostArray | None
    classes: int | None = None
    side: SideInputs | None = None

    def __len__(self) -> int:
        return int(self.inputs.shape[0])

    def __getitem__(self, rows: slice) -> Samples:
        """Some of the samples."""
        targets = None if self.targets is None else self.targets[rows]
        side = None if self.side is None else mapped(lambda array: array[rows], self.side)
        return Samples(self.inputs[rows], targets, self.classes, side)

    @property
    def all_inputs(self) -> HostArray | AllInputs:
        """What the model takes: an array, or all of its inputs."""
        return self.inputs if self.side is None else joined(self.side, self.inputs)

    def placed(self, adapter: ModelAdapter) -> PlacedInputs:
        """The inputs on the model's device."""
        side = None if self.side is None else mapped(adapter.asarray, self.side)
        return PlacedInputs(adapter.asarray(self.inputs), side)


def read_samples(
    inputs: ArrayLike, targets: ArrayLike, adapter: ModelAdapter, explained_input: int | str | None = None
) -> Samples:
    """Read arrays, tensors or batches of both into host arrays.

    Args:
        inputs: An array `(n, ...)` of any library; a tuple or a dictionary of arrays for a model of
            several inputs; or an iterable of `(inputs, targets)` batches such as a DataLoader, which
            is read once, to its end.
        targets: Integer labels `(n,)`, one-hot labels `(n, classes)`, or `None`.
        adapter: Converts native arrays.
        explained_input: Which of several inputs is explained, by position or name.

    Raises:
        InputError: The data is empty, not finite, not numeric, or of different lengths.
    """
    if _is_batches(inputs):
        if targets is not None:
            raise InputError(
                "targets",
                expected="None where the inputs are batches, which bring their own targets",
                received=type(targets).__name__,
                fix="Leave targets out, or pass the inputs as one array.",
            )
        inputs, targets = _gather(inputs, adapter)
    place = chosen_place(inputs, explained_input, adapter)
    side = None
    if place is not None:
        side = mapped(lambda array: _host(_SIDE, array, adapter), beside(inputs, place))
        inputs = inputs[place]
    x = _host("inputs", inputs, adapter)
    _check_inputs(x)
    if side is not None:
        mapped(lambda array: _check_side(array, x.shape[0]), side)
    if targets is None:
        return Samples(x, None, side=side)
    y = _host("targets", targets, adapter)
    return Samples(x, _labels(y, x.shape[0]), y.shape[1] if y.ndim == 2 and y.shape[1] > 1 else None, side)


def _is_batches(inputs: ArrayLike) -> bool:
    if hasattr(inputs, "shape") or is_several(inputs):
        return False
    if isinstance(inputs, list | tuple):
        return bool(inputs) and isinstance(inputs[0], tuple | list) and _is_pair_of_arrays(inputs[0])
    return isinstance(inputs, Iterable) and not isinstance(inputs, str | bytes | dict)


def _is_pair_of_arrays(batch: Any) -> bool:
    return len(batch) == 2 and all(hasattr(part, "shape") or is_several(part) or part is None for part in batch)


def _gather(batches: Iterable[Any], adapter: ModelAdapter) -> tuple[HostArray | AllInputs, HostArray | None]:
    inputs: list[HostArray | AllInputs] = []
    targets: list[HostArray] = []
    for number, batch in enumerate(_iterate(batches)):
        if not (isinstance(batch, tuple | list) and len(batch) == 2):
            raise InputError(
                f"batch {number} of the inputs",
                expected="a pair (inputs, targets)",
                received=f"{type(batch).__name__}" + (f" of {len(batch)}" if hasattr(batch, "__len__") else ""),
                fix="Let the iterable yield pairs; targets may be None.",
            )
        inputs.append(_host_inputs(f"the inputs of batch {number}", batch[0], adapter))
        if batch[1] is not None:
            targets.append(_host(f"the targets of batch {number}", batch[1], adapter))
    if not inputs:
        raise InputError(
            "inputs",
            expected="at least one batch",
            received="an iterable that yields none",
            fix="A generator can be read only once: pass a list or a DataLoader.",
        )
    if targets and len(targets) != len(inputs):
        raise InputError(
            "targets",
            expected="targets in every batch, or in none",
            received=f"targets in {len(targets)} of {len(inputs)} batches",
            fix="Let every batch bring its targets.",
        )
    return gathered(inputs), np.concatenate(targets) if targets else None


def _host_inputs(subject: str, value: Any, adapter: ModelAdapter) -> HostArray | AllInputs:
    if isinstance(value, Mapping):
        return {name: _host(f"{subject}, {name!r}", array, adapter) for name, array in value.items()}
    if is_several(value):
        return tuple(_host(f"{subject}, at {i}", array, adapter) for i, array in enumerate(value))
    return _host(subject, value, adapter)


def _iterate(batches: Iterable[Any]) -> Iterator[Any]:
    try:
        return iter(batches)
    except TypeError as error:
        raise InputError(
            "inputs", expected="an array or an iterable of batches", received=str(error), fix="Pass an array."
        ) from error


def _host(subject: str, value: ArrayLike, adapter: ModelAdapter) -> HostArray:
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


def _check_inputs(inputs: HostArray) -> None:
    if inputs.ndim < 2 or 0 in inputs.shape:
        raise InputError(
            "inputs",
            expected="a batch (n, ...) of at least one sample",
            received=f"an array of shape {inputs.shape}",
            fix="Add the batch dimension, as in inputs[None].",
        )
    if inputs.dtype.kind == "f" and not np.isfinite(inputs).all():
        broken = ~np.isfinite(inputs.reshape(inputs.shape[0], -1)).all(axis=1)
        raise InputError(
            "inputs",
            expected="finite numbers",
            received=f"NaN or infinity in {int(broken.sum())} samples, first in sample {int(broken.argmax())}",
            fix="Clean or drop these samples.",
        )


def _check_side(array: HostArray, count: int) -> None:
    if array.ndim == 0 or array.shape[0] != count:
        raise InputError(
            _SIDE,
            expected=f"as many samples as the explained one: {count}",
            received=f"shape {array.shape}",
            fix="Pass arrays (n, ...) of the same samples.",
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(
            _SIDE,
            expected="finite numbers",
            received="NaN or infinity",
            fix="Clean or drop these samples.",
        )


def _labels(targets: HostArray, count: int) -> HostArray:
    if targets.ndim == 0 or targets.shape[0] != count:
        raise InputError(
            "targets",
            expected=f"one target for each of the {count} inputs",
            received=f"{targets.shape[0]} targets" if targets.ndim else "a single number",
            fix="Pass inputs and targets of the same length.",
        )
    if targets.ndim == 2 and targets.shape[1] > 1:
        if not (((targets == 0) | (targets == 1)).all() and (targets.sum(axis=1) == 1).all()):
            raise InputError(
                "targets",
                expected="one-hot rows (a single 1, zeros elsewhere)",
                received=f"an array of shape {targets.shape} with other rows",
                fix="Pass class indices (n,); soft labels name no class to explain.",
            )
        labels: HostArray = targets.argmax(axis=1).astype(np.int64)
        return labels
    flat = targets.reshape(-1)
    whole = np.isfinite(flat).all() and np.array_equal(flat, np.round(flat))
    if whole and np.abs(flat.astype(np.float64)).max() > np.iinfo(np.int32).max:
        raise InputError(
            "targets",
            expected="class indices (n,)",
            received=f"numbers up to {flat[np.abs(flat.astype(np.float64)).argmax()]}",
            fix="Check the label encoding, or leave targets out to explain the model's predictions.",
        )
    if flat.shape[0] != count or not whole:
        raise InputError(
            "targets",
            expected="class indices (n,) or one-hot labels (n, classes)",
            received=f"{targets.dtype} of shape {targets.shape}",
            fix="For a regression model leave targets out: its output itself is explained.",
        )
    return flat.astype(np.int64)
