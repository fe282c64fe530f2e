"""Conformance kit as a pytest class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

import pytest

from agnostic_rand.testing.case import Case
from agnostic_rand.testing.catalog import CHECKS
from agnostic_rand.testing.check import Check
from agnostic_rand.testing.session import Session


class AdapterConformance:
    """One test for each check of the adapter contract, on all cases; subclass it as `Test...`.

    A check that says nothing of any case is skipped with its reasons; the numbers are printed
    when the class ends.

    Attributes:
        expected_failures: By `"check"` or `"check[case]"`, why it fails. Strict: what is expected
            to fail and passes is a failure.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {}

    def make_cases(self) -> Iterable[Case]:
        """Build small models, new ones at each call, and say what is known of them."""
        raise NotImplementedError(f"{type(self).__name__} must override make_cases")

    @pytest.fixture(scope="class")
    @classmethod
    def conformance(cls, pytestconfig: pytest.Config) -> Iterator[_Tally]:
        """The opened cases, shared by the checks, and the count of what ran."""
        tally = _Tally(Session(cls().make_cases, cls.expected_failures))
        yield tally
        if tally.nothing_ran:
            pytest.fail(f"{cls.__name__}: no check ran: {tally.summary()}")
        capture: Any = pytestconfig.pluginmanager.get_plugin("capturemanager")
        reporter: Any = pytestconfig.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and capture is not None:
            with capture.global_and_fixture_disabled():
                reporter.write_line(f"\n{cls.__name__}: {tally.summary()}")

    @pytest.mark.parametrize("check", CHECKS, ids=str)
    def test_contract(self, check: Check, conformance: _Tally) -> None:
        """The adapter keeps to one statement of the contract."""
        report = conformance.session.run([check])
        conformance.count(len(report.ran), len(report.skipped))
        reasons = "; ".join(sorted({skip.reason for skip in report.skipped}))
        if report.skipped and not report.ran:
            pytest.skip(f"{check.name}: {reasons}")
        if report.expected and not report.violations:
            pytest.xfail("; ".join(map(str, report.expected)))
        if report.violations:
            found = "\n".join(map(str, report.violations))
            error = next((violation.error for violation in report.violations if violation.error), None)
            raise AssertionError(f"{check.statement}\n{found}") from error


class _Tally:
    def __init__(self, session: Session) -> None:
        self.session = session
        self._ran = self._skipped = self._tests = 0

    def count(self, ran: int, skipped: int) -> None:
        self._ran += ran
        self._skipped += skipped
        self._tests += 1

    @property
    def nothing_ran(self) -> bool:
        """Whether all checks were selected, and each was skipped."""
        return self._ran == 0 and self._tests == len(CHECKS)

    def summary(self) -> str:
        cases = ", ".join(self.session.cases)
        return f"{self._ran} checks ran on the cases {cases}; {self._skipped} were skipped (-rs says why)"
