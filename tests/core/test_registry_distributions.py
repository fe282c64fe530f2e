"""Plugins as they are installed: distributions with entry points, in an interpreter of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CLAIM = """
from agnostic_rand.adapters import Claim, hookimpl

@hookimpl
def agnostic_rand_claim(model):
    if isinstance(model, {kind}):
        return Claim({name!r}, {kind}, lambda request: None, 1)
"""

MODULES = {
    "good_backend": CLAIM.format(kind="dict", name="good"),
    "raising_backend": "import a_framework_that_is_broken\n",
    "syntax_backend": "def agnostic_rand_claim(model:\n",
    "misspelt_backend": CLAIM.format(kind="dict", name="misspelt").replace("rand_claim", "rand_clam"),
    "distant_backend": "REQUIRES = ('no_such_framework',)\n" + CLAIM.format(kind="list", name="distant"),
}

ASK = """
import json, sys
import agnostic_rand as ar
infos = [[i.name, i.distribution, i.version, i.status, i.reason] for i in ar.backends()]
try:
    ar.adapt({})
except ar.AgnosticRandError as error:
    told = f"{type(error).__name__}: {error}"
json.dump({"infos": infos, "told": told}, sys.stdout)
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder for the path of modules, with one distribution for each module."""
    for number, (module, text) in enumerate(MODULES.items(), start=1):
        (tmp_path / f"{module}.py").write_text(text)
        info = tmp_path / f"{module}-0.{number}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 0.{number}\n")
        name = module.removesuffix("_backend")
        (info / "entry_points.txt").write_text(f"[agnostic_rand]\n{name} = {module}\n")
    return tmp_path


def ask(site: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = dict(os.environ, PYTHONPATH=str(site), PYTHONWARNINGS="error", **environment)
    return subprocess.run(
        [sys.executable, "-c", ASK], env=variables, capture_output=True, text=True, check=False, timeout=60
    )


def test_installed_plugins_are_found_and_broken_ones_reported_with_their_distribution(site: Path) -> None:
    done = ask(site)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    infos = {name: (distribution, version, status) for name, distribution, version, status, _ in answer["infos"]}
    reasons = {info[0]: info[4] for info in answer["infos"]}
    assert infos["good"] == ("good_backend", "0.1", "usable")
    assert infos["raising"] == ("raising_backend", "0.2", "broken")
    assert infos["syntax"] == ("syntax_backend", "0.3", "broken")
    assert infos["misspelt"] == ("misspelt_backend", "0.4", "broken")
    assert infos["distant"] == ("distant_backend", "0.5", "framework missing")
    assert "a_framework_that_is_broken" in reasons["raising"]
    assert "SyntaxError" in reasons["syntax"]
    assert "agnostic_rand_clam" in reasons["misspelt"]
    # The good plugin was asked, in spite of the others; what it opened is no adapter.
    assert answer["told"].startswith("BackendError: backend 'good'")


def test_strict_mode_raises_at_the_first_broken_plugin(site: Path) -> None:
    done = ask(site, AGNOSTIC_RAND_STRICT="1")
    assert done.returncode != 0
    assert "PluginError" in done.stderr
    assert "_backend 0." in done.stderr
