"""This library's methods are Captum's, on the same net, to 1e-5 of a map's scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from bridge_nets import Net, assert_close
from libraries import library

import agnostic_rand as ar
from agnostic_rand import explainers

attr = library("captum.attr")


def integrated_gradients(net: Net, x: torch.Tensor, y: torch.Tensor, **options: Any) -> torch.Tensor:
    own = attr.IntegratedGradients(net, multiply_by_inputs=options.pop("multiply", True))
    return own.attribute(x, target=y, method="riemann_middle", **options)


def grad_cam(net: Net, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    coarse = attr.LayerGradCam(net, net.conv2).attribute(x, target=y, relu_attributions=True)
    return attr.LayerAttribution.interpolate(coarse, x.shape[2:], "bilinear")[:, 0]


def guided_grad_cam(net: Net, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return attr.GuidedGradCam(net, net.conv2).attribute(x, target=y, interpolate_mode="bilinear")


def occlusion(net: Net, x: torch.Tensor, y: torch.Tensor, **options: Any) -> torch.Tensor:
    return attr.Occlusion(net).attribute(x, target=y, **options)


BASELINE = np.random.default_rng(1).standard_normal((3, 12, 12)).astype(np.float32)

PAIRS: dict[str, tuple[Any, Callable[..., torch.Tensor]]] = {
    "gradient": ("gradient", lambda net, x, y: attr.Saliency(net).attribute(x, target=y, abs=False)),
    "saliency": ("saliency", lambda net, x, y: attr.Saliency(net).attribute(x, target=y)),
    "gradient_times_input": (
        "gradient_times_input",
        lambda net, x, y: attr.InputXGradient(net).attribute(x, target=y),
    ),
    "integrated_gradients": (
        explainers.IntegratedGradients(steps=20),
        lambda net, x, y: integrated_gradients(net, x, y, n_steps=20),
    ),
    "integrated_gradients_from_baseline": (
        explainers.IntegratedGradients(steps=20, baseline=BASELINE),
        lambda net, x, y: integrated_gradients(net, x, y, n_steps=20, baselines=torch.from_numpy(BASELINE)[None]),
    ),
    "integrated_gradients_local": (
        explainers.IntegratedGradients(steps=20, multiply_by_inputs=False),
        lambda net, x, y: integrated_gradients(net, x, y, n_steps=20, multiply=False),
    ),
    "guided_backprop": ("guided_backprop", lambda net, x, y: attr.GuidedBackprop(net).attribute(x, target=y)),
    "deconvnet": ("deconvnet", lambda net, x, y: attr.Deconvolution(net).attribute(x, target=y)),
    "gradcam": (explainers.GradCAM("conv2"), grad_cam),
    "guided_gradcam": (explainers.GuidedGradCAM("conv2"), guided_grad_cam),
    "occlusion": (
        explainers.Occlusion(patch=4),
        lambda net, x, y: occlusion(net, x, y, sliding_window_shapes=(3, 4, 4), strides=(3, 4, 4)),
    ),
    "occlusion_overlapping": (
        explainers.Occlusion(patch=4, stride=2, baseline=0.5),
        lambda net, x, y: occlusion(net, x, y, sliding_window_shapes=(3, 4, 4), strides=(3, 2, 2), baselines=0.5),
    ),
}


@pytest.mark.filterwarnings("ignore:Setting backward hooks", "ignore:Input Tensor")
@pytest.mark.parametrize("name", PAIRS)
def test_own_method_equals_captums(name: str, net: Net, images: np.ndarray, labels: np.ndarray) -> None:
    ours, theirs = PAIRS[name]
    reference = theirs(net, torch.from_numpy(images).requires_grad_(), torch.from_numpy(labels))
    assert_close(ar.explain(net, images, labels, ours, batch_size=4), reference)
