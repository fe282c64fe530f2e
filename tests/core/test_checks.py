"""Every check: settings that cannot be changed or misspelt, words that say what it is, data that is read once."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import agnostic_rand as ar
from agnostic_rand.checks import CHECKS
from agnostic_rand.errors import ArgumentError, UnknownNameError

from .fakes import Array, FakeAdapter, Net
from .runs import TARGETS

ALL = pytest.mark.parametrize("check", CHECKS.values(), ids=list(CHECKS))


def test_every_public_check_is_registered_by_its_name() -> None:
    public = {one for name in ar.__all__ if inspect.isclass(one := getattr(ar, name)) and issubclass(one, ar.Check)}
    assert public - {ar.Check} == set(CHECKS.values())
    assert all(name == check.name for name, check in CHECKS.items())


@ALL
def test_a_check_says_what_it_asks_and_what_it_cannot_say(check: type[ar.Check]) -> None:
    assert check.name == check.name.lower().replace(" ", "_")
    assert check.question.endswith("?")
    assert check.meaning
    assert check.cannot_say
    for words in ("question", "meaning", "cannot_say"):
        assert words in vars(check), f"{words} is another check's"


@ALL
def test_a_setting_that_is_misspelt_is_named(check: type[ar.Check]) -> None:
    for setting in (one.name for one in dataclasses.fields(check)):
        with pytest.raises(UnknownNameError, match=rf"setting of {check.__name__}.*Did you mean '{setting}'"):
            check(**{f"{setting}s": 1})


@ALL
def test_a_keyword_of_the_subject_is_sent_there(check: type[ar.Check]) -> None:
    settings = {one.name for one in dataclasses.fields(check)}
    keywords = set(inspect.signature(ar.Subject).parameters) - {"model", "inputs", "targets", "within_run"}
    for keyword in keywords - settings:
        with pytest.raises(ArgumentError, match=rf"{keyword}.*belongs to the subject"):
            check(**{keyword: 1})


@ALL
def test_a_check_is_frozen_and_its_settings_have_defaults_in_the_same_words(check: type[ar.Check]) -> None:
    # Of the class alone, since some need models or data to be made.
    made: Any = object.__new__(check)
    for name in ("draws", "anything"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, name, 1)
    for field in dataclasses.fields(check):
        if field.name in ("strategy", "draws", "measures"):
            assert field.default is not dataclasses.MISSING


def batches(inputs: Array) -> Iterator[tuple[Array, Array]]:
    for start in range(0, len(inputs), 6):
        yield inputs[start : start + 6], TARGETS[start : start + 6]


@pytest.mark.usefixtures("fake_backend")
def test_two_runs_over_one_iterable_give_the_same_scores_and_those_of_an_array(net: Net, inputs: Array) -> None:
    once, array = ar.Subject(net, batches(inputs), seed=4), ar.Subject(net, inputs, TARGETS, seed=4)
    checks = (ar.ModelRandomization(draws=2), ar.RandomLogit(), ar.ModelDecay(), ar.SmoothMPRT(samples=3))
    for check in checks:
        explainers = () if check.of_the_model else ("smoothgrad",)
        first, again, due = (check.run(subject, *explainers) for subject in (once, once, array))
        for name, scores in due.scores.items():
            np.testing.assert_array_equal(first.scores[name], scores)
            np.testing.assert_array_equal(again.scores[name], scores)


@pytest.mark.usefixtures("fake_backend")
def test_a_metric_reads_an_iterable_once_for_all_its_runs(net: Net, inputs: Array) -> None:
    metric = ar.ModelRandomizationMetric(net, batches(inputs), randomization_strategy=ar.FullRandomization())
    assert metric.evaluate("gradient") == metric.evaluate("gradient") == metric.run("gradient").mean()[0]


@pytest.mark.usefixtures("fake_backend")
def test_a_subject_is_opened_once_however_many_checks_are_run(inputs: Array) -> None:
    opened: list[int] = []

    class Counting(FakeAdapter):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            opened.append(1)
            super().__init__(*arguments, **settings)

    subject = ar.Subject(Net(adapter=Counting), inputs, isolation="in_place")
    before = len(opened)
    for check in (ar.ModelRandomization(), ar.RandomLogit()):
        check.run(subject, "gradient")
    assert len(opened) == before
