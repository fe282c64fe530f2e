"""Hook specification: the one hook through which a backend offers itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pluggy

from agnostic_rand.adapters.protocol import Forward, HostArray, ModelAdapter, SideInputs

ENTRY_POINT_GROUP = "agnostic_rand"

hookspec = pluggy.HookspecMarker("agnostic_rand")
hookimpl = pluggy.HookimplMarker("agnostic_rand")


@dataclass(frozen=True)
class OpenRequest:
    """What an adapter is opened with.

    Args:
        example_inputs: A small batch `(n, ...)` for tracing the order of layers, or `None`.
        forward: `forward(model, inputs) -> (n, classes)` for models that are not called as
            `model(inputs)`, or `None`.
        example_beside: What stands beside `example_inputs` where the model takes several inputs;
            for adapters with the capability `SupportsSeveralInputs` only.
    """

    example_inputs: HostArray | None = None
    forward: Forward | None = None
    example_beside: SideInputs | None = None


@dataclass(frozen=True)
class Claim:
    """A backend's offer to adapt one model.

    Args:
        backend: The backend's name, such as `"torch"`.
        model_type: The type that it recognized. Of several claims, the most derived type wins.
        open: Makes the adapter. Only the winner's is called.
        api_version: The version of the contract that the adapter follows.
    """

    backend: str
    model_type: type
    open: Callable[[OpenRequest], ModelAdapter]
    api_version: int


class PluginHooks:
    """The specification that pluggy checks plugins against; a plugin implements at least one."""

    @hookspec
    def agnostic_rand_claim(self, model: Any) -> Claim | None:
        """Claim the model, or return `None`.

        Called for every model that a user passes: look the framework up in `sys.modules` and
        return `None` where it is not loaded. Import nothing heavy before `Claim.open`.
        """

    @hookspec
    def agnostic_rand_explainers(self) -> Mapping[str, Callable[[], Any]]:
        """Name explainers: by snake_case name, what makes one with its defaults.

        What is made is anything that may be passed as an explainer.
        """
        raise NotImplementedError
