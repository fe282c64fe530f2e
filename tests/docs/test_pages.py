"""The code on the pages runs, and the commands, names and files on them exist."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from typer.main import get_command

import agnostic_rand as ar
from agnostic_rand.adapters import Registry
from agnostic_rand.cli.app import app
from agnostic_rand.explainers.registry import CONTROLS, METHODS, RELEVANCE
from agnostic_rand.explainers.resolve import resolve_explainer
from agnostic_rand.similarity import MEASURES

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
PAGES = (README, CONTRIBUTING, ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")


def blocks(page: Path, kind: str) -> list[str]:
    return [block for name, block in BLOCK.findall(page.read_text()) if name == kind]


def spans(page: Path) -> list[str]:
    """The code within sentences and tables."""
    return SPAN.findall(re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL))


def commands() -> list[list[str]]:
    lines = [line for page in PAGES for block in blocks(page, "console") for line in block.splitlines()]
    called = [one for line in lines if line.startswith("$ ") for one in line.removeprefix("$ ").split("&&")]
    return [shlex.split(one, comments=True) for one in called]


def small_cnn() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(800, 32), nn.ReLU(), nn.Linear(32, 3)
    )


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the pages take for granted, in a folder where files may be written."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)

    def my_function(model: Any, inputs: Any, targets: Any) -> Any:
        inputs = inputs.clone().requires_grad_()
        model(inputs).gather(1, targets[:, None]).sum().backward()
        return inputs.grad

    images = rng.standard_normal((12, 1, 12, 12)).astype(np.float32)
    known = {"ar": ar, "model": small_cnn(), "images": images, "labels": np.arange(12) % 3}
    return {**known, "ages": rng.standard_normal((12, 2)).astype(np.float32), "my_function": my_function}


def test_the_code_of_the_readme_runs(named: dict[str, Any], tmp_path: Path) -> None:
    code = blocks(README, "python")
    for block in code:
        exec(block, named)
    assert len(code) >= 2
    assert [one.name for one in named["report"].explainers[:3]] == ["gradient", "guided_backprop", "my_function"]
    assert named["scores"].scores["spearman"].shape == (2, 3, 3, 12)
    assert named["result"].scores["spearman"].shape == (3, 3, 12)
    assert ar.load(tmp_path / "smoothgrad.npz").explainer == "smoothgrad"


def test_a_score_is_made_again_by_hand_as_the_page_for_contributors_says(named: dict[str, Any]) -> None:
    (code,) = blocks(CONTRIBUTING, "python")
    exec(code, named)
    assert named["by_hand"] == pytest.approx(named["recorded"], abs=1e-6)
    assert 0.001 < abs(named["recorded"]) < 0.999


def test_the_call_of_another_form_runs(named: dict[str, Any]) -> None:
    class Answer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = small_cnn()

        def forward(self, *, pixel_values: Any) -> Any:
            return type("Output", (), {"logits": self.net(pixel_values)})

    (option,) = [span for span in spans(README) if span.startswith("forward=")]
    options = eval(f"dict({option})", named)
    subject = ar.Subject(Answer(), named["images"], named["labels"], seed=0, **options)
    assert np.isfinite(ar.ModelRandomization().run(subject, "gradient").mean()).all()


def test_the_call_of_several_inputs_runs(named: dict[str, Any]) -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.age = small_cnn(), nn.Linear(2, 3)

        def forward(self, image: Any, age: Any) -> Any:
            return self.net(image) + self.age(age)

    (call,) = [span for span in spans(README) if "explained_input=" in span and "(" in span]
    subject = eval(call, {**named, "model": Both()})
    assert np.isfinite(ar.ModelRandomization().run(subject, "gradient").mean()).all()


def cell(row: str) -> list[str]:
    """The names in a row of the README's table of parts."""
    (text,) = re.findall(rf"^\| {row} \| (.*) \|$", README.read_text(), re.MULTILINE)
    return [span for span in SPAN.findall(text) if span.isidentifier()]


@pytest.mark.parametrize(
    ("row", "module"),
    [("strategies", "weights.strategies"), ("perturbations", "weights.perturbations"), ("checks", "checks.")],
)
def test_the_readme_names_every_public_class_of_a_kind(row: str, module: str) -> None:
    homes = {name: str(getattr(getattr(ar, name), "__module__", "")) for name in ar.__all__ if name[0].isupper()}
    mine = {name for name, home in homes.items() if home.startswith(f"agnostic_rand.{module}") and "._" not in home}
    assert len(mine) > 3
    assert {name for name in cell(row) if name[0].isupper()} == mine - {"Check"}


@pytest.mark.parametrize(
    ("row", "known"), [("explainers", [*METHODS, *RELEVANCE]), ("controls", [*CONTROLS]), ("measures", [*MEASURES])]
)
def test_the_readme_lists_what_has_a_name(row: str, known: list[str]) -> None:
    assert sorted(cell(row)) == sorted(known)


def test_the_citation_is_of_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.findall(r"^version: (.*)$", citation, re.MULTILINE) == [ar.__version__]


def test_the_commands_of_the_pages_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    seen = {words[0] for words in commands()}
    suites = {suite.name for suite in runpy.run_path(str(ROOT / "tests/run.py"))["SUITES"]}
    assert seen == {"make", "pip", "python", "agnostic-rand"}
    for program, *words in commands():
        if program == "make":
            assert set(words) <= targets
        elif program == "python":
            script, *names = words
            assert (ROOT / script).is_file()
            assert set(names) <= suites
        elif program == "pip":
            assert set(re.findall(r"[\w-]+", words[-1].partition("[")[2])) <= extras
        else:
            monkeypatch.chdir(tmp_path)
            group = get_command(app)
            # Parsing stops with an error at a command, an option or a value that does not exist.
            name, command, rest = group.resolve_command(group.make_context("agnostic-rand", words), words)
            options = command.make_context(name, rest).params
            for explainer in options.get("explainers", "gradient").split(","):
                resolve_explainer(explainer)


@pytest.fixture
def my_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The plugin on the page about names of explainers, as if it were installed beside ours."""
    page = ROOT / "docs" / "name-an-explainer.md"
    (module,), (table,) = blocks(page, "python"), blocks(page, "toml")
    ((group, points),) = tomllib.loads(table)["project"]["entry-points"].items()
    ((name, place),) = points.items()
    file = tmp_path.joinpath(*place.split(".")).with_suffix(".py")
    file.parent.mkdir()
    file.write_text(module)
    monkeypatch.syspath_prepend(str(tmp_path))
    torch_backend = EntryPoint("torch", "agnostic_rand_torch", group)
    registry = Registry([torch_backend, EntryPoint(name, place, group)])
    monkeypatch.setattr("agnostic_rand.adapters.registry._installed", lambda: registry)
    yield
    for module_name in (place, file.parent.name):
        sys.modules.pop(module_name, None)


@pytest.mark.usefixtures("my_package")
def test_the_explainer_of_the_page_has_its_name() -> None:
    x = np.random.default_rng(0).standard_normal((4, 1, 12, 12)).astype(np.float32)
    maps = [ar.explain(small_cnn(), x, None, name) for name in ("negative_gradient", "gradient")]
    np.testing.assert_array_equal(maps[0], -maps[1])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_files_that_a_page_names_exist(page: Path) -> None:
    words = [word for span in spans(page) for word in span.split()]
    paths = [word for word in words if re.match(r"(docs|benchmarks|tests|plugins|src)/", word)]
    assert [path for path in paths if not (ROOT / path).exists()] == []
