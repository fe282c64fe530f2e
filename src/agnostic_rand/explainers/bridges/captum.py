"""Bridge to Captum."""

from __future__ import annotations

import functools
import inspect
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

from captum.attr import Attribution, LayerAttribution, NoiseTunnel
from torch import Tensor, nn

from agnostic_rand.adapters import Array
from agnostic_rand.errors import ArgumentError, unknown_name
from agnostic_rand.explainers.bridges.foreign import Batch
from agnostic_rand.explainers.bridges.torch_library import TorchExplainer

LIBRARY = "captum"

_OWN = ("inputs", "target")
"""What the bridge passes itself."""

_INTERPOLATION = {3: "linear", 4: "bilinear", 5: "trilinear"}

_ANNOUNCED = "Setting (forward, )?backward hooks|Input Tensor .* did not already|You are providing multiple inputs"
"""Captum warns of hooks and flags, which are taken away again, and of one fit for each sample of a batch."""


def bridge(candidate: Any) -> CaptumExplainer | None:
    """The explainer of an attribution method of Captum, bound or as a class; `None` for anything else."""
    if isinstance(candidate, Attribution):
        return CaptumExplainer(candidate)
    if isinstance(candidate, type) and issubclass(candidate, Attribution):
        _refuse_class(candidate)
        return CaptumExplainer(candidate)
    return None


@dataclass(frozen=True, eq=False, repr=False)
class CaptumExplainer(TorchExplainer):
    """An attribution method of Captum.

    Maps of a layer are summed over its channels where they are not the input's, and interpolated to
    the input's size, bilinearly for images.

    Args:
        method: An object that is bound to the model, such as `LayerGradCam(net, net.layer4)`; or a
            class that takes the model alone, such as `DeepLift`; or a function of the model, such as
            `lambda model: NoiseTunnel(Saliency(model))`.
        arguments: By name, further arguments of `attribute`.
        name: The name in results.

    Raises:
        ArgumentError: `method` is none of these, the model it is bound to cannot be found, or
            `attribute` takes other arguments.

    Example:
        >>> from captum.attr import Occlusion
        >>> CaptumExplainer(Occlusion, {"sliding_window_shapes": (1, 4, 4)}).name
        'captum_occlusion'
    """

    library: ClassVar[str] = LIBRARY

    def _kinds(self) -> tuple[type, ...]:
        return (Attribution,)

    def _parts(self) -> tuple[str, ...]:
        parts, method = super()._parts(), self.method
        while isinstance(method, NoiseTunnel):
            method = method.attribution_method
            parts = (*parts, type(method).__name__)
        return parts

    def _model(self, method: Any) -> nn.Module | None:
        return _held_model(method.forward_func)

    def _check(self, method: Any) -> None:
        taken = inspect.signature(method.attribute).parameters
        passed = "an argument of its own: the run passes it"
        for name in self.arguments:
            if name in _OWN:
                raise ArgumentError(f"arguments[{name!r}]", expected=passed, received="it", fix="Leave it out.")
            if name not in taken and not any(p.kind is p.VAR_KEYWORD for p in taken.values()):
                raise unknown_name(f"argument of {type(method).__name__}.attribute", name, taken)
        missing = [name for name, p in taken.items() if _is_required(p) and name not in (*_OWN, *self.arguments)]
        if missing:
            shown = ", ".join(f"{name!r}: ..." for name in missing)
            raise ArgumentError(
                f"the explainer {self.name!r}",
                expected=f"the arguments that its attribute method needs: {', '.join(missing)}",
                received="none of them",
                fix=f"Pass them by CaptumExplainer({self._parts()[0]}, {{{shown}}}).",
            )

    def _maps(self, method: Any, batch: Batch) -> Array:
        taken = inspect.signature(method.attribute).parameters
        arguments = dict(self.arguments)
        if "target" in taken or any(p.kind is p.VAR_KEYWORD for p in taken.values()):
            arguments["target"] = None if batch.single_output() else batch.targets
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=_ANNOUNCED)
            maps = method.attribute(batch.inputs, **arguments)
        return _fitted(maps.detach(), batch) if isinstance(maps, Tensor) else maps


def _fitted(maps: Tensor, batch: Batch) -> Tensor:
    """Maps of a layer where they can be laid over the inputs, others as they are."""
    shape = tuple(batch.inputs.shape)
    if tuple(maps.shape[:-1]) == shape:
        # Of an embedding: one vector for each token.
        return maps.sum(-1)
    has_space = maps.ndim == len(shape) and maps.ndim in _INTERPOLATION
    if tuple(maps.shape) == shape or not has_space or (batch.context.channel_axis or 1) % maps.ndim != 1:
        return maps
    summed = maps.sum(1, keepdim=True)
    if tuple(summed.shape[2:]) == shape[2:]:
        return summed
    fitted: Tensor = LayerAttribution.interpolate(summed, shape[2:], _INTERPOLATION[maps.ndim])
    return fitted


def _held_model(function: Any) -> nn.Module | None:
    """The model behind the function that an attribution calls."""
    if isinstance(function, nn.Module):
        return function
    owner = getattr(function, "__self__", None)
    if isinstance(owner, nn.Module):
        return owner
    values: tuple[Any, ...] = ()
    if isinstance(function, functools.partial):
        values = (*function.args, *function.keywords.values())
        function = function.func
    if inspect.isfunction(function):
        known = inspect.getclosurevars(function)
        values = (*values, *known.nonlocals.values(), *known.globals.values())
    models = {id(value): value for value in values if isinstance(value, nn.Module)}
    return next(iter(models.values())) if len(models) == 1 else None


def _is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD


def _refuse_class(kind: type[Attribution]) -> None:
    """Refuse a class that takes more than a model, and say how to pass it."""
    needed = [p.name for p in inspect.signature(kind).parameters.values() if _is_required(p)]
    if needed not in (["forward_func"], ["model"]) or not hasattr(kind, "attribute"):
        rest = "".join(
            f", {name}" for name in needed if name not in ("forward_func", "model", "attribution_method")
        )
        inner = "Saliency(model)" if "attribution_method" in needed else "model"
        raise ArgumentError(
            f"the class {kind.__name__} of captum",
            expected="an object that is bound to the model, or a class that takes the model alone",
            received=f"a class that takes {', '.join(needed)}",
            fix=f"Pass the object, or CaptumExplainer(lambda model: {kind.__name__}({inner}{rest})).",
        )
