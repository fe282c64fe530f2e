"""What importing the library costs, and in which direction its modules import each other."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

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
            ("errors", "arguments"),
            ("adapters",),
            ("weights", "similarity"),
            ("explainers",),
            ("subject", "statistics"),
            ("results",),
            ("passes",),
            ("checks",),
            ("sanity",),
            ("report",),
            # The table of public names, which the command line imports as a user does.
            ("cli", "testing", ""),
        )
    )
    for name in names
}
# The conformance kit is a tool for plugin authors: it may use every part, and no part uses it.
NOBODY_IMPORTS = ("report", "cli", "testing", "")
MOST_AT_THE_TOP = 18


def loaded_by(code: str) -> set[str]:
    """The modules in an interpreter of its own after this code."""
    ending = "import json, sys; json.dump(sorted(sys.modules), sys.stdout)"
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


USE_IN_FORM = "import agnostic_rand; agnostic_rand.ModelRandomizationMetric"


@pytest.mark.parametrize(
    "code",
    ["import agnostic_rand", "import agnostic_rand as ar; ar.backends()", USE_IN_FORM, USE],
    ids=["importing", "listing backends", "naming a metric", "running a metric"],
)
def test_no_framework_and_no_optional_package_is_loaded(code: str) -> None:
    assert not loaded_by(code) & set(OPTIONAL)


def test_importing_loads_no_more_than_the_standard_library_and_itself() -> None:
    new = {name.partition(".")[0] for name in loaded_by("import agnostic_rand") - loaded_by("")}
    assert new - sys.stdlib_module_names == {"agnostic_rand"}


def test_a_metric_is_had_without_scipy_and_running_one_needs_no_optimizer() -> None:
    assert "scipy" not in loaded_by(USE_IN_FORM)
    assert "scipy.optimize" not in loaded_by(USE)


def test_a_metric_is_had_in_less_than_a_quarter_of_a_second_beyond_numpy(tmp_path: Path) -> None:
    code = f"import time, numpy; start = time.process_time(); {USE_IN_FORM}; print(time.process_time() - start)"
    # Compiled by the first, as an installed package is.
    compiled = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-c", code]
    done = [
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=compiled)
        for _ in range(4)
    ]
    # The least of the processor's seconds: what others do on the machine counts for nothing.
    assert min(float(one.stdout) for one in done) <= 0.25


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


def imports(tree: ast.Module) -> Iterator[str]:
    """What a module imports, in functions and for types too; of `from a import b` it is `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports would need resolving"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


CORE_MODULES = modules(CORE, "agnostic_rand")
# It imports what its table says, as soon as a name is asked for.
CORE_MODULES["agnostic_rand"] = ast.parse((CORE / "__init__.pyi").read_text())


def imported_modules(module: str) -> set[str]:
    """The modules of the core that one imports: the module itself, or that of which it imports a name."""
    named = {(name, name.rpartition(".")[0]) for name in imports(CORE_MODULES[module])}
    return {name if name in CORE_MODULES else home for name, home in named if {name, home} & set(CORE_MODULES)}


GRAPH = {module: imported_modules(module) for module in CORE_MODULES}
ARROWS = [(module, other) for module in GRAPH for other in GRAPH[module] if module != "agnostic_rand"]


def part(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_nothing_imports_what_is_above_it() -> None:
    assert [arrow for arrow in ARROWS if RANKS[part(arrow[1])] > RANKS[part(arrow[0])]] == []


def test_reports_the_command_line_and_the_kit_are_imported_by_nobody() -> None:
    wrong = [
        (module, other)
        for module, other in ARROWS
        if part(other) in NOBODY_IMPORTS and part(module) not in NOBODY_IMPORTS
    ]
    assert wrong == []


def test_no_file_imports_one_that_imports_it_not_even_lazily_for_types_or_by_way_of_others() -> None:
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' <- '.join(error.args[1])}")


def test_the_top_of_the_library_is_seen_at_a_glance() -> None:
    here = {path.name for path in CORE.iterdir()} - {"__pycache__"}
    assert len(here) <= MOST_AT_THE_TOP
    assert {Path(name).stem for name in here} == {*RANKS, "__init__", "py"} - {""}


def test_a_file_with_an_underscore_is_imported_within_its_own_folder_only() -> None:
    wrong = [
        (module, other)
        for module, other in ARROWS
        if "._" in other and other.rpartition(".")[0] != module.rpartition(".")[0]
    ]
    assert wrong == []


def test_the_core_names_no_framework_but_in_bridges_and_the_demo_not_even_inside_functions() -> None:
    wrong = [
        (module, name)
        for module, tree in CORE_MODULES.items()
        for name in imports(tree)
        if name.partition(".")[0] in HEAVY
        # A bridge to another library is loaded for that library's own objects only.
        and not module.startswith(
            ("agnostic_rand.cli.", "agnostic_rand.testing.", "agnostic_rand.explainers.bridges.")
        )
    ]
    assert wrong == []


@pytest.mark.parametrize("plugin", sorted(path.name for path in (ROOT / "plugins").glob("agnostic_rand_*")))
def test_built_in_plugins_use_no_private_path_of_the_core(plugin: str) -> None:
    allowed = ("agnostic_rand.adapters", "agnostic_rand.errors")
    wrong = [
        (module, name)
        for module, tree in modules(ROOT / "plugins" / plugin, plugin).items()
        for name in imports(tree)
        if name.startswith("agnostic_rand.") and (name in CORE_MODULES or name.rpartition(".")[0] in CORE_MODULES)
        # Names of the two public modules, not modules within them.
        if not (name in allowed or (name.rpartition(".")[0] in allowed and name not in CORE_MODULES))
    ]
    assert wrong == []
