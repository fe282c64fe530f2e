"""Time of `sanity_check` as a ratio of another commit's: six explainers and four controls on a small CNN.

Run: python benchmarks/sanity.py COMMIT [--rounds 2] [--out benchmarks/results/sanity.json]
Both run in turn, in random order, each time in a process of its own with one thread; process time counts.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MEASURED = """
import time, numpy as np, torch
from torch import nn
import agnostic_rand as ar
torch.set_num_threads(1)
torch.manual_seed(0)
net = nn.Sequential(
    nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(8, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(16 * 49, 64), nn.ReLU(), nn.Linear(64, 10),
).eval()
inputs = np.random.default_rng(0).standard_normal((64, 1, 28, 28)).astype("f4")
explainers = ["gradient", "saliency", "gradient_times_input", "integrated_gradients", "smoothgrad"]
explainers += ["guided_backprop"]
ar.sanity_check(net, inputs[:8], np.arange(8), explainers=["gradient"], seed=0, draws=2, blocks=2)
start = time.process_time()
ar.sanity_check(net, inputs, np.arange(64) % 10, explainers=explainers, seed=0, draws=3, blocks=10)
print(time.process_time() - start)
"""


def seconds(tree: Path) -> float:
    """The process time of one check with the library of this tree."""
    paths = os.pathsep.join(str(tree / part) for part in ("src", "plugins"))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", MEASURED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    """Print the ratio of the medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("commit")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / "before"
        subprocess.run(["git", "worktree", "add", "-q", "--detach", before, given.commit], cwd=ROOT, check=True)
        try:
            found: dict[str, list[float]] = {"before": [], "now": []}
            for _ in range(given.rounds):
                for name, tree in random.sample([("before", before), ("now", ROOT)], 2):
                    found[name].append(seconds(tree))
                    print(f"{name:8}{found[name][-1]:8.1f} s", flush=True)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", before], cwd=ROOT, check=True)
    ratio = statistics.median(found["now"]) / statistics.median(found["before"])
    print(f"now / before {ratio:.2f}")
    if given.out:
        given.out.write_text(
            json.dumps({"commit": given.commit, "ratio": round(ratio, 3), **found}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
