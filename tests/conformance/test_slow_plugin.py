"""A plugin that takes five seconds to load costs them once, and only where a model is adapted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SLOW = """
import pathlib, time
with (pathlib.Path(__file__).parent / "loads.txt").open("a") as log:
    print("loading", file=log)
time.sleep(5)
from agnostic_rand.adapters import hookimpl

@hookimpl
def agnostic_rand_claim(model):
    return None
"""

PROGRAM = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
import numpy
import agnostic_rand as ar
untouched = "slow_backend" not in sys.modules

def timed(call, *arguments):
    start = time.monotonic()
    try:
        call(*arguments)
    except ar.AgnosticRandError:
        pass
    return time.monotonic() - start

with ThreadPoolExecutor(2) as pool:
    first = list(pool.map(timed, [ar.adapt, ar.adapt], [object(), object()]))
later = [timed(ar.adapt, object()), timed(ar.backends)]
states = {info.name: info.status for info in ar.backends()}
json.dump([untouched, first, later, states], sys.stdout)
"""


def test_a_slow_plugin_is_loaded_once_and_not_at_import(tmp_path: Path) -> None:
    (tmp_path / "slow_backend.py").write_text(SLOW)
    info = tmp_path / "slow_backend-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow_backend\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[agnostic_rand]\nslow = slow_backend\n")
    environment = dict(os.environ, PYTHONPATH=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    untouched, first, later, states = json.loads(done.stdout)
    assert untouched
    assert (tmp_path / "loads.txt").read_text() == "loading\n"
    assert min(first) > 4
    assert max(later) < 4
    assert states["slow"] == "usable"
