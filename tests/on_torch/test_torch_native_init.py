"""The framework's own initializers: fresh each time, decided by the seed alone, nothing trained left."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from networks import Recurrent, VisionTransformer, cnn_with_norm
from torch import nn
from zoo import BY_NAME, Case, cases

import agnostic_rand as ar


@cases()
def test_the_seed_decides_and_the_model_stays(case: Case) -> None:
    adapter = case.adapter()
    for layer in adapter.layers():
        before = adapter.read(layer.name)
        first, again, other = (adapter.native_init(layer.name, seed) for seed in (1, 1, 2))
        assert first.keys() <= {parameter.name for parameter in layer.parameters}
        for name, value in first.items():
            np.testing.assert_array_equal(value, again[name])
            assert value.shape == before[name].shape
            assert np.isfinite(value).all()
            # Constant initial values (biases of normalizations) are the same for every seed.
            assert np.ptp(value) == 0 or not np.array_equal(value, other[name])
            assert not np.array_equal(value, before[name])
        for name, value in before.items():
            np.testing.assert_array_equal(adapter.read(layer.name)[name], value)


@pytest.mark.parametrize("kind", ["Linear", "Conv2d", "LSTM", "BatchNorm2d", "Embedding", "MultiheadAttention"])
def test_values_follow_the_layers_own_distribution(kind: str) -> None:
    layers = {
        "Linear": lambda: nn.Linear(400, 50),
        "Conv2d": lambda: nn.Conv2d(16, 64, 5),
        "LSTM": lambda: nn.LSTM(20, 100),
        "BatchNorm2d": lambda: nn.BatchNorm2d(7),
        "Embedding": lambda: nn.Embedding(100, 50),
        "MultiheadAttention": lambda: nn.MultiheadAttention(64, 4),
    }
    net = nn.Sequential(layers[kind]())
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(9.0)
    drawn = ar.adapt(net).native_init("0", 3)
    bounds = {"Linear": 400**-0.5, "Conv2d": 400**-0.5, "LSTM": 100**-0.5, "MultiheadAttention": (6 / 256) ** 0.5}
    if kind in bounds:
        weight = next(value for name, value in drawn.items() if "weight" in name)
        # A uniform distribution: it stays within its bound, and comes close to it.
        assert 0.98 * bounds[kind] < np.abs(weight).max() <= bounds[kind]
        assert weight.std() == pytest.approx(bounds[kind] / math.sqrt(3), rel=0.05)
    elif kind == "BatchNorm2d":
        assert (drawn["weight"] == 1).all()
        assert (drawn["bias"] == 0).all()
    else:
        assert drawn["weight"].std() == pytest.approx(1, rel=0.05)
    assert set(drawn) == {name for name, _ in net[0].named_parameters(recurse=False)}


def test_attention_is_initialized_with_its_packed_projection() -> None:
    adapter = ar.adapt(VisionTransformer())
    assert set(adapter.native_init("blocks.0.attention", 0)) == {"in_proj_weight", "in_proj_bias"}
    assert set(adapter.native_init("blocks.0.attention.out_proj", 0)) == {"weight", "bias"}
    # Bare parameters and layer scales have no initializer.
    assert adapter.native_init("token", 0) == {}
    assert adapter.native_init("blocks.0", 0) == {}


@cases("weight_norm", "weight_norm hooks", "spectral_norm", "spectral_norm hooks")
def test_reparametrized_layers_give_nothing(case: Case) -> None:
    # reset_parameters would write to a weight that is computed, and be lost.
    assert case.adapter().native_init("0", 0) == {}


def test_a_hook_of_the_user_does_not_disable_the_initializer() -> None:
    net = nn.Sequential(nn.Linear(6, 4))
    net[0].register_forward_pre_hook(lambda *_: None)
    assert set(ar.adapt(net).native_init("0", 0)) == {"weight", "bias"}


@cases("cnn with batch normalization", "vision transformer", "lstm", "weight_norm", "bare parameters", "scripted")
def test_a_cascade_with_native_initializers_leaves_nothing_trained(case: Case) -> None:
    model = case.model()
    copy = ar.FullRandomization(perturbation="native_init").randomize(model, seed=1)
    for (name, old), new in zip(model.named_parameters(), copy.parameters(), strict=True):
        assert not torch.equal(old, new), name


def test_two_layers_of_one_shape_have_different_draws() -> None:
    net = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    copy = ar.FullRandomization(perturbation="native_init").randomize(net, seed=1)
    assert not torch.equal(copy[0].weight, copy[1].weight)


def test_an_initializer_of_the_model_comes_first() -> None:
    class Pretrained(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(6, 8)
            self.norm = nn.LayerNorm(8)

        def _init_weights(self, module: nn.Module) -> None:
            # As in Hugging Face models: one module at a time, skipping what is marked as loaded.
            if isinstance(module, nn.Linear) and not getattr(module, "_is_hf_initialized", False):
                nn.init.constant_(module.weight, 0.25)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(self.body(x))

    net = Pretrained()
    net.body._is_hf_initialized = True
    adapter = ar.adapt(net)
    drawn = adapter.native_init("body", 0)
    assert (drawn["weight"] == 0.25).all() or np.ptp(drawn["weight"]) > 0
    assert set(drawn) == {"weight", "bias"}
    assert net.body._is_hf_initialized
    assert (adapter.native_init("norm", 0)["weight"] == 1).all()


def test_methods_of_the_same_name_with_other_arguments_are_left_alone() -> None:
    class Own(nn.Linear):
        def reset_parameters(self, gain: float | None = None) -> None:
            super().reset_parameters()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = Own(6, 4)

        def _init_weights(self) -> None:
            raise AssertionError("this initializes a whole model in place")

    class Demanding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))

        def reset_parameters(self, gain: float) -> None:
            raise AssertionError

    assert set(ar.adapt(Net()).native_init("body", 0)) == {"weight", "bias"}
    assert ar.adapt(nn.Sequential(Demanding())).native_init("0", 0) == {}


def test_an_initializer_that_reads_the_old_value_is_not_trusted() -> None:
    class Scaling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))

        def reset_parameters(self) -> None:
            with torch.no_grad():
                self.weight.mul_(0.5)

    assert ar.adapt(nn.Sequential(Scaling())).native_init("0", 0) == {}


def test_double_precision_keeps_its_digits() -> None:
    drawn = ar.adapt(nn.Sequential(nn.Linear(6, 4).double())).native_init("0", 0)
    assert (drawn["weight"] != drawn["weight"].astype(np.float32)).any()


@pytest.mark.parametrize("build", [cnn_with_norm, lambda: Recurrent(nn.GRU)])
def test_the_metric_takes_it(build: object) -> None:
    case = BY_NAME["cnn with batch normalization" if build is cnn_with_norm else "gru"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = ar.ModelRandomizationMetric(
            case.model(),
            case.inputs(),
            randomization_strategy=ar.FullRandomization(perturbation=ar.NativeInit()),
            seed=0,
        ).run("gradient")
    assert result.coverage == 1.0
    assert np.isfinite(result.scores["spearman"]).all()
