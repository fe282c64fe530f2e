"""Explanation methods: those of the literature, controls, and everybody's own."""

from agnostic_rand.explainers.context import ExplanationContext
from agnostic_rand.explainers.controls import ConstantMap, EdgeDetector, InputMap, RandomMap
from agnostic_rand.explainers.explainer import Explainer, bound_model
from agnostic_rand.explainers.external import BoundExplainer, FunctionExplainer
from agnostic_rand.explainers.gradient import Gradient, GradientTimesInput, IntegratedGradients, Saliency
from agnostic_rand.explainers.relu import GuidedBackprop
from agnostic_rand.explainers.resolve import CONTROLS, EXPLAINERS, ExplainerLike, resolve_explainer
from agnostic_rand.explainers.smoothing import SmoothGrad

__all__ = [
    "CONTROLS",
    "EXPLAINERS",
    "BoundExplainer",
    "ConstantMap",
    "EdgeDetector",
    "Explainer",
    "ExplainerLike",
    "ExplanationContext",
    "FunctionExplainer",
    "Gradient",
    "GradientTimesInput",
    "GuidedBackprop",
    "InputMap",
    "IntegratedGradients",
    "RandomMap",
    "Saliency",
    "SmoothGrad",
    "bound_model",
    "resolve_explainer",
]
