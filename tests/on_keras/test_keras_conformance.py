"""The Keras backend under the conformance kit."""

from __future__ import annotations

from keras_cases import keras_cases

from agnostic_rand.testing import AdapterConformance, Case


class TestKeras(AdapterConformance):
    def make_cases(self) -> list[Case]:
        return keras_cases()
