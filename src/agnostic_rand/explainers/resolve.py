"""From what a user passes as an explainer to an `Explainer`."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeAlias

from agnostic_rand.adapters import plugin_explainers
from agnostic_rand.errors import ArgumentError, unknown_name
from agnostic_rand.explainers.at_layer import AtLayer
from agnostic_rand.explainers.bridges import bridged
from agnostic_rand.explainers.cam import GradCAM, GuidedGradCAM, HiResCAM, LayerCAM
from agnostic_rand.explainers.controls import (
    CompetitiveGradientTimesInput,
    ConstantMap,
    EdgeDetector,
    InputMap,
    InputTimesNoise,
    PermutedMap,
    RandomMap,
)
from agnostic_rand.explainers.explainer import Explainer
from agnostic_rand.explainers.external import BoundExplainer, FunctionExplainer
from agnostic_rand.explainers.gradient import Gradient, GradientTimesInput, Saliency
from agnostic_rand.explainers.masking import RISE, Occlusion
from agnostic_rand.explainers.naming import snake_case
from agnostic_rand.explainers.path import ExpectedGradients, IntegratedGradients
from agnostic_rand.explainers.relevance import LRP, RULES
from agnostic_rand.explainers.relu import Deconvnet, GuidedBackprop
from agnostic_rand.explainers.smoothing import SmoothGrad, SmoothGradSquared, VarGrad

ExplainerLike: TypeAlias = str | Explainer | Any

METHODS: dict[str, Any] = {
    "gradient": Gradient,
    "saliency": Saliency,
    "gradient_times_input": GradientTimesInput,
    "integrated_gradients": IntegratedGradients,
    "expected_gradients": ExpectedGradients,
    "smoothgrad": SmoothGrad,
    "smoothgrad_squared": SmoothGradSquared,
    "vargrad": VarGrad,
    "guided_backprop": GuidedBackprop,
    "deconvnet": Deconvnet,
    "gradcam": GradCAM,
    "guided_gradcam": GuidedGradCAM,
    "hirescam": HiResCAM,
    "layercam": LayerCAM,
    "occlusion": Occlusion,
    "rise": RISE,
}
"""The explanation methods that have a name; each value makes one with its defaults."""

CONTROLS: dict[str, Any] = {
    "random_map": RandomMap,
    "constant_map": ConstantMap,
    "input_map": InputMap,
    "edge_detector": EdgeDetector,
    "input_times_noise": InputTimesNoise,
    "permuted_map": PermutedMap,
    "competitive_gradient_times_input": CompetitiveGradientTimesInput,
}
"""Maps that explain nothing, by name, and one that is made to pass the test."""

RELEVANCE: dict[str, Any] = {f"lrp_{rule}": partial(LRP, rule) for rule in RULES}
"""Relevance propagation by its rule, for PyTorch where zennit is installed."""

_OWN = "agnostic_rand"

EXPLAINERS = METHODS | RELEVANCE | CONTROLS
"""Everything that has a name."""


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
    if not isinstance(explainer, (AtLayer, *METHODS.values())) or type(explainer).__module__.split(".")[0] != _OWN:
        return False
    inner = (value for value in vars(explainer).values() if isinstance(value, Explainer))
    return all(map(asks_adapter_only, inner))


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
