"""What `make test` runs: every test, and the core on the oldest dependencies that are allowed."""

from __future__ import annotations

import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def suites() -> tuple[Any, ...]:
    found: tuple[Any, ...] = runpy.run_path(str(ROOT / "tests/run.py"))["SUITES"]
    return found


def test_every_file_of_tests_is_in_a_suite(suites: tuple[Any, ...]) -> None:
    paths = [ROOT / path for suite in suites for path in suite.paths]
    files = {file for path in paths for file in ([path] if path.is_file() else path.rglob("test_*.py"))}
    assert files == set((ROOT / "tests").rglob("test_*.py"))


def test_every_path_of_a_suite_exists(suites: tuple[Any, ...]) -> None:
    assert [path for suite in suites for path in suite.paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", ["nosuch", "core nosuch"])
def test_an_unknown_suite_is_refused(name: str) -> None:
    command = [sys.executable, str(ROOT / "tests/run.py"), *name.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("no suite nosuch: there are torch, ")


def test_a_suite_of_a_path_that_does_not_exist_is_refused() -> None:
    runner = runpy.run_path(str(ROOT / "tests/run.py"))
    chosen = runner["chosen"]
    chosen.__globals__["SUITES"] = (runner["Suite"]("broken", ("tests/core", "tests/nosuch"), "none"),)
    with pytest.raises(SystemExit, match="suite broken: tests/nosuch does not exist"):
        chosen([])


def test_the_oldest_pins_are_those_that_the_project_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [line.partition(";") for line in (ROOT / "constraints-oldest.txt").read_text().splitlines()]
    pins = dict(line.split("==") for line, _, marker in lines if "==" in line and ">=" not in marker)
    test = [line for line in project["optional-dependencies"]["test"] if line.startswith(("pytest", "hypothesis"))]
    allowed = dict(line.split(">=") for line in project["dependencies"] + test)
    assert {name: pin.removesuffix(".0") for name, pin in pins.items()} == allowed
