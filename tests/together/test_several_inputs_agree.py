"""Models of several inputs: one of them explained, with one map and one score in every framework."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch
from several_inputs import (
    AGE,
    AGES,
    IMAGE,
    IMAGES,
    LABELS,
    MASKS,
    MIX,
    MODELS,
    TOKEN_MODELS,
    TOKENS,
    TorchNet,
    TorchTokens,
)

import agnostic_rand as ar
from agnostic_rand.explainers import IntegratedGradients, SmoothGrad

ON_TORCH = keras.backend.backend() == "torch"
KINDS = [kind for kind in MODELS if ON_TORCH or kind.startswith("keras")]
TOKEN_KINDS = [kind for kind in TOKEN_MODELS if ON_TORCH or kind == "keras"]
NAMED = {"image": IMAGES, "age": AGES}
METHODS = {
    "gradient": "gradient",
    "guided_backprop": "guided_backprop",
    "integrated_gradients": IntegratedGradients(steps=5),
    "smoothgrad": SmoothGrad(samples=4),
    "occlusion": "occlusion",
    "expected_gradients": ar.explainers.ExpectedGradients(samples=3),
}


def by_hand() -> np.ndarray:
    """The gradient of the labels' outputs with respect to the image, in float64."""
    hidden = IMAGES.astype(np.float64) @ IMAGE + AGES.astype(np.float64) @ AGE
    return ((hidden > 0) * MIX[:, LABELS].T) @ IMAGE.T


@pytest.mark.parametrize("kind", ["torch", *KINDS])
@pytest.mark.parametrize("form", ["tuple", "dictionary"])
def test_the_gradient_of_one_input_is_that_of_the_formula(kind, form):
    model = TorchNet() if kind == "torch" else MODELS[kind]()
    inputs, place = ((IMAGES, AGES), 0) if form == "tuple" else (NAMED, "image")
    found = ar.explain(model, inputs, LABELS, "gradient", explained_input=place, batch_size=4)
    np.testing.assert_allclose(found, by_hand(), atol=1e-4 * np.abs(by_hand()).max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("place", [0, 1])
def test_maps_are_torchs(kind, method, place):
    found, due = (
        ar.explain(model, (IMAGES, AGES), LABELS, METHODS[method], explained_input=place, batch_size=8)
        for model in (MODELS[kind](), TorchNet())
    )
    assert found.shape == (IMAGES, AGES)[place].shape
    np.testing.assert_allclose(found, due, atol=1e-4 * np.abs(due).max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("statistics", ["reset", "recalibrate"])
def test_one_seed_gives_one_score(kind, statistics):
    scores = []
    for model, batch_size in ((MODELS[kind](), 4), (TorchNet(), 64)):
        metric = ar.ModelRandomizationMetric(
            model,
            (IMAGES, AGES),
            LABELS,
            explained_input=0,
            seed=2,
            batch_size=batch_size,
            randomization_strategy=ar.CascadingRandomization(statistics=statistics),
        )
        result = metric.run("gradient_times_input")
        assert result.settings["explained_input"] == 0
        scores.append(result.scores["spearman"])
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-5)


@pytest.mark.parametrize("kind", TOKEN_KINDS)
@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "occlusion"])
def test_tokens_with_a_mask_are_explained_at_their_embedding(kind, method):
    inputs = {"ids": TOKENS, "visible": MASKS}
    found, due = (
        ar.explain(
            model, inputs, LABELS, METHODS[method], wrt_layer="embedding", explained_input="ids", batch_size=8
        )
        for model in (TOKEN_MODELS[kind](), TorchTokens())
    )
    assert found.shape == TOKENS.shape
    np.testing.assert_allclose(found, due, atol=1e-4 * np.abs(due).max())
    # What is masked does not count.
    np.testing.assert_array_equal(found[MASKS == 0], 0)
    assert (found[MASKS == 1] != 0).all()


@pytest.mark.parametrize("kind", ["torch", *KINDS])
def test_a_users_function_gets_all_inputs_as_they_were_passed(kind):
    model = TorchNet() if kind == "torch" else MODELS[kind]()
    shapes = []

    def mine(_model, inputs, targets):
        assert len(targets) == len(inputs["image"])
        shapes.append({name: tuple(array.shape) for name, array in inputs.items()})
        image = inputs["image"]
        return image.detach().numpy() if isinstance(image, torch.Tensor) else np.asarray(image)

    subject = ar.Subject(model, NAMED, LABELS, explained_input="image", seed=0, batch_size=5)
    assert (ar.ModelRandomization().run(subject, mine).mean() == 1.0).all()
    assert {"image": (5, 12), "age": (5, 3)} in shapes


@pytest.mark.parametrize("kind", ["torch", *KINDS])
def test_the_callers_model_stays_as_it_is(kind):
    model = TorchNet() if kind == "torch" else MODELS[kind]()
    adapter = ar.adapt(model, example_inputs=(IMAGES[:1], AGES[:1]))
    assert adapter.order_source == "traced"
    before = {layer.name: adapter.read(layer.name) for layer in adapter.layers()}
    for isolation in ("clone", "in_place"):
        subject = ar.Subject(model, (IMAGES, AGES), LABELS, explained_input=1, seed=0, isolation=isolation)
        assert (abs(ar.ModelRandomization().run(subject, "gradient").mean()) < 1).all()
    for name, values in before.items():
        for key, value in adapter.read(name).items():
            np.testing.assert_array_equal(value, values[key])


def test_all_checks_in_one_call():
    report = ar.sanity_check(
        TorchNet(),
        NAMED,
        LABELS,
        explainers=["gradient"],
        seed=0,
        explained_input="image",
    )
    assert report["input_map"].verdict.outcome == "insensitive"


def test_batches_of_several_inputs_are_read_once():
    batches = [((IMAGES[i : i + 4], AGES[i : i + 4]), LABELS[i : i + 4]) for i in range(0, 9, 4)]
    scores = [
        ar.ModelRandomizationMetric(TorchNet(), data, targets, explained_input=0, seed=0).run("gradient").scores
        for data, targets in ((iter(batches), None), ((IMAGES, AGES), LABELS))
    ]
    np.testing.assert_array_equal(scores[0]["spearman"], scores[1]["spearman"])


@pytest.mark.parametrize(
    ("inputs", "place", "error", "message"),
    [
        ((IMAGES, AGES), None, ar.errors.ArgumentError, "one of 0, 1, received nothing"),
        (NAMED, None, ar.errors.ArgumentError, "'image', 'age'"),
        (NAMED, "imgae", ar.errors.UnknownNameError, "Did you mean 'image'"),
        ((IMAGES, AGES), 2, ar.errors.UnknownNameError, "one of: 0, 1"),
        (IMAGES, 0, ar.errors.ArgumentError, "None where the inputs are one array"),
        ((IMAGES, AGES[:5]), 0, ar.errors.InputError, "as many samples as the explained one: 9"),
        ((IMAGES, AGES * np.nan), 0, ar.errors.InputError, "beside the explained one: expected finite"),
        ((IMAGES, AGES, AGES), 0, ar.errors.ModelError, "can be called on the inputs"),
        ([((IMAGES, AGES), LABELS), (IMAGES, LABELS)], 0, ar.errors.InputError, "the inputs of batch 1"),
    ],
)
def test_inputs_that_cannot_be_used_are_refused(inputs, place, error, message):
    with pytest.raises(error, match=message):
        ar.ModelRandomizationMetric(TorchNet(), inputs, explained_input=place)


def test_training_again_needs_a_function_of_the_users_own():
    subject = ar.Subject(TorchNet(), (IMAGES, AGES), LABELS, explained_input=0, seed=0)
    check = ar.DataRandomization((IMAGES, AGES), LABELS)
    with pytest.raises(ar.errors.CapabilityError, match=r"model of several inputs.*Pass fit="):
        check.run(subject, "gradient")
