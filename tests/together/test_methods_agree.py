"""Every method gives one map in every framework, on the same weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import small_cnn

import agnostic_rand as ar
from agnostic_rand import explainers as ex
from agnostic_rand.errors import CapabilityError

# Keras runs on one backend in a process: on another than torch, what is new is Keras alone.
FRAMEWORKS = ["keras"] if keras.backend.backend() != "torch" else [k for k in small_cnn.MODELS if k != "torch"]
METHODS = {
    "gradient": ex.Gradient(),
    "saliency": ex.Saliency(),
    "gradient_times_input": ex.GradientTimesInput(),
    "integrated_gradients": ex.IntegratedGradients(steps=7),
    "integrated_gradients_of_blur": ex.IntegratedGradients(steps=3, baseline="blur", multiply_by_inputs=False),
    "expected_gradients": ex.ExpectedGradients(samples=5, noise=0.1),
    "smoothgrad": ex.SmoothGrad(samples=5),
    "smoothgrad_of_integrated_gradients": ex.SmoothGrad(ex.IntegratedGradients(steps=3), samples=3),
    "smoothgrad_squared": ex.SmoothGradSquared(samples=5),
    "vargrad": ex.VarGrad(samples=5),
    "guided_backprop": ex.GuidedBackprop(),
    "deconvnet": ex.Deconvnet(),
    "gradcam": ex.GradCAM("second"),
    "hirescam": ex.HiResCAM("second"),
    "layercam": ex.LayerCAM("second"),
    "guided_gradcam": ex.GuidedGradCAM("second"),
    "occlusion": ex.Occlusion(patch=3),
    "rise": ex.RISE(masks=20, cells=3),
    "random_map": ex.RandomMap(),
    "input_times_noise": ex.InputTimesNoise(),
    "permuted_map": ex.PermutedMap(),
    "edge_detector": ex.EdgeDetector(),
}


@pytest.fixture(scope="module")
def models():
    return {kind: build() for kind, (build, _) in small_cnn.MODELS.items()}


def maps(models, kind, method):
    first = small_cnn.MODELS[kind][1]
    inputs = small_cnn.CHANNELS_FIRST if first else small_cnn.CHANNELS_LAST
    found = ar.explain(models[kind], inputs, small_cnn.LABELS, METHODS[method], seed=4, batch_size=8)
    return np.moveaxis(found, 1, -1) if first and found.ndim == 4 else found


@pytest.fixture(scope="module")
def reference(models):
    return {method: maps(models, "torch", method) for method in METHODS}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", FRAMEWORKS)
def test_maps_are_torchs(models, reference, kind, method):
    due = reference[method]
    try:
        found = maps(models, kind, method)
    except CapabilityError:
        assert kind == "tensorflow"
        assert method in ("gradcam", "hirescam", "layercam", "guided_gradcam")
        return
    assert found.shape == due.shape
    assert np.abs(due).max() > 0
    np.testing.assert_allclose(found, due, atol=1e-4 * np.abs(due).max(), rtol=0)


@pytest.mark.parametrize("method", ["guided_gradcam", "smoothgrad", "occlusion", "rise"])
@pytest.mark.parametrize("kind", FRAMEWORKS)
def test_cascades_score_as_in_torch(models, kind, method):
    scores = {}
    for name in ("torch", kind):
        first = small_cnn.MODELS[name][1]
        metric = ar.ModelRandomizationMetric(
            models[name],
            small_cnn.CHANNELS_FIRST if first else small_cnn.CHANNELS_LAST,
            small_cnn.LABELS,
            randomization_strategy=ar.CascadingRandomization(),
            batch_size=4,
            seed=9,
        )
        try:
            scores[name] = metric.run(METHODS[method]).scores["spearman"]
        except CapabilityError:
            assert (kind, method) == ("tensorflow", "guided_gradcam")
            return
    np.testing.assert_allclose(scores[kind], scores["torch"], atol=1e-3)
    assert abs(np.nanmean(scores[kind]) - np.nanmean(scores["torch"])) < 1e-4
