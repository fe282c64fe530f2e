"""Samples that users hand over, as arrays on the host: checked, and read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
from agnostic_rand.subject.datasets import gather, is_dataset, labelled
from agnostic_rand.subject.host_arrays import SCALE_IMAGES, host_array
from agnostic_rand.subject.several_inputs import chosen_place

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
        feature_names: The names of the columns, where the inputs were a table.
    """

    inputs: HostArray
    targets: HostArray | None
    classes: int | None = None
    side: SideInputs | None = None
    feature_names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return int(self.inputs.shape[0])

    def __getitem__(self, rows: slice) -> Samples:
        """Some of the samples."""
        targets = None if self.targets is None else self.targets[rows]
        side = None if self.side is None else mapped(lambda array: array[rows], self.side)
        return replace(self, inputs=self.inputs[rows], targets=targets, side=side)

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
        inputs: An array or a table `(n, ...)` of any library; a tuple or a dictionary of arrays for a model of
            several inputs; a dictionary of one input and its labels; or a data set or loader of
            `(inputs, targets)`, which is read once, to its end: see `datasets.gather`.
        targets: Integer labels `(n,)`, one-hot labels `(n, classes)`, or `None`.
        adapter: Converts native arrays.
        explained_input: Which of several inputs is explained, by position or name.

    Raises:
        InputError: The data is empty, not finite, not numeric, or of different lengths.
    """
    if targets is None and explained_input is None and isinstance(inputs, Mapping) and len(inputs) == 2:
        inputs, targets = labelled(inputs) or (inputs, None)
    _refuse_splits(inputs)
    if is_dataset(inputs):
        if targets is not None:
            raise InputError(
                "targets",
                expected="None where the inputs are batches, which bring their own targets",
                received=type(targets).__name__,
                fix="Leave targets out, or pass the inputs as one array.",
            )
        inputs, targets = gather(inputs, adapter)
    place = chosen_place(inputs, explained_input, adapter)
    side = None
    if place is not None:
        side = mapped(lambda array: host_array(_SIDE, array, adapter), beside(inputs, place))
        inputs = inputs[place]
    names = _feature_names(inputs)
    x = host_array("inputs", inputs, adapter)
    _check_inputs(x)
    if side is not None:
        mapped(lambda array: _check_side(array, x.shape[0]), side)
    if targets is None:
        return Samples(x, None, side=side, feature_names=names)
    y = host_array("targets", targets, adapter)
    columns = y.shape[1] if y.ndim == 2 and y.shape[1] > 1 else None
    return Samples(x, _labels(y, x.shape[0]), columns, side, names)


def _feature_names(inputs: ArrayLike) -> tuple[str, ...] | None:
    columns = getattr(inputs, "columns", None)
    return None if columns is None or len(inputs.shape) != 2 else tuple(map(str, columns))


def _refuse_splits(inputs: ArrayLike) -> None:
    """Refuse a dictionary of data sets, of which one is meant."""
    if not isinstance(inputs, Mapping):
        return
    splits = [repr(name) for name, value in inputs.items() if not isinstance(value, list) and is_dataset(value)]
    if splits:
        raise InputError(
            "inputs",
            expected="arrays by name",
            received=f"a dictionary of data sets: {', '.join(splits)}",
            fix=f"Pass one of them, such as inputs[{splits[0]}].",
        )


def _check_inputs(inputs: HostArray) -> None:
    if inputs.ndim < 2 or 0 in inputs.shape:
        raise InputError(
            "inputs",
            expected="a batch (n, ...) of at least one sample",
            received=f"an array of shape {inputs.shape}",
            fix="Add the batch dimension, as in inputs[None].",
        )
    if inputs.dtype == np.uint8 and inputs.ndim > 2:
        raise InputError(
            "inputs",
            expected="the numbers that the model was trained on",
            received=f"bytes (uint8) of shape {inputs.shape}",
            fix=SCALE_IMAGES,
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
