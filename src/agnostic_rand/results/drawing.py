"""Drawing of figures: sizes, colours and axes, without any of matplotlib's global state."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from agnostic_rand.errors import missing_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1a1a1a"
MUTED = "#6b6b6b"
FAINT = "#dcdcdc"

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A4FB5", "#8C564B")
"""Colours that stay apart for colour-blind readers (Okabe & Ito 2008, and two more)."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

CONTROL_DASHES = ((0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)), (0, (1, 2.5)))
"""Controls are grey, and told apart by their dashes."""


def new_figure(width: float, height: float) -> Figure:
    """A white figure of the size in inches, on which nothing is laid out yet.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra("a figure", "matplotlib", "report") from error
    return Figure(figsize=(width, height), facecolor="white")


def darkened(colour: str) -> str:
    """A colour of lines as a colour of text, which needs more contrast."""
    channels = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(0.72 * channel):02x}" for channel in channels)


def plain_axes(axes: Axes) -> None:
    """Ink on white, whatever style the caller has set: two spines, quiet ticks."""
    axes.set_facecolor("white")
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(MUTED)
        spine.set_linewidth(0.8)
    axes.tick_params(colors=INK, labelsize=9, length=3, width=0.8)
    axes.grid(visible=False)


def headline(figure: Figure, title: str, facts: str) -> None:
    """A title over a line of facts, at the left edge; the axes are laid out below, nothing cut off."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    width, height = (float(inches) for inches in figure.get_size_inches())
    lines = textwrap.wrap(facts, int(width / 0.072))
    figure.text(0.12 / width, 1 - 0.14 / height, title, va="top", fontsize=12, fontweight="bold", color=INK)
    figure.text(0.12 / width, 1 - 0.42 / height, "\n".join(lines), va="top", fontsize=9, color=MUTED)
    room = 1 - (0.46 + 0.16 * len(lines)) / height
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08, rect=(0, 0, 1, room)))


def spread_apart(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions at least `gap` apart, as near to those wanted as can be, in [low, high] if they fit.

    Example:
        >>> spread_apart([1.0, 1.0, 0.0], 0.25, 0.0, 1.0)
        [1.0, 0.75, 0.0]
    """
    if not wanted:
        return []
    order = sorted(range(len(wanted)), key=lambda i: (wanted[i], -i))
    # With i * gap taken off, positions that are apart are those that do not decrease: pool those that do.
    pools: list[list[float]] = []
    for rank, i in enumerate(order):
        pools.append([wanted[i] - rank * gap])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    flat = [float(np.mean(pool)) for pool in pools for _ in pool]
    ceiling = max(high - (len(order) - 1) * gap, low)
    placed = [min(max(base, low), ceiling) + rank * gap for rank, base in enumerate(flat)]
    result = [0.0] * len(wanted)
    for rank, i in enumerate(order):
        result[i] = placed[rank]
    return result
