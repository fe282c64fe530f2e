"""Where relevance propagation by name runs, its values in double precision; where it does not, what it names."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from bridge_nets import fingerprint
from libraries import library
from relevance_nets import (
    Around,
    ConvNextBlock,
    DenseBlock,
    Functions,
    PreNorm,
    VisionTransformer,
    seeded,
    squeezenet,
    vgg,
)
from torch import nn
from torch.nn import functional as F

import agnostic_rand as ar
from agnostic_rand.errors import ExplanationError

library("zennit.attribution")
RNG = np.random.default_rng(3)
IMAGES = RNG.standard_normal((3, 2, 12, 12)).astype(np.float32)
ROWS = RNG.standard_normal((3, 6)).astype(np.float32)
LABELS = np.array([0, 1, 2])
RULES = ("lrp_epsilon", "lrp_zplus", "lrp_alpha1_beta0")


def weighted(layer, norm=None):
    """Three functions that are a layer, with the batch normalization behind it, with other weights."""
    layer = (nn.utils.fuse_conv_bn_eval(layer, norm) if norm else layer).double()
    weight, bias = layer.weight.detach(), layer.bias.detach()

    def apply(x, weight, bias):
        if isinstance(layer, nn.Linear):
            return F.linear(x, weight, bias)
        return F.conv2d(x, weight, bias, layer.stride, layer.padding, 1, layer.groups)

    return lambda x, change_weight, change_bias: apply(x, change_weight(weight), change_bias(bias))


def through(rule, function, a, relevance):
    """The relevance of what a layer took, by the rule's formula."""

    def share(x, output, total):
        return x.detach() * torch.autograd.grad(output, x, relevance / total)[0]

    def same(v):
        return v

    def none(v):
        return 0 * v

    a = a.detach()
    if rule == "lrp_epsilon":
        x = a.clone().requires_grad_()
        z = function(x, same, same)
        return share(x, z, z.detach() + 1e-6 * torch.where(z >= 0, 1.0, -1.0))
    up, down = a.clamp(min=0).requires_grad_(), a.clamp(max=0).requires_grad_()
    positive = partial(torch.clamp, min=0)
    z_up = function(up, positive, positive if rule == "lrp_alpha1_beta0" else none)
    z_down = function(down, partial(torch.clamp, max=0), none)
    total = (z_up + z_down).detach() + 1e-6
    return share(up, z_up, total) + share(down, z_down, total)


def pooled(function, a, relevance):
    """Relevance shared in proportion to what an average adds up."""
    x = a.detach().requires_grad_()
    z = function(x)
    total = z.detach() + 1e-6 * torch.where(z >= 0, 1.0, -1.0)
    return x.detach() * torch.autograd.grad(z, x, relevance / total)[0]


def winner(function, a, relevance):
    """Relevance of what was the largest, or was moved."""
    x = a.detach().requires_grad_()
    return torch.autograd.grad(function(x), x, relevance)[0]


def forth(function, x):
    with torch.no_grad():
        return function(x, lambda v: v, lambda v: v)


def due_of_chain(rule, steps):
    """The relevance of IMAGES through `(kind, function)` steps."""
    values = [torch.from_numpy(IMAGES).double()]
    for kind, function in steps:
        values.append(forth(function, values[-1]) if kind == "rule" else function(values[-1]).detach())
    relevance = torch.eye(3).double()[LABELS]
    for (kind, function), a in zip(reversed(steps), reversed(values[:-1]), strict=True):
        if kind == "pass":
            continue
        if kind == "rule":
            relevance = through(rule, function, a, relevance)
        else:
            relevance = {"average": pooled, "move": winner}[kind](function, a, relevance)
    return relevance.numpy()


def assert_is(found, due):
    np.testing.assert_allclose(found, due, atol=2e-4 * np.abs(due).max(), rtol=0)


@pytest.mark.parametrize("rule", RULES)
def test_a_chain_with_pooling_and_batch_normalization_is_propagated_by_the_formulas(rule):
    net = seeded(vgg)
    found = ar.explain(net, IMAGES, LABELS, rule)
    steps = [
        ("rule", weighted(net[0], net[1])),
        ("pass", torch.relu),
        ("move", partial(F.max_pool2d, kernel_size=2)),
        ("rule", weighted(net[4])),
        ("pass", torch.relu),
        ("average", partial(F.adaptive_avg_pool2d, output_size=2)),
        ("move", partial(torch.flatten, start_dim=1)),
        ("rule", weighted(net[9])),
    ]
    assert_is(found, due_of_chain(rule, steps))


@pytest.mark.parametrize("rule", RULES)
def test_batch_normalizations_are_merged_into_the_layers_that_feed_them(rule):
    net = seeded(Functions)
    found = ar.explain(net, IMAGES, LABELS, rule)
    steps = [
        ("rule", weighted(net.conv1, net.norm1)),
        ("pass", torch.relu),
        ("move", partial(F.max_pool2d, kernel_size=2)),
        ("rule", weighted(net.conv2, net.norm2)),
        ("pass", torch.relu),
        ("move", lambda x: x[:, :, :2, :2].permute(0, 2, 3, 1).reshape(len(x), -1)),
        ("rule", weighted(net.head)),
    ]
    assert_is(found, due_of_chain(rule, steps))


@pytest.mark.parametrize("rule", RULES)
def test_concatenated_branches_add_up_the_relevance_of_what_they_share(rule):
    net = seeded(squeezenet)
    found = ar.explain(net, IMAGES, LABELS, rule)
    fire = net[3]
    x = torch.from_numpy(IMAGES).double()
    stem, squeeze, narrow, wide, head = map(weighted, (net[0], fire.squeeze, fire.narrow, fire.wide, net[6]))
    first = torch.relu(forth(stem, x))
    pool = F.max_pool2d(first, 2)
    shared = torch.relu(forth(squeeze, pool))
    branches = torch.cat([torch.relu(forth(narrow, shared)), torch.relu(forth(wide, shared))], 1)
    mean = branches.mean((2, 3))
    relevance = through(rule, head, mean, torch.eye(3).double()[LABELS])
    relevance = pooled(lambda b: b.mean((2, 3)), branches, relevance)
    relevance = through(rule, narrow, shared, relevance[:, :3]) + through(rule, wide, shared, relevance[:, 3:])
    relevance = winner(lambda f: F.max_pool2d(f, 2), first, through(rule, squeeze, pool, relevance))
    assert_is(found, through(rule, stem, x, relevance).numpy())


HEAD = (nn.Flatten(), nn.Linear(6, 3))
REFUSED = {
    "residual": (
        lambda: nn.Sequential(nn.Linear(6, 6), PreNorm(6), nn.Linear(6, 3)),
        "'NativeLayerNorm' in '1.norm'",
    ),
    "added": (lambda: Around(lambda ls, x: ls[0](x + ls[1](x)), nn.Linear(6, 3), nn.Linear(6, 6)), "'Add'"),
    "gated": (
        lambda: Around(lambda ls, x: ls[0](x * torch.sigmoid(ls[1](x))), nn.Linear(6, 3), nn.Linear(6, 6)),
        "'",
    ),
    "scaled input": (lambda: Around(lambda ls, x: ls[0]((x - 1) / 2), nn.Linear(6, 3)), "'Sub' in Around"),
    "function": (lambda: Around(lambda ls, x: F.linear(x, ls[0].weight), nn.Linear(6, 3)), "in Around"),
    "softmax": (lambda: nn.Sequential(nn.Linear(6, 3), nn.Softmax(-1)), "'Softmax' in '1' (Softmax)"),
    "gelu as a function": (
        lambda: Around(lambda ls, x: ls[0](F.gelu(ls[1](x))), nn.Linear(6, 3), nn.Linear(6, 6)),
        "'Gelu'",
    ),
    "relu at the end": (lambda: Around(lambda ls, x: torch.relu(ls[0](x)), nn.Linear(6, 3)), "'Relu'"),
    "shared": (
        lambda: Around(lambda ls, x: ls[0](torch.relu(ls[1](ls[1](x)))), nn.Linear(6, 3), nn.Linear(6, 6)),
        "runs 2 times",
    ),
    "weight norm": (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(6, 3)), "Linear"),
    "norm first": (
        lambda: nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 3)),
        "'0' (BatchNorm1d), which cannot be merged",
    ),
    "norm of positions": (
        lambda: Around(
            lambda ls, x: ls[2](ls[1](ls[0](x.view(len(x), 2, 3))).flatten(1)),
            nn.Linear(3, 2),
            nn.BatchNorm1d(2),
            nn.Linear(4, 3),
        ),
        "cannot be merged",
    ),
    "norm without weights": (
        lambda: nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3, affine=False)),
        "cannot be merged",
    ),
    "norm of a shared output": (
        lambda: Around(
            lambda ls, x: ls[2](torch.cat([(y := ls[0](x)), ls[1](y)], 1)),
            nn.Linear(6, 4),
            nn.BatchNorm1d(4),
            nn.Linear(8, 3),
        ),
        "cannot be merged",
    ),
    "recurrent": (
        lambda: Around(
            lambda ls, x: ls[1](ls[0](x[:, :, None])[0][:, -1]), nn.GRU(1, 4, batch_first=True), nn.Linear(4, 3)
        ),
        "GRU",
    ),
}
REFUSED_ON_IMAGES = {
    "densenet": (DenseBlock, "'norm' (BatchNorm2d), which cannot be merged"),
    "transformer": (VisionTransformer, "(TransformerEncoderLayer)|(LayerNorm)|(MultiheadAttention)"),
    "convnext": (
        lambda: nn.Sequential(nn.Conv2d(2, 6, 4, 4), ConvNextBlock(), nn.AdaptiveAvgPool2d(1), *HEAD),
        "'1.norm' (LayerNorm)",
    ),
    "norm of grouped channels": (
        lambda: nn.Sequential(
            nn.ConvTranspose2d(2, 6, 3, groups=2), nn.BatchNorm2d(6), nn.AdaptiveAvgPool2d(1), *HEAD
        ),
        "cannot be merged",
    ),
    "norm without statistics": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6, track_running_stats=False), nn.AdaptiveAvgPool2d(1), *HEAD
        ),
        "cannot be merged",
    ),
    "mean": (
        lambda: Around(lambda ls, x: ls[1](ls[0](x).mean((2, 3))), nn.Conv2d(2, 6, 3), nn.Linear(6, 3)),
        "'Mean'",
    ),
    "group norm": (
        lambda: nn.Sequential(nn.Conv2d(2, 6, 3), nn.GroupNorm(2, 6), nn.AdaptiveAvgPool2d(1), *HEAD),
        "GroupNorm",
    ),
}


@pytest.mark.parametrize("rule", RULES[:2])
@pytest.mark.parametrize("case", [*REFUSED, *REFUSED_ON_IMAGES])
def test_what_has_no_rule_is_refused_by_its_name_and_the_model_stays_as_it_was(case, rule):
    make, words = {**REFUSED, **REFUSED_ON_IMAGES}[case]
    net = seeded(make)
    before = fingerprint(net)
    with pytest.raises(ExplanationError) as caught:
        ar.explain(net, ROWS if case in REFUSED else IMAGES, LABELS, rule)
    received = str(caught.value).partition("received")[2]
    assert any(word in received for word in words.split("|")), received
    assert fingerprint(net) == before


@dataclass
class Output:
    hidden: torch.Tensor
    logits: torch.Tensor


@pytest.mark.parametrize(
    ("wrapped", "chosen"),
    [
        (lambda h, y: {"hidden": h, "logits": y}, lambda out: out["logits"]),
        (lambda h, y: OrderedDict(hidden=h, logits=y), lambda out: out["logits"]),
        (Output, lambda out: out.logits),
        (lambda h, y: (h, (y,)), lambda out: out[1][0]),
    ],
)
def test_one_of_a_models_outputs_is_explained_through_forward(wrapped, chosen):
    def computed(layers, x):
        hidden = layers[1](layers[0](x))
        return wrapped(hidden, layers[2](hidden))

    layers = seeded(lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)))
    net = Around(computed, *layers)
    found = ar.explain(net, ROWS, LABELS, "lrp_zplus", forward=lambda model, x: chosen(model(x)))
    np.testing.assert_array_equal(found, ar.explain(layers, ROWS, LABELS, "lrp_zplus"))
    assert np.abs(found.sum(1)).max() > 0.5


@pytest.mark.parametrize("forward", [lambda m, x: m(x) * 2, lambda m, x: m[2](m[1](m[0](x)))])
def test_what_forward_computes_by_itself_is_refused(forward):
    net = seeded(lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)))
    with pytest.raises(ExplanationError, match="forward="):
        ar.explain(net, ROWS, LABELS, "lrp_epsilon", forward=forward)


def test_the_z_plus_rule_conserves_relevance_where_no_bias_takes_it():
    for make in (vgg, squeezenet):
        net = seeded(make)
        for part in net.modules():
            if getattr(part, "bias", None) is not None:
                nn.init.zeros_(part.bias)
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.zero_()
        sums = ar.explain(net, np.abs(IMAGES), LABELS, "lrp_zplus").sum((1, 2, 3))
        np.testing.assert_allclose(sums, 1, atol=1e-3)
