"""Conformance kit: proves that a backend keeps to the contract of `agnostic_rand.adapters`.

`AdapterConformance` needs pytest; everything else does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agnostic_rand.testing.case import Case, Facts, Native
from agnostic_rand.testing.catalog import CHECKS
from agnostic_rand.testing.check import Check
from agnostic_rand.testing.relu_forms import RELU_FORMS, Rectified
from agnostic_rand.testing.report import Report, Skip, Violation
from agnostic_rand.testing.run import check_adapter, run_conformance

if TYPE_CHECKING:
    from agnostic_rand.testing.conformance import AdapterConformance

__all__ = [
    "CHECKS",
    "RELU_FORMS",
    "AdapterConformance",
    "Case",
    "Check",
    "Facts",
    "Native",
    "Rectified",
    "Report",
    "Skip",
    "Violation",
    "check_adapter",
    "run_conformance",
]


def __getattr__(name: str) -> Any:
    if name == "AdapterConformance":
        from agnostic_rand.testing.conformance import AdapterConformance

        return AdapterConformance
    raise AttributeError(f"module 'agnostic_rand.testing' has no attribute {name!r}")
