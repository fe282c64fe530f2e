"""The kit itself: it cannot pass by skipping, it is strict, and it says what it did."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pytest
from broken_contract import ForgetsAParameter, RaisesKeyErrors
from full_numpy import FullNumpyAdapter
from numpy_cases import NATIVE, mlp, numpy_cases

from agnostic_rand.errors import ArgumentError, UnknownNameError
from agnostic_rand.testing import (
    CHECKS,
    AdapterConformance,
    Case,
    Check,
    Native,
    check_adapter,
    run_conformance,
)
from agnostic_rand.testing.expectation import NotApplicableError
from agnostic_rand.testing.session import Session

pytest_plugins = ["pytester"]


class TestTheFullAdapter(AdapterConformance):
    def make_cases(self) -> list[Case]:
        return numpy_cases()


def quiet(lines: str) -> None:
    """Show nothing."""


def test_violations_are_returned_and_everything_is_counted_and_shown() -> None:
    shown: list[str] = []
    violations = check_adapter(partial(numpy_cases, ForgetsAParameter), show=shown.append)
    assert {"C1_total", "C1_nothing_left_out"} <= {violation.check for violation in violations}
    report = run_conformance(partial(numpy_cases, ForgetsAParameter))
    assert shown == [report.summary()]
    assert len(report.ran) + len(report.skipped) == len(CHECKS) * len(numpy_cases())
    first = shown[0].splitlines()[0]
    assert first == (
        f"conformance: {len(report.ran)} checks ran, {len(report.skipped)} skipped, "
        f"0 failed as expected, {len(violations)} violations"
    )
    assert "  skipped, the case does not give facts.tied: C3_tied[mlp,second head,normalized,single]" in shown[0]


def test_an_expected_failure_is_no_violation_in_the_cases_it_names() -> None:
    faulty = partial(numpy_cases, RaisesKeyErrors)
    assert check_adapter(faulty, expected_failures={"errors_unknown_layer": "later"}, show=quiet) == []
    one = check_adapter(faulty, expected_failures={"errors_unknown_layer[mlp]": "later"}, show=quiet)
    assert {(violation.check, violation.case) for violation in one} == {
        ("errors_unknown_layer", name) for name in ("second head", "normalized", "tied", "single")
    }


@pytest.mark.parametrize("key", ["C4_same_model", "C4_same_model[mlp]", "C3_tied[mlp]"])
def test_an_expected_failure_that_passes_or_is_skipped_is_a_violation(key: str) -> None:
    (violation,) = check_adapter(numpy_cases, expected_failures={key: "a reason"}, show=quiet)
    assert (violation.check, violation.case) == (key.partition("[")[0], "mlp" if "[" in key else "every case")
    assert "a reason" in violation.message


def test_an_expected_failure_must_name_a_check() -> None:
    with pytest.raises(UnknownNameError, match="C4_same_model"):
        check_adapter(numpy_cases, expected_failures={"C4_same_modle": "a typing error"}, show=quiet)


def test_no_case_is_an_error_and_nothing_but_skips_is_a_violation() -> None:
    with pytest.raises(ArgumentError, match="at least one case"):
        check_adapter(list, show=quiet)
    tied = [check for check in CHECKS if check.name == "C3_tied"]
    report = Session(lambda: numpy_cases()[:1]).run(tied)
    assert [violation.check for violation in report.violations] == ["kit"]
    assert "no check ran: the case does not give facts.tied" in report.violations[0].message


def test_two_cases_of_one_name_are_an_error() -> None:
    with pytest.raises(ArgumentError, match="a name of its own"):
        check_adapter(lambda: numpy_cases() + numpy_cases(), show=quiet)


def test_a_case_needs_samples_and_as_many_labels() -> None:
    with pytest.raises(ArgumentError, match="at least 4 samples"):
        Case("few", object(), np.zeros((3, 2)))
    with pytest.raises(ArgumentError, match="one integer class for each of the 8"):
        Case("labels", object(), np.zeros((8, 2)), np.zeros(7))


def test_a_model_that_cannot_be_opened_is_one_violation_and_no_skip() -> None:
    def make_cases() -> list[Case]:
        return [Case("stranger", object(), np.zeros((8, 2), np.float32))]

    (violation,) = check_adapter(make_cases, show=quiet)
    assert violation.check == "opening"
    assert violation.message.startswith("raised BackendError: the model: expected")


def test_a_model_that_is_not_built_anew_is_refused_once_it_is_damaged() -> None:
    kept = numpy_cases(ForgetsAParameter)
    with pytest.raises(ArgumentError, match="a new model at each call"):
        check_adapter(lambda: kept, show=quiet)


def test_a_fault_on_one_check_does_not_reach_the_next() -> None:
    """A damaged model is replaced: the check after a fault starts from the trained weights."""

    class Spoils(FullNumpyAdapter):
        spoilt: ClassVar[list[bool]] = []

        def clone(self) -> Any:
            if not self.spoilt:
                self.spoilt.append(True)
                self.native.modules["first"].bias += 1  # type: ignore[attr-defined]
            return super().clone()

    names = [f"C4_{name}" for name in ("same_model", "of_current_weights", "original_is_safe")]
    report = Session(lambda: numpy_cases(Spoils)[:1]).run([check for check in CHECKS if check.name in names])
    assert {violation.check for violation in report.violations} == {"C4_same_model"}


def test_what_a_case_leaves_out_is_skipped_with_the_reason() -> None:
    def make_cases() -> list[Case]:
        return [replace(numpy_cases()[0], native=Native())]

    report = run_conformance(make_cases)
    reasons = {skip.check: skip.reason for skip in report.skipped}
    assert report.violations == ()
    assert reasons["predict_truth"] == "the case does not give native.outputs"
    assert reasons["C1_nothing_left_out"] == "the case does not give native.parameters"
    assert reasons["C6_state_is_put_back"] == "the case does not give native.draw"


def test_every_check_has_a_name_of_its_own_and_states_something() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert all(check.statement.endswith(".") for check in CHECKS)
    clauses = {check.name.partition("_")[0] for check in CHECKS}
    assert {f"C{number}" for number in range(1, 8)} <= clauses


def test_the_kit_moves_no_global_generator() -> None:
    before = np.random.get_state()[1].tolist()  # type: ignore[index]
    check_adapter(numpy_cases, show=quiet)
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index]


def test_without_pytest_the_kit_is_complete_but_for_its_class() -> None:
    program = """
import sys
sys.modules["pytest"] = None
import agnostic_rand.testing as kit
assert callable(kit.check_adapter)
assert not {"torch", "jax", "keras", "tensorflow"} & set(sys.modules)
try:
    kit.AdapterConformance
except ImportError:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("refused\n", "")


PYTEST_FILE = """
from numpy_cases import numpy_cases
import broken_contract, broken_capabilities
from agnostic_rand.testing import AdapterConformance

class TestFaulty(AdapterConformance):
    expected_failures = {expected!r}
    def make_cases(self):
        return numpy_cases({adapter})[:{cases}]
"""


def run_pytest(
    pytester: pytest.Pytester, adapter: str, cases: int = 5, expected: dict[str, str] | None = None
) -> str:
    text = PYTEST_FILE.format(adapter=adapter, cases=cases, expected=expected or {})
    pytester.makepyfile(test_faulty=text)
    return str(pytester.runpytest("-rA", "-p", "no:cacheprovider").stdout)


def test_the_pytest_class_fails_with_the_statement_the_case_and_what_was_seen(pytester: pytest.Pytester) -> None:
    output = run_pytest(pytester, "broken_contract.ClonesWithoutWeights")
    assert "FAILED test_faulty.py::TestFaulty::test_contract[C4_same_model]" in output
    assert "A clone has the same layers, bits, outputs and gradients" in output
    assert "C4_same_model[mlp]: the clone holds other values in first/weight" in output
    assert "checks ran on the cases mlp, second head, normalized, tied, single" in output


def test_the_pytest_class_takes_expected_failures_and_is_strict(pytester: pytest.Pytester) -> None:
    expected = {"gradient_no_silent_rule": "no ReLU rules yet", "C1_total": "wrong"}
    output = run_pytest(pytester, "broken_capabilities.GuidesNothing", expected=expected)
    assert "XFAIL test_faulty.py::TestFaulty::test_contract[gradient_no_silent_rule]" in output
    assert "FAILED test_faulty.py::TestFaulty::test_contract[C1_total]" in output
    assert "it is expected to fail (wrong), and did not" in output


def test_the_pytest_class_skips_what_no_case_can_tell_with_the_reason(pytester: pytest.Pytester) -> None:
    output = run_pytest(pytester, "broken_contract.FullNumpyAdapter", cases=1)
    assert "C3_tied: the case does not give facts.tied" in output
    assert "FAILED" not in output


def test_the_pytest_class_fails_without_cases(pytester: pytest.Pytester) -> None:
    output = run_pytest(pytester, "broken_contract.FullNumpyAdapter", cases=0)
    assert "at least one case" in output
    assert f"{len(CHECKS)} errors" in output


def test_the_pytest_class_fails_where_every_check_is_skipped(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    def inapplicable(bench: object) -> None:
        raise NotApplicableError("nothing applies")

    skipping = tuple(Check(check.name, inapplicable) for check in CHECKS)
    monkeypatch.setattr("agnostic_rand.testing.conformance.CHECKS", skipping)
    monkeypatch.setattr(
        AdapterConformance.test_contract, "pytestmark", [pytest.mark.parametrize("check", skipping)]
    )
    output = run_pytest(pytester, "broken_contract.FullNumpyAdapter")
    assert "no check ran" in output
    assert "1 error" in output


def test_a_case_can_be_opened_twice() -> None:
    case = Case(
        "mlp", mlp(), np.ones((8, 5), np.float32), open=lambda m, request: FullNumpyAdapter(m), native=NATIVE
    )
    assert Session(lambda: [case]).run([CHECKS[0]]).violations == ()
