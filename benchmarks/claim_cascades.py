"""Claims 1 to 5 and 10: the paper's CNN and MLP on MNIST, and noise on their weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from scipy import stats

import agnostic_rand as ar
import claim_nets as nets
from claim_lenet import digits_lenet
from claim_measures import Row
from claim_runs import DRAWS, SEED, SHORT, SIGNED, SPEARMAN, TIMES_INPUT, Results, digits, methods, randomized

# The library's defaults, then what the code of the paper does.
PROTOCOLS = ("default", "paper")


@cache
def cascade(which: str, protocol: str) -> Results:
    """One cascade of seven explainers, shared by claims 1 to 5."""
    (x, y), names = digits(), (*SIGNED, "guided_backprop", "input_times_noise")
    net, law = (nets.the_cnn(), nets.paper_cnn_law) if which == "cnn" else (nets.the_mlp(), nets.paper_mlp_law)
    if protocol == "default":
        return randomized(net.net, x, y, names, ar.CascadingRandomization(), SPEARMAN)
    strategy = ar.CascadingRandomization(perturbation=law, fresh=True)
    return randomized(net.net, x, "dynamic", names, strategy, SPEARMAN)


def both_nets(rows_of: Callable[[str, Results], list[Row]]) -> list[Row]:
    rows = []
    for protocol in PROTOCOLS:
        for which in ("cnn", "mlp"):
            rows += rows_of(f"{which}, {protocol}: ", cascade(which, protocol))
    return rows


def claim_1() -> list[Row]:
    """Signed maps do not survive full randomization."""

    def rows(label: str, found: Results) -> list[Row]:
        return [
            Row(
                f"{label}|DIV|, all random, {SHORT.get(name, name)}",
                abs(found[name].mean("spearman")[-1]),
                at_most=0.10,
            )
            for name in SIGNED
        ]

    return both_nets(rows)


def claim_2() -> list[Row]:
    """Guided backprop hardly sees the top layer."""

    def rows(label: str, found: Results) -> list[Row]:
        top = {m: found["guided_backprop"].mean(m)[0] for m in ("spearman_abs", "spearman")}
        above = top["spearman_abs"] - found["gradient"].mean("spearman_abs")[0]
        return [
            Row(f"{label}GBP, ABS, top layer", top["spearman_abs"], at_least=0.80),
            Row(f"{label}GBP, DIV, top layer", top["spearman"], at_least=0.80),
            Row(f"{label}GBP - gradient, ABS, top layer", above, at_least=0.20),
        ]

    return [*both_nets(rows), *early()]


def early() -> list[Row]:
    """The top layer's score while training goes on: how alike the maps are depends on it."""
    (x, y), strategy = digits(), ar.ProgressiveLayerRandomization(stop_layer=1)
    rows = []
    for which, net_of in (("cnn", nets.the_cnn), ("mlp", nets.the_mlp)):
        for epochs in (0, 1):
            found = randomized(net_of(epochs).net, x, y, ("guided_backprop",), strategy, SPEARMAN[:2])
            for short, measure in (("ABS", "spearman_abs"), ("DIV", "spearman")):
                score = found["guided_backprop"].mean(measure)[0]
                rows.append(Row(f"{which}, {epochs} epochs: GBP, {short}, top layer", score, reason=True))
    return rows


def claim_3() -> list[Row]:
    """It falls along the cascade, above the gradient, less far in a CNN than in an MLP."""

    def rows(label: str, found: Results) -> list[Row]:
        guided, gradient = (found[name].mean("spearman_abs") for name in ("guided_backprop", "gradient"))
        above = (guided - gradient)[: None if label.startswith("cnn") else -1].min()
        low, high = (0.29, 0.59) if label.startswith("cnn") else (-0.06, 0.14)
        return [
            Row(f"{label}GBP, ABS, steepest rise", np.diff(guided).max(), at_most=0.05),
            Row(f"{label}GBP - gradient, ABS, least", above, at_least=0.20),
            Row(f"{label}GBP, ABS, all random", guided[-1], at_least=low, at_most=high),
            Row(f"{label}GBP, DIV, all random", found["guided_backprop"].mean("spearman")[-1]),
        ]

    return both_nets(rows)


def claim_4() -> list[Row]:
    """Absolute maps that multiply by the input never fall."""

    def rows(label: str, found: Results) -> list[Row]:
        absolute, signed = (np.array([found[n].mean(m) for n in TIMES_INPUT]) for m in ("spearman_abs", "spearman"))
        return [
            Row(f"{label}IG, GxI, ABS, least", absolute.min(), at_least=0.97),
            Row(f"{label}IG, GxI, DIV, top layer", signed[:, 0].max(), at_most=0.45),
            Row(f"{label}IG, GxI, |DIV|, all random", np.abs(signed[:, -1]).max(), at_most=0.10),
        ]

    return [*both_nets(rows), *kept_or_current()]


def kept_or_current() -> list[Row]:
    """The MLP's top layer by the law of its weights and by the class that is explained."""
    (x, labels), net = digits(), nets.the_mlp().net
    rows = []
    for law, perturbation in (("default law", ar.Reinitialize()), ("paper's law", nets.paper_mlp_law)):
        for policy, targets in (("labels", labels), ("current class", "dynamic")):
            strategy = ar.ProgressiveLayerRandomization(stop_layer=1, perturbation=perturbation)
            found = randomized(net, x, targets, TIMES_INPUT, strategy, "spearman")
            score = max(found[name].mean("spearman")[0] for name in TIMES_INPUT)
            rows.append(Row(f"mlp, {law}, {policy}: DIV, top layer", score, reason=True))
    return rows


def claim_5() -> list[Row]:
    """Nor do inputs times noise; over pixels that are not zero the likeness is gone."""

    def rows(label: str, found: Results) -> list[Row]:
        noise = found["input_times_noise"]
        masked = max(found[name].mean("spearman_abs_nonzero")[-1] for name in TIMES_INPUT)
        return [
            Row(f"{label}x*noise, ABS, least", noise.mean("spearman_abs").min(), at_least=0.97),
            Row(f"{label}x*noise, |DIV|", np.abs(noise.mean("spearman")).max(), at_most=0.02),
            Row(f"{label}x*noise, ABS, non-zero", noise.mean("spearman_abs_nonzero").max(), at_most=0.45),
            Row(f"{label}IG, GxI, ABS, non-zero, end", masked, at_most=0.45),
        ]

    return [row for row in both_nets(rows) if "default" in row.what]


def claim_10() -> list[Row]:
    """Maps fall with the noise of the weights; randomizing from below goes further than from above."""
    (x, y), net = digits(), nets.the_mlp().net
    rows = [row for noise in ("gaussian", "gaussian_relative") for row in noise_rows(net, x, y, noise)]
    lenet, x, y, _ = digits_lenet(padding=0, normalized=True)
    names = ("gradient", "integrated_gradients", "lrp_epsilon", "lrp_zplus", "guided_backprop")
    areas = [
        randomized(lenet, x, y, names, ar.CascadingRandomization(order=order), "ssim")
        for order in ("bottom_up", "top_down")
    ]
    for name in areas[0]:
        up, down = (found[name].mean("ssim").mean() for found in areas)
        rows.append(Row(f"LeNet, SSIM, bottom up - top down, {name}", up - down, at_most=0))
    return rows


def noise_rows(net: Any, x: Any, y: Any, noise: Any) -> list[Row]:
    levels, label = (0.1, 0.2, 0.3), "absolute" if noise == "gaussian" else "relative"
    check = ar.ParameterNoise(noise, levels, draws=DRAWS, measures="spearman")
    names = ("gradient", "integrated_gradients", "gradient_times_input", "guided_backprop")
    found = check.run(ar.Subject(net, x, y, seed=SEED), methods(*names))
    curves = dict(zip(found.explainers, found.mean("spearman"), strict=True))
    order = [stats.kendalltau(levels, c[:, k]).statistic for c in curves.values() for k in range(c.shape[1])]
    others = np.max([curve for name, curve in curves.items() if name != "guided_backprop"], axis=0)
    lowest = np.min(list(curves.values()), axis=0)
    rows = [
        Row(f"{label} noise: Kendall tau of means, most", max(order), at_most=-1),
        Row(f"{label} noise: GBP - best other, least", (curves["guided_backprop"] - others).min(), at_least=0),
        Row(f"{label} noise: IG - lowest, most", (curves["integrated_gradients"] - lowest).max(), at_most=0.05),
    ]
    return rows if noise == "gaussian" else [row.as_reason() for row in rows]
