"""Backward passes through ReLU by other rules, in whatever form a ReLU is written."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch._ops import HigherOrderOperator
from torch.autograd.function import BackwardCFunction
from torch.utils._python_dispatch import TorchDispatchMode

from agnostic_rand.adapters import ReluRule
from agnostic_rand_torch.rectifiers import (
    NAMED,
    WATCHED,
    Bounded,
    Operators,
    comes_out_as_relu,
    comparable,
    is_projected,
)

# Where a form that is no ReLU by its name may stop to rise; elsewhere it clips, as images are clipped.
_TOPS = (6.0, math.inf)
# Nodes whose own derivative is 0 where the input is not between the bounds, also where it is at one.
_MASKING = ("ReluBackward0", "HardtanhBackward0", "ThresholdBackward0")
_COMPILED = ("CompiledFunctionBackward", "DifferentiableGraphBackward")


class _Watch:
    """What is done at each operator: apart from the mode, which would import torch's compiler to keep out of it."""

    def __init__(self, rule: ReluRule) -> None:
        super().__init__()
        self._guided = rule == "guided"
        self._operators = Operators()
        self._pending: Callable[[], None] | None = None
        # By the node: the handle of its hook and the operator; what a minimum bounds; why it is refused.
        self._ruled: dict[Any, tuple[Any, str]] = {}
        self._ceilings: dict[Any, tuple[int, float]] = {}
        self._refused: dict[Any, str] = {}
        self._without_node: list[str] = []
        self.applied: list[str] = []
        """The operators to which a backward pass applied the rule."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the operator; its node is there when the next one is called."""
        self._settle()
        kwargs = kwargs or {}
        name, in_place = _called(func)
        if name is None:
            # Nobody sees what runs inside.
            self._without_node.append(str(func))
        if name not in WATCHED:
            return func(*args, **kwargs)
        bounded = None if kwargs else self._operators.bounded(name, args)
        made = None if bounded is None else bounded.x.grad_fn
        known = bounded is not None or self._operators.tells_another(args)
        operands = [] if known else comparable(name, args, in_place)
        result = func(*args, **kwargs)
        self._operators.note(name, args, result)
        if not isinstance(result, Tensor) or not result.is_floating_point():
            return result
        if bounded is None and not comes_out_as_relu(name, operands, result):
            return result
        if torch.is_grad_enabled() and any(isinstance(x, Tensor) and x.requires_grad for x in args):
            base = args[0]._base if in_place and args[0]._is_view() else None
            self._pending = partial(self._decide, name, bounded, made, result, base)
        elif bounded is None or (bounded.low == 0 and bounded.high in _TOPS):
            self._without_node.append(f"aten.{name}")
        return result

    def hidden(self, outputs: Tensor) -> str | None:
        """What stands between the inputs and `outputs` and is, or may hold, a ReLU that no rule reaches."""
        self._settle()
        waiting, seen = [outputs.grad_fn], set()
        while waiting:
            node = waiting.pop()
            if node is None or node in seen:
                continue
            if (reason := self._reason(node)) is not None:
                return reason
            seen.add(node)
            waiting.extend(following for following, _ in node.next_functions)
        return None

    def _reason(self, node: Any) -> str | None:
        name = str(node.name()).split("::")[-1]
        if name in _COMPILED or (name == "ReluBackward0" and node not in self._ruled):
            return name
        if isinstance(node, BackwardCFunction) and self._without_node:
            return f"{name} ({self._without_node[0]})"
        return self._refused.get(node)

    def _settle(self) -> None:
        settle, self._pending = self._pending, None
        if settle is not None:
            settle()

    def _decide(self, name: str, bounded: Bounded | None, made: Any, result: Tensor, base: Tensor | None) -> None:
        node = (result if base is None else base).grad_fn
        if bounded is None or (base is not None and bounded.place != 0):
            self._refused[node] = f"aten.{name}"
            return
        before = self._ruled.get(made, (None, ""))[1]
        if bounded.low == 0 and not (before and math.isfinite(bounded.high)):
            place, top = self._ceilings.get(made, (0, bounded.high))
            if name in NAMED or (top in _TOPS and not is_projected(made)):
                if made in self._ceilings:
                    self._rule(made, name, Bounded(bounded.x, place, high=top), result, None)
                self._rule(node, name, replace(bounded, high=top), result, base)
        elif bounded.low in (0, -math.inf) and math.isfinite(bounded.high):
            if bounded.low != 0:
                self._ceilings[node] = bounded.place, bounded.high
            if before in NAMED or (before and bounded.high in _TOPS):
                self._rule(node, before, bounded, result, base)
            elif before:
                # A clip in two steps.
                self._ruled.pop(made)[0].remove()

    def _rule(self, node: Any, name: str, bounded: Bounded, result: Tensor, base: Tensor | None) -> None:
        place, slope, applied = bounded.place, bounded.slope, self.applied
        masks = self._guided and (base is not None or node.name() not in _MASKING)
        passes = (result > 0) & (result < bounded.high) if masks else None

        def ruled(gradient: Tensor) -> Tensor:
            positive = gradient.clamp(min=0)
            positive = positive if passes is None else positive * passes
            return positive if slope == 1 else slope * positive

        rule = ruled if base is None else _within(base, result, ruled)
        takes_plain = self._guided and not masks

        def replaced(gradients: tuple[Any, ...], given: tuple[Any, ...]) -> tuple[Any, ...] | None:
            plain = gradients[place]
            if plain is None or given[0] is None:
                return None
            applied.append(name)
            others = [None if other is None else torch.zeros_like(other) for other in gradients]
            others[place] = rule(plain if takes_plain else given[0]).sum_to_size(plain.shape).to(plain.dtype)
            return tuple(others)

        self._ruled[node] = node.register_hook(replaced), name


class ReluRules(_Watch, TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While a forward pass runs in it, each ReLU gets the rule's backward pass.

    It sees the operators that run, and changes what passes the nodes that autograd makes of them:
    what is computed stays as it is.

    Args:
        rule: `"guided"` lets only positive gradients pass, where the input was positive
            (Springenberg et al. 2015); `"deconv"` lets positive gradients pass wherever the input
            was (Zeiler & Fergus 2014).
    """

    supports_higher_order_operators = True


@cache
def _called(func: Any) -> tuple[str | None, bool]:
    """The name of an operator of torch, and whether it works in place; `None` for one that calls functions."""
    if isinstance(func, HigherOrderOperator):
        return None, False
    name = str(func.overloadpacket.__name__) if func.namespace == "aten" else ""
    return name.rstrip("_"), name.endswith("_")


def _within(base: Tensor, view: Tensor, rule: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The rule for the part of a tensor that was overwritten through a view."""
    shape, strides = base.shape, base.stride()
    place = view.shape, view.stride(), view.storage_offset() - base.storage_offset()

    def ruled(gradient: Tensor) -> Tensor:
        whole = gradient.new_empty_strided(shape, strides).copy_(gradient)
        part = whole.as_strided(*place)
        part.copy_(rule(part))
        return whole

    return ruled
