"""Bridge to pytorch-grad-cam."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from pytorch_grad_cam.base_cam import BaseCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from agnostic_rand.adapters import HostArray
from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers.bridges.foreign import Batch
from agnostic_rand.explainers.bridges.torch_library import TorchExplainer

LIBRARY = "pytorch_grad_cam"


def bridge(candidate: Any) -> GradCamExplainer | None:
    """The explainer of a class activation map that is bound to a model; `None` for anything else.

    Raises:
        ArgumentError: A class, which needs layers too.
    """
    if isinstance(candidate, type) and issubclass(candidate, BaseCAM):
        raise ArgumentError(
            f"the class {candidate.__name__} of pytorch_grad_cam",
            expected="an object that is bound to the model and its layers",
            received="a class, which needs layers too",
            fix=f"Pass {candidate.__name__}(model, [model.layer4]), or a function of the model: "
            f"GradCamExplainer(lambda model: {candidate.__name__}(model, [model.layer4])).",
        )
    return GradCamExplainer(candidate) if isinstance(candidate, BaseCAM) else None


@dataclass(frozen=True, eq=False, repr=False)
class GradCamExplainer(TorchExplainer):
    """A class activation map of pytorch-grad-cam, `(n, h, w)`; each map is scaled to [0, 1] by the library.

    Args:
        method: An object that is bound to the model, whose hooks on the model are the caller's; or a
            function of the model, such as `lambda model: GradCAM(model, [model.layer4])`, whose
            object's hooks are released after each call.
        arguments: By name, further arguments of the object's call: `aug_smooth`, `eigen_smooth`.
        name: The name in results.

    Raises:
        ArgumentError: `method` is none of these.

    Example:
        >>> from pytorch_grad_cam import GradCAM
        >>> GradCamExplainer(lambda model: GradCAM(model, [model.layer4]), name="cam").name
        'cam'
    """

    library: ClassVar[str] = LIBRARY

    def _kinds(self) -> tuple[type, ...]:
        return (BaseCAM,)

    def _model(self, method: Any) -> nn.Module | None:
        model: nn.Module = method.model
        return model

    def _release(self, method: Any) -> None:
        method.activations_and_grads.release()

    def _maps(self, method: Any, batch: Batch) -> HostArray:
        targets = [ClassifierOutputTarget(int(target)) for target in batch.classes]
        # With a leaf that records gradients the library works on frozen models too.
        maps: HostArray = method(batch.inputs.requires_grad_(), targets, **self.arguments)
        return maps
