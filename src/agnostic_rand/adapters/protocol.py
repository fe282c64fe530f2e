"""Contract between the core and a framework: what an adapter must do, clause by clause.

The clauses C1 to C7 are stated on the members that they bind. A plugin author proves them with
`agnostic_rand.testing`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Literal, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from agnostic_rand.errors import ModelError

API_VERSION = 1

Array: TypeAlias = Any
"""An array of the model's framework, on the model's device."""

HostArray: TypeAlias = npt.NDArray[Any]
Forward: TypeAlias = Callable[[Any, Array], Array]
ReluRule: TypeAlias = Literal["standard", "guided", "deconv"]

Role: TypeAlias = Literal[
    "kernel",  # multiplies inputs: has a fan-in
    "bias",  # added to a kernel's product
    "scale",  # multiplies a normalized value
    "shift",  # added to a normalized value
    "magnitude",  # the norm of the kernel that precedes it in its layer (weight normalization)
    "mean",  # a running mean
    "variance",  # a running variance
    "other",  # class tokens, position tables, embeddings, layer scales
]

OrderSource: TypeAlias = Literal["traced", "declared"]

SideInputs: TypeAlias = tuple[Array | None, ...] | Mapping[str, Array | None]
"""What a model of several inputs gets beside the explained one, in whose place `None` stands."""

_CANONICAL_AXES = ("d", "h", "w", "in", "groups", "multiplier", "out")


@dataclass(frozen=True)
class Parameter:
    """One array of a layer: a parameter, or a statistic of a normalization layer.

    Args:
        name: The framework's own name, unique within the layer.
        shape: The shape in the framework's layout.
        dtype: The framework's name of the element type, such as `"float32"` or `"bfloat16"`.
        role: What the array does in its layer. It decides how the array is re-initialized.
        axes: A name for each dimension, such as `("out", "in", "h", "w")`, or `None` where the
            layer is not a standard one. Axes of one meaning are numbered: `("in", "out", "out2")`
            for a kernel that makes heads of features. Where one output sums over one in `n` of
            an axis only, on average over the outputs, the name ends in `/n`: `("in/4", "out",
            "h/2", "w/2")` for PyTorch's transposed convolution with strides of 2 and 4 groups.

    Raises:
        ModelError: What follows the `/` of an axis is no number above 0, or the axis is not summed over.

    Example:
        >>> kernel = Parameter("weight", (8, 3, 5, 5), "float32", "kernel", ("out", "in", "h", "w"))
        >>> kernel.fan_in
        75.0
        >>> kernel.canonical().shape
        (5, 5, 3, 8)
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    role: Role
    axes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for axis in self.axes or ():
            _share(axis)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def fan_in(self) -> float:
        """The number of inputs that one output of a kernel sums over, at least 1; the size where axes are unknown.

        With strides, outputs of one transposed convolution sum over different numbers: it is their mean.
        """
        if self.axes is None:
            return float(max(self.size, 1))
        sized = zip(self.shape, self.axes, strict=True)
        summed = (size / _share(axis) for size, axis in sized if axis_meaning(axis) not in _OUTPUT_AXES)
        return max(math.prod(summed, start=1.0), 1.0)

    @property
    def canonical_order(self) -> tuple[int, ...]:
        """The permutation of the dimensions that gives the layout shared by all frameworks."""
        if self.axes is None:
            return tuple(range(len(self.shape)))
        rank = {axis: position for position, axis in enumerate(_CANONICAL_AXES)}
        places = [rank.get(axis_meaning(axis), rank["in"]) for axis in self.axes]
        return tuple(sorted(range(len(places)), key=lambda i: (places[i], i)))

    def canonical(self) -> Parameter:
        """The same parameter in the layout shared by all frameworks: space, then in, then out."""
        order = self.canonical_order
        axes = None if self.axes is None else tuple(self.axes[i] for i in order)
        return replace(self, shape=tuple(self.shape[i] for i in order), axes=axes)


_OUTPUT_AXES = frozenset({"out", "groups", "multiplier"})


def distinct_axes(meanings: Iterable[str]) -> tuple[str, ...]:
    """Names of axes, of which each is there once: those that repeat a meaning are numbered.

    Example:
        >>> distinct_axes(["in", "out", "out"])
        ('in', 'out', 'out2')
    """
    seen: Counter[str] = Counter()
    names = []
    for given in meanings:
        meaning, slash, share = given.partition("/")
        seen[meaning] += 1
        names.append((meaning if seen[meaning] == 1 else f"{meaning}{seen[meaning]}") + slash + share)
    return tuple(names)


def strided_axes(axes: Iterable[str], strides: Iterable[int]) -> tuple[str, ...]:
    """Names of axes with the share of each that one output of a transposed convolution sums over.

    Args:
        axes: The names without shares.
        strides: One for each axis; of a grouped `in`, that holds all groups, their number.

    Example:
        >>> strided_axes(["h", "w"], [2, 1])
        ('h/2', 'w')
    """
    pairs = zip(axes, strides, strict=True)
    return tuple(axis if stride == 1 else f"{axis}/{stride}" for axis, stride in pairs)


def axis_name(axis: str) -> str:
    """The name of an axis without its share.

    Example:
        >>> axis_name("in2/4")
        'in2'
    """
    return axis.partition("/")[0]


def axis_meaning(axis: str) -> str:
    """What an axis is, whatever its number and its share.

    Example:
        >>> axis_meaning("in2/4")
        'in'
    """
    return axis_name(axis).rstrip("0123456789")


def _share(axis: str) -> float:
    _, slash, text = axis.partition("/")
    try:
        share = float(text) if slash else 1.0
    except ValueError:
        share = math.nan
    if not 0 < share < math.inf or (slash and axis_meaning(axis) in _OUTPUT_AXES):
        raise ModelError(
            "the axes of a parameter",
            expected="names such as 'h', or 'h/2' where an output sums over one in two; none is due for outputs",
            received=repr(axis),
            fix="Write a number above 0 behind the '/', for axes that are summed over.",
        )
    return share


_ROLE_ORDER: dict[Role, int] = {
    "kernel": 0,
    "magnitude": 1,
    "bias": 2,
    "scale": 3,
    "shift": 4,
    "other": 5,
    "mean": 6,
    "variance": 7,
}


@dataclass(frozen=True)
class Layer:
    """A group of parameters that one module of the model owns.

    Args:
        name: The framework's own name (a path in nested models).
        kind: The framework's name of the layer's type, such as `"Conv2d"`.
        parameters: What is learned by gradient descent.
        statistics: Running means and variances.
        aliases: Names of parameters elsewhere in the model that are tied to one of this layer's.
        unused: Names of those of its parameters on which the outputs of the traced call do not depend, such
            as a second head that `forward=` leaves out; nothing where no call was traced.
    """

    name: str
    kind: str
    parameters: tuple[Parameter, ...]
    statistics: tuple[Parameter, ...] = ()
    aliases: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """The number of elements in all parameters."""
        return sum(parameter.size for parameter in self.parameters)

    @property
    def used(self) -> tuple[Parameter, ...]:
        """The parameters that the outputs depend on, as far as is known."""
        return tuple(parameter for parameter in self.parameters if parameter.name not in self.unused)

    @property
    def used_size(self) -> int:
        """The number of elements in the parameters that the outputs depend on."""
        return sum(parameter.size for parameter in self.used)

    def drawing_order(self) -> tuple[Parameter, ...]:
        """The parameters in the order that numbers their random streams: by role, then as declared."""
        return tuple(sorted(self.parameters, key=lambda p: _ROLE_ORDER[p.role]))


@runtime_checkable
class ModelAdapter(Protocol):
    """What the core needs of a model, whatever its framework. The clauses bind every adapter.

    C1 coverage: every parameter is in exactly one layer; tied parameters are listed once.
    C5 purity: `predict` and `gradient` leave modes, flags, hooks and gradients as they were, also
    after an exception. C6 randomness: no call changes the state of a global random generator.
    """

    framework: str
    """The backend's name, such as `"torch"`."""

    channel_axis: int
    """Where the framework keeps channels in a batch of images, such as 1 or -1."""

    order_source: OrderSource
    """C2: whether the order of `layers()` was seen in a forward pass or is that of declaration."""

    @property
    def native(self) -> Any:
        """The framework's model, holding the current weights: what a user's explainer gets."""

    @property
    def xp(self) -> ModuleType:
        """The array namespace of what `predict` and `gradient` return."""

    def layers(self) -> tuple[Layer, ...]:
        """C1, C2: all layers with parameters or statistics, from input to output.

        Where a call was traced, each layer names the parameters on which its outputs do not depend.
        """

    def read(self, layer: str) -> dict[str, HostArray]:
        """Host copies of the layer's parameters and statistics, by name."""

    def write(self, layer: str, values: Mapping[str, HostArray]) -> None:
        """C3: `read` then returns `values` to the dtype; device, layout, tying and hooks stay.

        State that is derived from a written parameter (the singular vectors of spectral
        normalization) is brought up to date, unless `values` holds it too.
        """

    def clone(self) -> Self:
        """C4: an adapter of a copy of the model: same outputs, no shared storage."""

    def asarray(self, x: HostArray) -> Array:
        """`x` on the model's device; floating values in the model's dtype."""

    def to_numpy(self, x: Array) -> HostArray:
        """`x` on the host, without a link to the framework; half precision becomes float32."""

    def to_native(self, x: Array) -> Any:
        """What `asarray` or `predict` returned, as a user of the framework expects an array.

        The same object, but for frameworks whose arrays do not follow the array API standard.
        """

    def predict(self, inputs: Array) -> Array:
        """The model's own output `(n, classes)`, in evaluation mode."""

    def gradient(self, inputs: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
        """`d output[target] / d inputs`, shaped like `inputs`.

        `targets` holds class indices `(n,)`, or weights `(n, classes)` of which the weighted sum
        of the outputs is differentiated.
        """


@dataclass(frozen=True)
class Reads:
    """What one forward pass read.

    Args:
        parameters: Layers and the names of their parameters and statistics.
        branches: Whether values decided what was computed, so that another batch or other weights may read
            others (experts of a mixture).
    """

    parameters: frozenset[tuple[str, str]]
    branches: bool = False


@runtime_checkable
class SupportsReads(Protocol):
    """Capability: a forward pass can be watched, for what it really computes with."""

    other_arrays: tuple[str, ...]
    """Names of arrays of the model that `layers()` does not list (buffers, say) and on which the outputs of
    the traced call depend; nothing where no call was traced."""

    def reads(self, inputs: Array, of: ModelAdapter) -> Reads:
        """What `predict(inputs)` reads of another adapter's model: this one's own, or that of its original.

        `of` is this adapter or the one that it was cloned from.
        """


@runtime_checkable
class SupportsOutputAndGradient(Protocol):
    """Capability: outputs come with the gradient, at no cost of a second forward pass."""

    def output_and_gradient(
        self, inputs: Array, targets: Array, *, relu: ReluRule = "standard"
    ) -> tuple[Array, Array]:
        """What `predict` and `gradient` return, from one forward pass."""


@runtime_checkable
class SupportsReluRules(Protocol):
    """Capability: `gradient` takes `relu="guided"` and `relu="deconv"`."""

    def relu_rules(self) -> tuple[ReluRule, ...]:
        """The rules that `gradient` takes."""


@runtime_checkable
class SupportsNativeInit(Protocol):
    """Capability: the framework's own initializers."""

    def native_init(self, layer: str, seed: int) -> dict[str, HostArray]:
        """Fresh values, by name, of those parameters of the layer that have an initializer.

        The same seed gives the same values; the model and every global generator stay as they are.
        """


@runtime_checkable
class SupportsStatistics(Protocol):
    """Capability: running statistics can be estimated anew."""

    def estimate_statistics(self, inputs: Array, layers: Sequence[str]) -> dict[str, dict[str, HostArray]]:
        """By layer, the statistics over `inputs` of what reaches it now; the model stays as it is."""


@runtime_checkable
class SupportsLayerGradient(Protocol):
    """Capability: what happens inside the model, at a named layer."""

    def layer_shapes(self, inputs: Array) -> dict[str, tuple[int, ...]]:
        """The shape of each layer's output for `inputs`, batch included, in the order of the forward pass.

        Layers without parameters (activations, poolings) are named too, where the framework names
        them; a layer that is called several times appears once, with its last output.
        """

    def layer_gradient(self, inputs: Array, targets: Array, layer: str) -> tuple[Array, Array]:
        """The layer's output, and `d output[target] / d` that output, both of the layer's shape."""


class FromLayer(Protocol):
    """The model from one layer's output on, for one batch of inputs `(n, ...)`.

    Its two functions take outputs of the layer `(k n, ...)`: those of the batch, or of `k` copies of
    the batch one after the other. Whatever else the model computes from its inputs, it computes.
    """

    @property
    def output(self) -> Array:
        """What the layer puts out for the batch, `(n, ...)`."""

    def predict(self, output: Array) -> Array:
        """The model's outputs where the layer puts out `output`: `(k n, classes)`, as `predict` has them."""

    def gradient(self, output: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
        """The gradient of the targets' outputs with respect to `output`, shaped like it."""


@runtime_checkable
class SupportsFromLayer(Protocol):
    """Capability: a layer's output can be put in its place, such as the embedding of tokens."""

    def from_layer(self, inputs: Array, layer: str) -> FromLayer:
        """The model from a layer on, on a batch. The layer must run once in a forward pass.

        Inputs may be integers, such as the numbers of tokens.
        """


@runtime_checkable
class SupportsSeveralInputs(Protocol):
    """Capability: models of several inputs, of which one is explained."""

    side_inputs: SideInputs | None
    """What `beside` was given; `None` for an adapter of a model of one input."""

    def beside(self, inputs: SideInputs) -> ModelAdapter:
        """The same model, with the same weights, as a function of the input in whose place `None` stands.

        `(None, b)` is called as a model of two positional inputs is in the framework, `{"x": None,
        "mask": b}` as one of named inputs. The others are arrays `(n, ...)`; for a batch of `k n`
        rows (`k` copies of the batch one after the other) they are repeated, for fewer than `n`
        (the first of the batch) they are cut. Making one is cheap.
        """


@runtime_checkable
class SupportsExternalExplainers(Protocol):
    """Capability: foreign code that runs on `native` can be watched."""

    def explaining(self, inputs: Array) -> AbstractContextManager[Callable[[], Array | None]]:
        """A context in which foreign code explains `inputs` by calling `native`.

        The model is in evaluation mode within it, and as it was afterwards. What it yields returns
        the outputs of a call on `inputs` that was made meanwhile, as `predict` would, or `None`
        where none was seen: the look at the outputs then costs no second forward pass.
        """


@runtime_checkable
class SupportsModelState(Protocol):
    """Capability: what foreign code may leave behind on a model can be seen."""

    def model_state(self) -> dict[str, object]:
        """By plain words ("hooks", "training mode"), comparable values that foreign code should not change."""


@runtime_checkable
class SupportsKeptState(Protocol):
    """Capability: what calls and foreign code change of a model besides its layers can be put back."""

    def kept_state(self) -> Callable[[], None]:
        """A function that brings what is no value of a layer back to what it is now.

        That is modes, flags, hooks, gradients, and what a forward pass writes into the model (counters,
        caches). It may be called again: where it was interrupted, and where it ran to its end.
        """


TrainingStep: TypeAlias = Callable[[HostArray, HostArray], tuple[float, int]]
"""`step(inputs, labels) -> (loss, correct)`: one update on one batch; `loss` is the batch's mean
cross entropy before the update, `correct` the number of right predictions."""


@runtime_checkable
class SupportsTraining(Protocol):
    """Capability: a plain classifier can be trained (Adam, cross entropy)."""

    def trainer(self, *, learning_rate: float, seed: int) -> TrainingStep:
        """A function that updates the adapter's own model by one batch of integer labels `(n,)`.

        The model is in training mode within a step only. `seed` decides all randomness inside the
        model (dropout); global generators stay as they are.
        """


@runtime_checkable
class SupportsRandomState(Protocol):
    """Capability: the framework has global generators, which a user's code may move."""

    def random_state(self) -> Any:
        """The state of the framework's global generators."""

    def set_random_state(self, state: Any) -> None:
        """Put back what `random_state` returned."""
