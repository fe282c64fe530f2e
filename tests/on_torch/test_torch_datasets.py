"""PyTorch's data sets and loaders as they are handed over."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import agnostic_rand as ar
from agnostic_rand.errors import InputError
from agnostic_rand.subject import datasets

X = torch.randn(10, 3, 4, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(10) % 2


class Samples(Dataset[Any]):
    """Single samples, with a number for a label; an index out of range is not refused."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, number: int) -> Any:
        return X[number % 10], int(Y[number % 10])


class Stream(IterableDataset[Any]):
    """Samples one after the other, without an end or with one."""

    def __init__(self, endless: bool) -> None:
        super().__init__()
        self.endless = endless

    def __iter__(self) -> Iterator[Any]:
        numbers = itertools.count() if self.endless else iter(range(10))
        return ((X[number % 10], Y[number % 10]) for number in numbers)


def explained(data: Any, targets: Any = None) -> Any:
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.linspace(-1, 1, 96).reshape(2, 48))
    return ar.explain(model, data, targets, "gradient")


@pytest.mark.parametrize(
    "data",
    [
        TensorDataset(X, Y),
        Samples(),
        DataLoader(TensorDataset(X, Y), batch_size=4),
        DataLoader(TensorDataset(X, Y, torch.ones(10)), batch_size=4),
        Stream(endless=False),
        DataLoader(Stream(endless=False), batch_size=4),
    ],
)
def test_data_sets_and_loaders_are_their_samples(data: Any) -> None:
    np.testing.assert_array_equal(explained(data), explained(X, Y))


@pytest.mark.parametrize("data", [Stream(endless=True), DataLoader(Stream(endless=True), batch_size=4)])
def test_a_stream_without_an_end_is_told(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "READ_BYTES", 2**20)
    with pytest.raises(InputError, match=r"no end after .* items"):
        explained(data)
