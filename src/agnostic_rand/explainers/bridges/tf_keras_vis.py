"""Bridge to tf-keras-vis."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
from tf_keras_vis import ModelVisualization
from tf_keras_vis.utils.scores import CategoricalScore

from agnostic_rand.adapters import HostArray
from agnostic_rand.explainers.bridges.foreign import Batch, ForeignExplainer

LIBRARY = "tf_keras_vis"


def bridge(candidate: Any) -> TfKerasVisExplainer | None:
    """The explainer of a visualization of tf-keras-vis, bound or as a class; `None` for anything else."""
    is_class = isinstance(candidate, type) and issubclass(candidate, ModelVisualization)
    return TfKerasVisExplainer(candidate) if is_class or isinstance(candidate, ModelVisualization) else None


@dataclass(frozen=True, eq=False, repr=False)
class TfKerasVisExplainer(ForeignExplainer):
    """A saliency or a class activation map of tf-keras-vis, `(n, h, w)`.

    Args:
        method: An object that is bound to the model; or a class; or a function of the model, such as
            `lambda model: Gradcam(model, model_modifier=ReplaceToLinear())`, which is the way for
            objects that keep a modified copy.
        arguments: By name, further arguments of the object's call, such as `penultimate_layer`.
        name: The name in results.

    Raises:
        ArgumentError: `method` is none of these.

    Example:
        >>> from tf_keras_vis.gradcam import Gradcam
        >>> TfKerasVisExplainer(Gradcam).name
        'tf_keras_vis_gradcam'
    """

    library: ClassVar[str] = LIBRARY
    framework: ClassVar[str] = "tensorflow"

    def _kinds(self) -> tuple[type, ...]:
        return (ModelVisualization,)

    def _model(self, method: Any) -> Any:
        return method.model

    def _native_kind(self) -> tuple[type, ...]:
        return (tf.keras.Model,)

    def _is_part(self, native: Any, model: Any) -> bool:
        # What is made for a call may hold a modified copy of the model that it is given.
        return True

    def _maps(self, method: Any, batch: Batch) -> HostArray:
        score = CategoricalScore([int(target) for target in batch.classes])
        with warnings.catch_warnings():
            # The library passes its inputs to a functional model as a list of one.
            warnings.filterwarnings("ignore", message="The structure of `inputs` doesn't match")
            return np.asarray(method(score, batch.inputs, **self.arguments))
