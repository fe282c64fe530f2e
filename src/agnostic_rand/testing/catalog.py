"""Catalog of the kit's checks, in the order of the contract."""

from __future__ import annotations

from agnostic_rand.testing import (
    axes,
    cloning,
    coverage,
    from_layer,
    gradients,
    initializers,
    inside,
    outputs,
    purity,
    randomness,
    reads,
    rectifiers,
    reference,
    several_inputs,
    statistics,
    training,
    writing,
)
from agnostic_rand.testing.check import Check

CHECKS: tuple[Check, ...] = (
    *coverage.CHECKS,
    *reads.CHECKS,
    *writing.CHECKS,
    *cloning.CHECKS,
    *purity.CHECKS,
    *randomness.CHECKS,
    *axes.CHECKS,
    *outputs.CHECKS,
    *gradients.CHECKS,
    *reference.CHECKS,
    *rectifiers.CHECKS,
    *initializers.CHECKS,
    *statistics.CHECKS,
    *inside.CHECKS,
    *from_layer.CHECKS,
    *several_inputs.CHECKS,
    *training.CHECKS,
)
