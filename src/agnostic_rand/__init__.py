"""Does this explanation depend on what the model learned?

`agnostic_rand` randomizes a model's weights, explains again, and scores how much of the explanation
survived, for any model in any framework.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Any

__version__ = "0.1.0"


def _homes() -> dict[str, str]:
    """By public name, the module that has it: as the stub beside this file says, which type checkers read."""
    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    lines = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in lines for alias in node.names}


_HOMES = _homes()

__all__ = ["__version__", *sorted(_HOMES)]  # noqa: PLE0604 - names, read from the stub


def __getattr__(name: str) -> Any:
    """Import what a public name stands for when it is first asked for: importing the library is quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'agnostic_rand' has no attribute {name!r}")
    home = importlib.import_module(_HOMES[name])
    value = importlib.import_module(f"{_HOMES[name]}.{name}") if home.__name__ == __name__ else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
