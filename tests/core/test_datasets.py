"""Data sets and loaders: triples, dictionaries, single samples, pictures, tables, and data without an end."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import agnostic_rand as ar
from agnostic_rand.errors import CapabilityError, InputError
from agnostic_rand.subject import datasets
from agnostic_rand.subject.samples import Samples, read_samples
from agnostic_rand.subject.targets import explained_outputs

from .fakes import Array, FakeAdapter, Net

X = np.random.default_rng(0).standard_normal((6, 2, 3))
Y = np.array([0, 1, 2, 2, 1, 0])
PAIRS = [(X[:4], Y[:4]), (X[4:], Y[4:])]


def read(inputs: Any, targets: Any = None, explained: Any = None) -> Samples:
    return read_samples(inputs, targets, FakeAdapter(Net()), explained)


class Indexed:
    """What has a length and an index; iterated, it does not end."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> Any:
        return self.items[number % len(self.items)]


class Endless:
    """What says that it has no end."""

    def __len__(self) -> int:
        raise TypeError("The dataset is infinite.")

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("read")


class Unsized:
    """What has the method and no length."""

    def __len__(self) -> int:
        raise TypeError("no len()")

    def __iter__(self) -> Iterator[Any]:
        return iter(PAIRS)


@pytest.mark.parametrize(
    "data",
    [
        [(x, int(y)) for x, y in zip(X, Y, strict=True)],
        iter([(x, y) for x, y in zip(X, Y, strict=True)]),
        Indexed([(x, np.array(y)) for x, y in zip(X, Y, strict=True)]),
        Indexed([{"image": x.tolist(), "label": int(y)} for x, y in zip(X, Y, strict=True)]),
        Indexed(PAIRS),
        Unsized(),
        [(x, y, np.ones(len(y))) for x, y in PAIRS],
        [(x, y, None) for x, y in PAIRS],
        [(x, int(y), 0.5) for x, y in zip(X, Y, strict=True)],
        [{"image": x, "Label": y} for x, y in PAIRS],
        {"x": X, "y": Y},
        {"labels": Y.tolist(), "pixels": X.tolist()},
    ],
    ids=[
        "list of samples",
        "iterator of samples",
        "data set of samples",
        "data set of dictionaries",
        "data set of batches",
        "no length",
        "weights",
        "no weights",
        "weighted samples",
        "list of dictionaries",
        "dictionary",
        "dictionary of lists",
    ],
)
def test_every_form_of_data_gives_the_same_samples(data: Any) -> None:
    samples = read(data)
    np.testing.assert_array_equal(samples.inputs, X)
    np.testing.assert_array_equal(samples.targets, Y)


def test_a_dictionary_of_several_inputs_beside_a_label_is_one_of_several_inputs() -> None:
    with pytest.raises(CapabilityError, match="several inputs"):
        read([{"ids": X, "mask": X, "label": Y}])
    # Where an input is chosen, or targets are given, no entry of a dictionary of arrays is taken for a label.
    with pytest.raises(CapabilityError, match="several inputs"):
        read({"x": X, "y": X}, Y)


def test_an_array_that_a_loader_fills_again_is_copied() -> None:
    def refilled() -> Iterator[Any]:
        buffer = np.empty((2, 2, 3))
        for start in range(0, 6, 2):
            buffer[...] = X[start : start + 2]
            yield buffer, Y[start : start + 2]

    np.testing.assert_array_equal(read(refilled()).inputs, X)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (itertools.cycle(PAIRS), "data with an end.*received an itertools.cycle.*itertools.islice"),
        (Endless(), "data with an end.*received The dataset is infinite. Pass .*take"),
        ((PAIRS[0] for _ in itertools.count()), "no end after .* items, which fill .* GiB"),
        (((X[0], 1) for _ in itertools.count()), "no end after .* items, which fill .* GiB"),
    ],
)
def test_data_without_an_end_is_told(data: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "READ_BYTES", 2**16)
    with pytest.raises(InputError, match=message):
        read(data)
    # What tells its length may be larger.
    assert len(read(Indexed(PAIRS * 50))) == 300


def test_splits_of_a_data_set_are_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"a dictionary of data sets: 'train', 'test'.*inputs\['train'\]"):
        read({"train": Indexed(PAIRS), "test": Indexed(PAIRS)})


@pytest.mark.parametrize("form", ["alone", "list", "pairs", "data set", "bytes"])
def test_pictures_are_to_be_scaled_as_in_training(form: str) -> None:
    images = pytest.importorskip("PIL.Image")
    picture = images.fromarray(np.zeros((4, 5, 3), np.uint8))
    data = {
        "alone": picture,
        "list": [picture, picture],
        "pairs": [(picture, 1)] * 3,
        "data set": Indexed([{"image": picture, "label": 1}]),
        "bytes": np.zeros((3, 4, 5, 3), np.uint8),
    }[form]
    with pytest.raises(InputError, match="Convert to float32 and scale as in training"):
        read(data)


def test_bytes_of_text_are_no_picture() -> None:
    assert read(np.zeros((3, 4), np.uint8)).inputs.dtype == np.uint8


@pytest.mark.usefixtures("fake_backend")
def test_a_table_keeps_the_names_of_its_columns(net: Net, inputs: Array) -> None:
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(inputs, columns=[f"c{i}" for i in range(12)])
    labels = pd.Series(np.arange(20) % 3, name="kind")
    result = ar.ModelRandomizationMetric(net, table, labels).run("gradient")
    assert result.settings["feature_names"] == [f"c{i}" for i in range(12)]
    plain = ar.ModelRandomizationMetric(net, inputs, np.arange(20) % 3).run("gradient")
    assert "feature_names" not in plain.settings
    np.testing.assert_array_equal(result.scores["spearman"], plain.scores["spearman"])
    with pytest.raises(InputError, match="element type object"):
        read(table.assign(c0="blue"))


@pytest.mark.usefixtures("fake_backend")
@pytest.mark.parametrize("labels", [np.arange(20) % 2, np.zeros(20), np.ones((20, 1))])
def test_a_single_output_is_explained_for_labels_0_and_1(inputs: Array, labels: Any) -> None:
    net = Net(classes=1)
    own = ar.ModelRandomizationMetric(net, inputs, seed=0).run("gradient")
    result = ar.ModelRandomizationMetric(net, inputs, labels, seed=0).run("gradient")
    np.testing.assert_array_equal(result.scores["spearman"], own.scores["spearman"])
    np.testing.assert_array_equal(
        ar.explain(net, inputs, labels, "gradient"), ar.explain(net, inputs, None, "gradient")
    )


@pytest.mark.parametrize("labels", [np.arange(6) % 3, np.arange(6) % 2 * 2 - 1, np.eye(2)[Y % 2]])
def test_other_labels_of_a_single_output_are_refused(labels: Any) -> None:
    with pytest.raises(InputError, match="the model's 1 outputs"):
        explained_outputs(read(X, labels), 1)
