"""The caller's model is bit-identical after a run in place: at its normal end, after errors, after Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn
from zoo import BY_NAME, Case, cases

import agnostic_rand as ar
from agnostic_rand.errors import AgnosticRandError

STRATEGY = ar.CascadingRandomization()


def bits(model: nn.Module) -> dict[str, bytes]:
    tensors = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers())
    return {
        name: tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        for name, tensor in tensors.items()
    }


def in_place(model: nn.Module, case: Case) -> ar.ModelRandomizationMetric:
    return ar.ModelRandomizationMetric(
        model,
        case.inputs(4),
        randomization_strategy=STRATEGY,
        isolation="in_place",
        seed=0,
        draws=2,
        forward=case.forward,
    )


def gradient(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """A method as users write it: with marks on the inputs and gradients on the parameters."""
    inputs.requires_grad_()
    outputs = model(inputs)
    outputs.gather(1, targets[:, None]).sum().backward()
    return inputs.grad


IN_PLACE = (
    "cnn with batch normalization",
    "vision transformer",
    "tied autoencoder",
    "tied by memory",
    "weight_norm hooks",
    "spectral_norm",
    "bfloat16",
    "compiled",
    "data parallel",
    "scripted",
)


@pytest.mark.filterwarnings("ignore:The .grad attribute")
@cases(*IN_PLACE)
def test_after_the_normal_end(case: Case) -> None:
    model = case.model()
    before, addresses = bits(model), [p.data_ptr() for p in model.parameters()]
    result = in_place(model, case).run("gradient")
    assert result.settings["isolation"] == "in_place"
    assert bits(model) == before
    assert [p.data_ptr() for p in model.parameters()] == addresses


class Interrupting:
    """Explains until the model has been random for a while, then raises."""

    def __init__(self, error: BaseException, calls: int) -> None:
        self.error, self.calls, self.seen = error, calls, set()

    def __call__(self, model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        self.seen.add(tuple(bits(model).values()))
        self.calls -= 1
        if self.calls == 0:
            raise self.error
        return gradient(model, inputs, targets)


class Custom(Exception):
    pass


@pytest.mark.parametrize(
    "error", [Custom("mine"), KeyboardInterrupt(), SystemExit(3), MemoryError()], ids=lambda e: type(e).__name__
)
@cases("resnet with functional relu", "uncalled module")
def test_after_an_exception_inside_the_explainer(case: Case, error: BaseException) -> None:
    model = case.model()
    before = bits(model)
    explainer = Interrupting(error, calls=6)
    with pytest.raises(type(error)) as caught:
        in_place(model, case).run(explainer)
    assert caught.value is error
    assert bits(model) == before
    # It did explain random weights before it failed.
    assert len(explainer.seen) > 1


def test_after_an_exception_in_the_progress_callback() -> None:
    case = BY_NAME["resnet with functional relu"]
    model = case.model()
    before = bits(model)

    def stop(progress: ar.Progress) -> None:
        if progress.done == 4:
            raise KeyboardInterrupt

    metric = ar.ModelRandomizationMetric(
        model, case.inputs(2), randomization_strategy=STRATEGY, isolation="in_place", seed=0, progress=stop
    )
    with pytest.raises(KeyboardInterrupt):
        metric.run("gradient")
    assert bits(model) == before


def test_gradients_and_flags_that_an_explainer_leaves_are_cleared_away() -> None:
    case = BY_NAME["resnet with functional relu"]
    model = case.model()
    model.head.weight.grad = torch.full_like(model.head.weight, 2.0)
    model.stem.weight.requires_grad_(False)

    def careless(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        model.requires_grad_(True)
        maps = gradient(model, inputs, targets)
        model.train()
        return maps

    model.first_norm.train()
    in_place(model, case).run(careless)
    assert (model.head.weight.grad == 2).all()
    assert model.second.weight.grad is None
    assert not model.stem.weight.requires_grad
    assert [name for name, part in model.named_modules() if part.training] == ["first_norm"]


def test_an_explainer_that_trains_the_model_is_found() -> None:
    case = BY_NAME["uncalled module"]
    model = case.model()

    def training(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            model.body.weight.mul_(1.01)
        return inputs.clone()

    with pytest.raises(AgnosticRandError, match="body"):
        ar.ModelRandomizationMetric(
            model, case.inputs(), randomization_strategy=ar.ProgressiveLayerRandomization(stop_layer=1), seed=0
        ).run(training)


def test_ctrl_c_in_a_process_of_its_own(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import sys, time
        import torch
        import agnostic_rand as ar
        from zoo import BY_NAME
        from test_torch_isolation import bits, gradient

        case = BY_NAME["resnet with functional relu"]
        model = case.model()
        before, calls = bits(model), 0

        def slow(model, inputs, targets):
            global calls
            calls += 1
            if calls == 8:
                assert bits(model) != before
                print("random", flush=True)
                time.sleep(30)
            return gradient(model, inputs, targets)

        metric = ar.ModelRandomizationMetric(
            model, case.inputs(4), randomization_strategy=ar.CascadingRandomization(), isolation="in_place", seed=0
        )
        try:
            metric.run(slow)
        except KeyboardInterrupt:
            print("restored" if bits(model) == before else "DIFFERENT", flush=True)
            sys.exit(130)
        """
    )
    here = Path(__file__).parent
    environment = dict(os.environ, PYTHONPATH=str(here))
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        # A suite that runs in the background inherits that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "random", process.communicate()[1]
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert output.strip() == "restored", errors
    assert process.returncode == 130
