"""Results made up for tests, and their comparison."""

from __future__ import annotations

from typing import Any

import numpy as np

from agnostic_rand.results.output_change import OutputChange
from agnostic_rand.results.scores import Notes, Scores
from agnostic_rand.weights import Step

from .fakes import Array

RNG = np.random.default_rng(0)


def result(scores: Array | None = None, *, name: str = "mine", notes: Notes | None = None, **fields: Any) -> Scores:
    """A result of one explainer over two draws, three steps and four samples, with undefined scores."""
    if scores is None:
        scores = RNG.uniform(-1, 1, (2, 3, 4))
        scores[0, 1, 2] = scores[1, 1, 3] = np.nan
    draws, steps, samples = scores.shape
    named = tuple(Step(f"step{k}", (f"layer{k}",), k + 1, steps) for k in range(steps))
    change = OutputChange(*(RNG.random((draws, steps)) for _ in range(4)))
    change.agreement[0, 0] = np.nan
    given: dict[str, Any] = {
        "seed": 2**62,
        "settings": {"tied": {"a": ["b"]}},
        "versions": {"python": "3"},
        **fields,
    }
    return Scores(
        check="model_randomization",
        dimensions={
            "draw": tuple(range(draws)),
            "step": tuple(step.name for step in named),
            "sample": tuple(range(samples)),
        },
        scores={"spearman": scores, "cosine": -scores},
        notes={name: notes or Notes()},
        meaning="a high score says little",
        steps=named,
        outputs=change,
        **given,
    )


def assert_equal(first: Scores, second: Scores) -> None:
    assert first.to_dict() == second.to_dict()
    for name, array in first.scores.items():
        np.testing.assert_array_equal(array, second.scores[name])
        assert second.scores[name].dtype == array.dtype
