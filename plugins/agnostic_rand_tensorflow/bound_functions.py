"""Functions that a copy of a model shares with the model, bound to the model's own modules.

Python copies no function: the closure of one that is an attribute of a module, or what a Lambda layer
calls, names the same objects in the copy. The graph of a call on example inputs tells whether they are
used; without any, that they can be reached is all that is known.
"""

from __future__ import annotations

from agnostic_rand.adapters import BoundSearch
from agnostic_rand_tensorflow.legacy_keras import is_layer
from agnostic_rand_tensorflow.ownership import Ownership

_FRAMEWORKS = frozenset({"tensorflow", "tf_keras", "keras", "numpy"})


def bound_function(original: Ownership, copy: Ownership) -> str | None:
    """Where the copy holds a function that reaches a module or variable of the original, or `None`.

    Args:
        original: What the walk through the original found.
        copy: What the walk through the copy found.
    """
    named = {id(owner): f"the module {path or type(owner).__name__!r}" for path, owner in original.owners.items()}
    named |= {id(owned.variable): f"the variable {owned.variable.name!r}" for owned in original.variables}
    search = BoundSearch(named, _FRAMEWORKS)
    for path, owner in copy.owners.items():
        called = "call" if is_layer(owner) else "__call__"
        calls = [(node.call_args, node.call_kwargs) for node in getattr(owner, "_inbound_nodes", ())]
        attributes = {**vars(owner), called: getattr(type(owner), called, None), "the arguments": calls}
        for name, value in attributes.items():
            reached = search.reached(value)
            if reached is not None:
                return f"{name} of {path or type(owner).__name__!r}, which is bound to {reached} of the original"
    return None
