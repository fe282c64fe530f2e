"""Libraries of explanations for torch: what the bridges to them share."""

from __future__ import annotations

from abc import ABC
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from agnostic_rand.explainers.bridges.foreign import Batch, ForeignExplainer
from agnostic_rand.explainers.bridges.torch_traces import untouched


@dataclass(frozen=True, eq=False, repr=False)
class TorchExplainer(ForeignExplainer, ABC):
    """An explainer of a library for torch; arguments and errors are those of `ForeignExplainer`."""

    framework: ClassVar[str] = "torch"

    def _native_kind(self) -> tuple[type, ...]:
        return (nn.Module,)

    def _is_part(self, native: Any, model: Any) -> bool:
        return isinstance(model, nn.Module) and any(part is native for part in model.modules())

    def _clean(self, native: Any) -> AbstractContextManager[None]:
        return untouched(native)


def chosen_rows(outputs: torch.Tensor, batch: Batch) -> torch.Tensor:
    """One in the place of each sample's target, zeros elsewhere, shaped like the outputs."""
    rows = torch.zeros_like(outputs)
    if outputs.ndim == 1:
        return rows + 1
    return rows.scatter_(1, batch.targets[:, None], 1)
