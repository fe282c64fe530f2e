"""The largest singular vectors of a weight, which spectral normalization divides by."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

_MOST_ITERATIONS = 1000
# The error of the norm is of the order of its square.
_TOLERANCE = 1e-4


def converged(weight: torch.Tensor, dim: int, u: torch.Tensor, v: torch.Tensor) -> None:
    """Write the first left and right singular vectors of `weight` into `u` and `v`.

    Args:
        weight: With its outputs in dimension `dim`; all others are flattened.
        dim: Where the outputs are.
        u: `(outputs,)`.
        v: `(all others,)`.
    """
    with torch.no_grad():
        matrix = weight.detach().movedim(dim, 0).flatten(1)
        matrix = matrix if matrix.dtype is torch.float64 else matrix.float()
        # A fixed start makes the vectors depend on the weight alone. Its irregular values are hardly
        # ever orthogonal to the vector that is sought, as those of equal size can be.
        start = torch.arange(1, matrix.shape[0] + 1, dtype=matrix.dtype, device=matrix.device)
        left = normalize(torch.sin(start * start), dim=0)
        for _ in range(_MOST_ITERATIONS):
            right = normalize(matrix.T @ left, dim=0)
            product = matrix @ right
            moved = normalize(product, dim=0)
            done = torch.linalg.vector_norm(moved - left) <= _TOLERANCE
            left = moved
            if done:
                break
        u.copy_(left)
        v.copy_(normalize(matrix.T @ left, dim=0))
