"""The bridge to pytorch-grad-cam."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import generators
import numpy as np
import pytest
from bridge_nets import Net, assert_close, fingerprint
from libraries import library

import agnostic_rand as ar
from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers.bridges import bridged

cams = library("pytorch_grad_cam")
from agnostic_rand.explainers.bridges.pytorch_grad_cam import GradCamExplainer

Run = Callable[..., Any]


def test_maps_are_our_own_scaled(net: Net, explain: Run) -> None:
    # At a layer of the input's size, where nothing is interpolated.
    ours = explain(net, ar.explainers.GradCAM("relu1"))
    lowest, highest = ours.min((1, 2), keepdims=True), ours.max((1, 2), keepdims=True)
    assert_close(explain(net, cams.GradCAM(net, [net.relu1])), (ours - lowest) / (highest - lowest), 1e-4)


def test_bound_and_made_objects_score_the_same(net: Net, run: Run) -> None:
    made = run(net, GradCamExplainer(lambda model: cams.HiResCAM(model, [model.conv2])))
    cam = cams.HiResCAM(net, [net.conv2])
    before = fingerprint(net)
    bound = run(net, cam)
    assert fingerprint(net) == before
    assert (bound.settings["isolation"], made.settings["isolation"]) == ("in_place", "clone")
    np.testing.assert_allclose(bound.scores["spearman"], made.scores["spearman"], atol=1e-6)
    assert bound.scores["spearman"].max() < 0.99


def test_hooks_of_made_objects_are_released(net: Net, explain: Run) -> None:
    net.train()
    before = fingerprint(net)
    kept: list[Any] = []

    def make(model: Net) -> Any:
        kept.append(cams.GradCAM(model, [model.conv2]))
        return kept[-1]

    explain(net, GradCamExplainer(make))
    assert fingerprint(net) == before
    assert kept[0].activations_and_grads.handles == []


def test_frozen_models_and_arguments(net: Net, explain: Run) -> None:
    learning = explain(net, cams.GradCAM(net, [net.conv2]))
    net.requires_grad_(False)
    assert_close(explain(net, cams.GradCAM(net, [net.conv2])), learning)
    smooth = explain(net, GradCamExplainer(cams.GradCAM(net, [net.conv2]), {"eigen_smooth": True}))
    assert not np.allclose(smooth, learning)


def test_random_weights_replay_and_leave_global_generators(net: Net, run: Run) -> None:
    generators.reset(11)
    before = generators.states()
    first = run(net, cams.RandomCAM(net, [net.relu1]))
    assert generators.states() == before
    generators.reset(12)
    second = run(net, cams.RandomCAM(net, [net.relu1]))
    np.testing.assert_array_equal(first.scores["spearman"], second.scores["spearman"])


def test_a_class_is_refused() -> None:
    with pytest.raises(
        ArgumentError, match=r"GradCamExplainer\(lambda model: GradCAM\(model, \[model.layer4\]\)\)"
    ):
        bridged(cams.GradCAM)
