"""The bridge to Captum: bound to the randomized model, deterministic, and nothing left behind."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import generators
import numpy as np
import pytest
import torch
from bridge_nets import Block, Net, assert_close, fingerprint, make_net
from libraries import library
from torch import nn

import agnostic_rand as ar
from agnostic_rand.errors import ArgumentError, ExplanationError
from agnostic_rand.explainers.bridges import bridged
from agnostic_rand.weights.streams import Streams

attr = library("captum.attr")
from agnostic_rand.explainers.bridges.captum import CaptumExplainer

Run = Callable[..., Any]

BACKGROUND = torch.from_numpy(np.random.default_rng(4).standard_normal((3, 3, 12, 12)).astype(np.float32))

METHODS: dict[str, Callable[[Net], Any]] = {
    "saliency": attr.Saliency,
    "integrated_gradients": attr.IntegratedGradients,
    "deep_lift": attr.DeepLift,
    "guided_backprop": attr.GuidedBackprop,
    "deconvolution": attr.Deconvolution,
    "noise_tunnel": lambda net: attr.NoiseTunnel(attr.Saliency(net)),
    "layer_grad_cam": lambda net: attr.LayerGradCam(net, net.conv2),
    "guided_grad_cam": lambda net: attr.GuidedGradCam(net, net.conv2),
    "layer_conductance": lambda net: attr.LayerConductance(net, net.conv1),
    "gradient_shap": lambda net: attr.GradientShap(net),
    "deep_lift_shap": lambda net: attr.DeepLiftShap(net),
    "occlusion": lambda net: attr.Occlusion(net),
    "of_softmax": lambda net: attr.Saliency(lambda x: net(x).softmax(1)),
}

ARGUMENTS: dict[str, dict[str, Any]] = {
    "gradient_shap": {"baselines": BACKGROUND, "n_samples": 3, "stdevs": 0.1},
    "deep_lift_shap": {"baselines": BACKGROUND},
    "occlusion": {"sliding_window_shapes": (3, 4, 4), "strides": (3, 4, 4)},
    "integrated_gradients": {"n_steps": 8},
    "noise_tunnel": {"nt_samples": 4, "stdevs": 0.2},
}


@pytest.mark.parametrize("name", METHODS)
def test_bound_and_made_objects_score_the_same_and_leave_the_model_as_it_was(name: str, net: Net, run: Run) -> None:
    before = fingerprint(net)
    bound = run(net, CaptumExplainer(METHODS[name](net), ARGUMENTS.get(name, {})))
    made = run(net, CaptumExplainer(METHODS[name], ARGUMENTS.get(name, {})))
    assert fingerprint(net) == before
    assert (bound.settings["isolation"], made.settings["isolation"]) == ("in_place", "clone")
    np.testing.assert_allclose(bound.scores["spearman"], made.scores["spearman"], atol=1e-6)
    assert bound.findings == ()
    assert np.nanmax(bound.scores["spearman"]) < 0.99


def test_a_bound_layer_is_the_randomized_models_layer(net: Net, run: Run) -> None:
    theirs = CaptumExplainer(attr.LayerGradCam(net, net.conv2), {"relu_attributions": True})
    ours = run(net, ar.explainers.GradCAM("conv2"), measures="pearson")
    np.testing.assert_allclose(
        run(net, theirs, measures="pearson").scores["pearson"], ours.scores["pearson"], atol=1e-5
    )


@pytest.mark.parametrize("name", ["guided_backprop", "noise_tunnel", "layer_grad_cam"])
def test_maps_are_captums_own(name: str, net: Net, images: np.ndarray, labels: np.ndarray, explain: Run) -> None:
    arguments = {"noise_tunnel": {"nt_samples": 2, "stdevs": 1e-9}}.get(name, {})
    reference = {
        "guided_backprop": lambda x, y: attr.GuidedBackprop(net).attribute(x, target=y),
        "noise_tunnel": lambda x, y: attr.Saliency(net).attribute(x, target=y),
        "layer_grad_cam": lambda x, y: attr.LayerAttribution.interpolate(
            attr.LayerGradCam(net, net.conv2).attribute(x, target=y), (12, 12), "bilinear"
        ),
    }[name]
    ours = explain(net, CaptumExplainer(METHODS[name](net), arguments))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)
        theirs = reference(torch.from_numpy(images).requires_grad_(), torch.from_numpy(labels))
    assert_close(ours, theirs)


@pytest.mark.parametrize("name", ["noise_tunnel", "gradient_shap"])
def test_stochastic_methods_replay_and_leave_global_generators(name: str, net: Net, run: Run, explain: Run) -> None:
    explainer = CaptumExplainer(METHODS[name](net), ARGUMENTS[name])
    generators.reset(11)
    before = generators.states()
    first = run(net, explainer)
    explain(net, explainer)
    assert generators.states() == before
    generators.reset(12)
    second = run(net, explainer)
    assert np.array_equal(first.scores["spearman"], second.scores["spearman"])
    assert first.self_similarity["spearman"] == 1
    assert not np.array_equal(explain(net, explainer), explain(net, explainer, seed=5))


def test_a_failing_call_leaves_nothing_behind(net: Net, explain: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    net.train()
    before = fingerprint(net)

    def fail(*_: Any) -> None:
        net.conv1.register_forward_hook(lambda *_: None)
        net.conv2.weight.requires_grad_(False)
        net.head.linear.note = torch.ones(1)
        net.norm.weight.data = torch.ones(6)
        net.conv1.bias = nn.Parameter(torch.zeros(6))
        raise RuntimeError("half-way")

    monkeypatch.setattr(attr.DeepLift, "attribute", fail)
    with pytest.raises(RuntimeError, match="half-way"):
        explain(net, attr.DeepLift(net))
    assert fingerprint(net) == before


def test_foreign_code_gets_copies(
    net: Net, images: np.ndarray, labels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attr.Saliency, "attribute", lambda _, inputs, target: inputs.mul_(target.zero_()[0]))
    adapter = ar.adapt(net)
    x, y = adapter.asarray(images), adapter.asarray(labels)
    context = ar.explainers.ExplanationContext(Streams(0), batch_size=6, channel_axis=1)
    maps = bridged(attr.Saliency(net)).explain(adapter, x, y, context)
    assert not maps.any()
    assert np.array_equal(x, images)
    assert np.array_equal(y, labels)


def test_the_callers_gradients_stay(net: Net, run: Run) -> None:
    net.conv1.weight.grad = torch.ones_like(net.conv1.weight)
    net.conv2.weight.requires_grad_(False)
    run(net, attr.GuidedGradCam(net, net.conv2))
    assert torch.equal(net.conv1.weight.grad, torch.ones_like(net.conv1.weight))
    assert net.conv2.weight.grad is None
    assert not net.conv2.weight.requires_grad


def test_maps_of_layers_are_summed_over_channels_and_interpolated(
    net: Net, images: np.ndarray, labels: np.ndarray, explain: Run
) -> None:
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    own = attr.LayerGradientXActivation(net, net.conv2).attribute(x, target=y).sum(1, keepdim=True)
    expected = nn.functional.interpolate(own, (12, 12), mode="bilinear")
    assert_close(explain(net, attr.LayerGradientXActivation(net, net.conv2)), expected)


def test_maps_of_an_embedding_are_summed_over_its_vectors(labels: np.ndarray) -> None:
    class Text(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(20, 5)
            self.linear = nn.Linear(5, 4)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.linear(torch.tanh(self.embedding(tokens)).mean(1))

    model, tokens = Text(), np.random.default_rng(0).integers(0, 20, (6, 7))
    maps = ar.explain(model, tokens, labels, bridged(attr.LayerGradientXActivation(model, model.embedding)))
    x, y = torch.from_numpy(tokens), torch.from_numpy(labels)
    own = attr.LayerGradientXActivation(model, model.embedding).attribute(x, target=y)
    assert_close(maps, own.sum(2))


@pytest.mark.parametrize("squeeze", [False, True])
def test_a_single_output_explains_itself(squeeze: bool) -> None:
    class Single(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(5, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            outputs = self.linear(x)
            return outputs[:, 0] if squeeze else outputs

    model, x = Single(), np.ones((3, 5), np.float32)
    maps = ar.explain(model, x, None, CaptumExplainer(attr.Saliency(model), {"abs": False}))
    assert_close(maps, model.linear.weight.expand(3, 5))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda net: net.forward,
        lambda net: functools.partial(lambda model, x: model(x), net),
        lambda net: lambda x: net(x).log_softmax(1),
    ],
)
def test_the_model_is_found_behind_a_function(net: Net, wrap: Any) -> None:
    assert bridged(attr.Saliency(wrap(net))).bound_model is net


def test_a_made_object_may_hold_the_model_within_another(net: Net, run: Run) -> None:
    made = CaptumExplainer(lambda model: attr.Saliency(nn.Sequential(model, nn.Softmax(1))))
    of_softmax = run(net, attr.Saliency(lambda x: net(x).softmax(1)))
    np.testing.assert_allclose(run(net, made).scores["spearman"], of_softmax.scores["spearman"], atol=1e-6)


def test_names_and_descriptions_tell_the_method(net: Net) -> None:
    tunnel = bridged(attr.NoiseTunnel(attr.GuidedBackprop(net)))
    assert tunnel.name == "captum_noise_tunnel_of_guided_backprop"
    assert repr(tunnel) == "CaptumExplainer(NoiseTunnel(GuidedBackprop))"
    shap = CaptumExplainer(attr.GradientShap, {"baselines": BACKGROUND}, name="mine")
    assert (shap.name, repr(shap)) == ("mine", "CaptumExplainer(GradientShap, {'baselines': Tensor(3, 3, 12, 12)})")


def test_guided_backprop_on_functional_relu_is_reported(run: Run) -> None:
    functional = make_net(functional=True)
    assert "equals the plain gradient" in run(functional, attr.GuidedBackprop(functional)).findings[0]


class TestRefusals:
    def test_an_object_of_another_model(self, net: Net, run: Run, explain: Run) -> None:
        with pytest.raises(ArgumentError, match="holds another model"):
            run(net, attr.Saliency(make_net()))
        with pytest.raises(ExplanationError, match="holds another model"):
            explain(net, attr.Saliency(make_net()))

    def test_a_function_whose_model_cannot_be_told(self, net: Net) -> None:
        other = make_net()
        with pytest.raises(
            ArgumentError, match=r"whose model cannot be told.*CaptumExplainer\(lambda model: Saliency"
        ):
            bridged(attr.Saliency(lambda x: net(x) + other(x)))

    def test_a_maker_that_ignores_its_model(self, net: Net, explain: Run) -> None:
        with pytest.raises(ExplanationError, match="with the model that the function is given"):
            explain(net, CaptumExplainer(lambda _: attr.Saliency(make_net())))

    def test_a_maker_of_something_else(self, net: Net, explain: Run) -> None:
        with pytest.raises(ArgumentError, match="returns an explainer of captum, received Net"):
            explain(net, CaptumExplainer(lambda model: model))

    @pytest.mark.parametrize(
        ("kind", "shown"),
        [
            (attr.LayerGradCam, r"lambda model: LayerGradCam\(model, layer\)"),
            (attr.NoiseTunnel, r"lambda model: NoiseTunnel\(Saliency\(model\)\)"),
        ],
    )
    def test_a_class_that_takes_more_than_a_model(self, kind: Any, shown: str) -> None:
        with pytest.raises(ArgumentError, match=shown):
            bridged(kind)

    def test_missing_unknown_and_own_arguments(self, net: Net) -> None:
        with pytest.raises(ArgumentError, match="sliding_window_shapes"):
            bridged(attr.Occlusion(net))
        with pytest.raises(ArgumentError, match="Did you mean 'n_steps'"):
            CaptumExplainer(attr.IntegratedGradients(net), {"n_step": 5})
        with pytest.raises(ArgumentError, match="target"):
            CaptumExplainer(attr.Saliency(net), {"target": 1})

    def test_what_is_no_explainer_at_all(self) -> None:
        with pytest.raises(ArgumentError, match="an explainer of captum, its class, or a function"):
            CaptumExplainer(3)
        with pytest.raises(ArgumentError, match="an explainer of captum, its class, or a function"):
            CaptumExplainer(Block)

    def test_a_model_of_another_framework(self, images: np.ndarray, labels: np.ndarray) -> None:
        keras = library("keras")
        model = keras.Sequential([keras.Input((3, 12, 12)), keras.layers.Flatten(), keras.layers.Dense(4)])
        if isinstance(model, nn.Module):
            pytest.skip("on Keras' torch backend a model is torch's too")
        with pytest.raises(ExplanationError, match=r"captum_saliency.*captum explains.*Sequential of the 'keras'"):
            ar.explain(model, images, labels, bridged(attr.Saliency))
