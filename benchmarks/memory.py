"""Peak memory of a run beyond the model, as a multiple of the model's size, where one layer holds all weights.

Run: python benchmarks/memory.py
Each isolation runs in a process of its own. Linux only: memory is read from /proc.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
import time

import numpy as np
import torch
from torch import nn

import agnostic_rand as ar

BAR = 2.2


def held() -> int:
    """The bytes that the process holds."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def measured(isolation: str) -> float:
    """The peak of one run over what was held before it, in sizes of the model."""
    net = nn.Sequential(nn.Linear(4, 6000), nn.ReLU(), nn.Linear(6000, 8000), nn.ReLU(), nn.Linear(8000, 3)).eval()
    size = sum(parameter.numel() * parameter.element_size() for parameter in net.parameters())
    inputs = np.random.default_rng(0).standard_normal((4, 4)).astype("f4")
    metric = ar.ModelRandomizationMetric(net, inputs, None, ar.FullRandomization(), isolation=isolation)
    before, peak, done = held(), [0], threading.Event()

    def watch() -> None:
        while not done.is_set():
            peak[0] = max(peak[0], held())
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    metric.run("gradient")
    done.set()
    watcher.join()
    return (peak[0] - before) / size


if __name__ == "__main__":
    if len(sys.argv) > 1:
        torch.set_num_threads(1)
        print(f"{sys.argv[1]:9} {measured(sys.argv[1]):.2f} x the model (bar {BAR})")
    else:
        for one in ("clone", "in_place"):
            subprocess.run([sys.executable, __file__, one], check=True)
