"""Methods against their definitions, computed by hand in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import cnn_with_norm, mlp
from resnet20 import load_images, load_resnet20
from torch import nn

import agnostic_rand as ar
from agnostic_rand.errors import AgnosticRandError, ArgumentError, UnknownNameError
from agnostic_rand.explainers import (
    RISE,
    ExpectedGradients,
    GradCAM,
    GuidedGradCAM,
    HiResCAM,
    IntegratedGradients,
    LayerCAM,
    Occlusion,
    SmoothGrad,
    SmoothGradSquared,
    VarGrad,
)

RNG = np.random.default_rng(1)
IMAGES = RNG.standard_normal((5, 2, 12, 10)).astype(np.float32)
LABELS = RNG.integers(0, 4, 5)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 6, 3, padding=1)
        self.second = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.head = nn.Linear(8, 4)

    def features(self, x):
        return self.second(torch.relu(self.first(x)))

    def forward(self, x):
        return self.head(torch.relu(self.features(x)).mean((2, 3)))


@pytest.fixture
def net():
    torch.manual_seed(3)
    return Net()


def double(net):
    twin = Net().double()
    twin.load_state_dict(net.state_dict())
    return twin


def logits(net, images):
    """The chosen outputs in double precision, `(n,)`."""
    with torch.no_grad():
        return double(net)(torch.from_numpy(images.astype(np.float64))).numpy()[np.arange(5), LABELS]


def incompleteness(net, images, labels, baseline, steps):
    """How far the maps' sums are from the change of the output, as a share of that change."""
    maps = ar.explain(net, images, labels, IntegratedGradients(steps=steps, baseline=baseline))
    base = np.broadcast_to(np.float32(baseline), images.shape).copy()
    change = chosen_by(net, images, labels) - chosen_by(net, base, labels)
    return np.abs(maps.sum((1, 2, 3)) - change).mean() / np.abs(change).mean()


def test_integrated_gradients_are_complete_at_fifty_steps(net):
    for baseline in (np.zeros_like(IMAGES[0]), IMAGES[1]):
        assert incompleteness(net, IMAGES, LABELS, baseline, 50) < 0.01


def test_integrated_gradients_are_complete_on_a_trained_network(test_data):
    # Twenty layers of ReLUs have kinks on the way: 50 steps of any rule leave 1.2 to 1.5 %, more steps less.
    images, labels = load_images(test_data, 10)
    found = [incompleteness(load_resnet20(test_data), images, labels, 0.0, steps) for steps in (50, 150)]
    assert found[0] < 0.025
    assert found[1] < 0.01


def chosen_by(net, images, labels):
    with torch.no_grad():
        return net(torch.from_numpy(images)).numpy()[np.arange(len(labels)), labels]


def test_occlusion_is_the_fall_of_the_output_shared_by_the_hidden_pixels(net):
    maps = ar.explain(net, IMAGES, LABELS, Occlusion(patch=4, stride=3, baseline=0.5))
    whole, total, count = logits(net, IMAGES), np.zeros(IMAGES.shape), np.zeros((12, 10))
    for top in (0, 3, 6, 8):
        for left in (0, 3, 6):
            hidden = IMAGES.copy()
            hidden[:, :, top : top + 4, left : left + 4] = 0.5
            total[:, :, top : top + 4, left : left + 4] += (whole - logits(net, hidden))[:, None, None, None]
            count[top : top + 4, left : left + 4] += 1
    np.testing.assert_allclose(maps, total / count, atol=1e-5)


def test_rise_weighs_masks_by_the_outputs_that_masked_inputs_give(net):
    seen = []

    class Watched(Net):
        def forward(self, x):
            seen.append(x.detach().numpy().copy())
            return super().forward(x)

    watched = Watched()
    watched.load_state_dict(net.state_dict())
    ones = np.ones_like(IMAGES)
    maps = ar.explain(watched, ones, LABELS, RISE(masks=9, cells=3, keep=0.3), seed=2, batch_size=5)
    # Ones that are masked are the masks.
    masks = [batch for batch in seen if len(batch) == 5 and np.ptp(batch) > 0]
    assert len(masks) == 9
    due = sum(logits(net, mask)[:, None, None] * mask[:, 0] for mask in masks) / (9 * 0.3)
    np.testing.assert_allclose(maps, due, atol=1e-5)
    drawn = np.concatenate(masks)
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    again = ar.explain(net, ones, LABELS, RISE(masks=9, cells=3, keep=0.3), seed=2)
    other = ar.explain(net, ones, LABELS, RISE(masks=9, cells=3, keep=0.3), seed=3)
    np.testing.assert_allclose(again, maps, atol=1e-6)
    assert np.abs(other - maps).max() > 1e-3


def layer(net):
    """The last convolution's output, and the gradient of the chosen outputs with respect to it."""
    twin = double(net)
    features = twin.features(torch.from_numpy(IMAGES.astype(np.float64))).detach().requires_grad_()
    chosen = twin.head(torch.relu(features).mean((2, 3))).gather(1, torch.from_numpy(LABELS)[:, None]).sum()
    (gradient,) = torch.autograd.grad(chosen, features)
    return features.detach(), gradient


def upsampled(coarse):
    return torch.nn.functional.interpolate(coarse[:, None], (12, 10), mode="bilinear")[:, 0].numpy()


@pytest.mark.parametrize("named", [None, "second"])
def test_class_activation_maps_are_their_formulas(net, named):
    output, gradient = layer(net)
    due = {
        GradCAM(named): torch.relu((gradient.mean((2, 3), keepdim=True) * output).sum(1)),
        HiResCAM(named): (gradient * output).sum(1),
        LayerCAM(named): torch.relu((torch.relu(gradient) * output).sum(1)),
    }
    for method, coarse in due.items():
        np.testing.assert_allclose(ar.explain(net, IMAGES, LABELS, method), upsampled(coarse), atol=1e-5)
    guided = ar.explain(net, IMAGES, LABELS, "guided_backprop")
    product = ar.explain(net, IMAGES, LABELS, GuidedGradCAM(named))
    np.testing.assert_allclose(product, guided * upsampled(due[GradCAM(named)])[:, None], atol=1e-6)


def noisy_gradients(net, samples, noise):
    """By the copies that the model saw: the gradients at each."""
    seen = []

    class Watched(Net):
        def forward(self, x):
            seen.append(x.detach().numpy().copy())
            return super().forward(x)

    watched = Watched()
    watched.load_state_dict(net.state_dict())
    mean = ar.explain(watched, IMAGES, LABELS, SmoothGrad(samples=samples, noise=noise), batch_size=5)
    copies = [batch for batch in seen if len(batch) == 5 and not np.array_equal(batch, IMAGES)]
    assert len(copies) == samples
    gradients = [ar.explain(net, copy, LABELS, "gradient") for copy in copies]
    spread = np.std(np.stack(copies) - IMAGES, axis=(0, 2, 3, 4)) / np.ptp(IMAGES, axis=(1, 2, 3))
    return mean, np.stack(gradients), spread


def test_smoothing_reduces_the_maps_of_noisy_copies(net):
    mean, gradients, spread = noisy_gradients(net, 12, 0.2)
    np.testing.assert_allclose(mean, gradients.mean(0), atol=1e-6)
    np.testing.assert_allclose(spread, 0.2, rtol=0.05)
    squared = ar.explain(net, IMAGES, LABELS, SmoothGradSquared(samples=12, noise=0.2))
    np.testing.assert_allclose(squared, (gradients**2).mean(0), atol=1e-6)
    variance = ar.explain(net, IMAGES, LABELS, VarGrad(samples=12, noise=0.2))
    np.testing.assert_allclose(variance, gradients.var(0), atol=1e-6)


def test_smoothgrad_without_noise_is_the_gradient(net):
    plain = ar.explain(net, IMAGES, LABELS, "gradient")
    np.testing.assert_allclose(ar.explain(net, IMAGES, LABELS, SmoothGrad(noise=0.0)), plain, atol=1e-6)


def test_expected_gradients_of_a_linear_model_are_the_weights_times_the_mean_difference():
    linear = nn.Linear(6, 3)
    x, y = RNG.standard_normal((4, 6)).astype(np.float32), np.array([0, 1, 2, 0])
    baselines = RNG.standard_normal((3, 6)).astype(np.float32)
    maps = ar.explain(linear, x, y, ExpectedGradients(baselines, samples=3000))
    weights = linear.weight.detach().numpy()[y]
    np.testing.assert_allclose(maps, weights * (x - baselines.mean(0)), atol=0.05)
    single = ar.explain(linear, x, y, ExpectedGradients(baselines[:1], samples=2))
    np.testing.assert_allclose(single, weights * (x - baselines[0]), atol=1e-5)


def test_what_cannot_be_explained_so_is_refused_with_the_way_out(net):
    flat = np.ones((5, 6), np.float32)
    refused = [
        (net, IMAGES, GradCAM("secnd"), UnknownNameError, "'second'"),
        (net, IMAGES, GradCAM("head"), ArgumentError, "layer='second'"),
        (mlp(), flat, GradCAM(), AgnosticRandError, "images"),
        (net, IMAGES, IntegratedGradients(baseline=np.zeros((3, 3), np.float32)), ArgumentError, "baseline"),
        (net, IMAGES, Occlusion(patch=2, stride=5), ArgumentError, "stride"),
    ]
    for model, inputs, method, kind, words in refused:
        with pytest.raises(kind, match=words):
            ar.explain(model, inputs, np.zeros(5, int), method)


def test_sequences_and_volumes_are_explained():
    sequence = nn.Sequential(nn.Conv1d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 2))
    volume = nn.Sequential(nn.Conv3d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2))
    for model, shape in ((sequence, (4, 3, 16)), (volume, (4, 1, 6, 6, 6))):
        inputs = RNG.standard_normal(shape).astype(np.float32)
        for method in (
            "gradient",
            "integrated_gradients",
            "smoothgrad",
            "occlusion",
            RISE(masks=20),
            "guided_backprop",
        ):
            metric = ar.ModelRandomizationMetric(
                model, inputs, randomization_strategy=ar.FullRandomization(), seed=0, measures="spearman"
            )
            result = metric.run(method)
            assert np.isfinite(result.scores["spearman"]).all(), (shape, method)
            assert result.settings["channel_axis"] == (1 if len(shape) > 3 else None)


def test_batch_norm_statistics_do_not_follow_folded_copies():
    model = cnn_with_norm()
    model.train()
    images = RNG.standard_normal((4, 3, 8, 8)).astype(np.float32)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    maps = [ar.explain(model, images, [0, 1, 0, 1], SmoothGrad(samples=4), batch_size=size) for size in (1, 16)]
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-6)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert model.training
