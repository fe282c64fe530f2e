"""One seed, one score: a trained ResNet-20 in Linen, NNX and Equinox beside PyTorch."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

pytest.importorskip("torch.nn", reason="the comparison needs torch")

import resnet20
import resnet20_torch

import agnostic_rand as ar

IMAGES = 100
JAX_KINDS = ("linen", "nnx", "equinox")
EXPLAINERS = {
    "saliency": "saliency",
    "gradient_times_input": "gradient_times_input",
    "integrated_gradients": ar.explainers.IntegratedGradients(steps=2),
    "smoothgrad": ar.explainers.SmoothGrad(samples=2),
    "guided_backprop": "guided_backprop",
}


@pytest.fixture(scope="module")
def models(test_data):
    return {
        "torch": resnet20_torch.torch_model(test_data),
        "linen": (resnet20.Linen(), resnet20.variables(test_data)),
        "nnx": resnet20.nnx_model(test_data),
        "equinox": resnet20.equinox_model(test_data),
    }


def layout(kind, images):
    return np.ascontiguousarray(np.moveaxis(images, -1, 1)) if kind in ("torch", "equinox") else images


@pytest.fixture(scope="module")
def adapters(models, test_data):
    images, _ = resnet20.images(test_data, 1)
    return {kind: ar.adapt(model, example_inputs=layout(kind, images)) for kind, model in models.items()}


@pytest.mark.parametrize("kind", JAX_KINDS)
def test_the_converted_model_is_the_same_model(adapters, test_data, kind):
    images, _ = resnet20.images(test_data, 20)
    outputs = {
        name: adapters[name].to_numpy(adapters[name].predict(adapters[name].asarray(layout(name, images))))
        for name in ("torch", kind)
    }
    np.testing.assert_allclose(outputs[kind], outputs["torch"], atol=5e-5)


@pytest.mark.parametrize("kind", JAX_KINDS)
def test_layers_stand_in_the_same_order(adapters, kind):
    ours, theirs = adapters[kind].layers(), adapters["torch"].layers()
    assert len(ours) == len(theirs) == 39
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.name.replace("_", ".").split(".")[-1] == other.name.split(".")[-1]
        assert [p.canonical().shape for p in mine.drawing_order()] == [
            p.canonical().shape for p in other.drawing_order()
        ]


@pytest.mark.parametrize("kind", JAX_KINDS)
@pytest.mark.parametrize("perturbation", ["reinitialize", "uniform"])
def test_one_seed_writes_the_same_bits(models, adapters, test_data, kind, perturbation):
    images, _ = resnet20.images(test_data, 1)
    drawn = {}
    for name in ("torch", kind):
        strategy = ar.FullRandomization(perturbation=perturbation)
        other = strategy.randomize(models[name], seed=11, example_inputs=layout(name, images))
        adapter = ar.adapt(other, example_inputs=layout(name, images))
        drawn[name] = [
            np.transpose(adapter.read(layer.name)[p.name], p.canonical_order)
            for layer in adapter.layers()
            for p in (*layer.drawing_order(), *layer.statistics)
        ]
    assert all(np.array_equal(a, b) for a, b in zip(drawn[kind], drawn["torch"], strict=True))


@pytest.fixture(scope="module")
def metrics(models, test_data):
    """One metric for each framework: its compiled functions serve all explainers."""
    images, labels = resnet20.images(test_data, IMAGES)
    return {
        kind: ar.ModelRandomizationMetric(
            model,
            layout(kind, images),
            labels,
            randomization_strategy=ar.FullRandomization(),
            # As many as the look at the explainer before a run takes: one compilation serves both.
            batch_size=4,
            seed=3,
        )
        for kind, model in models.items()
    }


@pytest.fixture(scope="module")
def scores(metrics):
    @cache
    def run(kind, explainer):
        return metrics[kind].run(EXPLAINERS[explainer]).scores["spearman"]

    return run


@pytest.mark.parametrize("kind", JAX_KINDS)
@pytest.mark.parametrize("explainer", EXPLAINERS)
def test_one_seed_one_score(scores, kind, explainer):
    ours, theirs = scores(kind, explainer), scores("torch", explainer)
    apart = np.abs(ours - theirs)
    assert ours.shape == (1, 1, IMAGES)
    assert abs(ours.mean() - theirs.mean()) < 1e-5
    assert apart.max() < 1e-3
