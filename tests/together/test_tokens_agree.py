"""Token models explained at their embedding: one map in every framework that can start at a layer."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import torch

import agnostic_rand as ar
from agnostic_rand.explainers import IntegratedGradients, SmoothGrad

RNG = np.random.default_rng(3)
TABLE, MIX, HEAD = (RNG.standard_normal(shape).astype(np.float32) for shape in ((20, 6), (6, 10), (10, 3)))
# A token that stands twice has the same map twice: rounding would break that tie in one framework only.
TOKENS = np.stack([RNG.permutation(20)[:5] for _ in range(9)])
LABELS = RNG.integers(0, 3, 9)


class TorchNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding.from_pretrained(torch.from_numpy(TABLE.copy()), freeze=False)
        self.mix, self.head = torch.nn.Linear(6, 10, bias=False), torch.nn.Linear(10, 3, bias=False)
        with torch.no_grad():
            self.mix.weight.copy_(torch.from_numpy(MIX.T))
            self.head.weight.copy_(torch.from_numpy(HEAD.T))

    def forward(self, tokens):
        return self.head(torch.relu(self.mix(self.embedding(tokens))).mean(1))


class FlaxNet(nn.Module):
    @nn.compact
    def __call__(self, tokens):
        x = nn.Embed(20, 6, name="embedding")(tokens)
        x = nn.relu(nn.Dense(10, use_bias=False, name="mix")(x)).mean(1)
        return nn.Dense(3, use_bias=False, name="head")(x)


def in_flax():
    kernels = {"embedding": {"embedding": TABLE}, "mix": {"kernel": MIX}, "head": {"kernel": HEAD}}
    params = {name: {key: jnp.asarray(value) for key, value in layer.items()} for name, layer in kernels.items()}
    return FlaxNet(), {"params": params}


def in_keras():
    model = keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            keras.layers.Embedding(20, 6, name="embedding"),
            keras.layers.Dense(10, use_bias=False, activation="relu", name="mix"),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(3, use_bias=False, name="head"),
        ]
    )
    model.set_weights([TABLE, MIX, HEAD])
    return model


MODELS = {"flax": in_flax, "keras": in_keras}
KINDS = list(MODELS) if keras.backend.backend() == "torch" else ["keras"]
METHODS = {
    "gradient": "gradient",
    "gradient_times_input": "gradient_times_input",
    "guided_backprop": "guided_backprop",
    "integrated_gradients": IntegratedGradients(steps=5),
    "smoothgrad": SmoothGrad(samples=4),
    "occlusion": "occlusion",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_maps_are_torchs(kind, method):
    found, due = (
        ar.explain(model, TOKENS, LABELS, METHODS[method], wrt_layer="embedding", batch_size=8)
        for model in (MODELS[kind](), TorchNet())
    )
    assert found.shape == (9, 5)
    np.testing.assert_allclose(found, due, atol=1e-4 * np.abs(due).max())


@pytest.mark.parametrize("kind", KINDS)
def test_one_seed_gives_one_score(kind):
    scores = []
    for model in (MODELS[kind](), TorchNet()):
        metric = ar.ModelRandomizationMetric(
            model,
            TOKENS,
            LABELS,
            wrt_layer="embedding",
            seed=2,
            batch_size=4,
            randomization_strategy=ar.CascadingRandomization(),
        )
        scores.append(metric.run("gradient_times_input").scores["spearman"])
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_token_ids_without_a_layer_are_refused_with_the_way_out(kind):
    with pytest.raises(ar.errors.InputError, match="wrt_layer="):
        ar.explain(MODELS[kind](), TOKENS, LABELS, "gradient")
