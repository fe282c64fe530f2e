"""Unclaimed models: what people hold that no backend claims, told by its form, and what to pass instead."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from inspect import isroutine
from typing import Any

_NO_MODEL: tuple[tuple[Callable[[Any], bool], str, str], ...] = (
    (
        lambda model: isinstance(model, type),
        "a class, not an object of it",
        "Make the model, as in model = {name}(...), load its trained weights, and pass it.",
    ),
    (
        lambda model: isinstance(model, str | bytes | os.PathLike),
        "the path or name of a model",
        "Load the model with its framework, and pass the object.",
    ),
    (
        lambda model: isinstance(model, Mapping),
        "weights by name without the model that computes with them",
        "Build the model, load these weights into it (load_state_dict, say), and pass it; in JAX pass the pair "
        "(module, variables) or (apply, params).",
    ),
    (
        lambda model: _is_pair(model) and callable(model[1]) and not callable(model[0]),
        "a pair with the function second",
        "Swap it: (apply, params), the function first.",
    ),
    (
        lambda model: _has(model, "predict_proba") or _has(model, "fit", "predict", "get_params"),
        "an estimator in the manner of scikit-learn, which has no layers and no gradients to explain",
        "Pass the network of a deep-learning framework. For your own kind of model write a plugin: "
        "docs/write-a-backend.md.",
    ),
    (
        lambda model: _has(model, "get_inputs", "get_outputs", "run") or _has(model, "graph", "opset_import"),
        "an ONNX model, whose weights cannot be changed while it runs",
        "Pass the model that it was exported from, or convert it to a module of a framework.",
    ),
    (
        lambda model: _has(model, "graph_signature", "module"),
        "an exported program",
        "Pass the module that it was exported from, or exported.module().",
    ),
    (
        lambda model: _has(model, "apply_fn", "params"),
        "a state of training whose apply_fn is no method of a Linen module",
        "Pass the pair (state.apply_fn, state.params), or the module with its variables.",
    ),
    (
        lambda model: _has(model, "init", "apply"),
        "a module without its variables",
        "Pass the pair (module, variables) of a Linen module, or (transformed.apply, params).",
    ),
    (
        # Models are callable too, and are unclaimed where their backend is missing.
        lambda model: isinstance(model, partial) or isroutine(model) or hasattr(model, "__wrapped__"),
        "a function, which does not show its weights",
        "Pass the model itself, and the function as forward=lambda model, inputs: ...; in JAX pass the pair "
        "(apply, params).",
    ),
)


def told(model: Any) -> tuple[str, str] | None:
    """What the object is and what to pass instead, or `None` where its form tells nothing.

    Example:
        >>> told("model.pt")[0]
        'the path or name of a model'
    """
    for fits, received, fix in _NO_MODEL:
        if fits(model):
            return received, fix.format(name=getattr(model, "__name__", ""))
    return None


def _is_pair(model: Any) -> bool:
    return isinstance(model, tuple | list) and len(model) == 2


def _has(model: Any, *names: str) -> bool:
    return all(hasattr(model, name) for name in names)
