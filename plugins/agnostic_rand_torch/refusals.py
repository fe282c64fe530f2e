"""Models whose weights cannot be read or written, refused with the way out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from agnostic_rand.adapters import HostArray
from agnostic_rand.errors import ModelError, WeightsError
from agnostic_rand_torch.arrays import host_copy
from agnostic_rand_torch.reparametrization import is_orthogonal


def refuse_unusable(path: str, tensor: torch.Tensor) -> None:
    """Refuse a parameter or buffer that holds no values.

    Raises:
        ModelError: It is lazy and not initialized, or on the meta device.
    """
    if isinstance(tensor, UninitializedParameter | UninitializedBuffer):
        raise ModelError(
            f"the parameter {path!r}",
            expected="an initialized parameter",
            received="one of a lazy module that has not been called yet",
            fix="Call the model once on a batch before the check.",
        )
    if tensor.is_meta:
        raise ModelError(
            f"the parameter {path!r}",
            expected="a parameter that holds values",
            received="one on the meta device",
            fix="Load the weights first, as with model.to_empty and load_state_dict.",
        )


def refuse_orthogonal(
    owner: nn.Module | None, layer: str, name: str, tensor: torch.Tensor, value: HostArray
) -> None:
    """Refuse other values for what an orthogonal weight is computed of.

    Torch computes such a weight of a part of these values, and beside them of a base or of signs that belong to
    the trained weight: with drawn values it would have rank 0, or stay half trained.

    Raises:
        WeightsError: The values differ from those that the parameter holds.
    """
    if owner is None or not is_orthogonal(owner, name) or np.array_equal(host_copy(tensor), value):
        return
    raise WeightsError(
        f"the layer {layer!r}",
        expected="weights that can be drawn",
        received="the original of an orthogonal parametrization, of which no drawn values make a random weight",
        fix=f"Pass exclude=[{layer!r}], or make it an ordinary kernel first: "
        "torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight').",
    )


def packed_weights(root: nn.Module) -> Iterator[tuple[str, nn.Module, torch.Tensor]]:
    """By path and module, the whole numbers that the weights of quantized layers are packed from.

    They can be looked at and not be written: a layer that a step names is refused, and the others run.

    Raises:
        ModelError: A packed weight cannot even be read.
    """
    inside: set[nn.Module] = set()
    for path, module in root.named_modules():
        if module in inside or not (hasattr(module, "_packed_params") or hasattr(module, "_weight_bias")):
            continue
        if not callable(getattr(module, "weight", None)):
            raise ModelError(
                f"the layer {path!r}",
                expected="weights in parameters",
                received=f"a quantized {type(module).__name__}, whose weights are packed",
                fix="Pass the model before quantization.",
            )
        inside.update(module.modules())
        yield path, module, module.weight().int_repr()


def is_packed(owner: nn.Module | None) -> bool:
    """Whether the module is a quantized one."""
    return owner is not None and hasattr(owner, "_packed_params")


def refuse_packed(owner: nn.Module | None, layer: str, tensor: torch.Tensor, value: HostArray) -> None:
    """Refuse other values for a weight that is packed.

    Raises:
        WeightsError: The values differ from those that it holds.
    """
    if is_packed(owner) and not np.array_equal(host_copy(tensor), value):
        raise WeightsError(
            f"the layer {layer!r}",
            expected="weights that can be written",
            received=f"a quantized {type(owner).__name__}, whose weights are packed",
            fix=f"Pass exclude=[{layer!r}], or the model before quantization.",
        )
