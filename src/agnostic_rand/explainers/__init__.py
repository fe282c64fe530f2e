"""Explanation methods: those of the literature, controls, and everybody's own."""

from agnostic_rand.explainers.at_layer import AtLayer
from agnostic_rand.explainers.cam import GradCAM, GuidedGradCAM, HiResCAM, LayerCAM
from agnostic_rand.explainers.context import ExplanationContext
from agnostic_rand.explainers.controls import (
    CompetitiveGradientTimesInput,
    ConstantMap,
    EdgeDetector,
    InputMap,
    InputTimesNoise,
    PermutedMap,
    RandomMap,
)
from agnostic_rand.explainers.explainer import Explainer, bound_model, settled
from agnostic_rand.explainers.external import BoundExplainer, FunctionExplainer
from agnostic_rand.explainers.gradient import Gradient, GradientTimesInput, Saliency
from agnostic_rand.explainers.masking import RISE, Occlusion
from agnostic_rand.explainers.path import ExpectedGradients, IntegratedGradients
from agnostic_rand.explainers.registry import CONTROLS, EXPLAINERS, METHODS
from agnostic_rand.explainers.relevance import LRP
from agnostic_rand.explainers.relu import Deconvnet, GuidedBackprop
from agnostic_rand.explainers.resolve import ExplainerLike, asks_adapter_only, is_own, resolve_explainer
from agnostic_rand.explainers.smoothing import SmoothGrad, SmoothGradSquared, VarGrad

__all__ = [
    "CONTROLS",
    "EXPLAINERS",
    "LRP",
    "METHODS",
    "RISE",
    "AtLayer",
    "BoundExplainer",
    "CompetitiveGradientTimesInput",
    "ConstantMap",
    "Deconvnet",
    "EdgeDetector",
    "ExpectedGradients",
    "Explainer",
    "ExplainerLike",
    "ExplanationContext",
    "FunctionExplainer",
    "GradCAM",
    "Gradient",
    "GradientTimesInput",
    "GuidedBackprop",
    "GuidedGradCAM",
    "HiResCAM",
    "InputMap",
    "InputTimesNoise",
    "IntegratedGradients",
    "LayerCAM",
    "Occlusion",
    "PermutedMap",
    "RandomMap",
    "Saliency",
    "SmoothGrad",
    "SmoothGradSquared",
    "VarGrad",
    "asks_adapter_only",
    "bound_model",
    "is_own",
    "resolve_explainer",
    "settled",
]
