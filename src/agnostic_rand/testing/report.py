"""Report of a run of the kit."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Violation:
    """A check that an adapter fails.

    Args:
        check: The check's name.
        case: The name of the case that it failed on.
        message: What was seen.
        error: The exception that ended the check, if any.
    """

    check: str
    case: str
    message: str
    error: Exception | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.check}[{self.case}]: {self.message}"


@dataclass(frozen=True)
class Skip:
    """A check that says nothing of a case.

    Args:
        check: The check's name.
        case: The case's name.
        reason: Why.
    """

    check: str
    case: str
    reason: str


@dataclass(frozen=True)
class Report:
    """All that a run did.

    Args:
        ran: What was checked, as `"check[case]"`.
        skipped: What was not, and why.
        violations: What failed, expected failures left out.
        expected: What failed as expected.
    """

    ran: tuple[str, ...]
    skipped: tuple[Skip, ...]
    violations: tuple[Violation, ...]
    expected: tuple[Violation, ...]

    def summary(self) -> str:
        """How many checks ran, were skipped and why, and each violation, in lines.

        Example:
            >>> print(Report(("C1_total[mlp]",), (Skip("C2_first_use", "mlp", "no order"),), (), ()).summary())
            conformance: 1 checks ran, 1 skipped, 0 failed as expected, 0 violations
              skipped, no order: C2_first_use[mlp]
        """
        counts = f"{len(self.ran)} checks ran, {len(self.skipped)} skipped"
        lines = [
            f"conformance: {counts}, {len(self.expected)} failed as expected, {len(self.violations)} violations"
        ]
        by_reason: dict[str, dict[str, list[str]]] = {}
        for skip in self.skipped:
            by_reason.setdefault(skip.reason, {}).setdefault(skip.check, []).append(skip.case)
        for reason, checks in by_reason.items():
            places = ", ".join(f"{check}[{','.join(cases)}]" for check, cases in checks.items())
            lines.append(f"  skipped, {reason}: {places}")
        lines += [f"  expected: {violation}" for violation in self.expected]
        lines += [f"  VIOLATION {violation}" for violation in self.violations]
        return "\n".join(lines)
