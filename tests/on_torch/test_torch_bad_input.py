"""What cannot be used is refused by an error of the library that says what came, and the fix."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import networks
import numpy as np
import pytest
import torch
from torch import nn
from zoo import BY_NAME

import agnostic_rand as ar
from agnostic_rand.errors import AgnosticRandError, ModelError, WeightsError


def test_lazy_modules_are_refused_until_they_are_initialized() -> None:
    for build in (networks.grouped_convolutions, networks.convolutions_1d):
        with pytest.raises(ModelError, match=r"lazy module that has not been called yet.*Call the model once"):
            ar.adapt(build())
    with pytest.raises(ModelError, match=r"1\.running_mean.*lazy"):
        ar.adapt(nn.Sequential(nn.Linear(3, 2), nn.LazyBatchNorm1d(affine=False)))
    net = networks.grouped_convolutions()
    net(torch.ones(1, 4, 6, 6))
    assert [layer.kind for layer in ar.adapt(net).layers()][-1] == "Linear"


def test_models_whose_weights_are_out_of_reach_are_refused() -> None:
    with pytest.raises(ModelError, match="meta device"):
        ar.adapt(nn.Linear(3, 2, device="meta"))
    with pytest.raises(ModelError, match=r"'0'.*quantized.*before quantization"):
        ar.adapt(nn.Sequential(Packed()))


@pytest.fixture
def quantized() -> nn.Module:
    if torch.backends.quantized.engine == "none":
        pytest.skip("torch has no engine for quantized layers here")
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    with warnings.catch_warnings():
        # Deprecated, and as long-lived as what was made with it.
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(net, {"0"}, dtype=torch.qint8)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("isolation", ["clone", "in_place"])
def test_quantized_layers_run_where_they_are_excluded_and_are_refused_in_a_step(
    quantized: nn.Module, isolation: str
) -> None:
    x = np.random.default_rng(0).standard_normal((6, 6)).astype("f")
    before = quantized[0].weight().int_repr()
    excluding = ar.FullRandomization(exclude=["0"])
    metric = ar.ModelRandomizationMetric(quantized, x, None, excluding, isolation=isolation)
    result = metric.run(ar.explainers.Occlusion(patch=1))
    assert result.settings["excluded"] == ["0"]
    assert result.coverage == pytest.approx(1 - 48 / (48 + 72 + 27))
    assert torch.equal(quantized[0].weight().int_repr(), before)
    with pytest.raises(WeightsError, match=r"0\.weight.*floating-point weights"):
        ar.ModelRandomizationMetric(quantized, x, None, ar.FullRandomization(), isolation=isolation).run(
            "occlusion"
        )
    with pytest.raises(WeightsError, match=r"the layer '0'.*quantized.*exclude=\['0'\]"):
        ar.FullRandomization(perturbation="permute").randomize(quantized, seed=0)


class Packed(nn.Module):
    """What torch's quantized layers look like: their kernels need an engine that not every machine has."""

    def _weight_bias(self) -> tuple[torch.Tensor, None]:
        return torch.ones(3), None


def test_inputs_that_the_model_does_not_take_are_refused() -> None:
    case = BY_NAME["resnet with functional relu"]
    with pytest.raises(ModelError, match=r"can be called on the inputs.*shape \(\d, 5\)"):
        ar.adapt(case.model(), example_inputs=np.ones((1, 5), "f"))


MLP = BY_NAME["mlp"]
BAD: dict[str, tuple[Callable[[], object], str]] = {
    "no parameters": (
        lambda: ar.ModelRandomizationMetric(nn.Flatten(), np.ones((2, 3))),
        "at least one parameter.*without parameters",
    ),
    "no model": (
        lambda: ar.ModelRandomizationMetric(torch.relu, np.ones((2, 3))),
        "a function, which does not show its weights",
    ),
    "a state dict": (
        lambda: ar.ModelRandomizationMetric(MLP.model().state_dict(), np.ones((2, 3))),
        "weights by name.*OrderedDict",
    ),
    "a class": (lambda: ar.ModelRandomizationMetric(nn.Linear, np.ones((2, 3))), r"a class.*Linear\(\.\.\.\)"),
    "lengths": (
        lambda: ar.ModelRandomizationMetric(MLP.model(), MLP.tensor(3), torch.tensor([0, 1])),
        "one target for each of the 3 inputs.*2 targets",
    ),
    "labels": (
        lambda: ar.ModelRandomizationMetric(MLP.model(), MLP.tensor(3), torch.tensor([0, 1, 4])),
        "labels from 0 to 3.*first 4 for sample 2",
    ),
    "NaN": (
        lambda: ar.ModelRandomizationMetric(MLP.model(), torch.full((2, 6), torch.nan)),
        "finite numbers.*NaN",
    ),
    "one sample": (lambda: ar.ModelRandomizationMetric(MLP.model(), torch.ones(6)), "a batch"),
    "images for rows": (
        lambda: ar.ModelRandomizationMetric(MLP.model(), torch.ones(2, 3, 8, 8)),
        r"\(2, 3, 8, 8\)",
    ),
    "complex": (
        lambda: ar.ModelRandomizationMetric(MLP.model(), torch.ones(2, 6, dtype=torch.complex64)),
        "real numbers",
    ),
    "maps of two axes": (
        lambda: ar.ModelRandomizationMetric(MLP.model(), MLP.tensor(2)).run(lambda m, x, y: x[:, :3]),
        r"shape of the inputs.*\(2, 6\).*\(2, 3\)",
    ),
    "maps with NaN": (
        lambda: ar.ModelRandomizationMetric(MLP.model(), MLP.tensor(2)).run(lambda m, x, y: x / 0 * 0),
        "trained model.*finite numbers",
    ),
    "maps that are a tuple": (
        lambda: ar.ModelRandomizationMetric(MLP.model(), MLP.tensor(2)).run(lambda m, x, y: (x, x)),
        "shape of the inputs",
    ),
    "a dictionary": (
        lambda: ar.ModelRandomizationMetric(networks.DictionaryOutput(), MLP.tensor(2)),
        "one tensor.*dict.*forward=",
    ),
    "feature maps": (
        lambda: ar.ModelRandomizationMetric(nn.Conv2d(3, 4, 3), torch.ones(2, 3, 8, 8)),
        r"\(2, classes\).*forward=",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_an_error_that_says_what_to_do(what: str) -> None:
    call, message = BAD[what]
    with pytest.raises(AgnosticRandError, match=f"(?s){message}") as caught:
        call()
    assert caught.value.fix.endswith(".")
