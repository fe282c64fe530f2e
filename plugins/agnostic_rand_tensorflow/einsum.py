"""The axes of a kernel in an equation of Einstein's summation."""

from __future__ import annotations

from agnostic_rand.adapters import distinct_axes


def kernel_axes(equation: str, operand: int) -> tuple[str, ...] | None:
    """A name for each dimension of one operand of two; `None` where the equation does not tell.

    Example:
        >>> kernel_axes("abc,cde->abde", 1)
        ('in', 'out', 'out2')
    """
    inputs, arrow, output = equation.replace(" ", "").replace("...", "").partition("->")
    operands = inputs.split(",")
    if not arrow or len(operands) != 2:
        return None
    other, own = operands[1 - operand], operands[operand]
    # A letter that runs through both operands and the output counts kernels that work side by side.
    names = {(True, False): "in", (False, True): "out", (True, True): "groups"}
    found = [names.get((letter in other, letter in output)) for letter in own]
    axes = tuple(axis for axis in found if axis is not None)
    return distinct_axes(axes) if len(axes) == len(found) and "in" in axes else None
