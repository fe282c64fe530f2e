"""What the controls show: that a randomization check can be passed by a map that owes its values to the input."""

from __future__ import annotations

import numpy as np

import agnostic_rand as ar

from .conftest import Trained


def test_competition_between_classes_passes_where_the_same_map_without_it_does_not(trained_cnn: Trained) -> None:
    metric = ar.ModelRandomizationMetric(
        trained_cnn.model,
        trained_cnn.x[:60],
        trained_cnn.y[:60],
        randomization_strategy=ar.CascadingRandomization(),
        draws=2,
        measures=("spearman_abs",),
        seed=0,
    )
    plain, competing = (
        metric.run(name).mean("spearman_abs")
        for name in ("gradient_times_input", "competitive_gradient_times_input")
    )
    # The last layer alone decides who wins an element: the first step is enough.
    assert (plain > 0.75).all()
    assert (competing < 0.2).all()


def test_it_keeps_a_part_of_the_very_map_that_fails(trained_cnn: Trained) -> None:
    x, y = trained_cnn.x[:20], trained_cnn.y[:20]
    whole, kept = (
        ar.explain(trained_cnn.model, x, y, name)
        for name in ("gradient_times_input", "competitive_gradient_times_input")
    )
    won = kept != 0
    np.testing.assert_allclose(kept[won], whole[won], rtol=1e-5, atol=1e-7)
    assert 0.05 < won.mean() < (whole != 0).mean()
