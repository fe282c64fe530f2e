"""What a cascade costs beyond its explanations in each framework, and beside Xplique, in one run.

`overhead` is the time of a cascade over (steps + 1) x the bare explanations of the same batches, both after
one compilation; `whole_call` adds what a first call prepares: reading the model, copying and compiling it.
`xplique_over_ours` is the time of one step in Xplique over ours, likewise.

Run: python benchmarks/frameworks.py [--backends torch tensorflow keras flax xplique]
     [--cases small28 cnn28 cnn64 cnn224] [--rounds 5] [--threads N] [--xplique-python PYTHON] [--out FILE.json]
Each backend is measured in a process of its own. Keras runs on KERAS_BACKEND. Xplique, which asks for an
older TensorFlow, is measured where the given Python has it and this package; elsewhere its row says so.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import agnostic_rand as ar
from framework_nets import CASES, MODELS, Case, keras_model

OVERHEAD_BAR, XPLIQUE_BAR = 1.10, 3.5
BATCH_SIZE = 64
ROW = "{:16} {:8} {:>5}  {:32} {:>8} {:>5}"
Action = Callable[[], object]


PACKAGES = ("agnostic-rand", "numpy", "torch", "tensorflow", "tensorflow-cpu", "keras", "jax", "flax", "xplique")


def overhead(case: Case, backend: str, rounds: int) -> dict[str, Any]:
    """Bare explanations, a cascade after one compilation, and a whole call with all that it prepares."""
    if backend == "torch":
        import torch

        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    model = MODELS[backend](case)
    x, y = case.data(channels_first=backend == "torch")
    strategy = ar.CascadingRandomization()
    adapter = ar.adapt(model, example_inputs=x[:1])
    steps = len(strategy.plan(adapter.layers()).steps)
    parts = [slice(i, i + BATCH_SIZE) for i in range(0, case.samples, BATCH_SIZE)]
    batches = [(adapter.asarray(x[part]), adapter.asarray(y[part])) for part in parts]

    def metric(isolation: str | None) -> ar.ModelRandomizationMetric:
        return ar.ModelRandomizationMetric(
            model,
            x,
            y,
            randomization_strategy=strategy,
            batch_size=BATCH_SIZE,
            seed=0,
            measures=("spearman",),
            isolation=isolation,
        )

    # In place the second run finds what the first one compiled, which belongs to the model; PyTorch compiles
    # nothing, and makes its copy in no time.
    compiled = metric(None if backend == "torch" else "in_place")

    def bare() -> None:
        for _ in range(steps + 1):
            for inputs, targets in batches:
                adapter.to_numpy(abs(adapter.gradient(inputs, targets)))

    actions: dict[str, Action] = {
        "bare": bare,
        "ours": lambda: compiled.run("saliency"),
        "ours_whole": lambda: metric(None).run("saliency"),
    }
    times = interleaved(actions, rounds)
    ratios = {
        "overhead": ratio(times, "ours", "bare"),
        "whole_call": ratio(times, "ours_whole", "bare"),
    }
    return record(backend, case, steps, times, ratios, {"overhead": OVERHEAD_BAR})


def beside_xplique(case: Case, rounds: int) -> dict[str, Any]:
    """One step that randomizes everything, in Xplique's metric and in ours.

    Once with objects that were made and used before, so that whatever can be compiled is (Xplique makes
    another model for each batch, and compiles anew); once as whole calls, from the model to the score.
    """
    from xplique.attributions import Saliency
    from xplique.metrics import ModelRandomizationMetric, ProgressiveLayerRandomization

    model = keras_model(case)
    x, y = case.data(channels_first=False)
    labels = np.eye(10, dtype=np.float32)[y]

    def explainer() -> Any:
        return Saliency(model, batch_size=BATCH_SIZE)

    def theirs() -> Any:
        everything = ProgressiveLayerRandomization(stop_layer=1.0)
        return ModelRandomizationMetric(model, x, labels, everything, batch_size=BATCH_SIZE, seed=0)

    def ours(isolation: str | None = None) -> ar.ModelRandomizationMetric:
        return ar.ModelRandomizationMetric(
            model,
            x,
            y,
            randomization_strategy=ar.ProgressiveLayerRandomization(stop_layer=1.0),
            batch_size=BATCH_SIZE,
            seed=0,
            measures=("spearman",),
            isolation=isolation,
        )

    compiled, their_metric, their_explainer = ours("in_place"), theirs(), explainer()
    actions: dict[str, Action] = {
        "ours": lambda: compiled.evaluate("saliency"),
        "xplique": lambda: their_metric.evaluate(their_explainer),
        "ours_whole": lambda: ours().evaluate("saliency"),
        "ours_whole_its_explainer": lambda: ours().evaluate(explainer()),
        "xplique_whole": lambda: theirs().evaluate(explainer()),
    }
    times = interleaved(actions, rounds)
    ratios = {
        "xplique_over_ours": ratio(times, "xplique", "ours"),
        "whole_call": ratio(times, "xplique_whole", "ours_whole"),
        "whole_call_with_its_explainer": ratio(times, "xplique_whole", "ours_whole_its_explainer"),
    }
    return record("xplique", case, 1, times, ratios, {"xplique_over_ours": XPLIQUE_BAR})


def interleaved(actions: dict[str, Action], rounds: int) -> dict[str, list[float]]:
    """Wall times of all actions, in turn, after one call of each."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(rounds + 1):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            if number:
                times[name].append(time.perf_counter() - start)
    return times


def ratio(times: dict[str, list[float]], over: str, under: str) -> float:
    """The median of the ratios of neighbours in time: a drifting machine cancels."""
    return statistics.median(a / b for a, b in zip(times[over], times[under], strict=True))


def record(
    backend: str,
    case: Case,
    steps: int,
    times: dict[str, list[float]],
    ratios: dict[str, float],
    bars: dict[str, float],
) -> dict[str, Any]:
    """What one backend measured on one case, as plain values."""
    return {
        "backend": f"keras/{os.environ['KERAS_BACKEND']}" if backend == "keras" else backend,
        "case": case.name,
        "samples": case.samples,
        "steps": steps,
        "seconds": {name: statistics.median(values) for name, values in times.items()},
        "ratios": ratios,
        "bars": bars,
    }


def work(backend: str, case: Case, rounds: int) -> None:
    """Measure one backend here, and print the result on the last line."""
    warnings.simplefilter("ignore")
    found = beside_xplique(case, rounds) if backend == "xplique" else overhead(case, backend, rounds)
    print("\n" + json.dumps({**found, "versions": versions()}))


def versions() -> dict[str, str]:
    """The versions of what is installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def started(backend: str, case: Case, arguments: argparse.Namespace) -> dict[str, Any] | str:
    """The record of one backend from a process of its own, or why there is none."""
    threads = str(arguments.threads)
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", **dict.fromkeys(names, threads))
    environment.setdefault("KERAS_BACKEND", "tensorflow")
    if backend == "xplique":
        environment["KERAS_BACKEND"] = "tensorflow"
    python = arguments.xplique_python if backend == "xplique" else sys.executable
    command = [python, __file__, "--worker", backend, "--cases", case.name, "--rounds", str(arguments.rounds)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    if done.returncode:
        return lines[-1] if lines else f"exit {done.returncode}"
    measured: dict[str, Any] = json.loads(lines[-1])
    return measured


def save(arguments: argparse.Namespace, records: list[dict[str, Any]], failed: list[dict[str, str]]) -> None:
    """Write what there is so far."""
    if arguments.out:
        result = {"threads": arguments.threads, "rounds": arguments.rounds, "records": records, "failed": failed}
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backends", nargs="*", default=[*MODELS, "xplique"])
    parser.add_argument("--cases", nargs="*", default=[case.name for case in CASES])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--xplique-python", default=sys.executable)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    cases = [case for case in CASES if case.name in arguments.cases]
    if arguments.worker:
        work(arguments.worker, cases[0], arguments.rounds)
        return
    records, failed = [], []
    print(ROW.format("backend", "case", "steps", "ratio", "measured", "bar"))
    for backend in arguments.backends:
        for case in cases:
            found = started(backend, case, arguments)
            if isinstance(found, str):
                failed.append({"backend": backend, "case": case.name, "reason": found})
                save(arguments, records, failed)
                print(f"{backend:16} {case.name:8} not measured: {found[:40]}", flush=True)
                continue
            records.append(found)
            save(arguments, records, failed)
            for name, value in found["ratios"].items():
                bar = found["bars"].get(name, "")
                row = (found["backend"], case.name, found["steps"], name, f"{value:.3f}", bar)
                print(ROW.format(*row), flush=True)


if __name__ == "__main__":
    main()
