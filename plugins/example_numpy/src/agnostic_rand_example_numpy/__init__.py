"""A backend of agnostic_rand for a small NumPy network. Importing it imports no framework."""

import sys
from functools import partial
from typing import Any

from agnostic_rand.adapters import Claim, ModelAdapter, OpenRequest, hookimpl
from agnostic_rand.errors import ArgumentError


@hookimpl
def agnostic_rand_claim(model: Any) -> Claim | None:
    """Claim the model if the framework is loaded and it is a network."""
    framework = sys.modules.get("agnostic_rand_example_numpy.network")
    if framework is None or not isinstance(model, framework.Network):
        return None
    return Claim("example_numpy", model_type=framework.Network, open=partial(_open, model), api_version=1)


def _open(model: Any, request: OpenRequest) -> ModelAdapter:
    from agnostic_rand_example_numpy.adapter import NumpyAdapter

    if request.forward is not None:
        raise ArgumentError("forward", expected="None", received=repr(request.forward), fix="Leave it out.")
    return NumpyAdapter(model)
