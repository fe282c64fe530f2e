"""Names that come from elsewhere command no terminal, no table and no figure."""

from __future__ import annotations

import io
import unicodedata
import warnings

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from rich.console import Console
from rich.text import Text

from agnostic_rand.cli import console as cli_console
from agnostic_rand.errors import ArgumentError
from agnostic_rand.report.folder import write_output
from agnostic_rand.report.strips import strip_figure
from agnostic_rand.report.tables import comparison_table
from agnostic_rand.results.foreign import printable
from agnostic_rand.results.plots import curve_figure, curves_figure

BAD = "red\x1b[31m\x07\r\n\x9b2J\u202e\ud800"


def assert_plain(text: str) -> None:
    assert {unicodedata.category(c) for c in text.replace("\n", "")} & {"Cc", "Cf", "Cs", "Zl", "Zp"} == set()
    text.encode()


def test_text_keeps_its_length_and_what_is_no_command() -> None:
    assert len(printable(BAD)) == len(BAD)
    assert_plain(printable(BAD))
    assert "\n" not in printable(BAD)
    assert printable("größe 10% · 変化 {x}") == "größe 10% · 変化 {x}"


def test_summaries_show_control_codes_as_pictures(make) -> None:
    cascade = make(
        {"spearman": np.zeros((1, 2, 2)), BAD: np.zeros((1, 2, 2))},
        explainer=BAD,
        names=[BAD, "fc"],
        settings={"excluded": [BAD], "strategy": BAD, "tied": {BAD: [BAD]}},
        findings=(BAD,),
    )
    lines = cascade.summary().split("\n")
    assert_plain(cascade.summary())
    assert_plain(repr(cascade))
    clean = make(
        {"spearman": np.zeros((1, 2, 2)), "a" * len(BAD): np.zeros((1, 2, 2))}, names=["x" * len(BAD), "fc"]
    )
    # The table stays in line: names are as long as they were.
    assert len(next(one for one in lines if one.startswith("---"))) == len(
        next(one for one in clean.summary().split("\n") if one.startswith("---"))
    )


def test_tables_and_messages_of_the_command_line_show_them_as_pictures(make, monkeypatch) -> None:
    screen = Console(file=io.StringIO(), width=80, force_terminal=False)
    results = [make({"spearman": np.zeros((1, 2, 2))}, explainer=name, names=[BAD, "fc"]) for name in (BAD, "b")]
    screen.print(comparison_table(results, "spearman"))
    cli_console.report(screen, results, "spearman")
    cli_console.say(screen, Text(BAD, "red"))
    monkeypatch.setattr(cli_console, "err_console", lambda: screen)
    with pytest.raises(BaseException), cli_console.clean_exit():  # noqa: B017, PT011 - typer's own exit
        raise ArgumentError(BAD, expected=BAD, received=BAD, fix=BAD)
    assert "␛[31m" in screen.file.getvalue()
    assert_plain(screen.file.getvalue())


@pytest.mark.parametrize("name", ["$", "$x$", r"\$x$", "$\\frac{$", "$\\nothing$", "cost_{$} in $"])
def test_a_dollar_breaks_no_figure_and_is_drawn_as_it_stands(make, name, tmp_path) -> None:
    scores = {name: np.zeros((1, 2, 2)), "spearman": np.zeros((1, 2, 2))}
    cascade = make(scores, explainer=name, names=[name, f"{name}2"])
    single = make({name: np.zeros((1, 1, 2))}, explainer=name, names=[name])
    long = make({name: np.zeros((1, 20, 2))}, explainer=name, names=[f"{name}{k}" for k in range(20)])
    figures = [curve_figure(one) for one in (cascade, single, long)]
    figures.append(curves_figure([cascade, cascade], name))
    image = np.zeros((8, 8))
    maps = {name: np.zeros((2, 8, 8))}
    figures.append(strip_figure(image, maps, [name, f"{name}\n{name}"], title=name, note=name))
    for figure in figures:
        FigureCanvasAgg(figure).draw()
    label = next(text for text in figures[0].axes[0].texts if text.get_text())
    text, is_math = label._preprocess_math(label.get_text())
    assert (text, is_math) == (f"{name} (undefined)" if "undefined" in text else name, False)
    write_output(tmp_path, [cascade], name)
    assert (tmp_path / "curves.png").exists()


def test_control_codes_break_no_figure(make) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # glyphs that the font lacks
        FigureCanvasAgg(curve_figure(make({BAD: np.zeros((1, 2, 2))}, explainer=BAD, names=[BAD, "fc"]))).draw()
