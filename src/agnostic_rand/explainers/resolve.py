"""Resolution of what a user passes as an explainer to an `Explainer`."""

from __future__ import annotations

from typing import Any, TypeAlias

from agnostic_rand.adapters import plugin_explainers
from agnostic_rand.errors import ArgumentError, unknown_name
from agnostic_rand.explainers.at_layer import AtLayer
from agnostic_rand.explainers.bridges import bridged
from agnostic_rand.explainers.explainer import Explainer
from agnostic_rand.explainers.external import BoundExplainer, FunctionExplainer
from agnostic_rand.explainers.named import NamedExplainer
from agnostic_rand.explainers.naming import snake_case
from agnostic_rand.explainers.registry import CONTROLS, EXPLAINERS, METHODS

ExplainerLike: TypeAlias = str | Explainer | Any

_OWN = "agnostic_rand"
_AROUND = (AtLayer, NamedExplainer)


def resolve_explainer(explainer: ExplainerLike, wrt_layer: str | None = None) -> Explainer:
    """The explainer that a name, a function or another library's object stands for.

    Args:
        explainer: A name such as `"saliency"`, an explainer of this library, a function
            `f(model, inputs, targets) -> maps`, or an object with `.explain(inputs, targets)`
            and `.model`.
        wrt_layer: The layer whose output a method of this library explains, or `None` for the
            inputs. Controls, functions and bound objects see the inputs themselves.

    Raises:
        UnknownNameError: The name stands for none.
        ArgumentError: The object is none of these.

    Example:
        >>> resolve_explainer("saliency")
        Saliency()
    """
    resolved = _resolved(explainer)
    if wrt_layer is not None and isinstance(resolved, tuple(METHODS.values())):
        return AtLayer(wrt_layer, resolved)
    return resolved


def asks_adapter_only(explainer: Explainer) -> bool:
    """Whether all that the method knows of the model comes from the adapter.

    Such a method is deterministic and bound to the model, and leaves nothing behind: the adapter is,
    by its contract. Of foreign code, and of methods around it, that must be seen.
    """
    if not isinstance(explainer, (*_AROUND, *METHODS.values())) or type(explainer).__module__.split(".")[0] != _OWN:
        return False
    inner = (value for value in vars(explainer).values() if isinstance(value, Explainer))
    return all(map(asks_adapter_only, inner))


def is_own(explainer: Explainer) -> bool:
    """Whether all of the method's code is this library's, a control's too: the same call gives the same maps."""
    if not isinstance(explainer, (*_AROUND, *METHODS.values(), *CONTROLS.values())):
        return False
    inner = (value for value in vars(explainer).values() if isinstance(value, Explainer))
    return type(explainer).__module__.split(".")[0] == _OWN and all(map(is_own, inner))


def _resolved(explainer: ExplainerLike) -> Explainer:
    if isinstance(explainer, str):
        return _named(explainer)
    foreign = bridged(explainer)
    if foreign is not None:
        return foreign
    if isinstance(explainer, type):
        raise ArgumentError(
            "explainer",
            expected="an explainer object or a name",
            received=f"the class {explainer.__name__}",
            fix=f"Make an object: {explainer.__name__}()",
        )
    if hasattr(explainer, "explain") and hasattr(explainer, "model"):
        return BoundExplainer(explainer, snake_case(type(explainer).__name__))
    if isinstance(explainer, Explainer):
        return explainer
    if callable(explainer):
        name = getattr(explainer, "__name__", None) or snake_case(type(explainer).__name__)
        return FunctionExplainer(explainer, "function" if name == "<lambda>" else name)
    raise ArgumentError(
        "explainer",
        expected="a name, an explainer, a function f(model, inputs, targets), or an object with "
        ".explain(inputs, targets) and .model",
        received=f"{type(explainer).__name__}",
        fix=f"Pass for example one of: {', '.join(EXPLAINERS)}.",
    )


def _named(name: str) -> Explainer:
    if name in EXPLAINERS:
        made: Explainer = EXPLAINERS[name]()
        return made
    others = plugin_explainers()
    if name not in others:
        raise unknown_name("explainer", name, [*EXPLAINERS, *others])
    return _resolved(others[name]())
