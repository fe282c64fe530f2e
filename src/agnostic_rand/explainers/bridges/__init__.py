"""Bridges to other libraries of explanations, each imported only for an object of its library.

A bridge gives an object, or a class, of its library as an explainer: bound to the randomized model,
in evaluation mode, with copies of the arrays, deterministic, and with nothing left behind. The
wrappers are public, for what an object alone does not say:

    >>> from agnostic_rand.explainers.bridges import CaptumExplainer
    >>> from captum.attr import IntegratedGradients
    >>> CaptumExplainer(IntegratedGradients, {"n_steps": 20})
    CaptumExplainer(IntegratedGradients, {'n_steps': 20})
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from agnostic_rand.explainers.explainer import Explainer

if TYPE_CHECKING:
    from agnostic_rand.explainers.bridges.captum import CaptumExplainer
    from agnostic_rand.explainers.bridges.pair import PairExplainer
    from agnostic_rand.explainers.bridges.pytorch_grad_cam import GradCamExplainer
    from agnostic_rand.explainers.bridges.shap import ShapExplainer
    from agnostic_rand.explainers.bridges.tf_keras_vis import TfKerasVisExplainer
    from agnostic_rand.explainers.bridges.xplique import XpliqueExplainer
    from agnostic_rand.explainers.bridges.zennit import ZennitExplainer

BRIDGES = {
    "captum": "captum",
    "zennit": "zennit",
    "shap": "shap",
    "saliency.core": "pair",
    "pytorch_grad_cam": "pytorch_grad_cam",
    "xplique": "xplique",
    "tf_keras_vis": "tf_keras_vis",
}
"""The module of this package for the objects of a library's package."""

_WRAPPERS = {
    "CaptumExplainer": "captum",
    "GradCamExplainer": "pytorch_grad_cam",
    "PairExplainer": "pair",
    "ShapExplainer": "shap",
    "TfKerasVisExplainer": "tf_keras_vis",
    "XpliqueExplainer": "xplique",
    "ZennitExplainer": "zennit",
}

__all__ = ["BRIDGES", "bridged"]


def bridged(candidate: Any) -> Explainer | None:
    """The explainer that an object or a class of a known library stands for; `None` for anything else.

    Args:
        candidate: What a user passed. Its classes tell its library, so that a subclass of a user's
            own is known too, and no library is imported for another's object.

    Raises:
        ArgumentError: It is of a known library, and cannot be used as it is; the message says how.
    """
    for kind in (candidate if isinstance(candidate, type) else type(candidate)).__mro__:
        for library, module in BRIDGES.items():
            if f"{kind.__module__}.".startswith(f"{library}."):
                bridge = import_module(f"{__name__}.{module}").bridge
                found: Explainer | None = bridge(candidate)
                return found
    return None


def __getattr__(name: str) -> Any:
    if name in _WRAPPERS:
        return getattr(import_module(f"{__name__}.{_WRAPPERS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, *_WRAPPERS]
