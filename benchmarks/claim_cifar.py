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
from claim_runs import HAS_LRP, IMAGES, OPTIONS, median, methods


def claim_9() -> list[Row]:
    """Converging methods do not see the class."""
    trained = nets.the_cifar_net()
    net, images = trained.net, nets.cifar()
    logit = ar.RandomLogitMetric(net, images.test_x, images.test_y, options=OPTIONS)
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
    logit = ar.RandomLogitMetric(load_resnet20(folder), *load_images(folder, IMAGES), options=OPTIONS)
    found = {name: logit.run(name) for name in ("gradient", "guided_backprop", "deconvnet")}
    return [
        Row(f"random logit, ResNet-20, {name}", median(one.scores["ssim_sign_invariant"]), reason=True)
        for name, one in found.items()
    ]


def convergence(net: Any, x: Any) -> list[Row]:
    """Cosine convergence of maps at the input, from each of the layers that relevance may start behind."""
    from zennit.composites import LayerMapComposite, layer_map_base
    from zennit.rules import AlphaBeta, Epsilon

    linear = (torch.nn.Conv2d, torch.nn.Linear)
    rules = {"gradient": None, "LRP-z": Epsilon(1e-6), "LRP-a1b0": AlphaBeta(1, 0)}
    check = ar.CosineConvergence(net, x, options=OPTIONS)
    starts = [i for i, module in enumerate(net) if isinstance(module, linear)][1:]
    rows = []
    for name, rule in rules.items():
        composite = rule and LayerMapComposite([*layer_map_base(), (linear, rule)])
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
    names = {"gradient": "gradient", "LRP-z": "lrp_epsilon", "LRP-a1b0": "lrp_alpha1_beta0"}
    for name, known in names.items():
        score = median(check.run(known).scores["cosine"])
        rows.append(Row(f"CosineConvergence of the library, {name}", score, reason=True))
    return rows
