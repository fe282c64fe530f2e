"""Layer attribution: explanations with respect to a layer's output, as tokens need, which have no gradient."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

from array_api_compat import array_namespace

from agnostic_rand.adapters import AdapterView, Array, FromLayer, ModelAdapter, ReluRule, SupportsFromLayer, require
from agnostic_rand.errors import ArgumentError, CapabilityError
from agnostic_rand.explainers.context import ExplanationContext
from agnostic_rand.explainers.explainer import Explainer
from agnostic_rand.explainers.gradient import Gradient


@dataclass(frozen=True)
class AtLayer:
    """Another method's explanation with respect to a layer's output, such as the embedding of tokens.

    The method sees the layer's output `(n, ..., features)` as its inputs. Its maps are summed over
    the features, so that each token has one number.

    Args:
        layer: The layer's name.
        base: The method.
        features: `"sum"` adds the features up, `"norm"` takes the length of their vector.

    Raises:
        ArgumentError: `features` is neither, or the layer's output has another shape than the inputs
            with one more axis.
        CapabilityError: The backend cannot start at a layer, or the method looks inside the model itself.
        UnknownNameError: There is no such layer.

    Source: Sundararajan et al. 2017, section 6.3 and 6.4, attribute to embeddings and sum them by token.

    Example:
        >>> AtLayer("embedding").name
        'gradient_at_embedding'
    """

    layer: str
    base: Explainer = Gradient()
    features: Literal["sum", "norm"] = "sum"

    def __post_init__(self) -> None:
        if self.features not in ("sum", "norm"):
            raise ArgumentError(
                "features", expected="'sum' or 'norm'", received=repr(self.features), fix="Pass one of the two."
            )

    @property
    def name(self) -> str:
        """The base method's name and the layer's."""
        return f"{self.base.name}_at_{self.layer}"

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, shaped like `inputs`; see `Explainer.explain`."""
        fix = "Use a backend that has it, or an explainer function of your own."
        rest = require(adapter, SupportsFromLayer, f"wrt_layer={self.layer!r}", fix).from_layer(inputs, self.layer)
        output = rest.output
        if tuple(output.shape[:-1]) != tuple(inputs.shape):
            raise ArgumentError(
                f"wrt_layer={self.layer!r}",
                expected=f"a layer that makes features of each of the inputs {tuple(inputs.shape)}",
                received=f"an output of shape {tuple(output.shape)}",
                fix="Name the embedding of the inputs.",
            )
        view = _LayerView(adapter, rest)
        # Features are last in every framework.
        maps = self.base.explain(view, output, targets, replace(context, channel_axis=-1))
        if tuple(maps.shape) == tuple(inputs.shape):
            return maps
        xp = array_namespace(maps)
        return xp.sum(maps, axis=-1) if self.features == "sum" else xp.sqrt(xp.sum(maps * maps, axis=-1))


class _LayerView(AdapterView):
    """A model that takes a layer's output as its inputs."""

    def __init__(self, adapter: ModelAdapter, rest: FromLayer) -> None:
        super().__init__(adapter)
        self._rest = rest
        self.channel_axis = -1

    def clone(self) -> Self:
        raise self._lacks("a copy")

    def predict(self, inputs: Array) -> Array:
        return self._rest.predict(inputs)

    def gradient(self, inputs: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
        return self._rest.gradient(inputs, targets, relu=relu)

    def layer_shapes(self, inputs: Array) -> dict[str, tuple[int, ...]]:
        raise self._lacks("the shapes of layers")

    def layer_gradient(self, inputs: Array, targets: Array, layer: str) -> tuple[Array, Array]:
        raise self._lacks("a gradient at a second layer")

    def from_layer(self, inputs: Array, layer: str) -> FromLayer:
        raise self._lacks("a second layer to start from")

    def _lacks(self, what: str) -> CapabilityError:
        return CapabilityError(
            "wrt_layer",
            expected="a method that needs the outputs and the gradient with respect to its inputs only",
            received=f"one that asks for {what}",
            fix="Use for example 'gradient', 'integrated_gradients' or 'smoothgrad'.",
        )
