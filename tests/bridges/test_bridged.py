"""From an object to its bridge: which is imported for its own library's objects alone."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import Any

import pytest
from bridge_nets import Net
from libraries import library

import agnostic_rand as ar
from agnostic_rand.explainers import bridges
from agnostic_rand.explainers.bridges import bridged


def test_nothing_is_imported_before_an_object_of_its_library_comes() -> None:
    code = (
        "import sys; from agnostic_rand.explainers.bridges import bridged;"
        "assert bridged('saliency') is None and bridged(print) is None and bridged(dict) is None;"
        "loaded = {'torch', 'tensorflow', 'captum', 'shap', 'zennit', 'saliency'} & set(sys.modules);"
        "loaded |= {name for name in sys.modules if name.startswith('agnostic_rand.explainers.bridges.')};"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_another_librarys_bridge_stays_unloaded() -> None:
    library("captum")
    code = (
        "import sys, torch, captum.attr, agnostic_rand as ar;"
        "from agnostic_rand.explainers.bridges import bridged;"
        "assert bridged(captum.attr.Saliency).name == 'captum_saliency';"
        "own = 'agnostic_rand.explainers.bridges.';"
        "assert own + 'captum' in sys.modules and own + 'zennit' not in sys.modules;"
        "assert not {'shap', 'zennit', 'saliency', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("package", "name"), bridges.BRIDGES.items())
def test_each_bridge_names_its_library(package: str, name: str) -> None:
    library(package)
    assert package == importlib.import_module(f"agnostic_rand.explainers.bridges.{name}").LIBRARY


def test_a_subclass_of_the_users_own_is_known(net: Net) -> None:
    attr = library("captum.attr")

    class Mine(attr.Saliency):
        pass

    assert bridged(Mine(net)).name == "captum_mine"


def test_everything_else_is_nobodys() -> None:
    for candidate in ("saliency", ar.explainers.Gradient(), lambda model, x, y: x, 3, None, int):
        assert bridged(candidate) is None


@pytest.mark.parametrize("wrapper", ["CaptumExplainer", "PairExplainer", "ShapExplainer", "ZennitExplainer"])
def test_wrappers_are_found_in_the_package(wrapper: str) -> None:
    library({"CaptumExplainer": "captum", "PairExplainer": "saliency"}.get(wrapper, wrapper[:-9].lower()))
    assert getattr(bridges, wrapper).__name__ == wrapper
    assert wrapper in dir(bridges)


def test_an_unknown_name_of_the_package() -> None:
    with pytest.raises(AttributeError, match="NoExplainer"):
        _: Any = bridges.NoExplainer


def test_objects_and_classes_are_explainers_wherever_one_may_stand(net: Net) -> None:
    attr = library("captum.attr")
    for candidate in (attr.Saliency, attr.Saliency(net)):
        assert ar.explainers.resolve_explainer(candidate).name == "captum_saliency"
