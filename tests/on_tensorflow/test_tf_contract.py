"""The contract, clause by clause, on the whole zoo."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import pytest
from tf_zoo import keras_cases, module_cases, save_models, saved_cases

from agnostic_rand.testing import AdapterConformance, Case


class TestModules(AdapterConformance):
    def make_cases(self) -> Iterable[Case]:
        return module_cases()


class TestLegacyKeras(AdapterConformance):
    def make_cases(self) -> Iterable[Case]:
        return keras_cases()


class TestSavedModels(AdapterConformance):
    folder: ClassVar[Path]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _saved(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        cls.folder = tmp_path_factory.mktemp("models")
        save_models(cls.folder)

    def make_cases(self) -> Iterable[Case]:
        return saved_cases(self.folder)
