"""Values of Keras' backends on the host."""

from __future__ import annotations

from typing import Any

import numpy as np

from agnostic_rand.adapters import HostArray


def host_copy(value: Any) -> HostArray:
    """A NumPy array of its own; bfloat16, which NumPy lacks, comes as float32.

    `keras.ops.convert_to_numpy` calls what NumPy 2 warns of on tensors of torch and TensorFlow.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu().resolve_conj().resolve_neg()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    array = np.array(value.numpy() if hasattr(value, "numpy") else value)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
