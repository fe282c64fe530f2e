"""What a run found: summed up, frozen, and described without loss."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from typing import Any

import numpy as np
import pytest

from agnostic_rand.errors import AgnosticRandError, ArgumentError, InsensitiveError, UnknownNameError
from agnostic_rand.results.scores import Notes, Scores

from .stored import RNG, assert_equal, result


def test_means_leave_undefined_scores_out() -> None:
    found = result()
    np.testing.assert_allclose(found.mean(), np.nanmean(found.scores["spearman"], axis=(0, 2)))
    np.testing.assert_allclose(found.mean("cosine"), -found.mean())
    assert found.undefined["spearman"].tolist() == [[0, 1, 0], [0, 1, 0]]
    scores = np.full((1, 2, 3), np.nan)
    scores[0, 0] = 0.5
    np.testing.assert_array_equal(result(scores).mean(), [0.5, np.nan])


def test_no_score_is_dropped_without_being_counted() -> None:
    scores = np.zeros((1, 1, 4))
    scores[0, 0, 0] = np.inf
    found = result(scores)
    assert found.undefined["spearman"].sum() == 1 or np.isinf(found.mean()[0])


def test_coverage_is_that_of_the_most_random_step() -> None:
    assert result().coverage == 1


def test_intervals_hold_the_mean_and_depend_on_the_level_and_the_seed_alone() -> None:
    found = result(RNG.normal(0.3, 0.2, (6, 2, 80)))
    wide, narrow = found.interval(level=0.99), found.interval(level=0.5)
    assert wide.shape == (2, 2)
    assert (wide[:, 0] < narrow[:, 0]).all()
    assert (narrow[:, 1] < wide[:, 1]).all()
    assert ((narrow[:, 0] < found.mean()) & (found.mean() < narrow[:, 1])).all()
    np.testing.assert_array_equal(found.interval(), found.interval())
    assert np.isnan(result(np.full((2, 3, 4), np.nan)).interval()).all()


@pytest.mark.parametrize("level", [0, 1, -0.5, 95])
def test_levels_outside_of_zero_to_one_are_refused(level: float) -> None:
    with pytest.raises(ArgumentError, match="level: expected a number in"):
        result().interval(level=level)


def test_unknown_measures_are_refused_with_the_nearest_name() -> None:
    for ask in (result().mean, result().interval):
        with pytest.raises(UnknownNameError, match="Did you mean 'spearman'"):
            ask("spearmann")


@pytest.mark.parametrize("survived", [0.3, -0.3])
def test_sensitivity_is_asserted_on_the_absolute_mean_of_the_last_step(survived: float) -> None:
    scores = np.full((2, 2, 5), 0.9)
    scores[:, 1] = survived
    found = result(scores)
    found.assert_sensitive(0.31)
    found.assert_sensitive(0.31, measure="cosine")
    with pytest.raises(InsensitiveError, match=rf"'mine' after 'step1'.*at most 0.29, received {survived:.3f}"):
        found.assert_sensitive(0.29)
    assert issubclass(InsensitiveError, AssertionError)


def test_an_undefined_score_is_not_sensitive() -> None:
    scores = np.zeros((1, 2, 3))
    scores[:, 1] = np.nan
    with pytest.raises(InsensitiveError, match="an undefined score"):
        result(scores).assert_sensitive(1.0)


def test_results_cannot_be_changed() -> None:
    found: Any = result()
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.seed = 1
    for mapping in (found.dimensions, found.scores, found.notes, found.settings, found.versions):
        with pytest.raises(TypeError):
            mapping["new"] = 1
    for array in (*found.scores.values(), *vars(found.outputs).values()):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1


def test_the_dictionary_is_strict_json_without_loss() -> None:
    found = result()
    described = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert described["scores"]["spearman"][0][1][2] is None
    assert described["outputs"]["agreement"][0][0] is None
    scores = np.array(described["scores"]["spearman"], dtype=float)
    np.testing.assert_array_equal(scores, found.scores["spearman"])
    assert described["dimensions"] == {
        "draw": [0, 1],
        "step": ["step0", "step1", "step2"],
        "sample": [0, 1, 2, 3],
    }
    assert described["seed"] == 2**62
    assert described["steps"][2] == {"name": "step2", "layers": ["layer2"], "covered": 3, "total": 3}


@pytest.mark.parametrize(
    "duplicate", [lambda r: pickle.loads(pickle.dumps(r)), copy.deepcopy], ids=["pickle", "copy"]
)
def test_results_pass_between_processes(duplicate: Any) -> None:
    found = result()
    assert_equal(found, duplicate(found))


def test_results_can_be_looked_for_among_others() -> None:
    found, other = result(), result()
    assert found in [other, found]
    assert len({found, other, found}) == 2


def test_the_table_has_a_row_for_every_score() -> None:
    pytest.importorskip("pandas")
    found = result(notes=Notes(("It is odd.",), {"spearman": 1.0, "cosine": float("nan")}))
    table = found.to_dataframe()
    assert len(table) == 2 * 2 * 3 * 4
    rows = table[(table.measure == "cosine") & (table.step == 1) & (table.draw == 0)].sort_values("sample")
    np.testing.assert_array_equal(rows.score, found.scores["cosine"][0, 1])
    assert set(rows.step_name) == {"step1"}
    assert set(table.explainer) == {"mine"}


def test_several_explainers_are_one_result_from_which_each_is_taken() -> None:
    parts = [
        result(name=name, notes=Notes((f"{name} is odd.",), {"spearman": ceiling}))
        for name, ceiling in (("one", 1.0), ("two", 0.5))
    ]
    several = Scores.of_explainers(parts)
    assert several.explainers == several.dimensions["explainer"] == ("one", "two")
    assert several.scores["spearman"].shape == (2, 2, 3, 4)
    assert several.mean().shape == (2, 3)
    assert several.interval().shape == (2, 3, 2)
    assert several.findings == ("one: one is odd.", "two: two is odd.")
    assert several.self_similarity == {"spearman": 0.5}
    for part in parts:
        one = several[part.explainer]
        np.testing.assert_array_equal(one.scores["cosine"], part.scores["cosine"])
        assert (one.explainers, one.findings) == (part.explainers, part.findings)
        assert one[part.explainer] is one
    with pytest.raises(UnknownNameError, match="Did you mean 'one'"):
        several["onee"]


def test_the_mean_of_one_place_is_estimated_with_its_uncertainty() -> None:
    found = result(RNG.normal(0.3, 0.2, (6, 2, 80)))
    for step in range(2):
        estimate = found.estimate(place={"step": step})
        assert estimate.mean == pytest.approx(found.mean()[step])
        np.testing.assert_allclose(estimate.interval(0.95), found.interval()[step])
    with pytest.raises(UnknownNameError, match="Did you mean 'step'"):
        found.estimate(place={"stepp": 1})


def test_intervals_end_where_the_range_of_the_measure_does() -> None:
    scores = np.ones((3, 1, 8))
    scores[:, 0, 0] = 0.4
    free = result(scores).interval()
    bounded = result(scores, settings={"ranges": {"spearman": [-1.0, 1.0]}}).interval()
    assert free[0, 1] > 1
    np.testing.assert_array_equal(bounded, np.clip(free, -1, 1))


def test_scores_without_steps_say_so_where_the_model_is_asked_for() -> None:
    found = dataclasses.replace(result(), steps=(), outputs=None)
    assert np.isnan(found.coverage)
    for ask in (lambda: found.moved, lambda: found.assert_sensitive(0.5)):
        with pytest.raises(ArgumentError, match="scores without steps"):
            ask()


@pytest.mark.parametrize(
    "error",
    [
        ArgumentError("a", expected="b", received="c", fix="Do d."),
        UnknownNameError("a", expected="b", received="c", fix="Do d."),
        InsensitiveError("a", expected="b", received="c", fix="Do d."),
    ],
)
def test_errors_pass_between_processes(error: AgnosticRandError) -> None:
    copied = pickle.loads(pickle.dumps(error))
    assert type(copied) is type(error)
    assert str(copied) == "a: expected b, received c. Do d."
    assert (copied.subject, copied.expected, copied.received, copied.fix) == ("a", "b", "c", "Do d.")


def test_a_labelled_data_set_has_numbers_where_a_dimension_has_them() -> None:
    pytest.importorskip("xarray")
    found = result().to_xarray()
    assert found["sample"].dtype.kind == "i"
    assert found["step"].values.tolist() == ["step0", "step1", "step2"]
