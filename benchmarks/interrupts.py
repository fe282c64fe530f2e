"""Interrupts at lines of a run, spread evenly: how many leave a trace in the model, its modes or the generators.

Run: [KERAS_BACKEND=torch] python benchmarks/interrupts.py torch|keras [--points 500]
Each isolation and explainer is tried at so many lines.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np

import agnostic_rand as ar

X = np.random.default_rng(0).standard_normal((6, 8)).astype("f4")
Y = np.arange(6) % 3
PARTS = ("/src/agnostic_rand/", "/agnostic_rand_")


def torch_model() -> Any:
    """A net in mixed modes, with a gradient, a hook and a frozen weight."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    blocks = [nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.1), nn.ReLU()) for _ in range(4)]
    net = nn.Sequential(*blocks, nn.Linear(8, 3)).train()
    net[1].eval()
    net[0][0].weight.grad = torch.ones(8, 8)
    net[4].weight.requires_grad_(False)
    net[0].register_forward_hook(lambda *_: None)
    return net


def torch_state(net: Any) -> Any:
    """All that a run could leave changed in torch."""
    import torch
    from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

    return (
        [value.numpy().tobytes() for value in net.state_dict().values()],
        [(part.training, len(part._forward_hooks), len(part._forward_pre_hooks)) for part in net.modules()],
        [(p.requires_grad, p.grad is None) for p in net.parameters()],
        (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), len(_get_current_dispatch_mode_stack())),
        torch.get_rng_state().numpy().tobytes(),
    )


def keras_model() -> Any:
    """A net with a frozen layer."""
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    block = [make() for _ in range(2) for make in (lambda: layers.Dense(8), layers.BatchNormalization, layers.ReLU)]
    net = keras.Sequential([keras.Input((8,)), *block, layers.Dropout(0.1), layers.Dense(3)])
    net.layers[0].trainable = False
    return net


def keras_state(net: Any) -> Any:
    """All that a run could leave changed in Keras."""
    import keras

    values = [np.asarray(keras.ops.convert_to_numpy(v.value)).tobytes() for v in net.variables]
    found: list[Any] = [values, [layer.trainable for layer in net.layers]]
    if keras.backend.backend() == "torch":
        import torch
        from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

        parts = [part for layer in net.layers for part in layer.modules()]
        found += [[part.training for part in parts], [(p.requires_grad, p.grad is None) for p in net.parameters()]]
        found += [torch.get_rng_state().numpy().tobytes(), len(_get_current_dispatch_mode_stack())]
    return found


def generators() -> Any:
    """Python's and NumPy's, and who gets a Ctrl-C."""
    return random.getstate(), np.random.get_state()[1].tobytes(), signal.getsignal(signal.SIGINT)


def lines_run(net: Any, isolation: str, explainer: Any, at: int) -> int:
    """Interrupt a run at that line of the library; returns how many lines were run."""
    seen = 0

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal seen
        if not any(part in frame.f_code.co_filename for part in PARTS):
            return None
        if event == "line":
            seen += 1
            if seen == at:
                raise KeyboardInterrupt
        return trace

    strategy = ar.CascadingRandomization(groups=2)
    metric = ar.ModelRandomizationMetric(net, X, Y, strategy, 4, None, 0, isolation=isolation)
    sys.settrace(trace)
    try:
        metric.run(explainer)
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
    return seen


def gradient(model: Any, inputs: Any, targets: Any) -> Any:
    """A user's function."""
    inputs.requires_grad_()
    model(inputs).gather(1, targets[:, None]).sum().backward()
    return inputs.grad


def tried(make: Callable[[], Any], state: Callable[[Any], Any], isolation: str, explainer: Any, points: int) -> int:
    """Print and return how many interrupts left a trace."""
    lines_run(make(), isolation, explainer, 0)
    total = lines_run(make(), isolation, explainer, 0)
    bad = 0
    for at in np.linspace(1, total, points).astype(int):
        net = make()
        before = state(net), generators()
        lines_run(net, isolation, explainer, int(at))
        bad += (state(net), generators()) != before
    name = explainer if isinstance(explainer, str) else "a function"
    print(f"{isolation:9} {name:11} {bad} of {points} leave a trace ({total} lines)", flush=True)
    return bad


def main() -> int:
    """Try both isolations with two explainers each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("library", choices=("torch", "keras"))
    parser.add_argument("--points", type=int, default=500)
    given = parser.parse_args()
    make, state = (torch_model, torch_state) if given.library == "torch" else (keras_model, keras_state)
    explainers = ("gradient", gradient) if given.library == "torch" else ("gradient", "saliency")
    return sum(
        tried(make, state, isolation, explainer, given.points)
        for isolation in ("in_place", "clone")
        for explainer in explainers
    )


if __name__ == "__main__":
    sys.exit(main() > 0)
