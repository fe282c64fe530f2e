"""A Ctrl-C at any point of a run leaves nothing behind: one raised at chosen lines, and real signals."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

import agnostic_rand as ar
from agnostic_rand.adapters import adapt, untouched

X = np.random.default_rng(0).standard_normal((4, 8)).astype("float32")
Y = np.arange(4) % 3
POINTS = 60


class Counting(nn.Module):
    """Counts its calls in a buffer and in an attribute, in evaluation mode too."""

    calls = 0

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("ring", torch.zeros(3, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.ring[self.calls % 3] = x.detach().mean(0)
        self.count += 1
        return x


def network() -> nn.Module:
    torch.manual_seed(0)
    parts = [nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.1), nn.ReLU(), Counting(), nn.Linear(8, 3)]
    net = nn.Sequential(*parts).train()
    net[1].eval()
    net[0].weight.grad = torch.ones(8, 8)
    net[5].weight.requires_grad_(False)
    net[0].register_forward_hook(lambda *_: None)
    return net


def state(net: nn.Module) -> tuple[Any, ...]:
    return (
        {name: value.numpy().tobytes() for name, value in net.state_dict().items()},
        [(part.training, len(part._forward_hooks), vars(part).get("calls")) for part in net.modules()],
        [(p.requires_grad, None if p.grad is None else p.grad.sum().item()) for p in net.parameters()],
        (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_cache_enabled()),
        (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()),
        signal.getsignal(signal.SIGINT),
    )


def backward(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    inputs.requires_grad_()
    model(inputs).gather(1, targets[:, None]).sum().backward()
    assert inputs.grad is not None
    return inputs.grad + torch.rand(1)


def metric(net: nn.Module, isolation: str) -> ar.ModelRandomizationMetric:
    strategy = ar.CascadingRandomization(groups=2)
    return ar.ModelRandomizationMetric(net, X, Y, randomization_strategy=strategy, seed=0, isolation=isolation)


def run(net: nn.Module, isolation: str, explainer: Any, at: int) -> int:
    """Raise at that line of the library's own; returns how many were run."""
    lines = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines
        if not any(folder in frame.f_code.co_filename for folder in ("src/agnostic_rand/", "agnostic_rand_torch/")):
            return None
        if event == "line":
            lines += 1
            if lines == at:
                raise KeyboardInterrupt
        return trace

    one = metric(net, isolation)
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        one.run(explainer)
    except KeyboardInterrupt:
        assert lines == at
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.parametrize("explainer", ["gradient", backward], ids=["gradient", "function"])
@pytest.mark.parametrize("isolation", ["in_place", "clone"])
def test_an_interrupt_at_any_line_leaves_nothing_behind(isolation: str, explainer: Any) -> None:
    run(network(), isolation, explainer, 0)
    total = run(network(), isolation, explainer, 0)
    for at in np.linspace(1, total, POINTS // 2).astype(int):
        net = network()
        before = state(net)
        run(net, isolation, explainer, int(at))
        assert state(net) == before, f"line {at} of {total}"


@pytest.mark.parametrize("rule", ["standard", "guided"])
def test_an_interrupt_at_any_line_of_a_watch_leaves_no_mode_active(rule: str) -> None:
    left, at = [], 0
    while True:
        at += 1
        seen = 0

        def trace(frame: FrameType, event: str, _argument: Any, at: int = at) -> Any:
            nonlocal seen
            if not frame.f_code.co_filename.endswith(("watch.py", "modes.py", "gradients.py", "tracing.py")):
                return None
            if event == "line":
                seen += 1
                if seen == at:
                    raise KeyboardInterrupt
            return trace

        net, before = network(), sys.gettrace()
        # As in a run, which puts back what calls of the adapter leave when they are interrupted.
        with suppress(KeyboardInterrupt), untouched(adapt(net)):
            sys.settrace(trace)
            try:
                adapt(net, example_inputs=X).gradient(torch.from_numpy(X), torch.from_numpy(Y), relu=rule)
            finally:
                sys.settrace(before)
        left += [at] if _get_current_dispatch_mode_stack() else []
        for mode in reversed(_get_current_dispatch_mode_stack()):
            mode.__exit__(None, None, None)
        if seen < at:
            break
    assert at > 300
    assert left == []


class Striking:
    """A handler of `SIGINT` that raises while a run is on, and lets what comes later pass."""

    running = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        if self.running:
            raise KeyboardInterrupt


@pytest.fixture
def striking(monkeypatch: pytest.MonkeyPatch) -> Iterator[Striking]:
    # One that strikes in a callback of the garbage collector is lost, as Python does it.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    before = signal.getsignal(signal.SIGINT)
    handler = Striking()
    signal.signal(signal.SIGINT, handler)
    yield handler
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("isolation", ["in_place", "clone"])
def test_real_signals_leave_nothing_behind(isolation: str, striking: Striking) -> None:
    metric(network(), isolation).run("gradient")
    start = time.perf_counter()
    metric(network(), isolation).run("gradient")
    seconds = time.perf_counter() - start
    moments = random.Random(0)
    struck = 0
    for number in range(POINTS // 2):
        net = network()
        one, before = metric(net, isolation), state(net)
        times, pause = 1 + 2 * (number % 2), moments.choice([0, 1e-5, 1e-4])
        sender = threading.Thread(target=send, args=(moments.uniform(0, seconds), times, pause))
        sender.start()
        try:
            striking.running = True
            one.run("gradient")
            striking.running = False
        except KeyboardInterrupt:
            struck += 1
        striking.running = False
        sender.join()
        assert state(net) == before
    assert struck


def test_an_explainer_that_swallows_signals_does_not_keep_a_run_going(striking: Striking) -> None:
    net, calls = network(), 0

    def swallowing(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        with suppress(KeyboardInterrupt):
            send(0, 1, 0.001)
        return inputs.clone()

    before = state(net)
    striking.running = True
    with pytest.raises(KeyboardInterrupt):
        metric(net, "in_place").run(swallowing)
    assert calls < 6
    assert state(net) == before


def send(after: float, times: int, pause: float) -> None:
    time.sleep(after)
    for _ in range(times):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(pause)
