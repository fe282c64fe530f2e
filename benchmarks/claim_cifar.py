"""Claim 9: nets on CIFAR-10, and how relevance converges from layer to layer."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from captum.attr import DeepLift

import agnostic_rand as ar
import claim_nets as nets
from claim_measures import Row, cosines_by_depth
from claim_runs import HAS_LRP, IMAGES, SEED, median, methods


def claim_9() -> list[Row]:
    """Converging methods do not see the class."""
    trained = nets.the_cifar_net()
    net, images = trained.net, nets.cifar()
    logit = ar.RandomLogitMetric(net, images.test_x, images.test_y, seed=SEED)
    names = ("gradient", "guided_backprop", "deconvnet", "lrp_alpha1_beta0", "lrp_zplus", "lrp_epsilon")
    likeness = {one.name: median(logit.run(one).scores["ssim_sign_invariant"]) for one in methods(*names)}
    likeness["deeplift"] = median(logit.run(DeepLift(net)).scores["ssim_sign_invariant"])
    rows = [Row(f"random logit, {name}", value) for name, value in likeness.items()]
    seeing = max(likeness["gradient"], likeness["deeplift"])
    rows += [
        Row(f"{name} - gradient, DeepLIFT", likeness.get(name, np.nan) - seeing, at_least=0.10)
        for name in ("guided_backprop", "deconvnet", "lrp_alpha1_beta0")
        if name in likeness
    ]
    if HAS_LRP:
        rows += convergence(net, images.test_x[:IMAGES])
    return [*rows, *deeper()]


def deeper() -> list[Row]:
    """The same on a net of twenty layers, which was trained on all of CIFAR-10."""
    sys.path.insert(0, str(nets.ROOT / "tests/on_torch"))
    from resnet20 import load_images, load_resnet20

    folder = nets.data_folder()
    logit = ar.RandomLogitMetric(load_resnet20(folder), *load_images(folder, IMAGES), seed=SEED)
    found = {name: logit.run(name) for name in ("gradient", "guided_backprop", "deconvnet")}
    return [
        Row(f"random logit, ResNet-20, {name}", median(one.scores["ssim_sign_invariant"]), reason=True)
        for name, one in found.items()
    ]


LINEAR = (torch.nn.Conv2d, torch.nn.Linear)


def composite_of(rule: Any) -> Any:
    """One rule of zennit for all linear layers and convolutions."""
    from zennit.composites import LayerMapComposite, layer_map_base

    return LayerMapComposite([*layer_map_base(), (LINEAR, rule)])


class _Deconv(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clamp(min=0)

    @staticmethod
    def backward(_: Any, above: torch.Tensor) -> torch.Tensor:
        return above.clamp(min=0)


class DeconvReLU(torch.nn.Module):
    """ReLU whose way back is a ReLU too, whatever was positive on the way there."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _Deconv.apply(x)


def deconv(net: Any) -> Any:
    return torch.nn.Sequential(*(DeconvReLU() if isinstance(m, torch.nn.ReLU) else m for m in net)).eval()


def convergence(net: Any, x: Any) -> list[Row]:
    """Cosine convergence of maps at the input, from each of the layers that relevance may start behind."""
    from zennit.rules import AlphaBeta, Epsilon

    rules = {"gradient": None, "LRP-z": Epsilon(1e-6), "LRP-a1b0": AlphaBeta(1, 0)}
    subject = ar.Subject(net, x, seed=SEED)
    starts = [i for i, module in enumerate(net) if isinstance(module, LINEAR)][1:]
    rows = []
    for name, rule in rules.items():
        composite = rule and composite_of(rule)
        bound = {"at_least": 0.95} if name == "LRP-a1b0" else {"at_most": 0.90}
        by_start = {start: cosines_by_depth(net, x, composite, start) for start in starts}
        deepest = by_start[starts[-1]]
        own, whole = deepest.pop("input, whole map"), list(deepest.values())
        rows.append(Row(f"CSC at the input, {name}", whole[-1], **bound))
        rows.append(Row(f"CSC at the input over the whole map, {name}", own, reason=True))
        rows += [Row(f"CSC {depth} the output, {name}", v, reason=True) for depth, v in deepest.items()]
        for start in starts[:-1]:
            at_input = list(by_start[start].values())[-2]
            rows.append(Row(f"CSC at the input from module {start}, {name}", at_input, reason=True))
        if name == "LRP-a1b0":
            rows.append(Row("CSC, LRP-a1b0, least rise to the layer below", np.diff(whole).min(), at_least=0))
    # The epsilon rule divides relevance by what it comes from: one logit near zero takes nearly all of it.
    weighed = cosines_by_depth(net, x, composite_of(rules["LRP-z"]), starts[-1], times_output=True)
    rows.append(Row("CSC at the input, LRP-z, noise times logits", list(weighed.values())[-2], reason=True))
    for label, other in (("trained", net), ("random", ar.FullRandomization().randomize(net, seed=SEED))):
        depths = cosines_by_depth(deconv(other), x, None, starts[-1])
        rows += [Row(f"CSC {place}, deconvnet, {label}", v, reason=True) for place, v in depths.items()]
    names = {"gradient": "gradient", "LRP-z": "lrp_epsilon", "LRP-a1b0": "lrp_alpha1_beta0"}
    for name, known in names.items():
        score = median(ar.CosineConvergence().run(subject, known).scores["cosine"])
        rows.append(Row(f"CosineConvergence of the library, {name}", score, reason=True))
    return rows
