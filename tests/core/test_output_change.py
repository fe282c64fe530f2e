"""How far outputs moved, summed over batches; and intervals over draws and samples."""

from __future__ import annotations

import numpy as np
import pytest

from agnostic_rand.results.output_change import OutputChange, OutputTally

from .fakes import Array

RNG = np.random.default_rng(0)
TRAINED, RANDOM = RNG.standard_normal((50, 4)), RNG.standard_normal((50, 4)) * 3 + 1


def change(trained: Array, random: Array, batch_size: int = 50) -> OutputChange:
    tally = OutputTally(1, 1)
    for start in range(0, len(trained), batch_size):
        tally.add(0, 0, trained[start : start + batch_size], random[start : start + batch_size])
    return tally.change()


def centred_correlation(a: Array, b: Array) -> float:
    """Each class centred on its mean over samples, then one correlation over all."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


@pytest.mark.parametrize("batch_size", [1, 7, 50])
def test_the_change_is_that_of_all_samples_at_once(batch_size: int) -> None:
    mixed = RANDOM + 2 * TRAINED
    found = change(TRAINED, mixed, batch_size)
    assert found.correlation[0, 0] == pytest.approx(centred_correlation(TRAINED, mixed), abs=1e-12)
    assert found.agreement[0, 0] == (TRAINED.argmax(axis=1) == mixed.argmax(axis=1)).mean()
    assert found.scale[0, 0] == abs(mixed).max()


def test_known_changes_have_known_values() -> None:
    np.testing.assert_allclose(change(TRAINED, TRAINED).correlation, 1)
    np.testing.assert_allclose(change(TRAINED, 5 - 2 * TRAINED).correlation, -1)
    assert change(TRAINED, TRAINED).agreement[0, 0] == 1
    # Offsets of the classes are no agreement on samples.
    offsets = np.array([0, 9, 0, 0])
    assert abs(change(TRAINED + offsets, RANDOM + offsets).correlation[0, 0]) < 0.3


def test_places_are_kept_apart() -> None:
    tally = OutputTally(2, 3)
    for draw in range(2):
        for step in range(3):
            tally.add(draw, step, TRAINED, TRAINED if (draw, step) == (1, 2) else -TRAINED * (1 + draw + step))
    found = tally.change()
    np.testing.assert_allclose(found.correlation, [[-1, -1, -1], [-1, -1, 1]])
    np.testing.assert_allclose(found.scale / abs(TRAINED).max(), [[1, 2, 3], [2, 3, 1]])


def test_a_single_output_has_no_largest_class() -> None:
    found = change(TRAINED[:, :1], RANDOM[:, :1])
    assert np.isnan(found.agreement[0, 0])
    assert found.correlation[0, 0] == pytest.approx(np.corrcoef(TRAINED[:, 0], RANDOM[:, 0])[0, 1])


def test_outputs_of_a_single_sample_have_no_correlation() -> None:
    assert np.isnan(change(TRAINED[:1], RANDOM[:1]).correlation[0, 0])


def test_constant_outputs_have_no_correlation() -> None:
    undefined = [
        np.isnan(change(TRAINED[:n], np.tile([0.1, 0.7, -0.3, 1e3 / 3], (n, 1)), 7).correlation[0, 0])
        for n in range(2, 51)
    ]
    assert all(undefined)


@pytest.mark.parametrize("offset", [1e7, 1e9])
def test_an_offset_of_the_outputs_does_not_change_their_correlation(offset: float) -> None:
    moved = TRAINED * 0.01 + offset
    assert change(TRAINED, moved).correlation[0, 0] == pytest.approx(1, abs=1e-4)
