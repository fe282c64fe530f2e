"""The model from a named submodule's output on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import nn

from agnostic_rand.adapters import ReluRule, runs_not_once
from agnostic_rand_torch.layer_gradient import hookable_submodule
from agnostic_rand_torch.modes import interpreted

Call: TypeAlias = Callable[[torch.Tensor], torch.Tensor]


Differentiated: TypeAlias = Callable[
    [Call, torch.Tensor, torch.Tensor, ReluRule], tuple[torch.Tensor, torch.Tensor]
]
"""`differentiated(call, inputs, targets, rule)`: the outputs of a function and the gradient at its argument."""


@dataclass(frozen=True)
class TorchFromLayer:
    """The model from a submodule on, on one batch.

    Args:
        module: The model.
        layer: The submodule's name.
        inputs: The batch `(n, ...)`.
        call: The model's outputs for inputs, with gradients where they are on.
        evaluated: The outputs of a function, without gradients.
        differentiated: Its outputs and its gradient.

    Raises:
        UnknownNameError: There is no such submodule.
        ModelError: It does not run once in a forward pass, or puts out no single floating tensor.
    """

    module: nn.Module
    layer: str
    inputs: torch.Tensor
    call: Call
    evaluated: Callable[[Call, torch.Tensor], torch.Tensor]
    differentiated: Differentiated

    @property
    def output(self) -> torch.Tensor:
        """What the submodule puts out."""
        seen: list[Any] = []
        with self._hooked(lambda output: seen.append(_kept(output))):
            self.evaluated(self.call, self.inputs)
        tensor = seen[0] if len(seen) == 1 else None
        if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
            received = f"{len(seen)} calls" if len(seen) != 1 else f"{type(seen[0]).__name__}"
            raise runs_not_once(self.layer, received)
        return tensor

    def predict(self, output: torch.Tensor) -> torch.Tensor:
        """The model's outputs where the submodule puts out `output`."""
        return self.evaluated(self._from(output.shape[0]), output)

    def gradient(self, output: torch.Tensor, targets: torch.Tensor, *, relu: ReluRule = "standard") -> torch.Tensor:
        """The gradient with respect to `output`."""
        return self.differentiated(self._from(output.shape[0]), output, targets, relu)[1]

    def _from(self, rows: int) -> Call:
        copies = self.inputs.repeat(rows // self.inputs.shape[0], *[1] * (self.inputs.ndim - 1))

        def from_layer(output: torch.Tensor) -> torch.Tensor:
            with self._hooked(lambda _: output):
                return self.call(copies)

        return from_layer

    @contextmanager
    def _hooked(self, replace: Callable[[Any], torch.Tensor | None]) -> Iterator[None]:
        submodule = hookable_submodule(self.module, self.layer)
        handle = submodule.register_forward_hook(lambda _module, _args, output: replace(output))
        try:
            with interpreted():
                yield
        finally:
            handle.remove()


def _kept(output: Any) -> Any:
    # What comes next may work in place.
    return output.detach().clone() if isinstance(output, torch.Tensor) else output
