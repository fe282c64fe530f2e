"""What users hand over as data, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from agnostic_rand.errors import InputError
from agnostic_rand.subject.samples import Samples, read_samples
from agnostic_rand.subject.targets import check_labels

from .fakes import Array, FakeAdapter, Net

X = np.random.default_rng(0).standard_normal((6, 4))
Y = np.array([0, 1, 2, 2, 1, 0])


def read(inputs: Any, targets: Any = None) -> Samples:
    return read_samples(inputs, targets, FakeAdapter(Net()))


def batches(*sizes: int, targets: Any = Y) -> list[tuple[Array, Any]]:
    ends = np.cumsum(sizes)
    return [
        (X[stop - size : stop], None if targets is None else targets[stop - size : stop])
        for size, stop in zip(sizes, ends, strict=True)
    ]


def generated(pairs: list[Any]) -> Iterator[Any]:
    yield from pairs


@pytest.mark.parametrize(
    "targets",
    [Y, Y.tolist(), Y.astype(np.float32), Y.astype(np.uint8), Y[:, None], np.eye(3)[Y], np.eye(3, dtype=bool)[Y]],
    ids=["ints", "list", "floats", "bytes", "column", "one-hot", "boolean one-hot"],
)
def test_labels_come_as_indices_or_one_hot_rows(targets: Any) -> None:
    samples = read(X, targets)
    np.testing.assert_array_equal(samples.targets, Y)
    assert samples.targets is not None
    assert samples.targets.dtype == np.int64


def test_inputs_may_be_lists_and_targets_absent() -> None:
    samples = read(X.tolist())
    np.testing.assert_array_equal(samples.inputs, X)
    assert samples.targets is None
    assert len(samples) == 6


@pytest.mark.parametrize("kind", [list, tuple, iter, generated])
@pytest.mark.parametrize("sizes", [(6,), (2, 4), (4, 1, 1)])
def test_batches_are_joined(kind: Any, sizes: tuple[int, ...]) -> None:
    samples = read(kind(batches(*sizes)))
    np.testing.assert_array_equal(samples.inputs, X)
    np.testing.assert_array_equal(samples.targets, Y)
    unlabelled = read(kind(batches(*sizes, targets=None)))
    np.testing.assert_array_equal(unlabelled.inputs, X)
    assert unlabelled.targets is None


def test_one_hot_batches_are_joined() -> None:
    np.testing.assert_array_equal(read(generated(batches(3, 3, targets=np.eye(3)[Y]))).targets, Y)


def test_a_loader_is_read_once_and_an_exhausted_one_is_refused() -> None:
    loader = generated(batches(3, 3))
    read(loader)
    with pytest.raises(InputError, match=r"at least one batch.*A generator can be read only once"):
        read(loader)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([(X[:2], Y[:2]), (X[2:], None)], "targets in 1 of 2 batches"),
        ([(X[:2], Y[:2]), (X[2:, :3], Y[2:])], r"\(3,\) and \(4,\)"),
        (generated([X, X]), "batch 0 of the inputs: expected a pair"),
        (
            generated([(X, Y), (X, Y, Y)]),
            "batch 1 of the inputs: expected a pair .* received a third part of .* int64",
        ),
        (generated([(X, Y), (X, Y, X, Y)]), "batch 1 of the inputs: expected a pair .* received tuple of 4"),
        (generated([{"x": X}]), "received dict of 'x'"),
        (
            generated([(X, Y[:4])]),
            r"as many targets as samples, received inputs of shape \(6, 4\) .*\(4,\).*batch them",
        ),
        (generated([(X, Y), (X[0], Y[0])]), "batches, or single samples, received both"),
        (generated([(["a"], [0])]), "the inputs of batch 0"),
        (iter(()), "at least one batch"),
    ],
)
def test_batches_that_do_not_fit_together_are_refused(inputs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(inputs)


def test_batches_bring_their_own_targets() -> None:
    with pytest.raises(InputError, match="which bring their own targets"):
        read(batches(6), Y)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((0, 4)), r"an array of shape \(0, 4\)"),
        (np.zeros((3, 0)), r"an array of shape \(3, 0\)"),
        (np.zeros(4), r"Add the batch dimension"),
        (3.0, r"an array of shape \(\)"),
        ([], r"an array of shape \(0,\)"),
        (np.array([["a", "b"]]), "element type <U1"),
        (np.ones((2, 2), complex), "element type complex128"),
        (np.array([[1, None]]), "element type object"),
        ("images", "received str of element type"),
        ([[1, 2], [3]], "nested lists of numbers"),
    ],
)
def test_inputs_that_are_no_batch_of_numbers_are_refused(inputs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(inputs)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_inputs_that_are_not_finite_are_refused_with_the_first_sample(broken: float) -> None:
    spoiled = X.copy()
    spoiled[[2, 4], 1] = broken
    with pytest.raises(InputError, match="NaN or infinity in 2 samples, first in sample 2"):
        read(spoiled)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (Y[:5], "one target for each of the 6 inputs, received 5 targets"),
        (np.eye(3)[Y[:5]], "received 5 targets"),
        (2, "a single number"),
        (np.full((6, 3), 1 / 3), "one-hot rows"),
        (np.zeros((6, 3)), "one-hot rows"),
        (np.ones((6, 3)), "one-hot rows"),
        (Y + 0.5, "class indices"),
        (np.where(Y == 1, np.nan, Y), "class indices"),
        (np.zeros((6, 2, 2)), "class indices"),
        (["cat"] * 6, "real numbers"),
    ],
)
def test_targets_that_name_no_class_for_each_input_are_refused(targets: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(X, targets)


@pytest.mark.parametrize(
    ("huge", "shown"), [(1e30, r"1e\+30"), (2**40, "1099511627776"), (-(2**40), "-1099511627776")]
)
def test_huge_targets_are_reported_as_they_are(huge: float, shown: str) -> None:
    with pytest.raises(InputError, match=f"received numbers up to {shown}"):
        read(np.ones((2, 3)), np.array([0, huge]))


def test_infinite_targets_are_refused() -> None:
    with pytest.raises(InputError, match="class indices"):
        read(X, np.where(Y == 1, np.inf, Y))


def test_boolean_targets_are_the_classes_zero_and_one() -> None:
    np.testing.assert_array_equal(read(X, Y > 0).targets, Y > 0)


def test_labels_out_of_range_are_refused_with_the_first_sample() -> None:
    check_labels(Y, 3)
    with pytest.raises(
        InputError, match=r"labels from 0 to 1, .* 2 outputs, received 2 others, first 2 for sample 2"
    ):
        check_labels(Y, 2)
    with pytest.raises(InputError, match="received 1 others, first -1 for sample 0"):
        check_labels(np.array([-1, 0]), 3)
