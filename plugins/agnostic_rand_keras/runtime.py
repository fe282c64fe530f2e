"""How a model is evaluated, differentiated and trained on the backend that this process' Keras runs on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol, Self, TypeAlias

import keras

from agnostic_rand.adapters import Array, HostArray, ReluRule, no_relu, relu_out_of_reach
from agnostic_rand.errors import ModelError
from agnostic_rand_keras.forward import ForwardPass
from agnostic_rand_keras.reads import Name, Seen

Loss: TypeAlias = Callable[[Array, Array], Array]
"""`loss(labels, outputs) -> scalar`."""


@dataclass(frozen=True)
class Update:
    """How gradients change weights: by Keras' own optimizer, in at least float32.

    Args:
        weights: The variables that are learned.
        masters: For each of them itself, or a variable of higher precision that stands for it.
        optimizer: Built on the masters.
    """

    weights: tuple[keras.Variable, ...]
    masters: tuple[keras.Variable, ...]
    optimizer: keras.optimizers.Optimizer

    def apply(self, gradients: Sequence[Array | None]) -> None:
        """Change the masters, and the weights after them; what has no gradient stays."""
        used = [(g, m) for g, m in zip(gradients, self.masters, strict=True) if g is not None]
        self.optimizer.apply([keras.ops.cast(g, m.dtype) for g, m in used], [m for _, m in used])
        for weight, master in zip(self.weights, self.masters, strict=True):
            if master is not weight:
                weight.assign(keras.ops.cast(master.value, weight.dtype))

    def cast(self, masters: Sequence[Array]) -> list[Array]:
        """The values of the weights, from those of the masters."""
        return [keras.ops.cast(value, w.dtype) for value, w in zip(masters, self.weights, strict=True)]


class Runtime(Protocol):
    """One of the three: the only place of this backend where a framework under Keras is called."""

    xp: ModuleType
    """The array namespace of what `predict` and the gradients return."""

    traces: Counter[Any]
    """How often each function was traced, which on TensorFlow and JAX goes before a compilation."""

    def for_copy(self, forward: ForwardPass) -> Self:
        """The runtime of a copy of the model, which takes what was compiled for the model."""

    def asarray(self, x: HostArray, dtype: str) -> Array:
        """A copy on the device; floating values as `dtype`."""

    def to_native(self, x: Array) -> Any:
        """What `asarray` returned as a tensor of the framework."""

    def trace(self, inputs: Array) -> None:
        """Run the model's Python code once on `inputs`, on real or symbolic values."""

    def seen(self, inputs: Array, held: Mapping[Name, Any]) -> Seen:
        """What a forward pass does with variables and arrays; its code may run, and nothing is compiled."""

    def outside_loops(self, output: Array) -> bool:
        """Whether what a layer put out while `trace` ran lives outside of loops, as its inputs do."""

    def predict(self, inputs: Array) -> Array:
        """The outputs `(n, classes)`."""

    def output_and_gradient(self, inputs: Array, targets: Array, relu: ReluRule) -> tuple[Array, Array]:
        """The outputs, and the gradient of the targets' outputs."""

    def layer_gradient(self, inputs: Array, targets: Array, layer: str) -> tuple[Array, Array]:
        """A layer's last output, and the gradient with respect to it."""

    def batch_statistics(self, inputs: Array, chosen: Sequence[bool]) -> list[HostArray]:
        """What `statistics.batch_statistics` computes, on the host."""

    def training_step(
        self, update: Update, loss: Loss, seed: int
    ) -> Callable[[HostArray, HostArray], tuple[float, HostArray]]:
        """`step(inputs, labels) -> (loss, outputs)`: one update of the model.

        Args:
            update: How gradients change the weights.
            loss: What is differentiated.
            seed: Decides what torch modules inside of the model draw.
        """

    def evaluating(self) -> AbstractContextManager[None]:
        """A context after which the modes of modules inside the model are as before."""

    def kept_modes(self) -> Callable[[], None]:
        """A function that puts back modes and flags that are not Keras' own, as they are now."""

    def is_concrete(self, x: Any) -> bool:
        """Whether it is a tensor that holds values, not one of a trace."""

    def random_state(self) -> Any:
        """The state of the framework's own global generators."""

    def set_random_state(self, state: Any) -> None:
        """Put it back."""


def open_runtime(forward: ForwardPass) -> Runtime:
    """The runtime of the backend that Keras uses; no other framework is imported.

    Raises:
        ModelError: Keras runs on a backend that cannot differentiate.
    """
    name = keras.backend.backend()
    if name == "tensorflow":
        from agnostic_rand_keras.on_tensorflow import TensorFlowRuntime

        return TensorFlowRuntime(forward)
    if name == "torch":
        from agnostic_rand_keras.on_torch import TorchRuntime

        return TorchRuntime(forward)
    if name == "jax":
        from agnostic_rand_keras.on_jax import JaxRuntime

        return JaxRuntime(forward)
    raise ModelError(
        f"the model {forward.model.name!r}",
        expected="Keras on tensorflow, torch or jax",
        received=f"Keras on {name}, which has no gradients",
        fix="Set KERAS_BACKEND to one of the three before keras is imported.",
    )


def refuse_strangers(model: keras.Model, names: Sequence[str]) -> None:
    """Raise where the model computes with what is learned and is none of its weights.

    Args:
        model: The model.
        names: What that is.

    Raises:
        ModelError: There is some.
    """
    if names:
        raise ModelError(
            f"the model {model.name!r}",
            expected="weights that Keras counts as the model's",
            received=f"others that are learned: {', '.join(names[:5])}",
            fix="Make weights with add_weight or keras.Variable, not as a tf.Variable or torch.nn.Parameter, and "
            "assign the layer that holds them to an attribute of the model or of one of its layers.",
        )


def refuse_plain_gradient(model: keras.Model, rule: ReluRule, *, met: int, hidden: str | None) -> None:
    """Raise where the gradient by a rule would be the plain one, in whole or in part.

    Args:
        model: The model.
        rule: The rule that was asked for.
        met: How many ReLUs the rule was applied to.
        hidden: Where one is that the rule does not reach, or `None`.

    Raises:
        ModelError: No ReLU was met, or one is hidden.
    """
    if hidden is not None:
        instead = "write that part of the model without it (for recurrent layers: unroll=True)"
        raise relu_out_of_reach(rule, repr(model.name), f"one inside {hidden}", instead)
    if met == 0:
        raise no_relu(rule, repr(model.name))
