"""Run all tests: one process for each backend, so that no framework sees another by accident.

Usage: python tests/run.py [SUITE ...]
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COUNTED = re.compile(r"(\d+) (passed|failed|skipped|error|errors|xfailed)")


@dataclass(frozen=True)
class Suite:
    """One process: folders or files of tests, and the backend that must be there."""

    name: str
    paths: tuple[str, ...]
    backend: str
    keras: str = ""
    python: str = sys.executable


_BY_KERAS = tuple(
    f"tests/together/test_{what}_agree.py" for what in ("methods", "tokens", "several_inputs", "spaces")
)

# The longest first, so that the two workers end together.
SUITES = (
    Suite("torch", ("tests/on_torch",), "torch"),
    Suite("jax", ("tests/on_jax",), "jax"),
    Suite("keras-torch", ("tests/on_keras",), "keras", "torch"),
    Suite("keras-tensorflow", ("tests/on_keras",), "keras", "tensorflow"),
    Suite("keras-jax", ("tests/on_keras",), "keras", "jax"),
    Suite("tensorflow", ("tests/on_tensorflow",), "tensorflow"),
    Suite("conformance", ("tests/conformance",), "torch"),
    Suite("together", ("tests/together",), "torch", "torch"),
    Suite(
        "methods-keras-tensorflow",
        _BY_KERAS,
        "keras",
        "tensorflow",
    ),
    Suite(
        "methods-keras-jax",
        _BY_KERAS,
        "keras",
        "jax",
    ),
    Suite("checks", ("tests/checks",), "torch", "torch"),
    Suite("bridges", ("tests/bridges",), "torch"),
    Suite("core", ("tests/core",), "none"),
    Suite("oldest", ("tests/core",), "none", python=f"{sys.prefix}-oldest/bin/python"),
    Suite("cli", ("tests/report", "tests/cli"), "torch"),
    Suite("docs", ("tests/docs",), "torch", "torch"),
)


def run(suite: Suite) -> tuple[Suite, int, str, float]:
    """The exit code and the output of one suite."""
    start = time.monotonic()
    environment = dict(os.environ, AGNOSTIC_RAND_TEST_BACKEND=suite.backend, TF_CPP_MIN_LOG_LEVEL="3")
    environment.pop("KERAS_BACKEND", None)
    if suite.keras:
        environment["KERAS_BACKEND"] = suite.keras
    command = [suite.python, "-m", "pytest", "-q", "--durations=5", "-p", "no:cacheprovider", *suite.paths]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return suite, done.returncode, done.stdout + done.stderr, time.monotonic() - start


def chosen(names: list[str]) -> list[Suite]:
    """The suites of these names, or all; stops where one does not exist, or names what does not."""
    unknown = set(names) - {suite.name for suite in SUITES}
    if unknown:
        sys.exit(f"no suite {', '.join(sorted(unknown))}: there are {', '.join(suite.name for suite in SUITES)}")
    wanted = [suite for suite in SUITES if not names or suite.name in names]
    for suite in wanted:
        absent = [path for path in (*suite.paths, suite.python) if not (ROOT / path).exists()]
        if absent:
            sys.exit(f"suite {suite.name}: {', '.join(absent)} does not exist (`make test` makes environments)")
    return wanted


def main() -> int:
    """Run the suites that were named, or all; 1 if any failed or ran no test."""
    wanted = chosen(sys.argv[1:])
    totals = dict.fromkeys(("passed", "failed", "skipped"), 0)
    lines = []
    broken = False
    with ThreadPoolExecutor(max_workers=2) as pool:
        for suite, code, output, seconds in pool.map(run, wanted):
            print(f"===== {suite.name}: exit {code} after {seconds:.0f} s", flush=True)
            print(output if code else "\n".join(output.splitlines()[-12:]), flush=True)
            counts = dict.fromkeys(("passed", "failed", "skipped"), 0)
            for number, word in COUNTED.findall(output.splitlines()[-1] if output.strip() else ""):
                key = {"error": "failed", "errors": "failed", "xfailed": "passed"}.get(word, word)
                counts[key] += int(number)
            broken = broken or code != 0 or counts["passed"] == 0
            lines.append(
                f"{suite.name:24} {counts['passed']:5} passed {counts['failed']:3} failed "
                f"{counts['skipped']:3} skipped  {seconds:5.0f} s"
            )
            for key in totals:
                totals[key] += counts[key]
    print("\n".join(lines))
    print(f"{totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped")
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
