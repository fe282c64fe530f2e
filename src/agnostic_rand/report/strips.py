"""Strips of maps, as in the first figure of Adebayo et al. 2018: rows explainers, columns steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers import CONTROLS
from agnostic_rand.results.drawing import FAINT, INK, MUTED, new_figure
from agnostic_rand.results.foreign import drawable, drawable_lines
from agnostic_rand.results.text import number, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIGNED, UNSIGNED = "RdBu_r", "Greys"

_PERCENTILE = 99.5

# Lengths in inches.
_CELL = 1.0
_GAP = 0.07
_MARGIN = 0.2
_TITLE_LINE = 0.17
_BELOW = 0.19
_LETTER = 0.078
_KEY_BAR = 0.48
_KEY_LINE = 0.155

_TITLE_LETTERS = 14


def strip_figure(
    image: HostArray,
    maps: Mapping[str, HostArray],
    columns: Sequence[str],
    *,
    scores: Mapping[str, Sequence[float]] | None = None,
    channel_axis: int | None = None,
    title: str = "input",
    note: str = "",
) -> Figure:
    """The maps of one image: a row for each explainer, a column for the trained model and each step.

    Maps with negative values are drawn with a diverging colour map centred at 0, others with a
    sequential one that starts at 0. Each map has a scale of its own, up to the 99.5th percentile
    of its absolute values.

    Args:
        image: `(h, w)`, or with 1 or 3 channels.
        maps: By explainer, `(len(columns), h, w)`, the trained model's first.
        columns: A title for each column, such as `["trained", "fc", "conv"]`; it may have two lines.
        scores: By explainer, what to write below each map but the first: `len(columns) - 1` numbers.
        channel_axis: Where the image keeps its channels, or `None`.
        title: Stands above the image.
        note: Stands below the image: what the titles and scores mean.

    Raises:
        ArgumentError: There are no maps, or not one for each column.
        MissingExtraError: matplotlib is not installed.
    """
    _refuse_unfit(maps, columns)
    shape = np.asarray(next(iter(maps.values()))).shape
    cell_height = _CELL * min(max(shape[1] / shape[2], 0.4), 2.5)
    pitch = cell_height + (_BELOW if scores is not None else _GAP)
    head = _MARGIN + _TITLE_LINE * max(title.count("\n") for title in (*columns, title)) + _TITLE_LINE
    labels = _CELL + 2 * _MARGIN + _LETTER * max(map(len, maps))
    lefts = [labels + _MARGIN + column * (_CELL + _GAP) + (column > 0) * _GAP for column in range(len(columns))]
    kinds = sorted({_is_signed(series) for series in maps.values()}, reverse=True)
    told = "Each map has\nits own scale." + (f"\n\n{note}" if note else "")
    key_height = _KEY_BAR * len(kinds) + _KEY_LINE * (told.count("\n") + 2)
    below = max(pitch * len(maps), cell_height + _MARGIN + key_height)
    size = (lefts[-1] + _CELL + _MARGIN, head + below + _MARGIN / 2)
    figure = new_figure(*size)
    titles = _short_titles(columns)

    def cell(left: float, top: float, height: float = cell_height) -> Axes:
        return figure.add_axes((left / size[0], 1 - (top + height) / size[1], _CELL / size[0], height / size[1]))

    _draw_image(cell(_MARGIN, head), image, channel_axis, title)
    _draw_key(cell(_MARGIN, head + cell_height + _MARGIN, key_height), kinds, told, key_height)
    for row, (name, series) in enumerate(maps.items()):
        signed = _is_signed(series)
        quiet = name in CONTROLS
        for column, left in enumerate(lefts):
            axes = cell(left, head + row * pitch)
            draw_map(axes, series[column], signed=signed)
            if row == 0:
                _write_title(axes, titles[column])
            if column == 0:
                axes.set_ylabel(drawable(name), rotation=0, ha="right", va="center", fontsize=9, labelpad=8)
                axes.yaxis.label.set(color=MUTED if quiet else INK, style="italic" if quiet else "normal")
            elif scores is not None:
                axes.set_xlabel(number(float(scores[name][column - 1])), fontsize=7.5, color=MUTED, labelpad=2)
    return figure


def draw_map(axes: Axes, values: HostArray, *, signed: bool) -> None:
    """One map, centred at 0 where it is signed, starting at 0 where it is not; a flat one is half as dark."""
    largest = float(np.abs(values).max()) or 1.0
    limit = float(np.percentile(np.abs(values), _PERCENTILE)) or largest
    if values.min() == values.max():
        limit = 2 * largest
    low, colours = (-limit, SIGNED) if signed else (0.0, UNSIGNED)
    axes.imshow(values, cmap=colours, vmin=low, vmax=limit, interpolation="nearest", aspect="auto")
    _frame(axes)


def _draw_image(axes: Axes, image: HostArray, channel_axis: int | None, title: str) -> None:
    shown = np.asarray(image, dtype=np.float64)
    if channel_axis is not None:
        shown = np.moveaxis(shown, channel_axis, -1)
        shown = shown[..., 0] if shown.shape[-1] == 1 else shown
    low, high = float(shown.min()), float(shown.max())
    if low < 0 or high > 1:
        # Normalized or 8-bit images: stretched to the range that can be shown.
        shown = (shown - low) / (high - low if high > low else 1.0)
    axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    _write_title(axes, title)
    _frame(axes)


def _draw_key(axes: Axes, kinds: Sequence[bool], told: str, height: float) -> None:
    """What the colours say, for the kinds of maps that are there, and a note below."""
    axes.set_axis_off()
    for position, signed in enumerate(kinds):
        top = 1 - (_KEY_BAR * position + 0.14) / height
        bar = axes.inset_axes((0.0, top - 0.11 / height, 1.0, 0.11 / height))
        ramp = np.linspace(-1 if signed else 0, 1, 128)[None]
        colours = SIGNED if signed else UNSIGNED
        bar.imshow(ramp, cmap=colours, aspect="auto", extent=(float(ramp[0, 0]), 1.0, 0.0, 1.0))
        _frame(bar)
        bar.set_xticks([-1, 0, 1] if signed else [0, 1], ["−", "0", "+"] if signed else ["0", "+"])
        bar.tick_params(length=0, labelsize=8, labelcolor=MUTED, pad=2)
        bar.set_title("signed" if signed else "0 and above", fontsize=8, color=MUTED, pad=2)
    below = 1 - (_KEY_BAR * len(kinds) + 0.1) / height
    axes.text(
        0, below, drawable_lines(told), va="top", fontsize=8, color=MUTED, linespacing=1.3, transform=axes.transAxes
    )


def _write_title(axes: Axes, title: str) -> None:
    """The first line in ink, a second one quieter below it."""
    first, _, second = drawable_lines(title).partition("\n")
    axes.set_title(first + ("\n" if second else ""), fontsize=9, color=INK, pad=4, linespacing=1.25)
    if second:
        axes.annotate(
            second,
            xy=(0.5, 1),
            xycoords="axes fraction",
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=7.5,
            color=MUTED,
        )


def _short_titles(columns: Sequence[str]) -> list[str]:
    first, rest = zip(*(title.partition("\n")[::2] for title in columns), strict=True)
    short = [first[0], *shortened(first[1:], _TITLE_LETTERS)]
    return [f"{name}\n{more}" if more else name for name, more in zip(short, rest, strict=True)]


def _is_signed(series: HostArray) -> bool:
    return bool((np.asarray(series) < 0).any())


def _frame(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(FAINT)
        spine.set_linewidth(0.8)


def _refuse_unfit(maps: Mapping[str, HostArray], columns: Sequence[str]) -> None:
    if not maps or not columns:
        raise ArgumentError(
            "maps",
            expected="at least one explainer and one column",
            received="none",
            fix="Pass what maps_by_step returns.",
        )
    for name, series in maps.items():
        shape = np.asarray(series).shape
        if len(shape) != 3 or shape[0] != len(columns):
            raise ArgumentError(
                f"the maps of {name!r}",
                expected=f"an array ({len(columns)}, h, w): one map for each column",
                received=f"an array of shape {shape}",
                fix="Average over channels, and pass the trained model's map first.",
            )
