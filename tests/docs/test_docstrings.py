"""The examples in docstrings run and give what they show."""

from __future__ import annotations

import doctest
import importlib
import warnings
from pathlib import Path

import pytest
from libraries import library

from agnostic_rand.explainers.bridges import BRIDGES

ROOT = Path(__file__).resolve().parents[2]
PROMPT = ">>> "
# The template is a distribution of its own, which is not installed: its tests run its examples.
FILES = [
    path
    for folder in ("src/agnostic_rand", "plugins/agnostic_rand_*")
    for root in ROOT.glob(folder)
    for path in sorted(root.rglob("*.py"))
    if PROMPT in path.read_text()
]
LIBRARIES = {module: name for name, module in BRIDGES.items()}


def module_name(path: Path) -> str:
    """The dotted name by which a file below `src` or `plugins` is imported."""
    inside = path.relative_to(ROOT).with_suffix("").parts[1:]
    return ".".join(inside).removesuffix(".__init__")


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_the_examples_give_what_they_show(path: Path) -> None:
    with warnings.catch_warnings():
        if path.parent.name == "bridges" and path.stem in LIBRARIES:
            library(LIBRARIES[path.stem])
            # Libraries warn of each other, also while an example imports a part of one.
            warnings.simplefilter("ignore")
        module = importlib.import_module(module_name(path))
        examples = [one for one in doctest.DocTestFinder(exclude_empty=True).find(module) if one.examples]
        report: list[str] = []
        runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
        for example in examples:
            runner.run(example, out=report.append)
    assert "".join(report) == ""
    # None is passed by because the finder does not reach the object that it belongs to.
    assert runner.tries == sum(line.lstrip().startswith(PROMPT) for line in path.read_text().splitlines())


def test_there_are_examples() -> None:
    assert len(FILES) > 50
