"""What the parameters of a function do, as its computation shows.

An operation knows what its operands are: a contraction with the data tells a kernel, and which of its
dimensions are summed over; a convolution names the dimensions of its kernel; what is added to such a
product is a bias. A parameter is followed through casts, slices and changes of shape on its way
there. What no operation shows stays unknown; nothing is guessed from names or shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from agnostic_rand.adapters import SPACE, UNKNOWN, Meaning, axis_name, strided_axes
from agnostic_rand_jax.dimensions import Labels
from agnostic_rand_jax.normalization import normalized, shown
from agnostic_rand_jax.program import Program, Step, bodies, evaluated, flattened
from agnostic_rand_jax.provenance import CONSTANT, DATA, Source, Value, carried, parameter, plain, slice_of

_BATCH = "batch"
_OUTPUTS = frozenset({"out", "groups"})
_CALLS = frozenset({"custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr", "checkpoint", "remat", "remat2"})
_Use: TypeAlias = tuple[bool, Meaning]


def deduced(jaxpr: Any, parameters: Sequence[str]) -> tuple[dict[str, Meaning], dict[str, str]]:
    """What the uses of parameters show.

    Args:
        jaxpr: A closed jaxpr of `function(parameters, inputs)`.
        parameters: A name for each of its first arguments; the others are inputs.

    Returns:
        Roles and axes of those whose use shows them, by the first that does; one whose parts are used in
        different ways is unknown. And by running statistic the scale or shift of its normalization.
    """
    shapes = {
        name: tuple(variable.aval.shape) for name, variable in zip(parameters, jaxpr.jaxpr.invars, strict=False)
    }
    search = _Search(shapes)
    known = [parameter(name, len(shape)) for name, shape in shapes.items()]
    search.walk(flattened(jaxpr), [*known, *[DATA] * (len(jaxpr.jaxpr.invars) - len(known))])
    return {name: _agreed(uses) for name, uses in search.uses.items()}, search.beside


def _agreed(uses: Sequence[_Use]) -> Meaning:
    meanings = [meaning for _, meaning in uses]
    differ = any(partial for partial, _ in uses) and len(set(meanings)) > 1
    return UNKNOWN if differ else meanings[0]


@dataclass
class _Search:
    shapes: Mapping[str, tuple[int, ...]]
    uses: dict[str, list[_Use]] = field(default_factory=dict)
    beside: dict[str, str] = field(default_factory=dict)

    def walk(self, program: Program, arguments: Sequence[Value]) -> list[Value]:
        return evaluated(program, arguments, lambda _, step, taken: self._step(step, taken), lambda _: CONSTANT)

    def _step(self, step: Step, taken: list[Value]) -> list[Value]:
        if step.name in _CALLS:
            return self.walk(bodies(step)[0], taken)
        match step.name:
            case "scan":
                return self._scan(step, taken)
            case "cond":
                branches = [self.walk(body, taken[1:]) for body in bodies(step)]
                return [plain([taken[0], *made]) for made in zip(*branches, strict=True)]
            case "dot_general":
                return [self._contraction(step, taken)]
            case "conv_general_dilated":
                return [self._convolution(step, taken)]
            case "add" | "mul":
                return [self._combined(step.name, taken)]
            case "gather" | "dynamic_slice" if taken[0].source and any(index.data for index in taken[1:]):
                # Rows of a table, chosen by the data.
                self._note(taken[0].source, UNKNOWN)
                return [DATA]
        made = carried(step, taken[0]) if taken else None
        return [made if made is not None else self._normalized(step.name, taken)] * len(step.outputs)

    def _contraction(self, step: Step, taken: list[Value]) -> Value:
        contracted, batched = step.params["dimension_numbers"]
        side = _kernel_side(taken)
        if side is None or not contracted[0]:
            return plain(taken)
        ranks = [len(variable.aval.shape) for variable in step.equation.invars]
        free = [[i for i in range(ranks[s]) if i not in (*contracted[s], *batched[s])] for s in (0, 1)]
        names = dict.fromkeys(contracted[side], "in") | dict.fromkeys(batched[side], "groups")
        kernel = taken[side]
        self._note_kernel(kernel, [names.get(i, "out") for i in range(ranks[side])])
        # Along a dimension in which it was only repeated the kernel is one, not several.
        groups = [_BATCH if kernel.source and not kernel.labels[i] else "groups" for i in batched[side]]
        made = [("out" if s == side else _BATCH) for s in (0, 1) for _ in free[s]]
        return Value(data=True, learned=True, kind="product", labels=_labels([*groups, *made]))

    def _convolution(self, step: Step, taken: list[Value]) -> Value:
        numbers = step.params["dimension_numbers"]
        space = ({0: ()} | SPACE).get(len(numbers.rhs_spec) - 2)
        if _kernel_side(taken) != 1 or space is None or step.params["batch_group_count"] != 1:
            return plain(taken)
        # Which is the height and which the width is said by their order in the data.
        places = sorted(numbers.lhs_spec[2:])
        space = tuple(space[places.index(place)] for place in numbers.lhs_spec[2:])
        # Data spread by zeros in between are met by a share of the kernel: a transposed convolution.
        strided = strided_axes(space, step.params["lhs_dilation"])
        names = dict(zip(numbers.rhs_spec, ("out", "in", *strided), strict=True))
        self._note_kernel(taken[1], [names[i] for i in range(len(names))])
        made = dict(zip(numbers.out_spec, (_BATCH, "out", *space), strict=True))
        return Value(data=True, learned=True, kind="product", labels=_labels(made[i] for i in range(len(made))))

    def _combined(self, operation: str, taken: list[Value]) -> Value:
        """A sum, or an elementwise product."""
        first, second = taken
        for own, other in ((first, second), (second, first)):
            if own.source is None:
                continue
            match operation, other.kind:
                case "add", "product":
                    self._note_bias(own.source, own.labels, other.labels)
                case "add", "normalized":
                    self._note(own.source, ("shift", None))
                    self._note_beside(own.source, other.mean, other.variance)
                case "mul", "normalized":
                    self._note(own.source, ("scale", None))
                    self._note_beside(own.source, other.mean, other.variance)
                    return other
                case "mul", "inverse":
                    # It may be a mean as well, which is subtracted then: the product with the data will tell.
                    return replace(other, learned=True, scale=own.source)
        if operation == "add" and first.kind == second.kind == "product" and first.labels == second.labels:
            return first
        return self._normalized(operation, taken)

    def _normalized(self, operation: str, taken: list[Value]) -> Value:
        made = normalized(operation, taken)
        for source, meaning in shown(operation, taken, made):
            self._note(source, meaning)
        if made.kind == "normalized":
            self._note_beside(made.scale, made.mean, made.variance)
        elif operation == "sub":
            # The product of a mean and the inverse root, taken from a shift.
            self._note_beside(taken[0].source, taken[1].scale, taken[1].variance)
        return made

    def _scan(self, step: Step, taken: list[Value]) -> list[Value]:
        constants, carries = step.params["num_consts"], step.params["num_carry"]
        scanned = taken[constants + carries :]
        # Slices of data that meet slices of a parameter: these may be parts of one kernel, or several kernels.
        together = any(value.data for value in scanned)
        slices = [plain([value]) if together else slice_of(value) for value in scanned]
        body = bodies(step)[0]
        made = self._repeated(
            lambda carried: self.walk(body, [*taken[:constants], *carried, *slices]),
            taken[constants : constants + carries],
        )
        return [plain([value]) for value in made]

    def _repeated(self, one_round: Callable[[list[Value]], list[Value]], start: Sequence[Value]) -> list[Value]:
        """What a round makes, once all is known that what it carries on depends on."""
        carried_on = [plain([value]) for value in start]
        before = {name: list(uses) for name, uses in self.uses.items()}
        while True:
            made = one_round(carried_on)
            grown = [plain(pair) for pair in zip(carried_on, made[: len(carried_on)], strict=True)]
            if grown == carried_on:
                return made
            carried_on = grown
            self.uses = {name: list(uses) for name, uses in before.items()}

    def _note_kernel(self, kernel: Value, names: Sequence[str]) -> None:
        if kernel.source is not None:
            axes = self._axes(kernel.source, kernel.labels, _labels(names))
            found = [axis for axis in axes if axis is not None]
            # Of dimensions that were merged into one, the first carries its share.
            known = tuple(axis_name(axis) if axis in found[:i] else axis for i, axis in enumerate(found))
            shown = len(known) == len(axes) and not _OUTPUTS.issuperset(known)
            self._note(kernel.source, ("kernel", known) if shown else UNKNOWN)

    def _note_bias(self, source: Source, labels: Labels, product: Labels) -> None:
        axes = self._axes(source, labels, product)
        sizes = self.shapes[source.name]
        if all(axis in _OUTPUTS or size == 1 for axis, size in zip(axes, sizes, strict=True)):
            known = tuple(axis for axis in axes if axis is not None and axis != _BATCH)
            self._note(source, ("bias", known if len(known) == len(axes) else None))

    def _axes(self, source: Source, labels: Labels, names: Labels) -> list[str | None]:
        """For each dimension of a parameter, the one name of all dimensions that it became."""
        axes: list[str | None] = []
        for i, size in enumerate(self.shapes[source.name]):
            found = {name for label, given in zip(labels, names, strict=True) if i in label for name in given}
            if i in source.stacked or (size == 1 and not found):
                found.add("groups")
            axes.append(str(found.pop()) if len(found) == 1 else None)
        return axes

    def _note_beside(self, learned: Source | None, *statistics: Source | None) -> None:
        if learned is not None:
            self.beside.update({s.name: learned.name for s in statistics if s and s.name not in self.beside})

    def _note(self, source: Source, meaning: Meaning) -> None:
        self.uses.setdefault(source.name, []).append((source.partial, meaning))


def _kernel_side(taken: Sequence[Value]) -> int | None:
    """Which of two operands is made of parameters alone, where the other depends on the data."""
    sides = [i for i in (0, 1) if taken[i].learned and not taken[i].data and taken[1 - i].data]
    return sides[0] if sides else None


def _labels(names: Iterable[str]) -> Labels:
    return tuple(frozenset({name}) for name in names)
