"""What explainers share when they run together, and what folding of steps and samples costs, in one run.

Run: python benchmarks/explainers.py [--rounds 5] [--out FILE.json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import agnostic_rand as ar
from agnostic_rand.explainers import IntegratedGradients, SmoothGrad
from nets import resnet18

TOGETHER = ("gradient", "saliency", "gradient_times_input", "guided_backprop", "gradcam", "guided_gradcam")
SHARING_BAR, FOLDING_BAR, MEASURES_BAR = 0.6, 1.1, 1.15


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def ratio(over: Callable[[], object], under: Callable[[], object], rounds: int) -> float:
    """The median over interleaved rounds of the ratio of two neighbours in time."""
    over()
    under()
    return statistics.median(seconds(over) / seconds(under) for _ in range(rounds))


def sharing(rounds: int) -> float:
    """Six explainers in one cascade, over the sum of their own cascades."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((32, 3, 64, 64)).astype(np.float32), rng.integers(0, 10, 32)
    model = resnet18()
    check = ar.ModelRandomization(ar.CascadingRandomization(groups=3), measures="spearman")

    def cascades(names: tuple[str, ...]) -> object:
        return check.run(ar.Subject(model, x, y, batch_size=32, seed=0), names)

    return ratio(lambda: cascades(TOGETHER), lambda: [cascades((name,)) for name in TOGETHER], rounds)


def folding(rounds: int) -> dict[str, float]:
    """Fifty samples or steps over fifty plain gradients of as many images."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((16, 3, 64, 64)).astype(np.float32), rng.integers(0, 10, 16)
    model = resnet18()
    adapter = ar.adapt(model)
    inputs, targets = adapter.asarray(np.tile(x, (2, 1, 1, 1))), adapter.asarray(np.tile(y, 2))

    def plain() -> None:
        # 50 gradients of 16 images, at the batch size that fills the machine.
        for start in range(0, 50 * 16, 32):
            rows = min(32, 50 * 16 - start)
            adapter.gradient(inputs[:rows], targets[:rows])

    methods = {"smoothgrad": SmoothGrad(samples=50), "integrated_gradients": IntegratedGradients(steps=50)}
    return {
        name: ratio(lambda method=method: ar.explain(model, x, y, method, batch_size=32), plain, rounds)
        for name, method in methods.items()
    }


def scoring(rounds: int) -> float:
    """A cascade with four measures over its explanations alone, at 224 px."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((64, 3, 224, 224)).astype(np.float32), rng.integers(0, 10, 64)
    model = resnet18()
    strategy = ar.CascadingRandomization(groups=4)
    adapter = ar.adapt(model)
    batches = [(adapter.asarray(x[i : i + 16]), adapter.asarray(y[i : i + 16])) for i in range(0, 64, 16)]
    measures = ("spearman", "ssim", "hog", "pearson")

    def cascade() -> None:
        ar.ModelRandomizationMetric(
            model, x, y, randomization_strategy=strategy, batch_size=16, seed=0, measures=measures
        ).run("gradient")

    def bare() -> None:
        for _ in range(4 + 1):
            for inputs, targets in batches:
                adapter.gradient(inputs, targets)

    return ratio(cascade, bare, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = [("six explainers together / one by one", sharing(arguments.rounds), SHARING_BAR)]
    rows += [
        (f"{name} of 50 / 50 gradients", value, FOLDING_BAR) for name, value in folding(arguments.rounds).items()
    ]
    rows.append(("four measures at 224 px / explanations", scoring(arguments.rounds), MEASURES_BAR))
    print(f"{'ratio':42} {'measured':>8} {'bar':>6}")
    for name, value, bar in rows:
        print(f"{name:42} {value:8.3f} {bar:>6}")
    if arguments.out:
        versions = {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
        ratios = [{"ratio": name, "measured": value, "bar": bar} for name, value, bar in rows]
        record = {"threads": arguments.threads, "rounds": arguments.rounds, "versions": versions, "ratios": ratios}
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
