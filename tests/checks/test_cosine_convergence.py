"""Cosine-similarity convergence: by hand for linear nets, and what collapses does."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

import agnostic_rand as ar
from agnostic_rand.checks import CosineConvergence
from agnostic_rand.errors import ArgumentError, InputError

from .conftest import Trained
from .nets import Array
from .slow import stream

TARGETS = 6


def test_scores_are_the_cosines_of_combined_class_maps(small: tuple[nn.Module, Array]) -> None:
    net, x = small
    options = ar.RunOptions(seed=3, batch_size=2)
    result = CosineConvergence(net, x, 3, options).run("gradient")
    vectors = stream(3, TARGETS, 2).standard_normal((3, 4))
    for image in range(len(x)):
        given = torch.from_numpy(x[image : image + 1]).requires_grad_()
        outputs = net(given)[0]
        # The gradient is linear in the outputs' relevance: start with the vector itself.
        maps = [
            torch.autograd.grad((outputs * torch.from_numpy(v)).sum(), given, retain_graph=True)[0].numpy().ravel()
            for v in vectors
        ]
        for place, (i, j) in enumerate(itertools.combinations(range(3), 2)):
            a, b = maps[i], maps[j]
            expected = abs(a @ b) / np.sqrt((a @ a) * (b @ b))
            assert result.scores["cosine"][place, image] == pytest.approx(expected, abs=1e-10)


def test_orthogonal_classes_have_the_vectors_cosines_and_one_direction_has_one() -> None:
    net = nn.Linear(6, 4, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.eye(4, 6))
    x = np.ones((3, 6), "float32")
    result = CosineConvergence(net, x, 4, ar.RunOptions(seed=0)).run("gradient")
    np.testing.assert_allclose(result.scores["cosine"].T, [result.settings["vectors_cosine"]] * 3, atol=1e-6)
    with torch.no_grad():
        net.weight.copy_(torch.outer(torch.tensor([1.0, -2.0, 0.5, 3.0]), torch.arange(6.0)))
    collapsed = CosineConvergence(net, x, 4, ar.RunOptions(seed=0)).run("gradient")
    np.testing.assert_allclose(collapsed.scores["cosine"], 1, atol=1e-6)
    zero = CosineConvergence(net, x, 4, ar.RunOptions(seed=0)).run(lambda model, inputs, targets: 0 * inputs)
    assert zero.undefined == {"cosine": 18}


def test_positive_rules_converge_and_gradients_do_not(trained_cnn: Trained) -> None:
    pytest.importorskip("zennit", reason="zennit cannot be imported", exc_type=ImportError)
    # The rules lose relevance where all inputs are zero.
    check = CosineConvergence(trained_cnn.model, trained_cnn.x[:12] + 0.2, options=ar.RunOptions(seed=0))
    median = {
        name: float(np.nanmedian(check.run(name).scores["cosine"]))
        for name in ("gradient", "lrp_zplus", "lrp_alpha1_beta0")
    }
    # Four layers are too few for the limit of 1, but not for the difference.
    for name in ("lrp_zplus", "lrp_alpha1_beta0"):
        assert median[name] > max(0.75, median["gradient"] + 0.3), median


def test_bad_arguments(small: tuple[nn.Module, Array]) -> None:
    with pytest.raises(ArgumentError, match="vectors"):
        CosineConvergence(*small, vectors=1)
    with pytest.raises(InputError, match="single output"):
        CosineConvergence(nn.Linear(3, 1), np.ones((2, 3), "float32")).run("gradient")
