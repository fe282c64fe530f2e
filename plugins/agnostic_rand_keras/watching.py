"""Foreign code at work on a model, with its forward pass noted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from agnostic_rand.adapters import Array, HostArray
from agnostic_rand_keras.arrays import host_copy
from agnostic_rand_keras.forward import ForwardPass
from agnostic_rand_keras.interception import intercepted
from agnostic_rand_keras.runtime import Runtime


@contextmanager
def watched(forward: ForwardPass, runtime: Runtime, inputs: Array) -> Iterator[Callable[[], Array | None]]:
    """Note the outputs of the first call of the model on `inputs`, whoever makes it.

    Calls while a function is traced are not seen: they compute nothing yet.

    Args:
        forward: The model; one that is called by a function of its user's is not watched.
        runtime: Tells values from traces, and converts them.
        inputs: What to look for.
    """
    if forward.forward is not None:
        with runtime.evaluating():
            yield lambda: None
        return
    noted: list[HostArray] = []
    looked_for = host_copy(inputs)
    state = _state(forward)

    def note(call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        outputs = call(*args, **kwargs)
        plain = len(args) == 1 and not kwargs.get("training") and all(map(runtime.is_concrete, (*args, outputs)))
        # Many methods explain a noisy or modified model, of which the outputs are not asked for.
        if not noted and plain and _equal(host_copy(args[0]), looked_for) and _equal(_state(forward), state):
            noted.append(host_copy(outputs))
        return outputs

    def outputs() -> Array | None:
        if not noted or noted[0].ndim not in (1, 2):
            return None
        return runtime.asarray(noted[0].reshape(len(noted[0]), -1), "float32")

    with runtime.evaluating(), intercepted(forward.model, note):
        yield outputs


def _equal(seen: HostArray, inputs: HostArray) -> bool:
    return seen.dtype == inputs.dtype and np.array_equal(seen, inputs)


def _state(forward: ForwardPass) -> HostArray:
    return np.array([host_copy(v.value).astype(np.float64).sum() for v in forward.variables])
