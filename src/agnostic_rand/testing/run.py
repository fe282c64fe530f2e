"""Run of the kit without pytest."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agnostic_rand.testing.report import Report, Violation
from agnostic_rand.testing.session import MakeCases, Session


def check_adapter(
    make_cases: MakeCases,
    *,
    expected_failures: Mapping[str, str] | None = None,
    show: Callable[[str], None] = print,
) -> list[Violation]:
    """Check an adapter against the whole contract, on each of some small models.

    How many checks ran, which were skipped and why, and what was found is shown in lines.

    Args:
        make_cases: Returns `Case` objects, with new models at each call.
        expected_failures: By `"check"` or `"check[case]"`, why it fails. Strict: what is expected
            to fail and passes is a violation.
        show: Takes the lines.

    Returns:
        What the adapter breaks; empty where it keeps to all that could be checked. If nothing
        could be checked, that is a violation.

    Raises:
        ArgumentError: There is no case, two have one name, or an expected failure names no check.
    """
    report = run_conformance(make_cases, expected_failures=expected_failures)
    show(report.summary())
    return list(report.violations)


def run_conformance(make_cases: MakeCases, *, expected_failures: Mapping[str, str] | None = None) -> Report:
    """Check an adapter as `check_adapter` does, and return everything that was found.

    Args:
        make_cases: As in `check_adapter`.
        expected_failures: As in `check_adapter`.

    Raises:
        ArgumentError: As in `check_adapter`.
    """
    return Session(make_cases, expected_failures).run()
