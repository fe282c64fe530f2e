"""Models whose weights cannot be read or written, refused with the way out."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from agnostic_rand.errors import ModelError


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


def refuse_packed(root: nn.Module) -> None:
    """Refuse a quantized module.

    Raises:
        ModelError: The weights of a part of it are packed, out of reach.
    """
    for path, module in root.named_modules():
        if hasattr(module, "_packed_params") or hasattr(module, "_weight_bias"):
            raise ModelError(
                f"the layer {path!r}",
                expected="weights in parameters",
                received=f"a quantized {type(module).__name__}, whose weights are packed",
                fix="Pass the model before quantization.",
            )
