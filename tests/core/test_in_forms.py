"""Several forms at once are each form by itself."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from agnostic_rand.similarity import MapForm, in_forms
from agnostic_rand.similarity.preprocess import _WORDS


@pytest.mark.parametrize("axis", [1, -1, None])
def test_forms_that_share_a_reduction_are_what_each_is_alone(axis: int | None) -> None:
    maps = np.random.default_rng(0).standard_normal((4, 3, 6, 3)).astype(np.float32)
    before = maps.copy()
    forms = [MapForm(*words) for words in itertools.product(*(_WORDS[name] for name in _WORDS))]
    found = in_forms(forms, maps, axis)
    assert list(found) == forms
    for form in forms:
        np.testing.assert_array_equal(found[form], form.apply(maps, axis))
    np.testing.assert_array_equal(maps, before)
