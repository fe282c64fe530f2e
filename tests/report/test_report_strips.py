"""The strip shows the maps themselves, signed ones centred at zero."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from agnostic_rand.errors import ArgumentError
from agnostic_rand.report.strips import SIGNED, UNSIGNED, strip_figure

RNG = np.random.default_rng(0)
IMAGE = RNG.random((12, 12))
SIGNED_MAPS = RNG.normal(size=(3, 12, 12))
POSITIVE_MAPS = RNG.random((3, 12, 12))
COLUMNS = ["trained", "fc\n10%", "conv\n100%"]


def shown(figure):
    """The drawn maps, row by row: every image of 12x12 but the first, which is the input."""
    images = [axes.get_images()[0] for axes in figure.axes if axes.get_images()]
    return [image for image in images if np.asarray(image.get_array()).shape == (12, 12)][1:]


def test_every_map_is_drawn_as_it_is_row_by_row():
    figure = strip_figure(IMAGE, {"gradient": SIGNED_MAPS, "saliency": POSITIVE_MAPS}, COLUMNS)
    for image, values in zip(shown(figure), [*SIGNED_MAPS, *POSITIVE_MAPS], strict=True):
        np.testing.assert_array_equal(image.get_array(), values)


def test_signed_maps_are_centred_at_zero_and_others_start_there():
    figure = strip_figure(IMAGE, {"gradient": SIGNED_MAPS, "saliency": POSITIVE_MAPS}, COLUMNS)
    for image, values in zip(shown(figure)[:3], SIGNED_MAPS, strict=True):
        low, high = image.get_clim()
        assert (low, image.get_cmap().name) == (-high, SIGNED)
        assert high == np.percentile(np.abs(values), 99.5)
    for image in shown(figure)[3:]:
        assert (image.get_clim()[0], image.get_cmap().name) == (0, UNSIGNED)


def test_a_row_is_signed_if_one_of_its_maps_is():
    maps = np.abs(SIGNED_MAPS)
    maps[2, 0, 0] = -0.5
    figure = strip_figure(IMAGE, {"mine": maps}, COLUMNS)
    assert {image.get_cmap().name for image in shown(figure)} == {SIGNED}


@pytest.mark.parametrize("value", [0.0, 1.0, -2.0])
def test_a_constant_map_is_drawn_flat_and_not_as_an_extreme(value):
    figure = strip_figure(IMAGE, {"constant_map": np.full((3, 12, 12), value)}, COLUMNS)
    low, high = shown(figure)[0].get_clim()
    assert low <= value <= high
    assert abs(value) == pytest.approx(0.5 * high if value else 0.0)


def test_titles_names_and_scores_are_written_where_they_belong():
    scores = {"gradient": [0.25, float("nan")]}
    figure = strip_figure(IMAGE, {"gradient": SIGNED_MAPS}, COLUMNS, scores=scores, title="a digit 3")
    cells = [axes for axes in figure.axes if axes.get_images()]
    assert cells[0].get_title() == "a digit 3"
    drawn = [axes for axes in cells if np.asarray(axes.get_images()[0].get_array()).shape == (12, 12)][1:]
    assert [axes.get_title().strip() for axes in drawn] == ["trained", "fc", "conv"]
    assert [axes.get_xlabel() for axes in drawn] == ["", "0.25", "undefined"]
    assert [axes.get_ylabel() for axes in drawn] == ["gradient", "", ""]
    assert [text.get_text() for axes in drawn for text in axes.texts] == ["10%", "100%"]


@pytest.mark.parametrize("rows", [1, 3, 9])
def test_no_text_covers_another_or_leaves_the_page(rows):
    maps = {f"a_long_name_of_an_explainer_{i}": SIGNED_MAPS for i in range(rows)}
    maps["saliency"] = POSITIVE_MAPS
    scores = {name: [-0.12, 0.34] for name in maps}
    columns = [
        "trained",
        "encoder.layers.10.attention.out_proj\n10.5%",
        "encoder.layers.9.attention.out_proj\n99.9%",
    ]
    figure = strip_figure(IMAGE, maps, columns, scores=scores, note="\n".join(f"line {i}" for i in range(8)))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = [
        text
        for axes in figure.axes
        for text in (axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts)
        if text.get_text().strip()
    ]
    boxes = [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in texts]
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        # A title keeps an empty second line, on which the smaller line below it stands.
        if one.endswith("\n") or other.endswith("\n"):
            assert min(a.x1, b.x1) - max(a.x0, b.x0) < 1 or min(a.y1, b.y1) - max(a.y0, b.y0) < 16
            continue
        assert not a.overlaps(b), (one, other)
    assert all(box.x0 >= 0 and box.y0 >= 0 for _, box in boxes)
    assert all(box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1 for _, box in boxes)


@pytest.mark.parametrize("axis", [0, -1])
def test_a_colour_image_is_shown_in_colour(axis):
    image = np.moveaxis(RNG.random((12, 12, 3)), -1, axis)
    figure = strip_figure(image, {"gradient": SIGNED_MAPS}, COLUMNS, channel_axis=axis)
    np.testing.assert_allclose(figure.axes[0].get_images()[0].get_array(), np.moveaxis(image, axis, -1))


def test_an_image_out_of_range_is_stretched_to_it():
    figure = strip_figure(255 * IMAGE, {"gradient": SIGNED_MAPS}, COLUMNS)
    drawn = figure.axes[0].get_images()[0].get_array()
    assert (drawn.min(), drawn.max()) == (0, 1)


def test_maps_that_do_not_fit_the_columns_are_refused():
    with pytest.raises(ArgumentError, match=r"array \(3, h, w\).*shape \(2, 12, 12\)"):
        strip_figure(IMAGE, {"gradient": SIGNED_MAPS[:2]}, COLUMNS)
    with pytest.raises(ArgumentError, match="at least one explainer"):
        strip_figure(IMAGE, {}, COLUMNS)
