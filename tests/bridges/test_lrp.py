"""Relevance propagation by name: its rules computed by hand, and nets that it must not be wrong on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from libraries import library
from torch import nn

import agnostic_rand as ar
from agnostic_rand.errors import ArgumentError, ExplanationError

library("zennit.attribution")
from agnostic_rand.explainers import LRP

RNG = np.random.default_rng(0)
INPUTS = RNG.standard_normal((4, 6)).astype(np.float32)
LABELS = np.array([0, 1, 2, 1])


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def parts(net):
    return [
        (p.weight.detach().double().numpy(), p.bias.detach().double().numpy()) for p in net if hasattr(p, "weight")
    ]


def epsilon_rule(a, relevance, weight, bias):
    z = a @ weight.T + bias
    return a * ((relevance / (z + 1e-6 * np.where(z >= 0, 1, -1))) @ weight)


def positive_rule(a, relevance, weight, bias):
    products = np.maximum(a[:, None, :] * weight[None], 0)
    z = products.sum(2) + np.maximum(bias, 0)
    return (products * (relevance / (z + 1e-6))[:, :, None]).sum(1)


def zplus_rule(a, relevance, weight, _bias):
    return positive_rule(a, relevance, weight, np.zeros(len(weight)))


@pytest.mark.parametrize(
    ("name", "rule"),
    [("lrp_epsilon", epsilon_rule), ("lrp_zplus", zplus_rule), ("lrp_alpha1_beta0", positive_rule)],
)
def test_relevance_is_that_of_the_rule_layer_by_layer(name, rule):
    net = mlp()
    first, last = parts(net)
    hidden = np.maximum(INPUTS @ first[0].T + first[1], 0)
    due = rule(INPUTS, rule(hidden, np.eye(3)[LABELS], *last), *first)
    np.testing.assert_allclose(ar.explain(net, INPUTS, LABELS, name), due, atol=1e-5 * np.abs(due).max())


def test_a_batch_normalization_behind_a_convolution_is_merged():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    with torch.no_grad():
        net(torch.randn(50, 1, 6, 6))
        net[1].weight.uniform_(0.5, 2)
    images = RNG.standard_normal((3, 1, 6, 6)).astype(np.float32)
    merged = nn.Sequential(
        nn.utils.fuse_conv_bn_eval(net[0].eval(), net[1].eval()), nn.ReLU(), nn.Flatten(), net[4]
    )
    found, due = (ar.explain(m, images, [0, 1, 2], "lrp_epsilon") for m in (net, merged))
    np.testing.assert_allclose(found, due, atol=1e-4 * np.abs(due).max())


def test_relevance_follows_the_randomized_model():
    metric = ar.ModelRandomizationMetric(
        mlp(), INPUTS, LABELS, randomization_strategy=ar.FullRandomization(), seed=0, measures="cosine"
    )
    assert metric.run("lrp_epsilon").scores["cosine"].max() < 0.99


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ArgumentError, match="'zplus'"):
        LRP("gamma")
    with pytest.raises(ArgumentError, match="epsilon"):
        LRP(epsilon=0)


def test_models_of_other_frameworks_are_refused():
    keras = library("keras")
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    if isinstance(model, nn.Module):
        pytest.skip("Keras runs on torch here")
    with pytest.raises(ExplanationError, match="keras"):
        ar.explain(model, INPUTS, LABELS, "lrp_zplus")
