"""Module graph of a network for relevance: modules that have rules, and what is computed between them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle
from zennit.types import BatchNorm, ConvolutionTranspose, Linear

Node: TypeAlias = Any
"""An operation in torch's record of gradients."""

# The gradient of these takes each value's relevance to where the value came from.
_MOVES = re.compile(
    "Alias|Cat|Clone|ConstantPadNd|Expand|Flip|Gather|Index|IndexSelect|Permute|PixelShuffle|PixelUnshuffle|Repeat|"
    "ReshapeAlias|Roll|Select|Slice|Split|SplitWithSizes|Squeeze|Stack|T|ToCopy|Transpose|Unbind|UnsafeSplit|"
    "UnsafeView|Unsqueeze|UpsampleNearest[123]D|View|Amax|MaxPool[23]DWithIndices|AdaptiveMaxPool[23]D"
)
_RECTIFIER = "Relu"


@dataclass(frozen=True)
class Call:
    """One call of a module that has a rule."""

    name: str
    module: nn.Module
    given: Node
    made: Node
    dimensions: int

    @property
    def weighs(self) -> bool:
        """Whether the module is a linear layer or a convolution."""
        return isinstance(self.module, Linear)


@dataclass
class Trace:
    """A forward pass that is watched.

    Args:
        model: The network.
        has_rule: Whether a module has a rule.
    """

    model: nn.Module
    has_rule: Callable[[nn.Module], bool]
    calls: dict[Node, Call] = field(default_factory=dict)
    counts: dict[nn.Module, int] = field(default_factory=dict)
    returned: list[Any] = field(default_factory=list)
    _owners: dict[Node, str] = field(default_factory=dict)
    _open: list[list[torch.Tensor]] = field(default_factory=list)
    _nodes: list[list[Node]] = field(default_factory=list)
    _handles: list[RemovableHandle] = field(default_factory=list)

    def __enter__(self) -> Trace:
        for name, module in self.model.named_modules():
            if isinstance(module, torch.jit.ScriptModule):
                continue
            self._handles += [
                module.register_forward_pre_hook(self._enter, with_kwargs=True),
                # First of all: what hooks of the caller's do to an output is no part of the module.
                module.register_forward_hook(self._leave(name), prepend=True),
            ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def before(self, node: Node) -> list[Node]:
        """What an operation takes; a module that has a rule is one operation."""
        call = self.calls.get(node)
        return [call.given] if call else [one for one, _ in node.next_functions if one is not None]

    def place(self, node: Node) -> str:
        """The operation and the module in which it was called, for a message."""
        name = self._owners.get(node, "")
        kind = type(self.model.get_submodule(name)).__name__
        return f"{operation(node)!r} in {f'{name!r} ({kind})' if name else kind}"

    def _enter(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = [one for one in tensors((args, kwargs)) if one.grad_fn is not None]
        self._open.append(given if len(args) == 1 and not kwargs else [])
        # Now: what is changed in place has another node afterwards.
        self._nodes.append([one.grad_fn for one in given])

    def _leave(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, _: tuple[Any, ...], output: Any) -> None:
            given, nodes = self._open.pop(), self._nodes.pop()
            if not self._open:
                self.returned.append(output)
            made = [one.grad_fn for one in tensors(output) if one.grad_fn is not None]
            self._own(name, made, nodes)
            if made and self.has_rule(module):
                self.counts[module] = self.counts.get(module, 0) + 1
            if len(given) == len(made) == 1 and made != nodes and self.has_rule(module) and _is_plain(module):
                self.calls[made[0]] = Call(name, module, nodes[0], made[0], output.ndim)

        return hook

    def _own(self, name: str, made: list[Node], given: list[Node]) -> None:
        ahead = list(made)
        while ahead:
            node = ahead.pop()
            if node not in given and node not in self._owners:
                self._owners[node] = name
                ahead += [one for one, _ in node.next_functions if one is not None]


@dataclass(frozen=True)
class Judgement:
    """What a graph means for relevance.

    Args:
        fault: What has no rule, in words; `None` where each operation has one or moves values only.
        merged: The names of a linear layer or convolution and of the batch normalization behind it.
    """

    fault: str | None
    merged: tuple[tuple[str, str], ...] = ()


def judged(
    trace: Trace, output: Node, explained: tuple[int, ...], keeps_zero: Callable[[nn.Module], bool]
) -> Judgement:
    """Whether relevance can be propagated from `output` to the explained input.

    Args:
        trace: The forward pass.
        output: The operation that made the outputs.
        explained: The shape of the input.
        keeps_zero: Whether a module's rule gives an input of zero no relevance.
    """
    graph: dict[Node, list[Node]] = {}
    ahead = [output]
    while ahead:
        node = ahead.pop()
        if node not in graph:
            graph[node] = trace.before(node)
            ahead += graph[node]
    order = tuple(TopologicalSorter(graph).static_order())
    parameters = {id(parameter) for parameter in trace.model.parameters()}
    inside: set[Node] = set()
    consumers: dict[Node, list[Node]] = {output: []}
    for node in order:
        leaf = getattr(node, "variable", None)
        is_input = leaf is not None and id(leaf) not in parameters and tuple(leaf.shape) == explained
        if is_input or not inside.isdisjoint(graph[node]):
            inside.add(node)
            for one in graph[node]:
                consumers.setdefault(one, []).append(node)
    path = [node for node in order if node in inside and graph[node]]
    # A ReLU that is called as a function stops the relevance of what it set to zero: there must be none.
    harmless: dict[Node, bool] = {}
    for node in reversed(path):
        harmless[node] = node is not output and all(
            keeps_zero(trace.calls[one].module) if one in trace.calls else harmless[one] for one in consumers[node]
        )
    merged = []
    for node in path:
        call = trace.calls.get(node)
        if call is None:
            if _MOVES.fullmatch(operation(node)) or (operation(node) == _RECTIFIER and harmless[node]):
                continue
            return Judgement(trace.place(node))
        if trace.counts[call.module] > 1 and keeps_zero(call.module):
            return Judgement(
                f"{call.name!r} ({type(call.module).__name__}), which runs {trace.counts[call.module]} times"
            )
        if isinstance(call.module, BatchNorm):
            linear = trace.calls.get(call.given)
            if linear is None or consumers[linear.made] != [node] or not _can_merge(linear, call):
                return Judgement(
                    f"{call.name!r} ({type(call.module).__name__}), which cannot be merged into a convolution or "
                    "linear layer right before it"
                )
            merged.append((linear.name, call.name))
    return Judgement(None, tuple(merged))


def operation(node: Node) -> str:
    """The name of an operation: `"Add"` for `AddBackward0`."""
    return str(node.name()).rpartition("::")[2].rstrip("0123456789").removesuffix("Backward")


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in what a module takes or returns."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from tensors(one)
    elif isinstance(value, tuple | list):
        for one in value:
            yield from tensors(one)
    elif hasattr(value, "__dict__"):
        yield from tensors(vars(value))


def _is_plain(module: nn.Module) -> bool:
    """Whether a module computes as torch's own of its kind, from its own weights: what rules rely on."""
    forward = getattr(module.forward, "__func__", None)
    own = getattr(forward, "__module__", "").startswith(("torch.nn.modules.", "zennit."))
    weights = {name for name, _ in module.named_parameters(recurse=False)}
    return own and (not isinstance(module, Linear) or {"weight"} <= weights <= {"weight", "bias"})


def _can_merge(linear: Call, norm: Call) -> bool:
    module: Any = norm.module
    complete = all(getattr(module, name) is not None for name in ("weight", "bias", "running_mean", "running_var"))
    grouped = isinstance(linear.module, ConvolutionTranspose) and linear.module.groups > 1
    # A batch normalization is over axis 1, a linear layer's features are last.
    fits = linear.dimensions == 2 or not isinstance(linear.module, nn.Linear)
    return linear.weighs and complete and fits and not grouped
