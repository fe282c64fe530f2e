"""Cosine-similarity convergence: by hand for linear nets, and what collapses does."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

import agnostic_rand as ar
from agnostic_rand.checks import CosineConvergence
from agnostic_rand.checks._cosines import gaussian_median_cosine
from agnostic_rand.errors import ArgumentError, InputError, UnknownNameError

from .conftest import Trained
from .nets import Array
from .slow import stream

TARGETS = 6


def random_relevance(seed: int, samples: int, vectors: int, classes: int) -> Array:
    drawn: Array = stream(seed, TARGETS, 2).standard_normal((samples, vectors, classes))
    return drawn


def by_location(maps: list[Array], axis: int) -> list[float]:
    """The median over locations of the absolute cosine across channels, pair by pair, location by location."""
    scores = []
    for a, b in itertools.combinations([np.moveaxis(one, axis, 0) for one in maps], 2):
        columns = zip(a.reshape(len(a), -1).T, b.reshape(len(b), -1).T, strict=True)
        cosines = [abs(u @ v) / math.sqrt((u @ u) * (v @ v)) for u, v in columns if (u @ u) * (v @ v) > 0]
        scores.append(float(np.median(cosines)))
    return scores


@pytest.mark.parametrize("batch_size", [2, 64])
def test_scores_are_medians_over_locations_of_cosines_across_channels(
    small: tuple[nn.Module, Array], batch_size: int
) -> None:
    net, x = small
    subject = ar.Subject(net, x, seed=3, batch_size=batch_size)
    result = CosineConvergence(3, "all").run(subject, "gradient")
    assert result.dimensions["place"] == ("input", "3", "0")
    drawn = random_relevance(3, len(x), 3, 4)
    for image in range(len(x)):
        given = torch.from_numpy(x[image : image + 1]).requires_grad_()
        inner = net[0](given)
        outputs = net[1:](inner)
        maps: dict[str, list[Array]] = {"input": [], "3": [], "0": []}
        for v in drawn[image]:
            start = torch.from_numpy(v)
            gradients = torch.autograd.grad((outputs[0] * start).sum(), (given, inner), retain_graph=True)
            for place, gradient in zip(("input", "0"), gradients, strict=True):
                maps[place].append(gradient[0].numpy())
            maps["3"].append(v)
        for place, name in enumerate(result.dimensions["place"]):
            expected = by_location(maps[name], 0)
            np.testing.assert_allclose(result.scores["cosine"][place, :, image], expected, atol=1e-10)
    for place, channels in (("input", 2), ("3", 4), ("0", 3)):
        scores = result.scores["cosine"][result.dimensions["place"].index(place)]
        assert result.settings["median"][place] == pytest.approx(np.median(scores))
        assert result.settings["baseline"][place] == pytest.approx(gaussian_median_cosine(channels))
        assert f"across {channels} channels" in result.settings["across"][place]
    assert result.settings["undefined_locations"]["input"] == 0
    assert "median" in str(result)


def test_guided_backprop_starts_with_the_relevance_itself(small: tuple[nn.Module, Array]) -> None:
    net, x = small
    drawn = random_relevance(1, len(x), 2, 4)
    subject = ar.Subject(net, x, seed=1)
    result = CosineConvergence(2, ("0",)).run(subject, "guided_backprop")
    weight = net[3].weight.detach().numpy()
    for image in range(len(x)):
        before = net[0](torch.from_numpy(x[image : image + 1]))[0].detach().numpy()
        inner, outer = [], []
        for v in drawn[image]:
            back = (v @ weight).reshape(before.shape)
            inner.append(np.where((before > 0) & (back > 0), back, 0.0))
            moved = nn.functional.conv_transpose2d(
                torch.from_numpy(inner[-1])[None], net[0].weight.detach(), padding=1
            )
            outer.append(moved[0].numpy())
        for place, maps in ((0, outer), (1, inner)):
            np.testing.assert_allclose(result.scores["cosine"][place, :, image], by_location(maps, 0), atol=1e-10)
    # Behind the last ReLU its rule has nothing to change.
    every = CosineConvergence(2, "all").run(subject, "guided_backprop")
    assert every.dimensions["place"] == ("input", "3", "0")
    np.testing.assert_allclose(every.scores["cosine"][1, 0], np.ravel(every.settings["vectors_cosine"]), atol=1e-10)
    # Half of the locations pass nothing on for both: they are left out, and counted.
    assert 0 < result.settings["undefined_locations"]["0"] < 1


def test_maps_of_all_classes_stand_for_the_relevance_where_a_method_is_linear(
    small: tuple[nn.Module, Array],
) -> None:
    net, x = small

    def my_gradient(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        given = inputs.detach().requires_grad_()
        return torch.autograd.grad(model(given).gather(1, targets[:, None]).sum(), given)[0]

    found = CosineConvergence(3).run(ar.Subject(net, x, seed=3, batch_size=2), ["gradient", my_gradient])
    known, own = found["gradient"], found["my_gradient"]
    np.testing.assert_allclose(known.scores["cosine"], own.scores["cosine"], atol=1e-10)
    assert known.settings["start"] != own.settings["start"]


@pytest.mark.parametrize("channels", [1, 2, 3, 10, 256])
def test_the_baseline_is_that_of_normal_vectors(channels: int) -> None:
    a, b = np.random.default_rng(0).standard_normal((2, 100_000, channels))
    cosines = np.abs((a * b).sum(1)) / np.sqrt((a * a).sum(1) * (b * b).sum(1))
    assert gaussian_median_cosine(channels) == pytest.approx(np.median(cosines), rel=0.02)


def test_orthogonal_classes_have_the_vectors_cosines_and_one_direction_has_one() -> None:
    net = nn.Linear(6, 4, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.eye(4, 6))
    x = np.ones((3, 6), "float32")
    result = CosineConvergence(4).run(ar.Subject(net, x, seed=0), "gradient")
    np.testing.assert_allclose(result.scores["cosine"][0], result.settings["vectors_cosine"], atol=1e-6)
    # Each sample has vectors of its own.
    assert len(np.unique(np.round(result.scores["cosine"], 6))) == 18
    with torch.no_grad():
        net.weight.copy_(torch.outer(torch.tensor([1.0, -2.0, 0.5, 3.0]), torch.arange(6.0)))
    subject = ar.Subject(net, x, seed=0)
    collapsed = CosineConvergence(4).run(subject, "gradient")
    np.testing.assert_allclose(collapsed.scores["cosine"], 1, atol=1e-6)
    zero = CosineConvergence(4).run(subject, lambda model, inputs, targets: 0 * inputs)
    assert zero.undefined["cosine"].tolist() == [[3] * 6]
    assert zero.settings["undefined_locations"] == {"input": 1.0}
    assert math.isnan(zero.settings["median"]["input"])


def test_positive_rules_converge_and_gradients_do_not(trained_cnn: Trained) -> None:
    pytest.importorskip("zennit", reason="zennit cannot be imported", exc_type=ImportError)
    # The rules lose relevance where all inputs are zero.
    subject = ar.Subject(trained_cnn.model, trained_cnn.x[:12] + 0.2, seed=0)
    found = CosineConvergence().run(subject, ["gradient", "lrp_zplus", "lrp_alpha1_beta0"])
    median = {name: float(np.nanmedian(found[name].scores["cosine"])) for name in found.explainers}
    # Four layers are too few for the limit of 1, but not for the difference.
    for name in ("lrp_zplus", "lrp_alpha1_beta0"):
        assert median[name] > max(0.75, median["gradient"] + 0.3), median


def test_bad_arguments(small: tuple[nn.Module, Array]) -> None:
    with pytest.raises(ArgumentError, match="vectors"):
        CosineConvergence(vectors=1)
    subject = ar.Subject(*small)
    with pytest.raises(ArgumentError, match=r"layers: expected the gradient.*'input_map'"):
        CosineConvergence(layers="all").run(subject, "input_map")
    with pytest.raises(UnknownNameError, match="layer 'conv'"):
        CosineConvergence(layers=("conv",)).run(subject, "gradient")
    with pytest.raises(InputError, match="single output"):
        CosineConvergence().run(ar.Subject(nn.Linear(3, 1), np.ones((2, 3), "float32")), "gradient")


def test_one_layer_is_named_by_its_name(small: tuple[nn.Module, Array]) -> None:
    net, x = small
    subject = ar.Subject(net, x, seed=0)
    named = ar.CosineConvergence(layers="0").run(subject, "gradient")
    assert named.dimensions["place"] == ("input", "0")
    with pytest.raises(UnknownNameError, match="layer 'conv1'"):
        ar.CosineConvergence(layers="conv1").run(subject, "gradient")
