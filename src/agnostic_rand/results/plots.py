"""Curves of scores over steps, drawn on figures of their own: no global state of matplotlib is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers import CONTROLS
from agnostic_rand.results.drawing import (
    COLOURS,
    CONTROL_DASHES,
    FAINT,
    INK,
    MARKERS,
    MUTED,
    darkened,
    headline,
    new_figure,
    plain_axes,
    spread_apart,
)
from agnostic_rand.results.foreign import drawable
from agnostic_rand.results.labelled import LabelledScores
from agnostic_rand.results.text import counted, percent, shortened
from agnostic_rand.statistics import defined_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_MOST_TICKS = 16
_LABEL_POINTS = 9.0
_LONGEST_LABEL = 40


@dataclass(frozen=True)
class _Curve:
    """One line: a value and, unless it is a reference, an interval for each step."""

    label: str
    mean: HostArray
    interval: HostArray | None
    style: dict[str, Any]


def curve_figure(result: LabelledScores) -> Figure:
    """The mean score of each measure over the steps, with its interval, beside the outputs' change.

    Args:
        result: Of one step or more; a single step is drawn as one row a measure.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    curves = [
        _Curve(name, result.mean(name), result.interval(name), _coloured(number))
        for number, name in enumerate(result.scores)
    ]
    return _figure(result, curves, result.explainer, "mean score")


def curves_figure(results: Sequence[LabelledScores], measure: str = "spearman") -> Figure:
    """The mean score of several explainers over the same steps; controls are grey and dashed.

    Args:
        results: One for each explainer, of the same steps.
        measure: Which score.

    Raises:
        ArgumentError: There is no result, or they have different steps.
        UnknownNameError: A result has no such measure.
        MissingExtraError: matplotlib is not installed.
    """
    _refuse_unlike(results)
    curves, explainers, controls = [], 0, 0
    for result in results:
        if result.explainer in CONTROLS:
            style = _control(controls)
            controls += 1
        else:
            style = _coloured(explainers)
            explainers += 1
        curves.append(_Curve(result.explainer, result.mean(measure), result.interval(measure), style))
    return _figure(results[0], curves, "How much of each explanation survives", f"mean {measure}")


def _figure(result: LabelledScores, curves: list[_Curve], title: str, ylabel: str) -> Figure:
    reference = _Curve(
        "model outputs (corr.)",
        defined_mean(result.moved.correlation, 0),
        None,
        {"color": "#9a9a9a", "linewidth": 0.9, "linestyle": "-", "zorder": 1.5},
    )
    curves = [*curves, reference]
    if tuple(result.dimensions) != ("draw", "step", "sample"):
        raise ArgumentError(
            f"the scores of {result.check!r}",
            expected="those of one explainer over draws, steps and samples, which make a curve",
            received=f"dimensions {', '.join(result.dimensions)}",
            fix="Plot the scores of several explainers one by one: scores['gradient'].plot().",
        )
    if len(result.steps) == 1:
        return _rows_figure(result, curves, title, ylabel)
    height = max(4.6, 0.9 + 0.235 * len(curves))
    figure = new_figure(max(8.2, min(3.4 + 0.45 * len(result.steps), 13.0)), height)
    axes = figure.add_subplot()
    plain_axes(axes)
    for curve in curves:
        _draw(axes, curve)
    low, high = _limits(curves)
    axes.set_ylim(low, high)
    axes.set_xlim(-0.25, len(result.steps) - 0.75)
    axes.axhline(0, color=FAINT, linewidth=0.9, zorder=0.5)
    axes.set_ylabel(drawable(ylabel), color=INK, fontsize=10)
    _step_axis(axes, result)
    _end_labels(axes, curves, axes_height=height - 1.7)
    headline(figure, drawable(title), _facts(result))
    return figure


def _draw(axes: Axes, curve: _Curve) -> None:
    steps = np.arange(len(curve.mean))
    # In long cascades every other marker would touch the next.
    axes.plot(steps, curve.mean, label=curve.label, markevery=-(-len(steps) // _MOST_TICKS), **curve.style)
    if curve.interval is not None:
        low, high = curve.interval.T
        axes.fill_between(steps, low, high, color=curve.style["color"], alpha=0.16, linewidth=0, zorder=1)


def _end_labels(axes: Axes, curves: Sequence[_Curve], axes_height: float) -> None:
    """Each curve's name at its right end, moved up or down so that none covers another."""
    low, high = axes.get_ylim()
    gap = 1.45 * _LABEL_POINTS / 72 / axes_height * (high - low)
    ends = [_last_defined(curve.mean) for curve in curves]
    # What is undefined everywhere is named at the bottom.
    wanted = [low if end is None else float(curve.mean[end]) for curve, end in zip(curves, ends, strict=True)]
    places = spread_apart(wanted, gap, low, high)
    for curve, label, end, target, place in zip(curves, _labels(curves), ends, wanted, places, strict=True):
        colour = curve.style["color"]
        leader = {"arrowstyle": "-", "color": colour, "linewidth": 0.7, "shrinkA": 2, "shrinkB": 3}
        axes.annotate(
            label,
            xy=(len(curve.mean) - 1 if end is None else end, target),
            xytext=(1.05, place),
            textcoords=axes.get_yaxis_transform(),
            color=MUTED if curve.interval is None else darkened(colour),
            fontsize=_LABEL_POINTS,
            va="center",
            annotation_clip=False,
            arrowprops=None if end is None else {**leader, "relpos": (0, 0.5)},
        )


def _rows_figure(result: LabelledScores, curves: list[_Curve], title: str, xlabel: str) -> Figure:
    """A single step: a dot and its interval for each row, read along one axis."""
    figure = new_figure(7.4, 1.7 + 0.36 * len(curves))
    axes = figure.add_subplot()
    plain_axes(axes)
    for row, curve in enumerate(curves):
        colour, dashed = curve.style["color"], curve.style["linestyle"] != "-"
        if curve.interval is not None:
            axes.plot(curve.interval[0], [row, row], color=colour, linewidth=2, alpha=0.5, solid_capstyle="butt")
        marker = "|" if curve.interval is None else curve.style.get("marker", "o")
        axes.plot(
            curve.mean,
            [row],
            label=curve.label,
            color=colour,
            linestyle="none",
            marker=marker,
            markersize=9 if marker == "|" else 6.5,
            markerfacecolor="white" if dashed else colour,
            zorder=3,
        )
    axes.set_xlim(*_limits(curves))
    axes.set_ylim(len(curves) - 0.4, -0.6)
    axes.set_yticks(range(len(curves)), _labels(curves))
    axes.axvline(0, color=FAINT, linewidth=0.9, zorder=0.5)
    axes.set_xlabel(drawable(xlabel), color=INK, fontsize=10)
    step = drawable(shortened([result.steps[0].name], 40)[0])
    headline(figure, drawable(title), f"{step} random · {_facts(result)}")
    return figure


def _step_axis(axes: Axes, result: LabelledScores) -> None:
    steps = result.steps
    longest = max(len(step.name) for step in steps)
    reading = _reading(result)
    if len(steps) * max(longest, 6) <= 72:
        axes.set_xticks(range(len(steps)), [f"{drawable(step.name)}\n{percent(step.coverage)}" for step in steps])
        reading += " (% of all parameters)"
    else:
        stride = -(-len(steps) // _MOST_TICKS)
        # Counted from the end, so that the last step, which says most, has its name.
        shown = range((len(steps) - 1) % stride, len(steps), stride)
        axes.set_xticks(
            shown,
            [drawable(name) for name in shortened([steps[k].name for k in shown], 22)],
            rotation=40,
            ha="right",
            rotation_mode="anchor",
        )
        axes.set_xticks(range(len(steps)), minor=True)
        axes.tick_params(which="minor", length=2, color=MUTED)
    axes.set_xlabel(reading, color=INK, fontsize=10, labelpad=8)


def _reading(result: LabelledScores) -> str:
    sets = [set(step.layers) for step in result.steps]
    if all(before < after for before, after in pairwise(sets)):
        return "randomized so far: this layer and those to its left"
    return "randomized: this layer alone"


def _facts(result: LabelledScores) -> str:
    draws, _, samples = next(iter(result.scores.values())).shape
    return (
        f"similarity to the trained model's maps · {counted(draws, 'draw')} × {counted(samples, 'sample')}"
        " · 95% intervals"
    )


def _limits(curves: Sequence[_Curve]) -> tuple[float, float]:
    """Room for every mean, and for the intervals within the range of a correlation or of the means."""
    means = np.concatenate([curve.mean for curve in curves])
    low, high = (float(end) for end in (np.nanmin([0.0, *means]), np.nanmax([1.0, *means])))
    intervals = np.concatenate([curve.interval.ravel() for curve in curves if curve.interval is not None])
    low = min(low, max(-1.0, float(np.nanmin([low, *intervals]))))
    margin = 0.06 * (high - low)
    return low - margin, high + margin / 2


def _labels(curves: Sequence[_Curve]) -> list[str]:
    names = shortened([curve.label for curve in curves], _LONGEST_LABEL)
    return [drawable(name) + _undefined_part(curve.mean) for name, curve in zip(names, curves, strict=True)]


def _undefined_part(values: HostArray) -> str:
    if np.isnan(values).all():
        return " (undefined)"
    return " (then undefined)" if np.isnan(values[-1]) else ""


def _last_defined(values: HostArray) -> int | None:
    defined = np.flatnonzero(np.isfinite(values))
    return int(defined[-1]) if defined.size else None


def _coloured(number: int) -> dict[str, Any]:
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": "-",
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 4.5,
        "linewidth": 1.8,
        "zorder": 3,
    }


def _control(number: int) -> dict[str, Any]:
    dashes = CONTROL_DASHES[number % len(CONTROL_DASHES)]
    return {"color": MUTED, "linestyle": dashes, "linewidth": 1.3, "zorder": 2}


def _refuse_unlike(results: Sequence[LabelledScores]) -> None:
    if not results:
        raise ArgumentError(
            "results", expected="at least one result", received="none", fix="Pass those of metric.run(...)."
        )
    for result in results[1:]:
        if [step.name for step in result.steps] != [step.name for step in results[0].steps]:
            raise ArgumentError(
                "results",
                expected="results of the same steps, which share one axis",
                received=f"other steps for {result.explainer!r} than for {results[0].explainer!r}",
                fix="Run all explainers with one metric.",
            )
