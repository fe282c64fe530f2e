"""A kit that finds no fault proves nothing: each of its checks is shown a fault, and must see it."""

from __future__ import annotations

from functools import partial

import broken_capabilities
import broken_contract
import pytest
from broken_contract import Fault
from numpy_cases import numpy_cases

from agnostic_rand.testing import CHECKS, run_conformance
from agnostic_rand.testing.session import Session

FAULTS = (*broken_contract.FAULTS, *broken_capabilities.FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_the_check_of_the_broken_clause_sees_the_fault(fault: Fault) -> None:
    checks = [check for check in CHECKS if check.name == fault.check] or list(CHECKS)
    report = Session(partial(numpy_cases, fault.adapter)).run(checks)
    assert {violation.check for violation in report.violations} == {fault.check}
    assert any(fault.seen in violation.message for violation in report.violations), report.summary()


def test_each_check_is_shown_a_fault() -> None:
    assert {check.name for check in CHECKS} <= {fault.check for fault in FAULTS}


def test_an_adapter_without_fault_passes_and_each_check_runs_on_it() -> None:
    report = run_conformance(numpy_cases)
    assert report.violations == ()
    assert {place.partition("[")[0] for place in report.ran} == {check.name for check in CHECKS}
