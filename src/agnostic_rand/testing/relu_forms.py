"""Forms of a ReLU: one table for all backends, and how a case states one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

RELU_FORMS: dict[str, float] = {
    "relu": np.inf,
    "maximum with a number": np.inf,
    "maximum with an array of zeros": np.inf,
    "clip from below": np.inf,
    "clip from 0 to infinity": np.inf,
    "where with a number": np.inf,
    "where with an array of zeros": np.inf,
    "where not, with zeros first": np.inf,
    "times its mask": np.inf,
    "negative entries set to zero": np.inf,
    "threshold": np.inf,
    "half of the sum with its magnitude": np.inf,
    "minus its negative part": np.inf,
    "relu6": 6.0,
    "clip from 0 to 6": 6.0,
    "minimum of a relu with 6": 6.0,
    "relu of a minimum with 6": 6.0,
    "minimum of a relu with 4": 4.0,
}
"""By name, the value at which the form stops to rise: infinity for a ReLU, 6 for a ReLU6."""


@dataclass(frozen=True)
class Rectified:
    """The model of a case with the same weights, of which one ReLU is written in another form.

    Args:
        form: A key of `RELU_FORMS`.
        spelling: How it is called, such as `"module"`, `"function"`, `"method"`, `"operator"`.
        build: Makes the model.
        layer: After which dense layer the form stands, counted from 0. All others are followed by the
            framework's own ReLU function.
    """

    form: str
    spelling: str
    build: Callable[[], Any]
    layer: int

    def __str__(self) -> str:
        return f"{self.form} ({self.spelling})"
