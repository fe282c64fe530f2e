"""What the claims are measured with beside the library's own checks, and how a measured claim is shown."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import torch
from scipy.ndimage import uniform_filter1d
from torch import nn

from agnostic_rand.similarity import MapForm
from agnostic_rand.similarity.measures import pairwise_measure


@dataclass(frozen=True)
class Row:
    """A number and its bounds; no number where it could not be measured, no bounds where it only explains."""

    what: str
    value: float | None
    at_least: float | None = None
    at_most: float | None = None
    reason: bool = False

    def as_reason(self) -> Row:
        """The same, measured in another setting to find out why; it does not count for the claim."""
        return replace(self, reason=True)

    @property
    def bound(self) -> str:
        if self.at_least is not None and self.at_most is not None:
            return f"{self.at_least:.2f} to {self.at_most:.2f}"
        if self.at_least is not None:
            return f">= {self.at_least:.2f}"
        return "" if self.at_most is None else f"<= {self.at_most:.3g}"

    @property
    def holds(self) -> bool | None:
        if self.value is None or (self.at_least is None and self.at_most is None):
            return None
        low = -np.inf if self.at_least is None else self.at_least
        high = np.inf if self.at_most is None else self.at_most
        return bool(low <= self.value <= high)

    @property
    def answer(self) -> str:
        if self.value is None:
            return "not measured"
        return {True: "yes", False: "no", None: ""}[self.holds]

    def record(self) -> dict[str, Any]:
        value = None if self.value is None else round(float(self.value), 4)
        return {"what": self.what, "value": value, "bound": self.bound, "holds": self.holds, "reason": self.reason}


def print_rows(claim: str, title: str, rows: Sequence[Row]) -> None:
    """At most 80 columns; an asterisk before what explains and does not count."""
    print(f"\n{claim:>2}  {title}")
    for row in rows:
        value = "" if row.value is None else f"{row.value:.3f}"
        print(f"{'*' if row.reason else ' ':>3} {row.what:47.47}{value:>7} {row.bound:14}{row.answer}".rstrip())


def _flat_ssim(first: Any, second: Any) -> Any:
    """SSIM of maps laid out as one row of pixels: a window of 7, sample covariance, the pair's joint range.

    This is what Quantus computes, whose SSIM takes flattened maps, after its second-moment scaling.
    """
    a, b = (np.asarray(maps, dtype=np.float64).reshape(len(maps), -1) for maps in (first, second))
    a, b = (rows / np.sqrt((rows**2).mean(1, keepdims=True)) for rows in (a, b))
    spread = np.maximum(a.max(1), b.max(1)) - np.minimum(a.min(1), b.min(1))
    small, structure = (0.01 * spread[:, None]) ** 2, (0.03 * spread[:, None]) ** 2
    inner = slice(3, -3)

    def local(rows: Any) -> Any:
        return uniform_filter1d(rows, 7, axis=1)[:, inner]

    mean_a, mean_b = local(a), local(b)
    sample = 7 / 6
    variance_a, variance_b = sample * (local(a * a) - mean_a**2), sample * (local(b * b) - mean_b**2)
    covariance = sample * (local(a * b) - mean_a * mean_b)
    top = (2 * mean_a * mean_b + small) * (2 * covariance + structure)
    bottom = (mean_a**2 + mean_b**2 + small) * (variance_a + variance_b + structure)
    return (top / bottom).mean(1)


FLAT_SSIM = pairwise_measure("flat_ssim", _flat_ssim, MapForm())


def cosines_by_depth(
    net: nn.Sequential, x: Any, composite: Any, start: int, *, times_output: bool = False, vectors: int = 5
) -> dict[str, float]:
    """The median absolute cosine of relevances that start as normal noise behind layer `start`.

    By layer, from `start` down to the input, at the layer's input: over channels at each location, as
    Sixt et al. 2020 compute it; `"input, whole map"` is over all of the input's elements at once.

    Args:
        net: A sequence of modules.
        x: The inputs.
        composite: Zennit's rules, or `None` for the gradient.
        start: The index of the module.
        times_output: Whether the noise is multiplied by what layer `start` puts out.
        vectors: The number of random relevances.
    """
    torch.manual_seed(0)
    places = [i for i in range(start + 1) if isinstance(net[i], nn.Conv2d | nn.Linear)]
    drawn = []
    with nullcontext() if composite is None else composite.context(net):
        for _ in range(vectors):
            values = [torch.from_numpy(x).requires_grad_()]
            for module in net[: start + 1]:
                values.append(module(values[-1]))
            noise = torch.randn_like(values[-1]) * (values[-1].detach() if times_output else 1)
            drawn.append(torch.autograd.grad(values[-1], [values[i] for i in places], noise))
    # The layer that the noise starts behind comes first.
    found = {f"{start - i} below": _median([d[n] for d in drawn]) for n, i in reversed(list(enumerate(places)))}
    return found | {"input, whole map": _median([d[0].flatten(1) for d in drawn])}


def _median(maps: list[torch.Tensor]) -> float:
    cosines = [nn.functional.cosine_similarity(a, b, dim=1, eps=0).abs() for a, b in combinations(maps, 2)]
    return float(torch.stack(cosines).nanmedian())
