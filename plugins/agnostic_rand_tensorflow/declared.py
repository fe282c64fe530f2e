"""What a module says of its own variables, where nothing else can know it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from agnostic_rand.adapters import Meaning, Role
from agnostic_rand.errors import ModelError

ATTRIBUTE = "agnostic_rand_axes"
"""An attribute of a module: by variable, its role and a name for each dimension (or `None`), as in
`{"kernel": ("kernel", ("h", "w", "in", "out"))}`. It is believed before anything that is found out."""


def declared_meaning(owner: Any, name: str, dimensions: int) -> Meaning | None:
    """What the owner declares for the variable `name`, if it does.

    Raises:
        ModelError: The declaration is no pair of a role and axes that fit the variable.
    """
    table = getattr(owner, ATTRIBUTE, None)
    if table is None or (isinstance(table, Mapping) and name not in table):
        return None
    try:
        role, axes = table[name]
        axes = None if axes is None else tuple(axes)
        fits = role in get_args(Role) and (axes is None or len(axes) == dimensions)
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ModelError(
            f"{ATTRIBUTE} of {type(owner).__name__}",
            expected=f"a dict that gives {name!r} a role and {dimensions} axes or None; the roles are "
            + ", ".join(get_args(Role)),
            received=repr(table.get(name) if isinstance(table, Mapping) else table),
            fix=f'Write for example {ATTRIBUTE} = {{"w": ("kernel", ("in", "out"))}}.',
        )
    return role, axes
