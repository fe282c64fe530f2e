"""What a value of a computation is made of: the data, parameters, or one parameter in another shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from agnostic_rand_jax.dimensions import PARTS, Labels, moved, unlabelled
from agnostic_rand_jax.program import Step

Kind: TypeAlias = Literal["product", "raised", "root", "inverse", "normalized"]
"""What a value is to a layer: a kernel's product with the data; a variance with a number added to it,
the root of that, and one over the root; the data divided by the root."""


@dataclass(frozen=True)
class Source:
    """The parameter that a value is.

    Args:
        name: The parameter.
        stacked: The dimensions along which the value is one of several arrays of a kind.
        partial: Whether the value is a part of the parameter.
    """

    name: str
    stacked: frozenset[int] = frozenset()
    partial: bool = False


@dataclass(frozen=True)
class Value:
    """What is known of a value.

    Args:
        data: Whether it depends on the model's inputs.
        learned: Whether it depends on parameters.
        source: The parameter that it is, in another shape or type.
        labels: For each dimension, those of the parameter that it stands for; of a product, axes.
        kind: What it is to a layer.
        scale: The parameter that an `"inverse"` was multiplied by.
        variance: The parameter under the root in a `"raised"`, a `"root"`, an `"inverse"` or a
            `"normalized"`.
        mean: The parameter that was subtracted from the data.
    """

    data: bool = False
    learned: bool = False
    source: Source | None = None
    labels: Labels = ()
    kind: Kind | None = None
    scale: Source | None = None
    variance: Source | None = None
    mean: Source | None = None

    @property
    def fixed(self) -> bool:
        """Whether it is the same whatever the inputs and the parameters are."""
        return not self.data and not self.learned


DATA = Value(data=True)
CONSTANT = Value()


def parameter(name: str, dimensions: int) -> Value:
    """A parameter as it was given."""
    return Value(learned=True, source=Source(name), labels=tuple(frozenset({i}) for i in range(dimensions)))


def plain(taken: Sequence[Value]) -> Value:
    """Something computed from the values."""
    return Value(data=any(value.data for value in taken), learned=any(value.learned for value in taken))


def slice_of(value: Value) -> Value:
    """One of the arrays that are stacked along the value's first dimension."""
    if value.source is None:
        return plain([value])
    return replace(value, source=_stacked(value.source, value.labels[0]), labels=value.labels[1:])


def carried(step: Step, value: Value) -> Value | None:
    """The value in the shape and type that the step gives it; `None` where it becomes another one."""
    if value.source is None and value.kind is None and value.mean is None:
        return None
    labels = moved(step, value.labels or unlabelled(step))
    if labels is None:
        return None
    if value.source is None:
        return replace(value, labels=labels if value.labels else ())
    gone = frozenset().union(*value.labels) - frozenset().union(*labels)
    source = replace(_stacked(value.source, gone), partial=value.source.partial or step.name in PARTS)
    return replace(value, source=source, labels=labels)


def _stacked(source: Source, dimensions: frozenset[int | str]) -> Source:
    return replace(source, stacked=source.stacked | {i for i in dimensions if isinstance(i, int)})
