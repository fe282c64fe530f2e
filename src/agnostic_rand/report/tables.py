"""Tables for a terminal, at most 80 columns wide."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from agnostic_rand.adapters import BackendInfo
from agnostic_rand.explainers import CONTROLS
from agnostic_rand.report.maps import evenly
from agnostic_rand.results.foreign import printable, printable_lines
from agnostic_rand.results.scores import Scores
from agnostic_rand.results.text import WIDTH, number, percent, shortened
from agnostic_rand.statistics import defined_mean

_LONGEST_NAME = 24
_LONGEST_STEP = 9
_GAP = 2

_OUTPUTS = "model outputs (corr.)"
_LAST = "95% at last"
_UNDEFINED = "undef."
_STYLES = {"usable": "green", "framework missing": "yellow", "broken": "red"}


def comparison_table(results: Sequence[Scores], measure: str) -> Table:
    """Explainers by steps: the mean scores, and the interval of the last; the controls stand apart.

    More steps than fit are thinned out evenly, to the last.

    Args:
        results: Of the same steps.
        measure: Which score.
    """
    steps = results[0].steps
    names = shortened([printable(result.explainer) for result in results], _LONGEST_NAME)
    means = [[_cell(mean) for mean in result.mean(measure)] for result in results]
    intervals = [_interval(result, measure) for result in results]
    outputs = [_cell(value) for value in defined_mean(results[0].moved.correlation, 0)]
    titles = shortened([printable(step.name) for step in steps], _LONGEST_STEP)
    shares = [percent(step.coverage) for step in steps]

    cell = max(map(len, [*titles, *shares, *outputs, *(text for row in means for text in row)]))
    room = WIDTH - max(map(len, [*names, _OUTPUTS])) - _GAP - max(map(len, [*intervals, _LAST]))
    shown = evenly(len(steps), max(room // (cell + _GAP), 1))

    table = Table(box=box.SIMPLE_HEAD, padding=(0, _GAP, 0, 0), show_edge=False, pad_edge=False)
    table.add_column("explainer", no_wrap=True)
    for k in shown:
        table.add_column(Text.assemble(titles[k], "\n", (shares[k], "dim")), justify="right", no_wrap=True)
    table.add_column(_LAST, justify="right", no_wrap=True)
    for group in (False, True):
        for name, result, row, interval in zip(names, results, means, intervals, strict=True):
            if (result.explainer in CONTROLS) is group:
                table.add_row(
                    *map(Text, [name, *(row[k] for k in shown), interval]), style="dim" if group else None
                )
        table.add_section()
    table.add_row(*map(Text, [_OUTPUTS, *(outputs[k] for k in shown), ""]), style="italic")
    return table


def backends_table(infos: Sequence[BackendInfo]) -> Table:
    """What is installed, and why something is not usable."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, _GAP, 0, 0), show_edge=False, pad_edge=False)
    for title in ("backend", "from", "status", "reason"):
        table.add_column(title, overflow="fold", no_wrap=title in ("backend", "status"))
    for info in infos:
        table.add_row(
            Text(printable(info.name)),
            Text(printable(f"{info.distribution} {info.version}")),
            Text(info.status, style=_STYLES[info.status]),
            Text(printable_lines(info.reason)),
        )
    return table


def _cell(value: float) -> str:
    return _UNDEFINED if np.isnan(value) else number(float(value))


def _interval(result: Scores, measure: str) -> str:
    if np.isnan(result.mean(measure)[-1]):
        return _UNDEFINED
    low, high = result.interval(measure)[-1]
    return "unknown" if np.isnan(low) else f"[{_cell(low)}, {_cell(high)}]"
