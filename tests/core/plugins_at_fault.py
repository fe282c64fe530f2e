"""Plugins in every state of disrepair, as modules that an entry point can name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

from agnostic_rand.adapters import API_VERSION, Claim, hookimpl

from .fakes import FakeAdapter, Net

Hook = Callable[..., Any]


def plugin(
    name: str, hook: Hook | None = None, *, as_name: str = "agnostic_rand_claim", **members: Any
) -> EntryPoint:
    """An entry point to a module with this hook, whose argument names are kept."""
    module = ModuleType(f"fake_plugin_{name}")
    if hook is not None:
        setattr(module, as_name, hookimpl(hook))
    for key, value in members.items():
        setattr(module, key, value)
    sys.modules[module.__name__] = module
    return EntryPoint(name, module.__name__, "agnostic_rand")


def claiming(backend: str, model_type: type = Net, *, api_version: int = API_VERSION, opened: Any = None) -> Hook:
    """A hook that claims instances of a type."""

    def known(model: object) -> bool:
        return isinstance(model, model_type)

    def open_adapter(model: Any) -> Any:
        return opened or (lambda request: FakeAdapter(model))

    def claim(model: Any) -> Claim | None:
        return Claim(backend, model_type, open_adapter(model), api_version) if known(model) else None

    return claim


@contextmanager
def forgotten() -> Iterator[None]:
    """Modules that plugins brought are forgotten at the end."""
    before = set(sys.modules)
    try:
        yield
    finally:
        for name in set(sys.modules) - before:
            if name.startswith("fake_plugin_"):
                del sys.modules[name]
