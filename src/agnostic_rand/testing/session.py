"""Session of checks on cases: every check on a model that is as it was built."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from agnostic_rand.errors import ArgumentError, unknown_name
from agnostic_rand.testing.bench import Bench
from agnostic_rand.testing.case import Case
from agnostic_rand.testing.catalog import CHECKS
from agnostic_rand.testing.check import Check
from agnostic_rand.testing.expectation import ContractError, NotApplicableError
from agnostic_rand.testing.report import Report, Skip, Violation

MakeCases: TypeAlias = Callable[[], Iterable[Case]]


@dataclass(frozen=True)
class _Outcome:
    violation: Violation | None = None
    skip: Skip | None = None


class Session:
    """The cases of one backend, opened when they are needed and built anew after they were changed.

    Args:
        make_cases: Builds the cases, with new models at each call.
        expected_failures: By `"check"` or `"check[case]"`, why it fails.

    Raises:
        ArgumentError: There is no case, two have one name, or an expected failure names no check.
    """

    def __init__(self, make_cases: MakeCases, expected_failures: Mapping[str, str] | None = None) -> None:
        self._make_cases = make_cases
        self._expected = dict(expected_failures or {})
        self._cases: Sequence[Case] = tuple(make_cases())
        self._benches: dict[int, Bench] = {}
        _check_names(self._cases, self._expected)

    @property
    def cases(self) -> tuple[str, ...]:
        """The names of the cases."""
        return tuple(case.name for case in self._cases)

    def run(self, checks: Sequence[Check] = CHECKS) -> Report:
        """Run checks on all cases.

        Args:
            checks: Those to run; by default all.
        """
        violations: list[Violation] = []
        failed: list[Violation] = []
        skips: list[Skip] = []
        ran: list[str] = []
        for index, case in enumerate(self._cases):
            unopened = self._open(index)
            if unopened is not None:
                violations.append(unopened)
                continue
            for check in checks:
                outcome = self._run(check, index)
                if outcome.skip is not None:
                    skips.append(outcome.skip)
                    continue
                ran.append(f"{check.name}[{case.name}]")
                if outcome.violation is not None:
                    expected = not self._expected.keys().isdisjoint({check.name, ran[-1]})
                    (failed if expected else violations).append(outcome.violation)
        violations += self._unexpected_passes(checks, failed)
        if not ran and not violations:
            reasons = "; ".join(sorted({skip.reason for skip in skips}))
            violations.append(Violation("kit", ", ".join(self.cases), f"no check ran: {reasons}"))
        return Report(tuple(ran), tuple(skips), tuple(violations), tuple(failed))

    def _unexpected_passes(self, checks: Sequence[Check], failed: Sequence[Violation]) -> list[Violation]:
        names = {check.name for check in checks}
        seen = {key for violation in failed for key in (violation.check, f"{violation.check}[{violation.case}]")}
        return [
            Violation(
                key.partition("[")[0],
                key.partition("[")[2].rstrip("]") or "every case",
                f"it is expected to fail ({reason}), and did not: take it out of expected_failures",
            )
            for key, reason in self._expected.items()
            if key.partition("[")[0] in names and key not in seen
        ]

    def _open(self, index: int) -> Violation | None:
        try:
            self._bench(index)
        except Exception as error:  # noqa: BLE001 - whatever an adapter raises is a violation, and is reported as one
            return Violation("opening", self._cases[index].name, _message(error), error)
        return None

    def _run(self, check: Check, index: int) -> _Outcome:
        name = self._cases[index].name
        try:
            bench = self._bench(index)
            check.run(bench)
            if not bench.pristine():
                self._drop(index)
        except NotApplicableError as reason:
            return _Outcome(skip=Skip(check.name, name, str(reason)))
        except Exception as error:  # noqa: BLE001 - whatever an adapter raises is a violation, and is reported as one
            self._drop(index)
            return _Outcome(violation=Violation(check.name, name, _message(error), error))
        return _Outcome()

    def _bench(self, index: int) -> Bench:
        if index not in self._benches:
            self._benches[index] = Bench(self._cases[index])
        return self._benches[index]

    def _drop(self, index: int) -> None:
        """Build the models anew: one of them is not as it was."""
        self._benches.pop(index, None)
        used = self._cases[index].model
        fresh = tuple(self._make_cases())
        if fresh[index].model is used:
            raise ArgumentError(
                f"the model of case {fresh[index].name!r}",
                expected="a new model at each call of the function that makes the cases",
                received="the same object again",
                fix="Build the model inside the function.",
            )
        # The other cases keep the models that are opened already.
        cases = list(self._cases)
        cases[index] = fresh[index]
        self._cases = tuple(cases)


def _message(error: Exception) -> str:
    if isinstance(error, ContractError):
        return str(error)
    return f"raised {type(error).__name__}: {error}"


def _check_names(cases: Sequence[Case], expected: Mapping[str, str]) -> None:
    names = Counter(case.name for case in cases)
    if not cases or max(names.values()) > 1:
        raise ArgumentError(
            "make_cases()",
            expected="at least one case, each with a name of its own",
            received=f"{len(cases)} cases named {', '.join(names) or 'nothing'}",
            fix="Return a list of Case objects.",
        )
    known = {check.name for check in CHECKS}
    known |= {f"{check}[{case}]" for check in known for case in names}
    for key in expected:
        if key not in known:
            raise unknown_name("expected failure", key, sorted(known))
