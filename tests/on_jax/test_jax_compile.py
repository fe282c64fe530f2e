"""A whole cascade traces and compiles the model once, whatever the weights and the batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
import zoo_linen
import zoo_nnx
from flax import nnx

import agnostic_rand as ar

CALLS: Counter = Counter()


def counted_apply(params, x):
    CALLS[x.shape[0]] += 1
    return zoo.bare_apply(params, x)


class CountedNnx(zoo_nnx.Mlp):
    def __call__(self, x):
        CALLS[x.shape[0]] += 1
        return super().__call__(x)


class CountedLinen(zoo_linen.Mlp):
    def __call__(self, x):
        CALLS[x.shape[0]] += 1
        return super().__call__(x)


MODELS = {
    "bare": lambda: (counted_apply, zoo.bare_pair()[1]),
    "nnx": lambda: CountedNnx(nnx.Rngs(0)),
    "linen": lambda: zoo.linen_pair(CountedLinen(), zoo.VECTORS),
}


@pytest.mark.parametrize(
    ("name", "explainer"),
    [
        ("nnx", "guided_backprop"),
        ("linen", "saliency"),
        ("bare", ar.explainers.SmoothGrad(samples=5)),
    ],
)
def test_one_trace_a_cascade(name, explainer):
    model = MODELS[name]()
    labels = np.arange(8) % 3
    metric = ar.ModelRandomizationMetric(
        model,
        zoo.VECTORS,
        labels,
        randomization_strategy=ar.CascadingRandomization(),
        batch_size=5,
        draws=3,
        seed=0,
    )
    CALLS.clear()
    metric.run(explainer)
    # The last batch has three samples and is filled up to five. Of noisy copies a gradient is taken, of the
    # samples themselves an output: two functions.
    functions = 2 if isinstance(explainer, ar.explainers.SmoothGrad) else 1
    assert dict(CALLS) == {5: functions}


@contextmanager
def compilations() -> Iterator[Counter]:
    """By the name of the function, how often XLA compiled one meanwhile."""
    counted: Counter = Counter()

    def note(event: str, _seconds: float, **about: object) -> None:
        if event.endswith("backend_compile_duration"):
            counted[str(about["fun_name"])] += 1

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        yield counted
    finally:
        jax.monitoring.unregister_event_duration_listener(note)


EXPLAINERS = {
    "saliency": "saliency",
    "smoothgrad": ar.explainers.SmoothGrad(samples=5),
    "integrated_gradients": ar.explainers.IntegratedGradients(steps=5),
}


@pytest.mark.parametrize(
    ("name", "explainer", "batch_size"),
    [
        ("bare", "smoothgrad", 5),
        ("bare", "smoothgrad", 64),
        ("bare", "integrated_gradients", 12),
        ("equinox_mlp", "integrated_gradients", 5),
    ],
)
def test_each_function_of_the_model_is_compiled_once_in_a_run(name, explainer, batch_size):
    make, inputs = zoo.MODELS[name]
    explainer = EXPLAINERS[explainer]
    labels = np.arange(8) % 3
    with compilations() as counted:
        metric = ar.ModelRandomizationMetric(
            make(),
            inputs,
            labels,
            randomization_strategy=ar.CascadingRandomization(),
            batch_size=batch_size,
            draws=3,
            seed=0,
        )
        # One sample shows how many outputs there are.
        assert counted["jit(outputs)"] == 1
        metric.run(explainer)
        assert counted["jit(output_and_gradient)"] == 1
        assert counted["jit(outputs)"] == 2
        # After that nothing is compiled at all: noise, points on a way and scores have the same shapes in each
        # step and draw.
        before = dict(counted)
        metric.run(explainer)
        assert dict(counted) == before


def test_nothing_is_compiled_after_the_first_step():
    apply, params = zoo.bare_pair()
    adapter = ar.adapt((apply, params))
    x, y = adapter.asarray(zoo.VECTORS), adapter.asarray(np.arange(8) % 3)

    def step(number: int) -> None:
        adapter.write("head", {"w": np.full((5, 3), number, np.float32)})
        twin = adapter.clone()
        twin.write("body", {"b": np.full(5, number, np.float32)})
        np.asarray(twin.output_and_gradient(x, y)[1])
        np.asarray(twin.predict(x[:3]))

    step(0)
    with compilations() as compiled:
        jax.jit(lambda x: x * 3 + jnp.float32(1))(x)
        assert compiled["jit(<lambda>)"] == 1, "the listener hears of compilations"
        compiled.clear()
        for number in range(1, 4):
            step(number)
        assert not compiled


def test_other_weights_give_other_numbers_from_the_same_compilation():
    apply, params = zoo.bare_pair()
    adapter = ar.adapt((apply, params))
    twin = adapter.clone()
    twin.write("head", {"w": np.zeros((5, 3), np.float32), "b": np.array([1, 2, 3], np.float32)})
    x = adapter.asarray(zoo.VECTORS)
    np.testing.assert_array_equal(twin.predict(x), np.tile([1, 2, 3], (8, 1)))
    np.testing.assert_allclose(adapter.predict(x), apply(params, x), rtol=1e-6)
