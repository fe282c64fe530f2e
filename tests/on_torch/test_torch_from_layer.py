"""Explanations of token models with respect to the embedding's output."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import agnostic_rand as ar
from agnostic_rand.errors import AgnosticRandError, CapabilityError, InputError, ModelError, UnknownNameError
from agnostic_rand.explainers import AtLayer, GradCAM, GradientTimesInput, IntegratedGradients, SmoothGrad


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(30, 8)
        self.mixer = nn.Linear(8, 12)
        self.head = nn.Linear(12, 3)

    def forward(self, tokens):
        hidden = torch.relu(self.mixer(self.embedding(tokens)))
        # A mask of padding: what the model computes from the tokens besides their embedding.
        kept = (tokens != 0).float()[..., None]
        return self.head((hidden * kept).sum(1))


RNG = np.random.default_rng(0)
TOKENS = RNG.integers(0, 30, (20, 7))
LABELS = RNG.integers(0, 3, 20)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Classifier()


def by_hand(model, points):
    """The gradient with respect to embedded tokens, in double precision."""
    twin = Classifier().double()
    twin.load_state_dict(model.state_dict())
    leaf = points(twin.embedding(torch.from_numpy(TOKENS))).detach().requires_grad_()
    kept = (torch.from_numpy(TOKENS) != 0).double()[..., None]
    outputs = twin.head((torch.relu(twin.mixer(leaf)) * kept).sum(1))
    (gradient,) = torch.autograd.grad(outputs.gather(1, torch.from_numpy(LABELS)[:, None]).sum(), leaf)
    return leaf.detach().numpy(), gradient.numpy(), outputs.detach().numpy()


def test_the_gradient_at_the_embedding_is_the_gradient_by_hand(model):
    _, gradient, _ = by_hand(model, lambda e: e)
    maps = ar.explain(model, TOKENS, LABELS, "gradient", wrt_layer="embedding")
    np.testing.assert_allclose(maps, gradient.sum(-1), atol=1e-6)
    lengths = ar.explain(model, TOKENS, LABELS, AtLayer("embedding", features="norm"))
    np.testing.assert_allclose(lengths, np.sqrt((gradient**2).sum(-1)), atol=1e-6)


def test_gradient_times_input_sums_features_by_token(model):
    embedded, gradient, _ = by_hand(model, lambda e: e)
    maps = ar.explain(model, TOKENS, LABELS, "gradient_times_input", wrt_layer="embedding")
    np.testing.assert_allclose(maps, (embedded * gradient).sum(-1), atol=1e-6)


def test_integrated_gradients_are_complete_at_the_embedding(model):
    maps = ar.explain(model, TOKENS, LABELS, IntegratedGradients(steps=200), wrt_layer="embedding", batch_size=64)
    _, _, outputs = by_hand(model, lambda e: e)
    _, _, baseline = by_hand(model, torch.zeros_like)
    rows = np.arange(20)
    np.testing.assert_allclose(maps.sum(1), outputs[rows, LABELS] - baseline[rows, LABELS], rtol=1e-2, atol=5e-3)


@pytest.mark.parametrize("explainer", ["gradient", SmoothGrad(samples=3), "guided_backprop", "occlusion"])
def test_scores_do_not_depend_on_the_batch_size(model, explainer):
    def run(size):
        metric = ar.ModelRandomizationMetric(
            model, TOKENS, LABELS, wrt_layer="embedding", batch_size=size, seed=1,
            randomization_strategy=ar.CascadingRandomization(), measures=["pearson"],
        )  # fmt: skip
        return metric.run(explainer).scores["pearson"]

    # No ranks: a token that stands twice ties, until kernels of another batch size round it otherwise.
    for size in (1, 7):
        np.testing.assert_allclose(run(size), run(64), atol=1e-4)


def test_the_embedding_is_randomized_too_and_the_layer_is_recorded(model):
    metric = ar.ModelRandomizationMetric(
        model, TOKENS, LABELS, wrt_layer="embedding", seed=1, randomization_strategy=ar.FullRandomization()
    )
    result = metric.run("gradient_times_input")
    assert result.settings["wrt_layer"] == "embedding"
    assert abs(np.nanmean(result.scores["spearman"])) < 0.3


def test_occlusion_hides_one_embedded_token_after_the_other(model):
    _, _, whole = by_hand(model, lambda e: e)
    maps = ar.explain(model, TOKENS, LABELS, "occlusion", wrt_layer="embedding")
    for token in range(7):
        hidden = torch.ones(7, 1, dtype=torch.float64)
        hidden[token] = 0
        _, _, outputs = by_hand(model, lambda e, hidden=hidden: e * hidden)
        fall = (whole - outputs)[np.arange(20), LABELS]
        # A patch holds every feature of its token, and each of the 8 gets the fall.
        np.testing.assert_allclose(maps[:, token], 8 * fall, atol=1e-5)


def test_activation_reaches_the_layer(model):
    _, gradient, outputs = by_hand(model, lambda e: e)
    metric = ar.ModelRandomizationMetric(
        model, TOKENS, LABELS, wrt_layer="embedding", activation="sigmoid", measures=keep_first
    )
    metric.run("gradient")
    chosen = 1 / (1 + np.exp(-outputs[np.arange(20), LABELS]))
    due = gradient * (chosen * (1 - chosen))[:, None, None]
    whole = next(maps for maps in SEEN if len(maps) == 20)
    np.testing.assert_allclose(whole, due.sum(-1), atol=1e-5)


SEEN = []


def keep_first(base, maps):
    SEEN.append(base)
    return np.zeros(len(base))


def test_token_ids_without_a_layer_are_refused_with_the_way_out(model):
    with pytest.raises(InputError, match="wrt_layer="):
        ar.explain(model, TOKENS, LABELS, "gradient")


def test_an_unknown_layer_is_refused_with_the_nearest(model):
    with pytest.raises(UnknownNameError, match="'embedding'"):
        ar.explain(model, TOKENS, LABELS, "gradient", wrt_layer="embeding")


def test_a_layer_that_makes_no_features_of_tokens_is_refused(model):
    with pytest.raises(AgnosticRandError, match=r"an output of shape \(20, 3\)"):
        ar.explain(model, TOKENS, LABELS, "gradient", wrt_layer="head")


def test_a_layer_that_runs_twice_is_refused():
    class Twice(Classifier):
        def forward(self, tokens):
            return super().forward(tokens) + self.head(torch.relu(self.mixer(self.embedding(tokens[:, :1])))[:, 0])

    with pytest.raises(ModelError, match="2 calls"):
        ar.explain(Twice(), TOKENS, LABELS, "gradient", wrt_layer="embedding")


def test_methods_that_look_inside_are_refused_at_a_layer(model):
    with pytest.raises(AgnosticRandError):
        ar.explain(model, TOKENS, LABELS, AtLayer("embedding", GradCAM()))
    with pytest.raises(CapabilityError, match="a second layer"):
        ar.explain(model, TOKENS, LABELS, AtLayer("embedding", AtLayer("mixer", GradientTimesInput())))


def test_the_model_keeps_no_hook(model):
    def broken(base, maps):
        raise RuntimeError("stop")

    metric = ar.ModelRandomizationMetric(
        model, TOKENS, LABELS, wrt_layer="embedding", isolation="in_place", measures=broken
    )
    with pytest.raises(RuntimeError, match="stop"):
        metric.run("gradient")
    assert not any(part._forward_hooks for part in model.modules())
