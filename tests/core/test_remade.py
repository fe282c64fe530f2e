"""Scores of a run, made again by hand in the states of the model that a user can have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import agnostic_rand as ar
from agnostic_rand.errors import ArgumentError
from agnostic_rand.similarity import spearman

from .fakes import Array, Net, weights_of
from .runs import TARGETS, gradient

pytestmark = pytest.mark.usefixtures("fake_backend")

STRATEGIES: dict[str, Any] = {
    "top_down": "top_down",
    "fresh": ar.CascadingRandomization(order="bottom_up", fresh=True),
    "permute": ar.IndependentRandomization(perturbation="permute"),
}
EXPLAINERS: dict[str, Any] = {
    "smoothgrad": ar.explainers.SmoothGrad(samples=4),
    "smoothed noise": ar.explainers.SmoothGrad(base="random_map", samples=3),
    "random_map": "random_map",
    "permuted_map": "permuted_map",
    "mine": gradient,
}


@pytest.mark.parametrize("isolation", ["clone", "in_place"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_score_can_be_made_again_by_hand(net: Net, inputs: Array, strategy: str, isolation: str) -> None:
    before, chosen = weights_of(net), STRATEGIES[strategy]
    subject = ar.Subject(net, inputs, TARGETS, seed=8, batch_size=7, isolation=isolation)
    scores = ar.ModelRandomization(chosen, draws=2).run(subject, EXPLAINERS)
    settings = {"seed": 8, "batch_size": 5}
    trained = {name: ar.explain(net, inputs, TARGETS, one, **settings) for name, one in EXPLAINERS.items()}
    for draw, step in ((0, 1), (1, 2), (1, 3)):
        with subject.state(chosen, draw=draw, step=step) as randomized:
            assert (randomized is net) is (isolation == "in_place")
            for name, explainer in EXPLAINERS.items():
                maps = ar.explain(randomized, inputs, TARGETS, explainer, draw=draw, step=step, **settings)
                found = scores[name].scores["spearman"][draw, step]
                np.testing.assert_allclose(spearman(trained[name], maps), found, rtol=0, atol=1e-9)
        assert weights_of(net) == before


def test_one_sample_is_explained_as_it_is_among_all(net: Net, inputs: Array) -> None:
    whole = ar.explain(net, inputs, TARGETS, "smoothgrad", seed=2)
    np.testing.assert_allclose(
        ar.explain(net, inputs[:1], TARGETS[:1], "smoothgrad", seed=2), whole[:1], atol=1e-12
    )


def test_a_state_is_by_default_the_last_of_the_first_draw(net: Net, inputs: Array) -> None:
    subject = ar.Subject(net, inputs, seed=1)
    found = []
    for where in ({}, {"draw": 0, "step": 3}, {"step": -1}):
        with subject.state("top_down", **where) as model:
            found.append(weights_of(model))
    assert found[0] == found[1] == found[2] != weights_of(net)
    assert all(bits != weights_of(net)[place] for place, bits in found[0].items())


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            {"step": 4},
            "step: expected an int from 0 to 3, or from -1 down, received 4. The steps are: head",
        ),
        ({"step": -5}, "received -5"),
        ({"step": 1.0}, "received 1.0"),
        ({"draw": -1}, "draw"),
    ],
)
def test_states_that_no_run_has_are_refused(net: Net, inputs: Array, where: dict[str, Any], message: str) -> None:
    subject = ar.Subject(net, inputs)
    with pytest.raises(ArgumentError, match=message), subject.state("top_down", **where):
        pass


@pytest.mark.parametrize("isolation", ["clone", "in_place"])
def test_the_model_is_as_before_where_the_users_code_raises_in_a_state(
    net: Net, inputs: Array, isolation: str
) -> None:
    before = weights_of(net)
    subject = ar.Subject(net, inputs, isolation=isolation)
    with pytest.raises(ZeroDivisionError), subject.state("full_randomization"):
        raise ZeroDivisionError
    assert weights_of(net) == before
    ar.ModelRandomization().run(subject, "gradient")
