"""The contract, clause by clause, on the whole zoo."""

from __future__ import annotations

from collections.abc import Iterable

from tf_zoo import keras_cases, module_cases

from agnostic_rand.testing import AdapterConformance, Case


class TestModules(AdapterConformance):
    def make_cases(self) -> Iterable[Case]:
        return module_cases()


class TestLegacyKeras(AdapterConformance):
    def make_cases(self) -> Iterable[Case]:
        return keras_cases()
