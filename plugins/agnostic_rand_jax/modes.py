"""The arguments by which a module's call is told whether it trains, and what tells that it does."""

from __future__ import annotations

import inspect
from typing import Any

from agnostic_rand.errors import ModelError

_TRAINS = frozenset({"train", "training", "is_training"})
_EVALUATES = frozenset({"deterministic", "use_running_average"})
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def mode_arguments(module: Any, inputs: Any, *, training: bool = False) -> dict[str, bool]:
    """The mode, by those names of flags that the module's call takes.

    Args:
        module: A module that is called as `module(inputs)`.
        inputs: What it is called with: flags among them stay as they are.
        training: The mode.
    """
    try:
        accepted = list(inspect.signature(type(module).__call__).parameters.values())[1:]
    except (TypeError, ValueError):
        return {}
    if isinstance(inputs, dict):
        accepted = [parameter for parameter in accepted if parameter.name not in inputs]
    else:
        taken = len(inputs) if isinstance(inputs, tuple) else 1
        positional = [parameter for parameter in accepted if parameter.kind in _POSITIONAL][:taken]
        accepted = [parameter for parameter in accepted if parameter not in positional]
    flags = {parameter.name: parameter.default for parameter in accepted if _is_flag(parameter)}
    modes = {name: training for name in flags if name in _TRAINS}
    modes |= {name: not training for name in flags if name in _EVALUATES}
    # Linen takes a flag in one place only: what a module keeps for calls that say nothing need not be said.
    kept = {name for name in modes if flags[name] is None and getattr(module, name, None) is modes[name]}
    return {name: mode for name, mode in modes.items() if name not in kept}


def trains(name: str, sign: str, how: str) -> ModelError:
    """The error of a model that is in training mode where it should be in evaluation mode.

    Args:
        name: The model's name.
        sign: What it does.
        how: How it is called in evaluation mode.
    """
    return ModelError(
        f"the model {name}",
        expected="a call in evaluation mode, in which an output depends on its own input alone",
        received=f"one in training mode: {sign}",
        fix=f"Pass forward={how}, or set the flag that the model keeps itself, such as training, before the check.",
    )


def _is_flag(parameter: inspect.Parameter) -> bool:
    known = parameter.default is parameter.empty or parameter.default in (True, False, None)
    return known and parameter.kind in _NAMED
