"""Bridge to Xplique."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
from xplique.attributions import DeconvNet, GuidedBackprop
from xplique.attributions.base import BlackBoxExplainer

from agnostic_rand.adapters import HostArray
from agnostic_rand.explainers.bridges.foreign import Batch, ForeignExplainer
from agnostic_rand.explainers.bridges.weight_copies import with_weights_of

LIBRARY = "xplique"


def bridge(candidate: Any) -> XpliqueExplainer | None:
    """The explainer of an attribution method of Xplique, bound or as a class; `None` for anything else."""
    is_class = isinstance(candidate, type) and issubclass(candidate, BlackBoxExplainer)
    return XpliqueExplainer(candidate) if is_class or isinstance(candidate, BlackBoxExplainer) else None


@dataclass(frozen=True, eq=False, repr=False)
class XpliqueExplainer(ForeignExplainer):
    """An attribution method of Xplique, on a Keras model on TensorFlow.

    `GuidedBackprop` and `DeconvNet` keep a copy of the model with other ReLUs. They are bound to no
    model: the copy gets the randomized model's weights for each call, and its own back afterwards.

    Args:
        method: An object that is bound to the model; or a class of Xplique; or a function of the
            model, such as `lambda model: GradCAM(model, conv_layer="conv2")`.
        arguments: None: methods take theirs when they are made.
        name: The name in results.

    Raises:
        ArgumentError: `method` is none of these.

    Example:
        >>> from xplique.attributions import Saliency
        >>> XpliqueExplainer(Saliency).name
        'xplique_saliency'
    """

    library: ClassVar[str] = LIBRARY
    framework: ClassVar[str] = "tensorflow"

    @property
    def bound_model(self) -> Any | None:
        """The model that the object holds; `None` where it holds a copy, or is made for each call."""
        return None if isinstance(self.method, GuidedBackprop | DeconvNet) else super().bound_model

    def _kinds(self) -> tuple[type, ...]:
        return (BlackBoxExplainer,)

    def _model(self, method: Any) -> Any:
        return method.model

    def _native_kind(self) -> tuple[type, ...]:
        return (tf.keras.Model,)

    def _is_part(self, native: Any, model: Any) -> bool:
        # Some methods hold a copy or a part of the model that they are given: it gets the weights.
        return True

    def _maps(self, method: Any, batch: Batch) -> HostArray:
        native = batch.adapter.native
        if method.model is native:
            return np.asarray(method.explain(batch.inputs, batch.one_hot()))
        with with_weights_of(native, method.model, self.name):
            return np.asarray(method.explain(batch.inputs, batch.one_hot()))
