"""Memory of a run: one copy of the model and one layer's new values, also where one layer holds all weights."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, threading, time
import numpy as np, torch
from torch import nn
import agnostic_rand as ar

net = nn.Sequential(nn.Linear(4, 4000), nn.ReLU(), nn.Linear(4000, 6000), nn.ReLU(), nn.Linear(6000, 3)).eval()
size = sum(p.numel() * p.element_size() for p in net.parameters())
x = np.random.default_rng(0).standard_normal((4, 4)).astype("f4")
ar.explain(net, x, None, "gradient")
metric = ar.ModelRandomizationMetric(net, x, None, ar.FullRandomization(), isolation=sys.argv[1])
def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
before, peak, done = held(), [0], threading.Event()
def watch():
    while not done.is_set():
        peak[0] = max(peak[0], held())
        time.sleep(0.001)
watcher = threading.Thread(target=watch)
watcher.start()
metric.run("gradient")
done.set()
watcher.join()
print((peak[0] - before) / size)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process where Linux tells it")
@pytest.mark.parametrize("isolation", ["clone", "in_place"])
def test_a_dominant_layer_needs_little_more_than_a_copy_of_the_model(isolation: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, isolation], capture_output=True, text=True, check=True)
    # Two of its size are the copy (or what is put back) and the drawn values; five were held at once before.
    assert float(done.stdout) < 2.7
