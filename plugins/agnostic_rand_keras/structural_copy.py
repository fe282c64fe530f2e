"""A copy of a model object by object: its weights, settings and graph, not what made them.

`copy.deepcopy` of a Keras model saves and loads it, which needs a working config of every layer and
gives each holder of a shared variable one of its own. Here layers are copied as plain objects.
"""

from __future__ import annotations

import copy
import sys
from typing import Any

import keras
from keras.src.utils.tracking import DotNotTrackScope

# What Keras binds to each object when it makes it: the copy has its own.
_BOUND = ("build", "quantize")
# What calls and training leave behind, and what a copy does without.
_LEFTOVERS = ("history", "optimizer", "_compile_config", "_compiled_trainable_state", "_jax_state")
_FUNCTIONS = ("train_function", "test_function", "predict_function")


def structural_copy(model: keras.Model) -> keras.Model:
    """The copy, not compiled for training; variables that are shared in the model are shared in it.

    Raises:
        Exception: An object that the model holds cannot be copied; of any type.
    """
    parts = _parts(model)
    memo: dict[int, Any] = {id(module): module for module in list(sys.modules.values())}
    # Keras sets a layer up in `__new__`, so it is the one of its own class that has to run.
    memo.update({id(part): type(part).__new__(type(part)) for part in parts})  # type: ignore[call-overload]
    memo.update(
        {id(held): type(held)(held.name) for part in parts for held in vars(part).values() if _is_switch(held)}
    )
    _leave_out_other_graphs(parts, memo)
    defaults = _uncompiled()
    # Otherwise lists inside the copy would register their items a second time.
    with DotNotTrackScope():
        for part in parts:
            attributes = vars(memo[id(part)])
            bound = {name: attributes[name] for name in _BOUND if name in attributes}
            for name, value in _kept(part, defaults).items():
                attributes[name] = copy.deepcopy(value, memo)
            attributes.update(bound)
    for part in parts:
        _refer_to_copies(memo[id(part)])
    duplicate: keras.Model = memo[id(model)]
    return duplicate


def _parts(model: keras.Model) -> list[Any]:
    """All objects that Keras would save and load: layers, operations of functional graphs, metrics."""
    parts: dict[int, Any] = {}
    waiting: list[Any] = [model]
    while waiting:
        part = waiting.pop()
        if id(part) in parts:
            continue
        parts[id(part)] = part
        waiting.extend(getattr(part, "_operations", ()))
        tracker = getattr(part, "_tracker", None)
        # A Sequential model has its graph among what is tracked, not among its layers.
        stores = {} if tracker is None else {name: store for name, (_, store) in tracker.config.items()}
        for held in (getattr(part, "_layers", ()), stores.get("layers", ()), stores.get("metrics", ())):
            waiting.extend(held)
    return list(parts.values())


def _leave_out_other_graphs(parts: list[Any], memo: dict[int, Any]) -> None:
    """A layer knows each graph that it was ever used in; those of other models are not copied."""
    own = {id(node) for part in parts for nodes in getattr(part, "_nodes_by_depth", {}).values() for node in nodes}
    for part in parts:
        for node in (*getattr(part, "_inbound_nodes", ()), *getattr(part, "_outbound_nodes", ())):
            if id(node) not in own:
                memo[id(node)] = None


def _is_switch(held: Any) -> bool:
    """Whether it is what preprocessing layers change their backend by, which looks itself up when it is copied."""
    return type(held).__name__ == "DynamicBackend"


def _uncompiled() -> dict[str, Any]:
    """What a model has beyond a layer when it is new: its state of compilation."""
    fresh = vars(keras.Model(name="uncompiled"))
    return {name: fresh[name] for name in fresh.keys() - vars(keras.Layer(name="layer")).keys()}


def _kept(part: Any, defaults: dict[str, Any]) -> dict[str, Any]:
    """The attributes to copy."""
    replaced: dict[str, Any] = {}
    if isinstance(part, keras.Layer):
        replaced = {"_losses": [], "_loss_ids": set(), "_losses_override": []}
    if isinstance(part, keras.Model):
        replaced |= defaults if part.compiled else dict.fromkeys(_FUNCTIONS)
    dropped = (*_BOUND, *_LEFTOVERS) if isinstance(part, keras.Model) else _BOUND
    return {name: replaced.get(name, value) for name, value in vars(part).items() if name not in dropped}


def _refer_to_copies(part: Any) -> None:
    """Bring up to date what Keras keeps by the identity of objects."""
    tracker = getattr(part, "_tracker", None)
    if tracker is not None:
        tracker.stored_ids = {name: {id(item) for item in store} for name, (_, store) in tracker.config.items()}
    nodes = getattr(part, "_nodes_by_depth", None)
    if nodes is not None:
        part._nodes = {
            f"{id(node.operation)}_ib-{node.operation._inbound_nodes.index(node)}"
            for group in nodes.values()
            for node in group
        }
