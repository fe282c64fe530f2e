"""What is drawn is what was measured, and can be read."""

from __future__ import annotations

import itertools
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.text import Text

from agnostic_rand.errors import ArgumentError, MissingExtraError, UnknownNameError
from agnostic_rand.results.drawing import spread_apart
from agnostic_rand.results.plots import curve_figure, curves_figure


def lines_of(figure):
    return {line.get_label(): line for line in figure.axes[0].get_lines() if not line.get_label().startswith("_")}


def labels_of(figure):
    return [text for text in figure.axes[0].texts if text.get_text()]


def test_the_curve_of_each_measure_is_its_mean_over_the_steps(real_run):
    result = real_run[0][0]
    figure = curve_figure(result)
    for measure in ("spearman", "spearman_abs"):
        line = lines_of(figure)[measure]
        np.testing.assert_array_equal(line.get_xdata(), [0, 1, 2])
        np.testing.assert_array_equal(line.get_ydata(), result.mean(measure))


def test_the_band_of_each_measure_is_its_interval(real_run):
    result = real_run[0][0]
    bands = [c for c in curve_figure(result).axes[0].collections if isinstance(c, PolyCollection)]
    assert len(bands) == 2
    for band, measure in zip(bands, ("spearman", "spearman_abs"), strict=True):
        corners = {tuple(corner) for corner in band.get_paths()[0].vertices}
        for step, (low, high) in enumerate(result.interval(measure)):
            assert {(step, low), (step, high)} <= corners


def test_the_outputs_are_a_thin_grey_reference(real_run):
    result = real_run[0][0]
    line = lines_of(curve_figure(result))["model outputs (corr.)"]
    np.testing.assert_allclose(line.get_ydata(), result.outputs.correlation.mean(axis=0))
    assert line.get_linewidth() < 1
    red, green, blue = matplotlib.colors.to_rgb(line.get_color())
    assert red == green == blue


def test_each_step_is_named_with_its_coverage(real_run):
    ticks = [label.get_text() for label in curve_figure(real_run[0][0]).axes[0].get_xticklabels()]
    assert [tick.split("\n")[0] for tick in ticks] == ["5", "3", "0"]
    assert ticks[-1].split("\n")[1] == "100%"


def test_an_undefined_step_is_a_gap(make):
    scores = np.random.default_rng(0).normal(size=(2, 5, 6))
    scores[:, 2] = np.nan
    figure = curve_figure(make({"spearman": scores}))
    np.testing.assert_array_equal(np.isnan(lines_of(figure)["spearman"].get_ydata()), np.arange(5) == 2)
    figure.savefig("/dev/null", format="png")


def test_curves_show_every_explainer_and_controls_are_grey_and_dashed(make):
    rng = np.random.default_rng(0)
    names = ["gradient", "guided_backprop", "random_map", "input_map"]
    results = [make({"spearman": rng.normal(size=(2, 3, 6))}, explainer=name) for name in names]
    drawn = lines_of(curves_figure(results))
    for result in results:
        np.testing.assert_array_equal(drawn[result.explainer].get_ydata(), result.mean())
    styles = {
        name: (drawn[name].get_linestyle(), matplotlib.colors.to_rgb(drawn[name].get_color())) for name in names
    }
    assert [styles[name][0] for name in names] == ["-", "-", "--", "--"]
    assert len(set(styles["random_map"][1])) == 1
    assert styles["gradient"][1] != styles["guided_backprop"][1]


def test_the_measure_can_be_chosen(real_run):
    results = real_run[0][:2]
    drawn = lines_of(curves_figure(results, "spearman_abs"))
    np.testing.assert_array_equal(drawn["gradient"].get_ydata(), results[0].mean("spearman_abs"))
    with pytest.raises(UnknownNameError, match="spearman"):
        curves_figure(results, "pearson")


@pytest.mark.parametrize("count", [2, 10, 22])
def test_labels_of_coinciding_curves_do_not_cover_each_other(make, count):
    results = [make({"spearman": np.full((1, 4, 3), 0.1 * (i % 2))}, explainer=f"method_{i}") for i in range(count)]
    figure = curves_figure(results)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    labels = labels_of(figure)
    assert len(labels) == count + 1
    # Of the text alone: an annotation's own extent has its arrow in it.
    boxes = [Text.get_window_extent(label, canvas.get_renderer()) for label in labels]
    for one, other in itertools.combinations(boxes, 2):
        assert min(one.y1, other.y1) - max(one.y0, other.y0) < 0.35 * one.height
    axes, page = figure.axes[0].get_window_extent(), figure.bbox
    assert all(box.x0 > axes.x1 and box.x1 <= page.x1 for box in boxes)


def test_a_wide_interval_does_not_flatten_the_curves(make):
    scores = np.zeros((2, 3, 5))
    scores[1] = 0.9
    figure = curve_figure(make({"spearman": scores}))
    assert figure.axes[0].get_ylim()[0] >= -1.2
    assert figure.axes[0].get_ylim()[1] <= 1.2


def test_scores_beyond_one_are_in_view(make):
    low, high = curve_figure(make({"mse": np.full((2, 3, 5), 7.0)})).axes[0].get_ylim()
    assert low < 0
    assert high > 7


def test_an_explainer_without_scores_is_named_as_undefined(make):
    results = [
        make({"spearman": np.zeros((1, 3, 2))}),
        make({"spearman": np.full((1, 3, 2), np.nan)}, explainer="constant_map"),
    ]
    assert "constant_map (undefined)" in [label.get_text() for label in labels_of(curves_figure(results))]


def test_a_long_cascade_names_some_steps_and_always_the_last(make):
    names = [f"blocks.{i}.attention.projection" for i in range(60)]
    ticks = curve_figure(make({"spearman": np.zeros((1, 60, 2))}, names=names)).axes[0].get_xticklabels()
    assert 8 <= len(ticks) <= 16
    assert "59" in ticks[-1].get_text()
    assert len({tick.get_text() for tick in ticks}) == len(ticks)


def test_a_single_step_is_a_row_for_each_measure(make):
    rng = np.random.default_rng(0)
    result = make({"spearman": rng.normal(size=(2, 1, 9)), "pearson": rng.normal(size=(2, 1, 9))})
    figure = curve_figure(result)
    for row, measure in enumerate(("spearman", "pearson")):
        assert lines_of(figure)[measure].get_xdata() == result.mean(measure)
        assert list(lines_of(figure)[measure].get_ydata()) == [row]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["spearman", "pearson", "model outputs (corr.)"]


def test_whether_steps_add_up_is_said(make):
    scores = {"spearman": np.zeros((1, 3, 2))}
    assert "so far" in curve_figure(make(scores)).axes[0].get_xlabel()
    assert "alone" in curve_figure(make(scores, nested=False)).axes[0].get_xlabel()


def test_results_of_other_steps_are_refused(make):
    scores = {"spearman": np.zeros((1, 2, 2))}
    with pytest.raises(ArgumentError, match="other steps for 'saliency'"):
        curves_figure([make(scores), make(scores, names=["a", "b"], explainer="saliency")])
    with pytest.raises(ArgumentError, match="at least one result"):
        curves_figure([])


def test_drawing_leaves_matplotlib_as_it_was(make):
    before = dict(matplotlib.rcParams)
    curve_figure(make({"spearman": np.zeros((1, 2, 2))})).savefig("/dev/null", format="png")
    assert dict(matplotlib.rcParams) == before


def test_drawing_imports_no_pyplot():
    code = """
import sys
import numpy as np
from agnostic_rand.report.strips import strip_figure
strip_figure(np.zeros((9, 9)), {"gradient": np.ones((1, 9, 9))}, ["trained"]).savefig("/dev/null", format="png")
sys.exit("matplotlib.pyplot" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_without_matplotlib_the_install_command_is_told(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'agnostic-rand\[report\]'"):
        make({"spearman": np.zeros((1, 2, 2))}).plot()


def test_positions_are_spread_as_little_as_needed():
    assert spread_apart([0.5, 0.0, 1.0], 0.1, 0, 1) == [0.5, 0.0, 1.0]
    assert np.allclose(sorted(spread_apart([0.5, 0.5, 0.5], 0.1, 0, 1)), [0.4, 0.5, 0.6])
    assert np.allclose(sorted(spread_apart([0.0, 0.0], 0.2, 0, 1)), [0.0, 0.2])
    assert np.allclose(sorted(spread_apart([1.0, 1.0], 0.2, 0, 1)), [0.8, 1.0])
    assert spread_apart([], 0.2, 0, 1) == []
