"""Running statistics of torch modules inside a Keras layer, of which Keras counts the parameters only.

The parameters themselves have no known role: Keras numbers them, and does not say which module they are of.
"""

from __future__ import annotations

from typing import Any

import keras

from agnostic_rand.adapters import HostArray, Role

_ROLES: dict[str, Role] = {"running_mean": "mean", "running_var": "variance"}


class Buffer:
    """A buffer of a torch module, read and written as variables of Keras are.

    Args:
        module: The module.
        name: The buffer's name in it.
    """

    def __init__(self, module: Any, name: str) -> None:
        self._module = module
        self._name = name
        self.role = _ROLES[name]
        self.shape = tuple(self.value.shape)
        self.dtype = keras.backend.standardize_dtype(self.value.dtype)

    @property
    def value(self) -> Any:
        """The tensor."""
        return getattr(self._module, self._name)

    def assign(self, value: HostArray) -> None:
        """Change the tensor in place."""
        self.value.copy_(keras.ops.convert_to_tensor(value))


def running_statistics(layer: keras.Layer) -> dict[str, Buffer]:
    """By the names that torch gives them, the running means and variances in a wrapped torch module."""
    if not isinstance(layer, keras.layers.TorchModuleWrapper):
        return {}
    return {
        f"{path}.{name}".lstrip("."): Buffer(module, name)
        for path, module in layer.module.named_modules()
        for name in _ROLES
        if getattr(module, name, None) is not None
    }
