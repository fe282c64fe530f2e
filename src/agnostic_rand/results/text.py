"""Text of a result for a terminal of 80 columns, without any optional dependency."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import product

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand.results.foreign import printable
from agnostic_rand.results.labelled import LabelledScores
from agnostic_rand.results.output_change import OutputChange
from agnostic_rand.statistics import defined_mean
from agnostic_rand.weights import ModelRandomizationStrategy

WIDTH = 80
"""The columns that every table fits in."""

CAUTION = "A low score is necessary, not sufficient: independent noise scores 0 too."
"""What every report says: the check can fail an explanation, never prove one."""

UNDEFINED = "undefined"

_GAP = "  "
_NARROWEST_NAME = 12
_BLOCK_ROWS = 10
_WIDEST_PLACE = 44


def summary_text(result: LabelledScores) -> str:
    """Everything about one result that fits a terminal: settings, one row a step, what to know.

    Args:
        result: Of any number of steps and measures.

    Returns:
        Lines of at most 80 columns, but for names that are longer. Measures that do not fit
        beside the others get a table of their own below.

    Example:
        >>> import agnostic_rand as ar, numpy as np, torch
        >>> subject = ar.Subject(torch.nn.Linear(4, 3), np.eye(4, dtype="float32"), seed=0)
        >>> text = summary_text(ar.ModelRandomization().run(subject, "input_map"))
        >>> text.splitlines()[0]
        'input_map · torch · seed 0 · 4 samples · 1 draw · isolation: clone'
    """
    if result.outputs is None or tuple(result.dimensions) != ("draw", "step", "sample"):
        return "\n".join(map(printable, _by_place(result)))
    lines = [*_heading(result), ""]
    for table in _tables(result):
        lines += [*table, ""]
    findings = [line for finding in result.findings for line in [*textwrap.wrap(finding, WIDTH), ""]]
    return "\n".join(map(printable, [*lines, *findings, *remarks(result), CAUTION]))


def shortened(names: Sequence[str], width: int) -> list[str]:
    """The names at most `width` long, and apart where that can be.

    A path that all names share is dropped where the rest then fits. Otherwise the middle of each
    name is, or what lies as near to it as keeps the most names apart.

    Example:
        >>> shortened(["conv1", "encoder.layers.11.attention.out_proj"], 20)
        ['conv1', 'encoder.la….out_proj']
        >>> shortened([f"blocks.{i}.attention.output.dense" for i in (10, 11)], 14)
        ['blocks.10…ense', 'blocks.11…ense']
        >>> shortened([f"model.encoder.layers.{i}.attention" for i in (10, 11)], 14)
        ['…10.attention', '…11.attention']
    """
    if not names:
        return []
    brief = _without_shared_path(names)
    for shown in (names, brief):
        if all(len(name) <= width for name in shown):
            return list(shown)
    best: list[str] = []
    for shown in (names, brief):
        for head in sorted(range(width), key=lambda position: abs(position - width // 2)):
            cut = [_cut(name, width, head) for name in shown]
            if len(set(cut)) > len(set(best)):
                best = cut
    return best


def number(value: float) -> str:
    """A score with two decimals, or three digits where it is large; never a negative zero.

    Example:
        >>> number(0.456), number(-0.001), number(12345.6), number(float("nan"))
        ('0.46', '0.00', '1.23e+04', 'undefined')
    """
    if math.isnan(value):
        return UNDEFINED
    return f"{value:.3g}" if abs(value) >= 100 else f"{round(value, 2) + 0.0:.2f}"


def percent(share: float) -> str:
    """A share of 1; only 0 and 1 themselves become 0 % and 100 %.

    Example:
        >>> percent(1.0), percent(0.9999), percent(0.0421), percent(0.0001)
        ('100%', '>99.9%', '4.2%', '<0.1%')
    """
    if math.isnan(share):
        return "-"
    if share in (0.0, 1.0):
        return f"{share:.0%}"
    if share < 0.001:
        return "<0.1%"
    return ">99.9%" if share > 0.999 else f"{share:.1%}"


def counted(count: int, noun: str) -> str:
    """A number with its noun: `1 draw`, `3 draws`, `20,522 parameters`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def remarks(result: LabelledScores) -> Iterator[str]:
    """Lines on what was random: coverage, exclusions, unchanged and tied parameters."""
    largest = max(result.steps, key=lambda step: step.coverage)
    yield (
        f"{largest.covered:,} of {largest.total:,} parameters were random "
        f"({percent(largest.coverage)})" + (" in the last step." if largest is result.steps[-1] else ".")
    )
    draws = next(iter(result.scores.values())).shape[0]
    varied = "samples and draws" if draws > 1 else "samples alone, of this one draw"
    yield f"[95%]: the mean's interval over {varied}."
    settings = result.settings
    axis = settings.get("channel_axis")
    yield (
        "No axis of the maps was averaged." if axis is None else f"Axis {axis} of the maps (channels) was averaged."
    )
    if settings.get("excluded"):
        yield from _listing("Excluded, always trained", settings["excluded"])
    if settings.get("unchanged_layers"):
        yield from _listing("Unchanged by their draw", settings["unchanged_layers"])
    tied = settings.get("tied") or {}
    if tied:
        yield from _listing("Tied", [f"{name} = {alias}" for name, aliases in tied.items() for alias in aliases])


def _by_place(result: LabelledScores) -> list[str]:
    """The mean at each place of the dimensions that are not averaged, one a line."""
    lines = textwrap.wrap(f"{result.check} of {result.explainer} ({result.meaning})", WIDTH)
    names = [name for name in result.dimensions if name not in result.averaged]
    labels = product(*([f"{name} {value}" for value in result.dimensions[name]] for name in names))
    places = shortened([", ".join(place) for place in labels], _WIDEST_PLACE)
    for measure, short in zip(result.scores, shortened(list(result.scores), 20), strict=True):
        for place, mean in zip(places, result.mean(measure).ravel(), strict=True):
            shown = UNDEFINED if math.isnan(mean) else f"{mean:.3f}"
            lines.append(f"  {short:20} {place:{_WIDEST_PLACE}} {shown:>9}")
    lines += [
        f"  {name}: {int(counts.sum())} undefined" for name, counts in result.undefined.items() if counts.any()
    ]
    found = [textwrap.wrap(f"! {one}", WIDTH - 2, subsequent_indent="  ") for one in result.findings]
    return [*lines, *(f"  {line}" for part in found for line in part)]


@dataclass(frozen=True)
class _Column:
    """One column: two lines of heading, then a cell a step; numbers stand on the right."""

    heading: tuple[str, str]
    cells: Sequence[str]
    right: bool = True

    @property
    def width(self) -> int:
        return max(map(len, (*self.heading, *self.cells)))

    def lines(self, width: int) -> list[str]:
        return [text.rjust(width) if self.right else text.ljust(width) for text in (*self.heading, *self.cells)]


def _heading(result: LabelledScores) -> Iterator[str]:
    settings = result.settings
    draws, _, samples = next(iter(result.scores.values())).shape
    facts = [
        result.explainer,
        str(settings.get("framework", "unknown framework")),
        f"seed {result.seed}",
        counted(samples, "sample"),
        counted(draws, "draw"),
        f"isolation: {settings.get('isolation', 'unknown')}",
    ]
    yield from _wrapped(facts, " · ")
    order = settings.get("layer_order", "unknown")
    strategy = _strategy(str(settings.get("strategy", "unknown strategy")))
    yield from _wrapped([strategy, f"layers in {order} order"], ", ")


def _strategy(described: str) -> str:
    """The strategy's repr without those common arguments that have their default."""
    for field in fields(ModelRandomizationStrategy):
        default = f"{field.name}={field.default!r}"
        described = described.replace(f"{default}, ", "").replace(default, "")
    return described.replace(", )", ")")


def _tables(result: LabelledScores) -> Iterator[list[str]]:
    names = [step.name for step in result.steps]
    fixed = [
        _Column(("", "random"), [percent(step.coverage) for step in result.steps]),
        *([] if result.outputs is None else _output_columns(result.outputs)),
    ]
    blocks = [_measure_columns(result, measure) for measure in result.scores]
    while fixed or blocks:
        columns, fixed = fixed, []
        needed = min(max(map(len, names)), _NARROWEST_NAME)
        while blocks and (not columns or needed + _width([*columns, *blocks[0]]) <= WIDTH):
            columns = [*columns, *blocks.pop(0)]
        room = max(WIDTH - _width(columns), needed)
        yield _table([_Column(("", "step"), shortened(names, room), right=False), *columns])


def _output_columns(change: OutputChange) -> list[_Column]:
    correlation = [number(value) if np.isfinite(value) else "-" for value in defined_mean(change.correlation, 0)]
    agreement = [percent(value) for value in defined_mean(change.agreement, 0)]
    return [_Column(("output", "corr."), correlation), _Column(("same", "argmax"), agreement)]


def _measure_columns(result: LabelledScores, measure: str) -> list[_Column]:
    means = result.mean(measure)
    parts = (_aligned(values) for values in (means, *result.interval(measure).T))
    cells = [
        UNDEFINED if np.isnan(mean) else f"{shown} [{low}, {high}]" if low.strip() else shown
        for mean, shown, low, high in zip(means, *parts, strict=True)
    ]
    columns = [_Column((measure, "mean [95%]"), cells)]
    undefined = result.undefined[measure].sum(axis=0)
    if undefined.any():
        columns.append(_Column(("unde-", "fined"), [f"{int(count):,}" for count in undefined]))
    return columns


def _aligned(values: HostArray) -> list[str]:
    """The numbers, padded to one width; what is undefined takes no room."""
    texts = ["" if np.isnan(value) else number(value) for value in values]
    return [text.rjust(max(map(len, texts))) for text in texts]


def _table(columns: Sequence[_Column]) -> list[str]:
    rows = [_GAP.join(cells).rstrip() for cells in zip(*(c.lines(c.width) for c in columns), strict=True)]
    head, body = rows[:2], rows[2:]
    rule = "-" * max(map(len, rows))
    # Long cascades are read in blocks.
    blocks = [body[start : start + _BLOCK_ROWS] for start in range(0, len(body), _BLOCK_ROWS)]
    if len(body) <= 2 * _BLOCK_ROWS:
        return [*head, rule, *body]
    spaced = [line for block in blocks for line in (*block, "")]
    return [*head, rule, *spaced[:-1]]


def _width(columns: Sequence[_Column]) -> int:
    return sum(len(_GAP) + column.width for column in columns)


def _listing(title: str, names: Sequence[str]) -> Iterator[str]:
    yield from _wrapped([f"{title}: {names[0]}", *names[1:]], ", ", indent="    ")


def _wrapped(parts: Sequence[str], separator: str, indent: str = "") -> Iterator[str]:
    line = parts[0]
    for part in parts[1:]:
        if len(line) + len(separator) + len(part) > WIDTH:
            yield (line + separator).rstrip(" ·")
            line = indent + part
        else:
            line += separator + part
    yield line


def _cut(name: str, width: int, head: int) -> str:
    tail = width - 1 - head
    return name if len(name) <= width else f"{name[:head]}…{name[len(name) - tail :]}"


def _without_shared_path(names: Sequence[str]) -> list[str]:
    # What the first and the last in alphabetical order share, all share.
    shared = 0
    for one, other in zip(min(names), max(names), strict=False):
        if one != other:
            break
        shared += 1
    length = max(names[0][:shared].rfind("."), names[0][:shared].rfind("/")) + 1
    return [f"…{name[length:]}" for name in names] if length > 1 else list(names)
