"""Maps at the edge of what can be compared, how channels are reduced, and what names stand for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from agnostic_rand import similarity
from agnostic_rand.errors import ArgumentError, ExplanationError, UnknownNameError
from agnostic_rand.similarity import (
    MEASURES,
    MapForm,
    Measure,
    cosine,
    pairwise_measure,
    pearson,
    resolve_measures,
    spearman,
    spearman_nonzero,
)

from .fakes import Array

Pair = Callable[[Array, Array], Array]

ALL = pytest.mark.parametrize("similarity", [spearman, spearman_nonzero, pearson, cosine])


@ALL
@pytest.mark.parametrize("shape", [(), (5,), (0, 5), (5, 0), (5, 0, 3)])
def test_nothing_to_compare_is_an_error(similarity: Pair, shape: tuple[int, ...]) -> None:
    with pytest.raises(ExplanationError, match="at least one map with at least one element"):
        similarity(np.ones(shape), np.ones(shape))


@ALL
def test_maps_of_two_shapes_are_an_error_that_names_both(similarity: Pair) -> None:
    with pytest.raises(ExplanationError, match=r"\(2, 5\) and \(5, 2\)"):
        similarity(np.ones((2, 5)), np.ones((5, 2)))


@ALL
def test_a_single_row_is_scored(similarity: Pair) -> None:
    np.testing.assert_allclose(similarity(np.array([[1.0, 2, 4]]), np.array([[10.0, 20, 40]])), [1], atol=1e-15)


def test_a_single_column_has_no_correlation() -> None:
    a, b = np.array([[1.0], [-2.0]]), np.array([[3.0], [4.0]])
    for correlation in (spearman, spearman_nonzero, pearson):
        np.testing.assert_array_equal(correlation(a, b), [np.nan, np.nan])
    np.testing.assert_array_equal(cosine(a, b), [1, -1])


def test_maps_that_share_one_nonzero_pixel_or_none_have_no_nonzero_correlation() -> None:
    a = np.array([[0.0, 0, 3], [0, 0, 0], [0, 5, 5]])
    b = np.array([[0.0, 0, 2], [0, 0, 0], [0, 1, 2]])
    np.testing.assert_array_equal(spearman_nonzero(a, b), [np.nan] * 3)


def test_a_row_that_rounding_makes_nearly_constant_is_not_taken_for_a_constant_one() -> None:
    a = np.array([[0.1, 0.1, 0.1 * (1 + 1e-10)], [0.1, 0.1, 0.1]])
    b = np.array([[1.0, 1, 2], [1, 1, 2]])
    np.testing.assert_allclose(spearman(a, b), [1, np.nan])
    np.testing.assert_allclose(pearson(a, b), [1, np.nan], atol=1e-5)


def test_negative_zero_ties_with_zero_and_is_background() -> None:
    a, b = np.array([[-0.0, 0.0, 1, 2]]), np.array([[0.0, -0.0, 2, 1]])
    assert spearman(a, b)[0] == pytest.approx(stats.spearmanr([0, 0, 1, 2], [0, 0, 2, 1]).statistic)
    assert spearman_nonzero(a, b)[0] == pytest.approx(-1)


def test_infinity_is_the_largest_value_to_spearman() -> None:
    a, b = np.array([[0.0, 1, 2, np.inf]]), np.array([[-np.inf, 5, 3, 9]])
    assert spearman(a, b)[0] == pytest.approx(stats.spearmanr([0, 1, 2, 3], [0, 2, 1, 3]).statistic)


def test_infinity_has_no_nonzero_spearman_rather_than_a_wrong_one() -> None:
    a, b = np.array([[0.0, 0, 1, np.inf, 2], [0, 1, 2, 3, 4]]), np.array([[0.0, 0, 2, 3, 5], [0, 1, 2, 3, 4]])
    np.testing.assert_allclose(spearman_nonzero(a, b), [np.nan, 1])


def test_infinity_has_no_linear_similarity() -> None:
    a, b = np.array([[1.0, 2, np.inf], [1, 2, 3]]), np.array([[1.0, 2, 3], [1, 2, 3]])
    np.testing.assert_allclose(pearson(a, b), [np.nan, 1])
    np.testing.assert_allclose(cosine(a, b), [np.nan, 1])


def test_absolute_values_are_taken_before_channels_are_averaged() -> None:
    maps = np.array([[[1.0, -2.0], [-3.0, 2.0]]])
    np.testing.assert_array_equal(MapForm("signed").apply(maps, 1), [[-1, 0]])
    np.testing.assert_array_equal(MapForm("absolute").apply(maps, 1), [[2, 2]])
    np.testing.assert_array_equal(MapForm("signed").apply(maps, -1), [[-0.5, -0.5]])


def test_maps_without_channels_and_with_a_single_one_keep_their_values() -> None:
    maps = np.array([[-1.0, 2.0]])
    np.testing.assert_array_equal(MapForm("signed").apply(maps, None), maps)
    np.testing.assert_array_equal(MapForm("absolute").apply(maps, None), [[1, 2]])
    np.testing.assert_array_equal(MapForm("signed").apply(maps[:, None], 1), maps)


def test_measures_have_names_and_nearest_names_are_suggested() -> None:
    assert [m.name for m in resolve_measures(("spearman", "cosine"))] == ["spearman", "cosine"]
    assert [m.name for m in resolve_measures("pearson")] == ["pearson"]
    with pytest.raises(UnknownNameError, match="'spearman'"):
        resolve_measures("spearmann")


def test_a_function_is_a_measure_under_its_own_name() -> None:
    def last_pixel(first: Array, second: Array) -> Array:
        return first[:, -1] * second[:, -1]

    (measure,) = resolve_measures([last_pixel])
    assert (measure.name, measure.form) == ("last_pixel", MapForm())
    maps = np.array([[1.0, 2.0]])
    np.testing.assert_array_equal(measure.compare(measure.prepare(maps), maps), [4])


def test_measures_without_names_of_their_own_are_refused() -> None:
    with pytest.raises(ArgumentError, match="a name of its own"):
        resolve_measures(["spearman", pairwise_measure("spearman", pearson)])
    with pytest.raises(ArgumentError, match="at least one measure"):
        resolve_measures([])
    with pytest.raises(ArgumentError, match="a name, a Measure, or a function"):
        resolve_measures([3])  # type: ignore[list-item]


def test_a_measure_object_is_taken_as_it_is() -> None:
    measure = Measure("mine", MapForm("absolute"), prepare=np.copy, compare=cosine)
    assert resolve_measures([measure]) == (measure,)


def test_what_is_no_measure_is_refused_and_a_single_one_need_not_be_in_a_list() -> None:
    with pytest.raises(ArgumentError, match=r"measures: expected a name.*received 5"):
        resolve_measures(5)  # type: ignore[arg-type]
    assert [m.name for m in resolve_measures(spearman)] == ["spearman"]
    assert [m.name for m in resolve_measures(MEASURES["cosine"])] == ["cosine"]


@pytest.mark.parametrize(
    "name", ["kendall", "top_overlap", "spearman", "ssim", "hog_spearman", "second_moment_mse"]
)
def test_lists_and_arrays_of_two_libraries_are_refused(name: str) -> None:
    compare, maps = getattr(similarity, name), np.random.default_rng(0).random((1, 9, 9))
    with pytest.raises(ExplanationError, match=r"received list.*numpy\.asarray"):
        compare(maps.tolist(), maps.tolist())
    torch = pytest.importorskip("torch")
    with pytest.raises(ExplanationError, match=r"two arrays of one library, received torch\.Tensor and numpy"):
        compare(torch.from_numpy(maps), maps)


@pytest.mark.parametrize("name", ["kendall", "spearman", "top_overlap"])
def test_tensors_that_record_gradients_are_compared(name: str) -> None:
    torch = pytest.importorskip("torch")
    compare, (a, b) = getattr(similarity, name), np.random.default_rng(0).random((2, 1, 20))
    found = compare(torch.from_numpy(a).requires_grad_(), torch.from_numpy(b))
    np.testing.assert_allclose(found.detach().numpy(), compare(a, b), atol=1e-12)
