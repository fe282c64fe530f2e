"""What importing the library costs, and in which direction its modules import each other."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "src" / "agnostic_rand"
HEAVY = ("torch", "tensorflow", "tf_keras", "jax", "keras", "flax", "equinox")
OPTIONAL = (*HEAVY, "matplotlib", "pandas", "typer", "rich", "jinja2", "sklearn", "tqdm")

# By the first part of a module's name below agnostic_rand: it may import only its own rank and below.
RANKS = {
    name: rank
    for rank, names in enumerate(
        (
            ("errors", "arguments", "threads"),
            ("adapters",),
            ("weights", "similarity"),
            ("explainers",),
            ("subject", "statistics"),
            ("results",),
            ("passes",),
            ("checks",),
            ("sanity",),
            ("report",),
            ("cli",),
        )
    )
    for name in names
}
NOBODY_IMPORTS = ("report", "cli")


def loaded_by(code: str) -> set[str]:
    """The top-level modules in an interpreter of its own after this code."""
    ending = "import json, sys; json.dump(sorted({name.partition('.')[0] for name in sys.modules}), sys.stdout)"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{ending}"], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(done.stdout))


USE = f"""
import sys
sys.path.insert(0, {str(ROOT / "tests")!r})
import numpy as np
from importlib.metadata import EntryPoint
from core.fakes import Net
import agnostic_rand as ar
from agnostic_rand.adapters import Registry, registry
installed = Registry([EntryPoint("fake", "core.fakes", "agnostic_rand")])
registry._installed = lambda: installed
x = np.random.default_rng(0).standard_normal((4, 12))
result = ar.ModelRandomizationMetric(Net(), x, randomization_strategy=ar.CascadingRandomization()).run("smoothgrad")
result.interval()
"""


@pytest.mark.parametrize(
    "code",
    ["import agnostic_rand", "import agnostic_rand as ar; ar.backends()", USE],
    ids=["importing", "listing backends", "running a metric"],
)
def test_no_framework_and_no_optional_package_is_loaded(code: str) -> None:
    assert not loaded_by(code) & set(OPTIONAL)


def test_importing_loads_no_more_than_the_standard_library_and_itself() -> None:
    new = loaded_by("import agnostic_rand") - loaded_by("")
    assert {name for name in new if name not in sys.stdlib_module_names} == {"agnostic_rand"}


def test_importing_takes_less_than_a_quarter_of_a_second_beyond_numpy() -> None:
    code = (
        "import time, numpy; start = time.perf_counter(); import agnostic_rand; print(time.perf_counter() - start)"
    )
    command = [sys.executable, "-c", code]
    taken = [
        float(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
        for _ in range(5)
    ]
    assert median(taken) <= 0.25


def test_every_public_name_can_be_had() -> None:
    import agnostic_rand as ar

    assert set(ar.__all__) <= set(dir(ar))
    for name in ar.__all__:
        assert getattr(ar, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ar.nothing  # noqa: B018


def modules(folder: Path, prefix: str) -> dict[str, ast.Module]:
    """The syntax trees of a package's modules, by their full name."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = [prefix, *path.relative_to(folder).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text())
    return found


def imports(tree: ast.AST, *, everywhere: bool) -> Iterator[str]:
    """What a module imports when it is imported itself; or anywhere, in functions and for types too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports would need resolving"
            assert node.module is not None
            yield node.module
            # `from package import module` imports the module too.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif everywhere or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            if everywhere or not for_types:
                yield from imports(node, everywhere=everywhere)


CORE_MODULES = modules(CORE, "agnostic_rand")
# The conformance kit is a tool for plugin authors: it may use every part, and no part uses it.
CHECKED = {name: tree for name, tree in CORE_MODULES.items() if not name.startswith("agnostic_rand.testing")}


def part(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def rank(module: str) -> int:
    return RANKS[part(module)]


def imported_modules(tree: ast.AST) -> set[str]:
    return {name for name in imports(tree, everywhere=False) if name in CORE_MODULES}


def test_nothing_imports_what_is_above_it() -> None:
    wrong = [
        (module, other)
        for module, tree in CHECKED.items()
        for other in imported_modules(tree)
        if "agnostic_rand" not in (module, other) and rank(other) > rank(module)
    ]
    assert wrong == []


def test_reports_and_the_command_line_are_imported_by_nobody() -> None:
    wrong = [
        (module, other)
        for module, tree in CHECKED.items()
        for other in imported_modules(tree)
        if part(module) not in NOBODY_IMPORTS and part(other) in (*NOBODY_IMPORTS, "testing")
    ]
    assert wrong == []


def test_modules_do_not_import_each_other_in_circles() -> None:
    graph = {
        module: {
            other
            for other in imported_modules(tree)
            # A package's own __init__ is loaded before its modules, whoever imports them.
            if not module.startswith(f"{other}.")
        }
        for module, tree in CHECKED.items()
    }
    TopologicalSorter(graph).prepare()


def test_the_core_names_no_framework_but_in_bridges_and_the_demo_not_even_inside_functions() -> None:
    wrong = [
        (module, name)
        for module, tree in CHECKED.items()
        for name in imports(tree, everywhere=True)
        if name.partition(".")[0] in HEAVY
        # A bridge to another library is loaded for that library's own objects only.
        and part(module) != "cli"
        and not module.startswith("agnostic_rand.explainers.bridges.")
    ]
    assert wrong == []


@pytest.mark.parametrize("plugin", sorted(path.name for path in (ROOT / "plugins").glob("agnostic_rand_*")))
def test_built_in_plugins_use_no_private_path_of_the_core(plugin: str) -> None:
    allowed = ("agnostic_rand.adapters", "agnostic_rand.errors")
    wrong = [
        (module, name)
        for module, tree in modules(ROOT / "plugins" / plugin, plugin).items()
        for name in imports(tree, everywhere=True)
        if name.startswith("agnostic_rand.") and (name in CORE_MODULES or name.rpartition(".")[0] in CORE_MODULES)
        # Names of the two public modules, not modules within them.
        if not (name in allowed or (name.rpartition(".")[0] in allowed and name not in CORE_MODULES))
    ]
    assert wrong == []
