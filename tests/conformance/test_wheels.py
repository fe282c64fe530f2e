"""Both distributions as a user gets them: built, installed into an environment without a framework, used."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="the wheels are built with hatchling, without a network")

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "plugins" / "example_numpy"
FRAMEWORKS = ("torch", "jax", "keras", "tensorflow", "tf_keras", "flax", "equinox")
REQUIRED = ("numpy", "scipy", "pluggy", "array-api-compat")


@dataclass(frozen=True)
class Environment:
    """A virtual environment with both wheels in it, and nothing but what they require."""

    python: Path
    wheels: tuple[Path, ...]

    def run(self, program: str) -> str:
        # Isolated: no variable of the outer environment, and not the folder of the sources.
        command = [str(self.python), "-I", "-W", "error", "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.python.parent)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("wheels")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder))
    pip("wheel", *options, str(ROOT), str(PLUGIN))
    wheels = tuple(sorted(folder.glob("*.whl")))
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    for name in REQUIRED:
        link(name, folder / "venv")
    pip("--python", str(python), "install", "--no-deps", "--no-index", *map(str, wheels))
    pip("--python", str(python), "check")
    return Environment(python, wheels)


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    if arguments[0] == "--python":
        command, arguments = [*command, *arguments[:2]], arguments[2:]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def link(distribution: str, environment: Path) -> None:
    """Make an installed distribution importable in another environment, as it is: no download, no copy."""
    paths = sysconfig.get_paths(vars={"base": str(environment), "platbase": str(environment)})
    target = Path(paths["purelib"])
    tops = {file.parts[0] for file in importlib.metadata.files(distribution) or () if file.parts[0] != ".."}
    for top in tops:
        source = Path(str(importlib.metadata.distribution(distribution).locate_file(top)))
        (target / top).symlink_to(source)


def test_the_wheels_hold_what_they_must_and_no_test(environment: Environment) -> None:
    assert [wheel.name.split("-")[0] for wheel in environment.wheels] == [
        "agnostic_rand",
        "agnostic_rand_example_numpy",
    ]
    core, plugin = (set(zipfile.ZipFile(wheel).namelist()) for wheel in environment.wheels)
    assert "agnostic_rand/py.typed" in core
    kit = {f"agnostic_rand/testing/{path.name}" for path in (ROOT / "src/agnostic_rand/testing").glob("*.py")}
    assert kit <= core
    assert "agnostic_rand_torch/__init__.py" in core
    assert not [name for name in core if "example" in name or "test_" in name or "/tests/" in name]
    adapter = {f"agnostic_rand_example_numpy/{name}.py" for name in ("__init__", "adapter", "network")}
    assert {name for name in plugin if name.endswith(".py")} == adapter


def test_every_built_in_plugin_is_in_the_wheel_under_an_entry_point(environment: Environment) -> None:
    archive = zipfile.ZipFile(environment.wheels[0])
    text = next(archive.read(name).decode() for name in archive.namelist() if name.endswith("entry_points.txt"))
    named = set(re.findall(r"^\w+ = (agnostic_rand_\w+)$", text, re.MULTILINE))
    there = {name.split("/")[0] for name in archive.namelist() if name.endswith("/__init__.py")}
    assert named
    assert named == {name for name in there if name.startswith("agnostic_rand_")}


def test_no_framework_is_there_and_the_built_in_backends_say_so(environment: Environment) -> None:
    program = f"""
import importlib.util, json
import agnostic_rand as ar
found = [name for name in {FRAMEWORKS!r} if importlib.util.find_spec(name) is not None]
print(json.dumps([found, {{i.name: [i.distribution, i.version, i.status] for i in ar.backends()}}]))
"""
    found, backends = json.loads(environment.run(program))
    assert found == []
    version = importlib.metadata.version("agnostic-rand")
    assert backends.pop("example_numpy") == ["agnostic-rand-example-numpy", "0.1.0", "usable"]
    assert backends
    assert set(map(tuple, backends.values())) == {("agnostic-rand", version, "framework missing")}


PROGRAM = """
import numpy as np
import agnostic_rand as ar
from agnostic_rand_example_numpy.network import BatchNorm, Dense, Network, ReLU

rng = np.random.default_rng(0)
hidden, norm, head = Dense.create(12, 16, rng), BatchNorm(16), Dense.create(16, 3, rng)
modules = {"head": head, "hidden": hidden, "norm": norm, "relu": ReLU()}
net = Network(modules, path=("hidden", "norm", "relu", "head"))
x = rng.standard_normal((40, 12)).astype("float32")
"""


def test_the_metric_runs_through_the_plugin(environment: Environment) -> None:
    program = (
        PROGRAM
        + """
before = {name: {key: value.copy() for key, value in vars(module).items()} for name, module in modules.items()}
strategy = ar.CascadingRandomization()
scores = {}
for name in ("gradient", "guided_backprop", "input_map", "smoothgrad"):
    metric = ar.ModelRandomizationMetric(net, x, randomization_strategy=strategy, seed=1)
    result = metric.run(name)
    scores[name] = result.scores["spearman"]
    assert scores[name].shape == (1, 3, 40), scores[name].shape
assert [step.name for step in result.steps] == ["head", "norm", "hidden"], result.steps
assert (scores["input_map"] == 1).all()
head, norm, hidden = scores["gradient"][0]
# The normalization is in its fresh state already, so that its step changes nothing.
assert (norm == head).all() and (hidden != norm).any() and abs(hidden.mean()) < 0.5
assert net.training
for name, held in before.items():
    for key, value in held.items():
        assert (vars(modules[name])[key] == value).all(), (name, key)
again = ar.ModelRandomizationMetric(net, x, randomization_strategy=strategy, seed=1, batch_size=7)
assert abs(again.run("gradient").scores["spearman"] - scores["gradient"]).max() < 1e-6
print(result.settings["framework"], result.settings["layer_order"])
"""
    )
    assert environment.run(program).strip() == "example_numpy traced"


def test_the_kit_runs_through_the_plugin_without_pytest(environment: Environment) -> None:
    program = (
        PROGRAM
        + """
import importlib.util
from agnostic_rand.testing import Case, Facts, Native, check_adapter
assert importlib.util.find_spec("pytest") is None

def make_cases():
    rng = np.random.default_rng(0)
    mlp = Network({"first": Dense.create(5, 8, rng), "relu": ReLU(), "head": Dense.create(8, 3, rng)})
    native = Native(flags=lambda net: net.training)
    return [Case("mlp", mlp, x[:8, :5], facts=Facts(parameter_count=75, dense_relu=True), native=native)]

print(check_adapter(make_cases))
"""
    )
    lines = environment.run(program).splitlines()
    assert re.fullmatch(r"conformance: (\d+) checks ran, \d+ skipped, 0 failed as expected, 0 violations", lines[0])
    assert int(lines[0].split()[1]) > 30
    assert lines[-1] == "[]"


def test_the_readme_of_the_plugin_runs(environment: Environment) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```$", (PLUGIN / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert -1 <= float(environment.run(block)) <= 0.5


def test_the_plugins_own_tests_pass_with_it_installed(environment: Environment) -> None:
    site = next(environment.python.parents[1].glob("lib/python*/site-packages"))
    inside = tuple(site.glob("agnostic_rand_example_numpy*"))
    assert len(inside) == 2
    folder = environment.python.parents[2] / "only_the_plugin"
    folder.mkdir()
    for path in inside:
        (folder / path.name).symlink_to(path)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", str(PLUGIN / "tests")]
    command += ["-o", f"pythonpath={folder}", "--rootdir", str(PLUGIN)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"TestNumPyBackend: \d\d checks ran on the cases mlp, deep", done.stdout)
