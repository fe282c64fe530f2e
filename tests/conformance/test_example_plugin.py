"""The example plugin is small, uses public names only, and is what the page for authors shows."""

from __future__ import annotations

import ast
import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "plugins" / "example_numpy"
PACKAGE = PLUGIN / "src" / "agnostic_rand_example_numpy"
PAGE = ROOT / "docs" / "write-a-backend.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PUBLIC = {"agnostic_rand.adapters", "agnostic_rand.errors", "agnostic_rand.testing"}


def imported(path: Path) -> set[str]:
    """The modules of agnostic_rand that a file imports from."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name == "agnostic_rand" or name.startswith("agnostic_rand.")}


def test_the_plugins_hook_and_adapter_have_at_most_150_lines() -> None:
    assert sum(len((PACKAGE / name).read_text().splitlines()) for name in ("__init__.py", "adapter.py")) <= 150


@pytest.mark.parametrize("path", sorted(PLUGIN.rglob("*.py")), ids=lambda path: path.name)
def test_the_plugin_imports_public_modules_only(path: Path) -> None:
    assert imported(path) <= PUBLIC


def test_the_framework_of_the_plugin_knows_nothing_of_agnostic_rand() -> None:
    assert imported(PACKAGE / "network.py") == set()


@pytest.mark.parametrize(
    "path", sorted((ROOT / "src/agnostic_rand/testing").glob("*.py")), ids=lambda path: path.name
)
def test_the_kit_imports_public_modules_only(path: Path) -> None:
    allowed = {name for name in imported(path) if name.startswith("agnostic_rand.testing")}
    assert imported(path) - allowed <= {"agnostic_rand.adapters", "agnostic_rand.errors"}


def test_the_code_on_the_page_is_the_plugins_own() -> None:
    sources = [path.read_text() for path in (*PLUGIN.rglob("*.py"), PLUGIN / "pyproject.toml")]
    blocks = [block for kind, block in BLOCK.findall(PAGE.read_text()) if kind in ("python", "toml")]
    strangers = [block for block in blocks if not any(block in source for source in sources)]
    assert len(blocks) > 10
    assert strangers == []


def test_the_sessions_on_the_page_run_as_they_are_printed() -> None:
    sessions = [block for kind, block in BLOCK.findall(PAGE.read_text()) if kind == "pycon"]
    example = doctest.DocTestParser().get_doctest("".join(sessions), {}, PAGE.name, str(PAGE), 0)
    assert len(example.examples) > 5
    report: list[str] = []
    result = doctest.DocTestRunner().run(example, out=report.append)
    assert result.failed == 0, "".join(report)


def test_the_numbers_of_lines_on_the_page_are_right() -> None:
    for name, lines in re.findall(r"(\w+\.py) .* (\d+) lines$", PAGE.read_text(), re.MULTILINE):
        assert len((PACKAGE / name).read_text().splitlines()) == int(lines)


def test_the_page_is_read_in_a_quarter_of_an_hour() -> None:
    # Code and prose at 150 words a minute, which is slow.
    assert len(PAGE.read_text().split()) / 150 < 15


def test_the_network_does_what_its_docstring_shows() -> None:
    from agnostic_rand_example_numpy import network

    result = doctest.testmod(network)
    assert (result.attempted > 0, result.failed) == (True, 0)


def test_the_readme_has_every_file_of_the_plugin() -> None:
    named = set(re.findall(r"^\| `([^`]+)`", (PLUGIN / "README.md").read_text(), re.MULTILINE))
    there = {str(path.relative_to(PLUGIN)) for path in (*PLUGIN.rglob("*.py"), PLUGIN / "pyproject.toml")}
    assert named == there
