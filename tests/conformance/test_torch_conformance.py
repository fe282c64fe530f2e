"""The torch backend under the kit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("torch.nn", reason="the torch backend needs torch")

import torch
from torch_cases import torch_cases

from agnostic_rand.testing import AdapterConformance, Case


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other cost more than they save on nets of this size."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class TestTorch(AdapterConformance):
    def make_cases(self) -> list[Case]:
        return torch_cases()
