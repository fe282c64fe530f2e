"""Watch of a forward pass: which tensors of a model it reads, and which of those reach the outputs.

It stands below autograd, where every operation arrives with the storages that it works on, whoever calls
it: modules, functions, generators, compiled graphs. Names and references are not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from agnostic_rand.adapters import put_back
from agnostic_rand_torch.arrays import write_back
from agnostic_rand_torch.modes import active
from agnostic_rand_torch.random_state import random_state, set_random_state

Name: TypeAlias = tuple[str, str]
"""A layer, and a parameter or statistic of it."""

_DATA = 1
"""The mark of what depends on the inputs; tensors with a name have the bits above it."""

_TO_HOST = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)


@dataclass(frozen=True)
class Seen:
    """What a forward pass did with the tensors that it was watched for.

    Args:
        order: Those that met the data, by their first meeting.
        read: Those whose values some operation took.
        used: Those on which the outputs depend.
        unknown: Tensors that were there before, and are neither those nor inputs.
        followed: Whether the outputs were made by operations that were seen.
        branches: Whether values that depend on the inputs decided what was computed.
        draws: Whether it drew random numbers.
        written: Tensors that were there before and whose values it changed, each with all of its storage.
    """

    order: tuple[Name, ...]
    read: frozenset[Name]
    used: frozenset[Name]
    unknown: tuple[torch.Tensor, ...]
    followed: bool
    branches: bool
    draws: bool
    written: tuple[torch.Tensor, ...]


class WritesItselfError(Exception):
    """A forward pass is about to change a tensor of the model.

    Args:
        name: Which.
    """

    def __init__(self, name: Name) -> None:
        super().__init__(".".join(name))
        self.name = name


def watched(
    named: Mapping[Name, torch.Tensor], inputs: Iterable[torch.Tensor], run: Callable[[], torch.Tensor]
) -> Seen:
    """What `run`, a forward pass over the inputs, does with the named tensors.

    What it draws from global generators and what it changes besides the tensors of layers is undone.

    Args:
        named: The tensors that are looked for. Those of a layer must not be written; what belongs to none
            (`""`) may be.
        inputs: The data.
        run: Returns the outputs.

    Raises:
        WritesItselfError: It would change the tensor of a layer.
    """
    watch = _Watch(named, inputs)
    try:
        with put_back(watch.undo), active(watch):
            outputs = run()
    except Exception as error:
        # Code between may have made another error of it, as Keras does.
        if watch.refused is not None:
            raise WritesItselfError(watch.refused) from error
        raise
    return watch.seen(outputs)


class _Followed:
    """What is done at each operator: apart from the mode, which would import torch's compiler to keep out of it."""

    def __init__(self, named: Mapping[Name, torch.Tensor], inputs: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self._names = list(named)
        self._places: dict[int, list[_Place]] = {}
        for bit, tensor in enumerate(named.values(), start=1):
            self._places.setdefault(_storage(tensor), []).append(_Place(*_extent(tensor), 1 << bit))
        self._marks = {_storage(tensor): _DATA for tensor in inputs}
        # Storages stay alive, so that their addresses stay their own.
        self._alive: list[torch.Tensor] = list(inputs)
        self._unknown: dict[int, torch.Tensor] = {}
        self._read = self._decided = 0
        self._order: dict[int, None] = {}
        self._generators, self._draws = random_state(), False
        self._written: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.refused: Name | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self._look_at_writes(func, args, kwargs)
        self._draws = self._draws or _draws(func, args, kwargs)
        taken = list(_tensors((*args, *kwargs.values())))
        results = func(*args, **kwargs)
        made = list(_tensors((results,)))
        storages = {_storage(tensor) for tensor in taken}
        if made and not func._schema.is_mutable and all(_storage(tensor) in storages for tensor in made):
            # A view reads nothing: who works on it does.
            if func is torch.ops.aten.lift_fresh.default:
                self._lift(made[0])
            return results
        marks = [self._mark(tensor) for tensor in taken]
        union = self._union(marks)
        if any(tag in func.tags for tag in _TO_HOST):
            self._decided |= union
        for tensor in (*made, *_written(func, args, kwargs)):
            key = _storage(tensor)
            self._marks[key] = union | (self._marks.get(key, 0) if key in storages else 0)
            self._alive.append(tensor)
        return results

    def seen(self, outputs: torch.Tensor) -> Seen:
        """What was seen, for what the forward pass returned."""
        reached = self._mark(outputs) | self._decided
        return Seen(
            order=tuple(self._names[bit - 1] for bit in self._order),
            read=self._named(self._read),
            used=self._named(reached),
            unknown=tuple(self._unknown.values()),
            followed=_storage(outputs) not in self._unknown,
            branches=bool(self._decided & _DATA),
            draws=self._draws,
            written=tuple(tensor for tensor, _ in self._written.values()),
        )

    def undo(self) -> None:
        """Bring generators and what was written back to what they were."""
        write_back(self._written.values())
        if self._draws:
            set_random_state(self._generators)

    def _named(self, marks: int) -> frozenset[Name]:
        return frozenset(name for bit, name in enumerate(self._names, start=1) if marks >> bit & 1)

    def _mark(self, tensor: torch.Tensor) -> int:
        """What the tensor depends on."""
        key = _storage(tensor)
        places = self._places.get(key)
        if places is not None:
            low, high = _extent(tensor)
            mark = sum(place.bit for place in places if place.low < high and low < place.high)
            self._read |= mark
            # A buffer that was written in this pass holds what was computed, too.
            return mark | self._marks.get(key, 0)
        if key not in self._marks:
            self._unknown[key] = tensor
            self._lift(tensor)
        return self._marks[key]

    def _union(self, marks: list[int]) -> int:
        union = 0
        for mark in marks:
            union |= mark
        if union & _DATA:
            for mark in marks:
                if mark and not mark & _DATA:
                    self._order.update(dict.fromkeys(_bits(mark)))
        return union

    def _lift(self, tensor: torch.Tensor) -> None:
        # Numbers that came from the host: of an array that was computed there, nobody knows what it depends on.
        self._marks[_storage(tensor)] = self._read | _DATA if tensor.numel() > 1 else 0
        self._alive.append(tensor)

    def _look_at_writes(self, func: Any, args: Any, kwargs: Any) -> None:
        for tensor in _written(func, args, kwargs):
            low, high = _extent(tensor)
            key = _storage(tensor)
            for place in self._places.get(key, ()):
                if place.low < high and low < place.high and self._names[place.bit.bit_length() - 2][0]:
                    self.refused = self._names[place.bit.bit_length() - 2]
                    raise WritesItselfError(self.refused)
            # What the pass made itself is nobody's.
            if (key not in self._marks or key in self._unknown) and key not in self._written:
                whole = _whole(tensor)
                self._written[key] = whole, whole.clone()


class _Watch(_Followed, TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While active, follows the named tensors and the inputs through every operation."""


@dataclass(frozen=True)
class _Place:
    low: int
    high: int
    bit: int = field(default=0)


def _written(func: Any, args: Any, kwargs: Mapping[str, Any]) -> Iterator[torch.Tensor]:
    """The tensors that an operation changes."""
    if not func._schema.is_mutable:
        return
    for position, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[position] if position < len(args) else kwargs.get(argument.name)
            yield from _tensors((value,))


def _draws(func: Any, args: Any, kwargs: Mapping[str, Any]) -> bool:
    """Whether an operation takes numbers from a generator; attention without dropout only could."""
    if torch.Tag.nondeterministic_seeded not in func.tags:
        return False
    given = {argument.name: argument.default_value for argument in func._schema.arguments}
    given |= dict(zip(given, args, strict=False)) | dict(kwargs)
    return bool(given.get("dropout_p", 1))


def _tensors(values: Iterable[Any]) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _storage(tensor: torch.Tensor) -> int:
    if tensor.layout is not torch.strided or tensor.is_nested:
        return id(tensor)
    return int(tensor.untyped_storage()._cdata)


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    """All bytes of the storage: another pass may write another part of it."""
    if tensor.layout is not torch.strided or tensor.is_nested:
        return tensor.detach()
    return torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(tensor.untyped_storage())


def _extent(tensor: torch.Tensor) -> tuple[int, int]:
    """The first byte of the storage that the tensor looks at, and the one after the last."""
    if tensor.layout is not torch.strided or tensor.is_nested or not tensor.numel():
        return 0, 0
    first = tensor.storage_offset()
    last = first + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    return int(first) * tensor.itemsize, (int(last) + 1) * tensor.itemsize


def _bits(mark: int) -> Iterator[int]:
    while mark:
        low = mark & -mark
        yield low.bit_length() - 1
        mark ^= low
