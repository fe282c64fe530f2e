"""Runs beside other threads: of the same model, and of whoever draws from torch's generator."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

import agnostic_rand as ar
from agnostic_rand.errors import IsolationError

X = np.random.default_rng(0).standard_normal((16, 6)).astype("float32")
Y = np.arange(16) % 3


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.3), nn.Linear(12, 3))


def metric(net: nn.Module, seed: int = 0, isolation: str = "clone") -> ar.ModelRandomizationMetric:
    strategy = ar.CascadingRandomization()
    return ar.ModelRandomizationMetric(
        net, X, Y, randomization_strategy=strategy, seed=seed, batch_size=4, isolation=isolation
    )


@pytest.mark.parametrize("isolation", ["clone", "in_place"])
@pytest.mark.parametrize("explainer", ["gradient", "smoothgrad", "guided_backprop"])
def test_another_thread_draws_what_it_would_draw_alone(explainer: str, isolation: str) -> None:
    net = network()
    stop, drawn = threading.Event(), []

    def draw() -> None:
        while not stop.wait(1e-5):
            drawn.append(float(torch.rand(1)))

    torch.manual_seed(1)
    thread = threading.Thread(target=draw)
    thread.start()
    try:
        metric(net, isolation=isolation).run(explainer)
    finally:
        stop.set()
        thread.join()
    torch.manual_seed(1)
    assert drawn == [float(torch.rand(1)) for _ in drawn]
    assert len(drawn) > 10


def test_runs_in_threads_on_copies_of_one_model_score_as_one_after_the_other() -> None:
    net = network().train()
    seeds = range(6)
    alone = [metric(net, seed).run("gradient").scores["spearman"] for seed in seeds]
    before = torch.get_rng_state()
    with ThreadPoolExecutor(3) as pool:
        beside = list(pool.map(lambda seed: metric(net, seed).run("gradient").scores["spearman"], seeds))
    for one, other in zip(alone, beside, strict=True):
        np.testing.assert_array_equal(one, other)
    assert all(part.training for part in net.modules())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("second", ["in_place", "clone"])
def test_a_second_run_on_a_model_that_is_randomized_in_place_is_refused(second: str) -> None:
    net = network().eval()
    running, refused = threading.Event(), threading.Event()
    before = {name: value.clone() for name, value in net.state_dict().items()}

    def waiting(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        running.set()
        assert refused.wait(60)
        return model(inputs).sum() * inputs

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(metric(net, isolation="in_place").run, waiting)
        assert running.wait(60)
        try:
            with pytest.raises(IsolationError, match="a second run while the first is not over"):
                metric(net, isolation=second).run("random_map")
        finally:
            refused.set()
        first.result()
    metric(net, isolation=second).run("gradient")
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
