"""The bridge to zennit: composites on the randomized model, and off it again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import generators
import numpy as np
import pytest
import torch
from bridge_nets import Net, assert_close, fingerprint, make_net
from libraries import library

import agnostic_rand as ar
from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers.bridges import bridged

zennit = library("zennit")
attribution, composites = library("zennit.attribution"), library("zennit.composites")
canonizers = library("zennit.canonizers")
from agnostic_rand.explainers.bridges.zennit import ZennitExplainer

Run = Callable[..., Any]


def merged() -> Any:
    return composites.EpsilonPlusFlat(canonizers=[canonizers.SequentialMergeBatchNorm()])


@pytest.mark.parametrize("make", [composites.EpsilonPlusFlat, composites.GuidedBackprop, merged])
def test_composites_give_zennits_relevance(
    make: Callable[[], Any], net: Net, images: np.ndarray, labels: np.ndarray, explain: Run
) -> None:
    with attribution.Gradient(make_net(), make()) as attributor:
        _, relevance = attributor(torch.from_numpy(images), torch.eye(4)[labels])
    before = fingerprint(net)
    assert_close(explain(net, make()), relevance)
    assert fingerprint(net) == before


def test_bound_attributor_and_composite_score_the_same(net: Net, run: Run) -> None:
    before = fingerprint(net)
    bound = run(net, attribution.Gradient(net, merged()))
    made = run(net, merged())
    assert fingerprint(net) == before
    assert (bound.settings["isolation"], made.settings["isolation"]) == ("in_place", "clone")
    np.testing.assert_allclose(bound.scores["spearman"], made.scores["spearman"], atol=1e-6)
    assert bound.scores["spearman"].max() < 0.99


def test_a_merged_batch_normalization_is_undone_after_a_failure(
    net: Net, explain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fingerprint(net)

    def fail(self: Any, module: Any) -> None:
        raise RuntimeError("half-way")

    # The canonizers have worked by then, and zennit does not undo them.
    monkeypatch.setattr(zennit.core.BasicHook, "register", fail)
    with pytest.raises(RuntimeError, match="half-way"):
        explain(net, merged())
    assert fingerprint(net) == before


def test_guided_backprop_on_modules_is_our_own(net: Net, explain: Run) -> None:
    assert_close(explain(net, composites.GuidedBackprop()), explain(net, "guided_backprop"))


def test_guided_backprop_on_functional_relu_is_the_plain_gradient(run: Run, explain: Run) -> None:
    # The fault of a published table: zennit's rule hooks modules, and LeNet calls ReLU as a function.
    functional = make_net(functional=True)
    theirs = explain(functional, composites.GuidedBackprop())
    assert np.array_equal(theirs, explain(functional, "gradient"))
    assert not np.allclose(theirs, explain(functional, "guided_backprop"), atol=1e-3 * np.abs(theirs).max())
    for explainer in (composites.GuidedBackprop(), attribution.Gradient(functional, composites.GuidedBackprop())):
        assert "equals the plain gradient" in run(functional, explainer).findings[0]


def test_smoothing_replays_and_leaves_global_generators(net: Net, run: Run) -> None:
    generators.reset(11)
    before = generators.states()
    first = run(net, attribution.SmoothGrad)
    assert generators.states() == before
    generators.reset(12)
    assert np.array_equal(first.scores["spearman"], run(net, attribution.SmoothGrad(net)).scores["spearman"])
    assert first.self_similarity["spearman"] == 1


def test_a_single_output_explains_itself() -> None:
    for model in (torch.nn.Linear(5, 1), torch.nn.Sequential(torch.nn.Linear(5, 1), torch.nn.Flatten(0))):
        weight = next(model.parameters())
        maps = ar.explain(model, np.ones((3, 5), np.float32), None, bridged(attribution.Gradient(model)))
        assert_close(maps, weight.expand(3, 5))


def test_names_tell_the_composite(net: Net) -> None:
    assert bridged(composites.EpsilonPlusFlat).name == "zennit_epsilon_plus_flat"
    assert (
        bridged(attribution.Gradient(net, composites.GuidedBackprop())).name == "zennit_gradient_of_guided_backprop"
    )


def test_a_composite_that_is_on_a_model_is_refused(net: Net, explain: Run) -> None:
    composite = composites.GuidedBackprop()
    before = bridged(composite)
    with composite.context(make_net()):
        # Without its rules on the model under test, the map would be the plain gradient.
        for explainer in (composite, before):
            with pytest.raises(ArgumentError, match=r"GuidedBackprop of zennit.*on no model"):
                explain(net, explainer)
    assert np.isfinite(explain(net, before)).all()


def test_refusals(net: Net) -> None:
    with pytest.raises(ArgumentError, match="lambda model: IntegratedGradients"):
        ZennitExplainer(attribution.IntegratedGradients, {"n_iter": 5})
    with pytest.raises(ArgumentError, match="an explainer of zennit, its class, or a function"):
        ZennitExplainer(None)
