"""Running means and variances: reset, kept, or estimated anew."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from keras_cases import biased, host, residual

import agnostic_rand as ar
from agnostic_rand.errors import AgnosticRandError, InputError, ModelError, UnknownNameError

X = np.random.default_rng(4).normal(0.3, 1.0, (9, 6)).astype("float32")


def chain() -> keras.Model:
    """Two blocks of dense, normalization and ReLU, and a head."""
    inputs = keras.Input((6,))
    x = layers.ReLU()(layers.BatchNormalization(name="norm1")(layers.Dense(5, name="one")(inputs)))
    x = layers.ReLU()(layers.BatchNormalization(name="norm2")(layers.Dense(4, name="two")(x)))
    return biased(keras.Model(inputs, layers.Dense(3, name="head")(x)))


def by_hand(adapter, normalizing: tuple[str, ...]) -> dict[str, dict[str, np.ndarray]]:
    """In float64: the moments of what reaches each normalization, those named normalizing by the batch."""
    found, x = {}, X.astype(np.float64)
    for dense, norm in (("one", "norm1"), ("two", "norm2")):
        values, held = adapter.read(dense), adapter.read(norm)
        y = x @ values["kernel"].astype(np.float64) + values["bias"]
        found[norm] = {"moving_mean": y.mean(axis=0), "moving_variance": y.var(axis=0)}
        used = found[norm] if norm in normalizing else held
        y = (y - used["moving_mean"]) / np.sqrt(used["moving_variance"] + 1e-3) * held["gamma"] + held["beta"]
        x = np.maximum(y, 0)
    return found


def randomized(policy: str | None, perturbation: str = "reinitialize"):
    strategy = ar.FullRandomization(statistics=policy, perturbation=perturbation)
    return ar.adapt(strategy.randomize(chain(), seed=0, example_inputs=X))


def test_reset_is_the_state_of_a_fresh_layer_and_the_default():
    for adapter in (randomized("reset"), randomized(None), randomized(None, "native_init")):
        for name in ("norm1", "norm2"):
            values = adapter.read(name)
            assert (values["moving_mean"] == 0).all()
            assert (values["moving_variance"] == 1).all()


def test_keep_leaves_them_and_is_the_default_of_permutations():
    trained = ar.adapt(chain())
    for adapter in (randomized("keep"), randomized(None, "permute")):
        for name in ("norm1", "norm2"):
            for key in ("moving_mean", "moving_variance"):
                np.testing.assert_array_equal(adapter.read(name)[key], trained.read(name)[key])


def test_recalibrate_gives_the_statistics_of_the_batch():
    adapter = randomized("recalibrate")
    due = by_hand(adapter, ("norm1", "norm2"))
    for name, values in due.items():
        for key, value in values.items():
            np.testing.assert_allclose(adapter.read(name)[key], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("wanted", [("norm1", "norm2"), ("norm2",), ("norm1",)])
def test_layers_that_are_not_named_keep_normalizing_by_their_own(wanted):
    adapter = ar.adapt(chain())
    before = {layer.name: adapter.read(layer.name) for layer in adapter.layers()}
    found = adapter.estimate_statistics(adapter.asarray(X), list(wanted))
    due = by_hand(adapter, wanted)
    assert set(found) == set(wanted)
    for name in wanted:
        for key, value in due[name].items():
            np.testing.assert_allclose(found[name][key], value, rtol=1e-4, atol=1e-5)
    for name, values in before.items():
        for key, value in values.items():
            np.testing.assert_array_equal(adapter.read(name)[key], value)


def test_images_have_statistics_by_channel_and_layers_without_any_are_left_out():
    model = residual()
    adapter = ar.adapt(model)
    x = np.random.default_rng(1).normal(size=(5, 7, 6, 2)).astype("float32")
    found = adapter.estimate_statistics(adapter.asarray(x), ["stem", "inner/norm"])
    assert list(found) == ["inner/norm"]
    stem = np.maximum(host(model.get_layer("stem")(x)), 0)
    wide = host(model.get_layer("inner").get_layer("wide")(stem)).reshape(-1, 6).astype(np.float64)
    np.testing.assert_allclose(found["inner/norm"]["moving_mean"], wide.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(found["inner/norm"]["moving_variance"], wide.var(axis=0), rtol=1e-4)


def test_a_normalization_that_is_called_twice_has_the_mean_of_both():
    norm = layers.BatchNormalization(name="norm", scale=False, center=False)
    x = keras.Input((6,))
    adapter = ar.adapt(keras.Model(x, norm(3 * norm(x))))
    found = adapter.estimate_statistics(adapter.asarray(X), ["norm"])["norm"]
    first = X.astype(np.float64)
    second = 3 * (first - first.mean(axis=0)) / np.sqrt(first.var(axis=0) + 1e-3)
    np.testing.assert_allclose(found["moving_mean"], (first.mean(axis=0) + second.mean(axis=0)) / 2, atol=1e-5)
    np.testing.assert_allclose(found["moving_variance"], (first.var(axis=0) + second.var(axis=0)) / 2, rtol=1e-4)


def test_unknown_layers_are_refused_with_the_nearest_names():
    adapter = ar.adapt(chain())
    with pytest.raises(UnknownNameError, match=r"layer 'norm3'.*Did you mean 'norm"):
        adapter.estimate_statistics(adapter.asarray(X), ["norm3"])


def test_one_value_for_each_feature_has_no_variance():
    adapter = ar.adapt(chain())
    with pytest.raises(InputError, match="more than one value for each channel"):
        adapter.estimate_statistics(adapter.asarray(X[:1]), ["norm1"])
    with pytest.raises(AgnosticRandError, match="inputs to estimate statistics on"):
        ar.FullRandomization(statistics="recalibrate").randomize(chain(), seed=0)


def test_statistics_of_a_layer_s_own_code_cannot_be_estimated():
    class Own(layers.Layer):
        def build(self, shape):
            self.moving_mean = self.add_weight(
                shape=(shape[-1],), initializer="zeros", trainable=False, name="moving_mean"
            )

        def call(self, x):
            return x - self.moving_mean

    model = biased(keras.Sequential([keras.Input((6,)), Own(name="own"), layers.Dense(2, name="head")]))
    adapter = ar.adapt(model)
    with pytest.raises(ModelError, match=r"'own'.*code of its own.*'reset' or 'keep'"):
        adapter.estimate_statistics(adapter.asarray(X), ["own", "head"])


def test_calls_are_put_back_after_an_exception():
    model = chain()
    adapter = ar.adapt(model)
    before = [host(v) for v in model.weights]
    with pytest.raises(Exception, match=r"incompatible|shape"):
        adapter.estimate_statistics(adapter.asarray(X[:, :5]), ["norm1"])
    for old, new in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, host(new))
    assert not any("call" in vars(layer) for layer in model.layers)


def test_each_policy_gives_another_model_in_a_whole_run():
    scales = {}
    for policy in ("reset", "keep", "recalibrate"):
        strategy = ar.CascadingRandomization(statistics=policy, groups=2)
        result = ar.ModelRandomizationMetric(chain(), X, randomization_strategy=strategy, seed=0).run("gradient")
        assert result.settings["statistics"] == policy
        scales[policy] = result.outputs.scale[0, -1]
    assert len(set(scales.values())) == 3
