"""Running means and variances: reset, kept, or estimated anew."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from zoo import BY_NAME

import agnostic_rand as ar
from agnostic_rand.errors import AgnosticRandError, InputError, ModelError

CASE = BY_NAME["cnn with batch normalization"]


def randomized(policy: str | None, perturbation: str = "reinitialize") -> nn.Module:
    strategy = ar.FullRandomization(statistics=policy, perturbation=perturbation)
    return strategy.randomize(CASE.model(), seed=0, example_inputs=CASE.inputs(16))


def test_reset_is_the_state_of_a_fresh_layer_and_the_default() -> None:
    for copy in (randomized("reset"), randomized(None)):
        for norm in (copy[1], copy[5]):
            assert (norm.running_mean == 0).all()
            assert (norm.running_var == 1).all()


def test_keep_leaves_them_and_is_the_default_of_permutations() -> None:
    model = CASE.model()
    for copy in (randomized("keep"), randomized(None, "permute")):
        for norm, trained in ((copy[1], model[1]), (copy[5], model[5])):
            assert torch.equal(norm.running_mean, trained.running_mean)
            assert torch.equal(norm.running_var, trained.running_var)


def test_recalibrate_gives_the_statistics_of_the_batch() -> None:
    copy = randomized("recalibrate").eval()
    x = CASE.tensor(16)
    with torch.no_grad():
        before_first = copy[0](x)
        torch.testing.assert_close(copy[1].running_mean, before_first.mean((0, 2, 3)))
        torch.testing.assert_close(copy[1].running_var, before_first.var((0, 2, 3), unbiased=True))
        # The second layer sees what the first one, normalizing by its batch, lets through.
        first = nn.functional.batch_norm(before_first, None, None, copy[1].weight, copy[1].bias, training=True)
        before_second = copy[4](copy[3](first.relu()))
    torch.testing.assert_close(copy[5].running_mean, before_second.mean((0, 2, 3)))
    torch.testing.assert_close(copy[5].running_var, before_second.var((0, 2, 3), unbiased=True))


def test_an_estimate_leaves_the_model() -> None:
    model = CASE.model().train()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    momentum = model[1].momentum
    adapter = ar.adapt(model)
    x = adapter.asarray(CASE.inputs(5))
    found = adapter.estimate_statistics(x, ["1", "5"])
    assert set(found) == {"1", "5"}
    assert set(found["1"]) == {"running_mean", "running_var"}
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert model[1].momentum == momentum
    assert all(part.training for part in model.modules())


def test_layers_that_are_not_named_keep_normalizing_by_their_own() -> None:
    adapter = ar.adapt(CASE.model())
    net = CASE.model()
    x = adapter.asarray(CASE.inputs(5))
    found = adapter.estimate_statistics(x, ["5"])
    with torch.no_grad():
        before_second = net[4](net[3](net[1](net[0](x)).relu()))
    np.testing.assert_allclose(
        found["5"]["running_mean"], before_second.mean((0, 2, 3)).numpy(), rtol=1e-4, atol=1e-6
    )


def test_a_layer_that_is_called_twice_has_the_mean_of_both() -> None:
    adapter = BY_NAME["shared module"].adapter()
    net = adapter.native
    x = adapter.asarray(BY_NAME["shared module"].inputs(8))
    found = adapter.estimate_statistics(x, ["norm"])["norm"]
    with torch.no_grad():
        first = net.first(x)
        hidden = nn.functional.batch_norm(first, None, None, net.norm.weight, net.norm.bias, training=True).relu()
        second = net.first(hidden)
    np.testing.assert_allclose(
        found["running_mean"], (first.mean(0) + second.mean(0)).numpy() / 2, rtol=1e-4, atol=1e-6
    )


def test_instance_normalization_with_statistics_is_estimated_too() -> None:
    case = BY_NAME["1d convolutions, lazy"]
    adapter = case.adapter()
    x = adapter.asarray(case.inputs(8))
    net = adapter.native
    with torch.no_grad():
        net[:4](x)
        found = adapter.estimate_statistics(x, ["4"])["4"]
        seen = net[3](net[2](net[1](net[0](x))))
    np.testing.assert_allclose(found["running_mean"], seen.mean((0, 2)).numpy(), rtol=1e-4, atol=1e-6)


def test_every_norm_has_roles_for_its_statistics() -> None:
    roles = {
        (layer.kind, parameter.role)
        for name in ("cnn with batch normalization", "1d convolutions, lazy", "3d convolutions", "scripted")
        for layer in BY_NAME[name].adapter().layers()
        for parameter in layer.statistics
    }
    kinds = ("BatchNorm2d", "BatchNorm1d", "InstanceNorm1d", "BatchNorm3d")
    assert roles == {(kind, role) for kind in kinds for role in ("mean", "variance")}


def test_one_value_for_each_channel_has_no_variance() -> None:
    net = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4))
    strategy = ar.FullRandomization(statistics="recalibrate")
    with pytest.raises(InputError, match="more than one value for each channel"):
        strategy.randomize(net, seed=0, example_inputs=np.ones((1, 6), "f"))
    with pytest.raises(AgnosticRandError, match="inputs to estimate statistics on"):
        strategy.randomize(net, seed=0)


def test_a_scripted_layer_cannot_be_recalibrated() -> None:
    case = BY_NAME["scripted"]
    with pytest.raises(ModelError, match="scripted layer, whose mode is fixed"):
        ar.FullRandomization(statistics="recalibrate").randomize(
            case.model(), seed=0, example_inputs=case.inputs(4)
        )
    assert (ar.FullRandomization().randomize(case.model(), seed=0).state_dict()["1.running_mean"] == 0).all()


def test_a_whole_run_with_each_policy() -> None:
    scales = {}
    for policy in ("reset", "keep", "recalibrate"):
        strategy = ar.CascadingRandomization(statistics=policy)
        result = ar.ModelRandomizationMetric(
            CASE.model(), CASE.inputs(8), randomization_strategy=strategy, seed=0
        ).run("gradient")
        assert result.settings["statistics"] == policy
        scales[policy] = result.outputs.scale[0, -1]
    assert len(set(scales.values())) == 3
