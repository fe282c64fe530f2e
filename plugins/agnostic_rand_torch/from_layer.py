"""The model from a named submodule's output on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import torch
from torch import nn

from agnostic_rand.adapters import ReluRule
from agnostic_rand.errors import ModelError, unknown_name
from agnostic_rand_torch.layer_gradient import hookable_submodules
from agnostic_rand_torch.modes import interpreted

Call: TypeAlias = Callable[[torch.Tensor], torch.Tensor]


class Differentiated(Protocol):
    """The outputs of a function and the gradient with respect to its argument, as an adapter computes them."""

    def __call__(
        self,
        call: Call,
        inputs: torch.Tensor,
        targets: torch.Tensor,
        relu: ReluRule,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Differentiate `call` at `inputs`."""


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
            raise ModelError(
                f"the layer {self.layer!r}",
                expected="a layer that runs once in a forward pass and puts out one floating-point tensor",
                received=received,
                fix="Name another layer, such as the embedding itself.",
            )
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
        submodules = hookable_submodules(self.module)
        if self.layer not in submodules:
            raise unknown_name("layer", self.layer, submodules)
        handle = submodules[self.layer].register_forward_hook(lambda _module, _args, output: replace(output))
        try:
            with interpreted():
                yield
        finally:
            handle.remove()


def _kept(output: Any) -> Any:
    # What comes next may work in place.
    return output.detach().clone() if isinstance(output, torch.Tensor) else output
