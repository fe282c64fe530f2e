"""Tables fit 80 columns, whatever is in them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from agnostic_rand.adapters import BackendInfo
from agnostic_rand.report.tables import backends_table, comparison_table


def printed(table) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    console.print(table)
    return console.file.getvalue().splitlines()


def row_of(lines, name):
    return next(line.split() for line in lines if line.split()[:1] == [name])


def test_each_explainer_has_its_means_and_the_interval_of_the_last_step(real_run):
    result = real_run[0][0]
    low, high = result.interval("spearman")[-1]
    expected = ["gradient", *(f"{mean:.2f}" for mean in result.mean()), f"[{low:.2f},", f"{high:.2f}]"]
    assert row_of(printed(comparison_table(real_run[0], "spearman")), "gradient") == expected


def test_an_interval_that_is_not_known_is_called_so(make):
    lines = printed(comparison_table([make({"spearman": np.full((1, 2, 1), 0.5)})], "spearman"))
    assert row_of(lines, "gradient") == ["gradient", "0.50", "0.50", "unknown"]


def test_the_outputs_have_a_row_of_their_own(real_run):
    result = real_run[0][0]
    lines = printed(comparison_table(real_run[0], "spearman"))
    row = next(line for line in lines if line.startswith("model outputs (corr.)"))
    assert row.split()[3:] == [f"{value:.2f}" for value in result.outputs.correlation.mean(axis=0)]


def test_controls_come_last_and_apart(make):
    scores = {"spearman": np.zeros((1, 2, 2))}
    names = ["random_map", "gradient", "input_map", "saliency"]
    lines = printed(comparison_table([make(scores, explainer=name) for name in names], "spearman"))
    places = [next(i for i, line in enumerate(lines) if line.startswith(name)) for name in names]
    assert places[1] < places[3] < places[0] < places[2]
    assert not lines[places[3] + 1].strip()


@pytest.mark.parametrize("steps", [1, 3, 7, 60])
@pytest.mark.parametrize("value", [0.123, -0.987, np.nan, -123456.0])
def test_any_number_of_steps_fits_and_the_last_is_shown(make, steps, value):
    names = [f"model.encoder.layers.{i}.attention.out_proj" for i in range(steps)]
    results = [
        make({"spearman": np.full((1, steps, 2), value)}, explainer=name, names=names)
        for name in ("gradient", "a_function_with_a_very_long_name_of_its_own", "random_map")
    ]
    lines = printed(comparison_table(results, "spearman"))
    assert max(map(len, lines)) <= 80
    assert lines[1].split()[:1] == ["explainer"]
    assert "100%" in lines[1]
    # Nothing was cut off: rich marks what it shortens at the end.
    assert not any(cell.endswith("…") for line in lines for cell in line.split())


def test_backends_are_listed_with_the_reason(tmp_path):
    infos = [
        BackendInfo("torch", "agnostic-rand", "0.1.0", "usable", ""),
        BackendInfo(
            "my_plugin", "a-distribution-of-a-third-party", "2026.1", "broken", "ImportError: " + "why " * 40
        ),
    ]
    lines = printed(backends_table(infos))
    assert max(map(len, lines)) <= 80
    assert "usable" in next(line for line in lines if line.startswith("torch"))
    assert "".join(lines).count("why") == 40
