"""Between tensors and host arrays."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from agnostic_rand.adapters import Array, HostArray

_HALF = (torch.float16, torch.bfloat16)


def own_tensor(x: Array, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """A copy on the device; floating values as `dtype`."""
    with torch.inference_mode(False):
        tensor = x.detach().clone() if isinstance(x, torch.Tensor) else torch.from_numpy(np.array(x))
        # The type first: some devices lack double precision.
        return tensor.to(dtype if tensor.is_floating_point() else tensor.dtype).to(device)


def full_precision(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor; as float32 where it is of half precision."""
    return tensor.float() if tensor.dtype in _HALF else tensor


def host(tensor: torch.Tensor) -> HostArray:
    """The values, in a type that can be computed with; a view where the tensor is on the host."""
    array: HostArray = full_precision(tensor.detach()).cpu().resolve_conj().resolve_neg().numpy()
    return array


def host_copy(tensor: torch.Tensor) -> HostArray:
    """The values as they are held; only what NumPy lacks, bfloat16, becomes float32."""
    held = tensor.detach()
    return np.array((held.float() if held.dtype is torch.bfloat16 else held).cpu().numpy())


def tensor_of(value: HostArray) -> torch.Tensor:
    """A tensor over the array's memory, or over a copy where that is read-only or runs backwards."""
    return torch.from_numpy(
        np.require(value, requirements=["W"]) if min((*value.strides, 0)) >= 0 else value.copy()
    )


def write_back(values: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Give each tensor the values of the one beside it, in place."""
    for tensor, value in values:
        with torch.inference_mode(tensor.is_inference()), torch.no_grad():
            tensor.copy_(value)
