"""Data sets and loaders: what they yield, batches or single samples, gathered into arrays and read once."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from agnostic_rand.adapters import AllInputs, HostArray, ModelAdapter
from agnostic_rand.errors import InputError
from agnostic_rand.subject.host_arrays import host_array, host_inputs, is_picture
from agnostic_rand.subject.several_inputs import gathered, is_several

READ_BYTES = 2**31
"""The host memory that an iterable may fill which does not tell its length."""

LABEL_NAMES = ("label", "labels", "target", "targets", "y")
"""The names of labels in a dictionary; case does not matter."""

# What Python needs to hold one item, which counts where items are small.
_ITEM_BYTES = 1024


def is_dataset(inputs: Any) -> bool:
    """Whether it yields items with inputs and targets, and is no array."""
    if hasattr(inputs, "shape") or is_several(inputs) or isinstance(inputs, str | bytes | Mapping):
        return False
    if isinstance(inputs, list | tuple):
        return bool(inputs) and _is_item(inputs[0])
    return isinstance(inputs, Iterable) or (hasattr(inputs, "__getitem__") and hasattr(inputs, "__len__"))


def labelled(inputs: Mapping[str, Any]) -> tuple[Any, Any] | None:
    """The inputs and the labels of a dictionary that has one entry with a label's name and others."""
    names = [name for name in inputs if str(name).lower() in LABEL_NAMES]
    others = {name: value for name, value in inputs.items() if name not in names}
    if len(names) != 1 or not others:
        return None
    return (next(iter(others.values())) if len(others) == 1 else others), inputs[names[0]]


def gather(dataset: Any, adapter: ModelAdapter) -> tuple[HostArray | AllInputs, HostArray | None]:
    """All inputs and all targets of a data set.

    Args:
        dataset: Yields pairs `(inputs, targets)`, triples with the weights of samples, which are not used, or
            dictionaries of inputs and a label: batches, or single samples where each target is a number. One
            with a length and an index (a `Dataset`) is read by its index.
        adapter: Converts native arrays.

    Raises:
        InputError: It has no end, or yields nothing, or what does not fit together.
    """
    inputs: list[HostArray | AllInputs] = []
    targets: list[HostArray] = []
    length, held = _length(dataset), 0
    kinds: set[str] = set()
    for number, item in enumerate(_items(dataset, length)):
        x, y, kind = _read(number, item, adapter)
        kinds.add(kind)
        inputs.append(x)
        if y is not None:
            targets.append(y)
        if length is None or number >= length:
            held += _size(x) + _ITEM_BYTES
            if held > READ_BYTES:
                raise _endless(f"no end after {number + 1} items, which fill {READ_BYTES / 2**30:.3g} GiB")
    if not inputs:
        raise InputError(
            "inputs",
            expected="at least one batch",
            received="an iterable that yields none",
            fix="A generator can be read only once: pass a list or a DataLoader.",
        )
    if len(kinds) > 1:
        raise InputError(
            "inputs",
            expected="batches, or single samples",
            received="both: some targets are one number, some are arrays",
            fix="Let every item be a batch (inputs, targets).",
        )
    if targets and len(targets) != len(inputs):
        raise InputError(
            "targets",
            expected="targets in every batch, or in none",
            received=f"targets in {len(targets)} of {len(inputs)} batches",
            fix="Let every batch bring its targets.",
        )
    return gathered(inputs), np.concatenate(targets) if targets else None


def _is_item(first: Any) -> bool:
    if isinstance(first, Mapping):
        return labelled(first) is not None
    if not isinstance(first, tuple | list) or len(first) not in (2, 3):
        return False
    inputs, targets = first[:2]
    has_inputs = hasattr(inputs, "shape") or is_several(inputs) or is_picture(inputs)
    return has_inputs and (hasattr(targets, "shape") or targets is None or _is_number(targets))


def _is_number(target: Any) -> bool:
    """Whether it is the target of one sample."""
    shape = getattr(target, "shape", None)
    if shape is not None:
        return len(shape) == 0
    return target is not None and not isinstance(target, list | tuple | Mapping)


def _length(dataset: Any) -> int | None:
    """How many items it says it has."""
    if isinstance(dataset, itertools.cycle):
        raise _endless("an itertools.cycle")
    try:
        return len(dataset)
    except NotImplementedError:
        return None
    except TypeError as error:
        if "infinite" in str(error):
            raise _endless(str(error).rstrip(".")) from error
        return None


def _items(dataset: Any, length: int | None) -> Iterator[Any]:
    # What has an index and a length may go on without end when it is iterated.
    if length is not None and hasattr(dataset, "__getitem__"):
        return (dataset[number] for number in range(length))
    try:
        return iter(dataset)
    except TypeError as error:
        raise InputError(
            "inputs", expected="an array or an iterable of batches", received=str(error), fix="Pass an array."
        ) from error


def _read(number: int, item: Any, adapter: ModelAdapter) -> tuple[HostArray | AllInputs, HostArray | None, str]:
    """The inputs and the targets of one item as a batch, and which of both it is."""
    given, target = _split(number, item)
    # Copies: some loaders fill one array again and again.
    x = _each(np.array, host_inputs(f"the inputs of batch {number}", given, adapter))
    if target is None:
        return x, None, "batch"
    y = np.array(host_array(f"the targets of batch {number}", target, adapter))
    if _is_number(target):
        return _each(lambda array: array[None], x), y[None], "sample"
    counts = [array.shape[0] if array.ndim else 0 for array in _arrays(x)]
    if any(count != y.shape[0] for count in counts):
        raise InputError(
            f"batch {number} of the inputs",
            expected="as many targets as samples",
            received=f"inputs of shape {' and '.join(str(array.shape) for array in _arrays(x))} with targets of "
            f"shape {y.shape}",
            fix="Pair them again; or if these are single samples, batch them, as a DataLoader does.",
        )
    return x, y, "batch"


def _split(number: int, item: Any) -> tuple[Any, Any]:
    subject = f"batch {number} of the inputs"
    if isinstance(item, Mapping) and (found := labelled(item)) is not None:
        return found
    if isinstance(item, tuple | list) and len(item) == 3 and not _are_weights(item[2]):
        raise InputError(
            subject,
            expected="a pair (inputs, targets), or a third part with floating weights of the samples",
            received=f"a third part of {type(item[2]).__name__} {getattr(item[2], 'dtype', '')}".rstrip(),
            fix="Yield ((first, second), targets) for models of several inputs, and no other part.",
        )
    if isinstance(item, tuple | list) and len(item) in (2, 3):
        return item[0], item[1]
    raise InputError(
        subject,
        expected="a pair (inputs, targets), or a dictionary of inputs and one entry named "
        f"{', '.join(map(repr, LABEL_NAMES))}",
        received=f"{type(item).__name__}"
        + (f" of {', '.join(map(repr, item))}" if isinstance(item, Mapping) else "")
        + (f" of {len(item)}" if isinstance(item, tuple | list) else ""),
        fix="Let the iterable yield pairs; targets may be None.",
    )


def _are_weights(part: Any) -> bool:
    if part is None or isinstance(part, float):
        return True
    return "float" in str(getattr(part, "dtype", "")) and len(getattr(part, "shape", (0, 0))) < 2


def _arrays(inputs: HostArray | AllInputs) -> list[HostArray]:
    if isinstance(inputs, Mapping):
        return list(inputs.values())
    return list(inputs) if isinstance(inputs, tuple) else [inputs]


def _each(function: Any, inputs: HostArray | AllInputs) -> HostArray | AllInputs:
    if isinstance(inputs, Mapping):
        return {name: function(array) for name, array in inputs.items()}
    return tuple(map(function, inputs)) if isinstance(inputs, tuple) else function(inputs)


def _size(inputs: HostArray | AllInputs) -> int:
    return sum(array.nbytes for array in _arrays(inputs))


def _endless(received: str) -> InputError:
    return InputError(
        "inputs",
        expected=f"data with an end: an iterable without a length fills at most {READ_BYTES / 2**30:.3g} GiB",
        received=received,
        fix="Pass an array, a list of batches, or a part: itertools.islice(batches, 20), dataset.take(20).",
    )
