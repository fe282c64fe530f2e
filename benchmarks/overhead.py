"""What a cascade costs beyond its explanations, and beside Quantus, in one run.

Run: python benchmarks/overhead.py [--cases cnn28 cnn64 resnet18] [--rounds 5] [--out FILE.json]
Quantus is measured where it is installed (pip install 'agnostic-rand[benchmark]').
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

import agnostic_rand as ar
from nets import paper_cnn, resnet18, small_cnn


@dataclass(frozen=True)
class Case:
    """One network on one set of images, and the bars of the design."""

    name: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    batch_size: int
    overhead_bar: float | None
    quantus_bar: float


CASES = (
    Case("small28", small_cnn, (256, 1, 28, 28), 64, 1.15, 3.0),
    Case("cnn28", paper_cnn, (256, 1, 28, 28), 64, 1.15, 3.0),
    Case("cnn64", lambda: small_cnn(64, 3), (64, 3, 64, 64), 64, None, 1.8),
    Case("resnet18", resnet18, (16, 3, 224, 224), 16, 1.05, 1.15),
)


def saliency(model: nn.Module, inputs: object, targets: object, **_: object) -> np.ndarray:
    """What a user of Quantus writes: the absolute gradient, NumPy in, NumPy out."""
    device = next(model.parameters()).device
    x = torch.as_tensor(inputs, dtype=torch.float32, device=device).clone().requires_grad_()
    y = torch.as_tensor(targets, device=device)
    (gradient,) = torch.autograd.grad(model(x).gather(1, y[:, None]).sum(), x)
    return gradient.abs().cpu().numpy()


def seconds(action: Callable[[], object]) -> float:
    """The wall time of one call."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    action()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(case: Case, rounds: int, device: str, with_quantus: bool) -> dict[str, object]:
    """Medians over interleaved rounds: bare explanations, our cascade, Quantus' MPRT."""
    model = case.build().to(device)
    rng = np.random.default_rng(0)
    x = rng.standard_normal(case.shape).astype(np.float32)
    y = rng.integers(0, 10, case.shape[0])
    strategy = ar.CascadingRandomization()
    steps = len(strategy.plan(ar.adapt(model, example_inputs=x[:1]).layers()).steps)
    starts = range(0, case.shape[0], case.batch_size)
    adapter = ar.adapt(model)
    native = [
        (adapter.asarray(x[i : i + case.batch_size]), adapter.asarray(y[i : i + case.batch_size])) for i in starts
    ]

    def bare_builtin() -> None:
        for inputs, targets in native:
            abs(adapter.gradient(inputs, targets))

    def bare_function() -> None:
        for inputs, targets in native:
            saliency(model, inputs, targets)

    def ours(explainer: object, measures: tuple[str, ...]) -> None:
        metric = ar.ModelRandomizationMetric(
            model, x, y, randomization_strategy=strategy, batch_size=case.batch_size, seed=0, measures=measures
        )
        metric.run(explainer)

    actions: dict[str, tuple[Callable[[], object], int]] = {
        "bare": (bare_builtin, steps + 1),
        "bare_function": (bare_function, steps + 1),
        "ours": (lambda: ours("saliency", ("spearman",)), 1),
        "ours_two_measures": (lambda: ours("saliency", ("spearman", "spearman_abs")), 1),
        "ours_function": (lambda: ours(saliency, ("spearman",)), 1),
    }
    if with_quantus:
        actions["quantus"] = (lambda: quantus_mprt(model, x, y, case.batch_size, device), 1)
    times: dict[str, list[float]] = {name: [] for name in actions}
    bare_builtin()
    bare_function()
    for _ in range(rounds):
        for name, (action, repeats) in actions.items():
            # Bare explanations are short: as many as a cascade has, so that both see the same machine.
            times[name].append(sum(seconds(action) for _ in range(repeats)))
    median = {name: statistics.median(values) for name, values in times.items()}
    ratios = {
        "overhead": _ratio(times, "ours", "bare"),
        "overhead_two_measures": _ratio(times, "ours_two_measures", "bare"),
        "overhead_function": _ratio(times, "ours_function", "bare_function"),
    }
    if with_quantus:
        ratios["quantus_over_ours"] = _ratio(times, "quantus", "ours")
        ratios["quantus_over_ours_function"] = _ratio(times, "quantus", "ours_function")
        ratios["quantus_over_bare"] = _ratio(times, "quantus", "bare_function")
    return {"case": case.name, "steps": steps, "samples": case.shape[0], "seconds": median, "ratios": ratios}


def _ratio(times: dict[str, list[float]], over: str, under: str) -> float:
    """The median of the ratios of neighbours in time: a drifting machine cancels."""
    return statistics.median(a / b for a, b in zip(times[over], times[under], strict=True))


def quantus_mprt(model: nn.Module, x: np.ndarray, y: np.ndarray, batch_size: int, device: str) -> object:
    """Quantus' cascade over the same layers, top down, with Spearman."""
    import quantus

    metric = quantus.MPRT(
        similarity_func=quantus.similarity_func.correlation_spearman,
        layer_order="top_down",
        disable_warnings=True,
        display_progressbar=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return metric(
            model=model,
            x_batch=x,
            y_batch=y,
            a_batch=None,
            explain_func=saliency,
            device=device,
            batch_size=batch_size,
            channel_first=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="*", default=[case.name for case in CASES])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    try:
        quantus_version = importlib.metadata.version("quantus")
    except importlib.metadata.PackageNotFoundError:
        quantus_version = None
    records = []
    print(f"{'case':10} {'steps':>5} {'ratio':28} {'measured':>8} {'bar':>6}")
    for case in (case for case in CASES if case.name in arguments.cases):
        record = measure(case, arguments.rounds, arguments.device, quantus_version is not None)
        records.append(record)
        bars = {"overhead": case.overhead_bar, "quantus_over_ours": case.quantus_bar}
        for name, value in record["ratios"].items():
            bar = bars.get(name)
            print(f"{case.name:10} {record['steps']:>5} {name:28} {value:8.3f} {bar if bar else '':>6}", flush=True)
    result = {
        "device": arguments.device,
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "quantus": quantus_version,
        },
        "cases": records,
    }
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
