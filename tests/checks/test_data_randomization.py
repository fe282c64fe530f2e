"""Data randomization: the gate, the histories, the user's own training, and what is compared."""

from __future__ import annotations

import copy
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import agnostic_rand as ar
from agnostic_rand.adapters import Registry
from agnostic_rand.errors import ArgumentError, InputError, UnknownNameError
from core import fakes

from .nets import Array, fitted
from .slow import flat, gradient_map, rank_correlation, stream

TRAINING = 4
SEED = 3
RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 20)).astype("float32")
Y = (X[:, :3].argmax(1)).astype(np.int64)
TEST_X = RNG.standard_normal((40, 20)).astype("float32")
TEST_Y = TEST_X[:, :3].argmax(1).astype(np.int64)


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 3))


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    return fitted(net(), X, Y, epochs=60, rate=1e-2, batch=20)


def run(model: Any, explainer: Any = "gradient", seed: int = SEED, **changed: Any) -> ar.Scores:
    given = {"training": ar.TrainingOptions(epochs=300, batch_size=20, learning_rate=1e-2), **changed}
    subject = ar.Subject(model, TEST_X, TEST_Y, seed=seed)
    return ar.DataRandomization(X, Y, **given).run(subject, explainer)


def permuted_labels() -> Array:
    return stream(SEED, TRAINING, 0, 1).permutation(Y)


def test_permuted_labels_are_learned_and_both_histories_are_reported(trained: nn.Module) -> None:
    held = copy.deepcopy(trained.state_dict())
    result = run(trained)
    settings = result.settings
    assert settings["permuted_label_accuracy"] >= 0.95
    assert settings["retrained_accuracies"]["true"] >= 0.95
    # Where labels are permuted, nothing is learned that holds for other samples.
    assert settings["permuted_test_accuracy"] < 0.6
    assert settings["labels_changed"] == (permuted_labels() != Y).mean()
    for labels in ("permuted", "true"):
        history = settings["histories"][labels]
        assert len(history["loss"]) == len(history["accuracy"]) >= 1
        assert history["loss"][-1] < history["loss"][0]
    assert settings["histories"]["permuted"] != settings["histories"]["true"]
    # The caller's model stays.
    assert all(torch.equal(value, held[name]) for name, value in trained.state_dict().items())
    # Models that learned the same are more alike than one that learned permuted labels.
    permuted, true = result.mean("spearman")
    assert true > permuted + 0.2


def test_scores_compare_with_the_model_that_fit_returned(trained: nn.Module) -> None:
    models: dict[bytes, nn.Module] = {}

    def fit(model: nn.Module, inputs: Array, labels: Array) -> nn.Module:
        models[labels.tobytes()] = fitted(model, inputs, labels, epochs=200, rate=1e-2, batch=20)
        return model

    result = run(trained, fit=fit)
    assert result.dimensions["labels"] == ("permuted", "true")
    base = flat(gradient_map(trained, TEST_X, TEST_Y))
    for place, labels in enumerate((permuted_labels(), Y)):
        other = flat(gradient_map(models[labels.tobytes()], TEST_X, TEST_Y))
        np.testing.assert_allclose(result.scores["spearman"][place], rank_correlation(base, other), atol=1e-5)
    assert result.settings["histories"] == {"permuted": None, "true": None}


def test_both_trainings_start_from_the_same_random_weights(trained: nn.Module) -> None:
    seen: list[Array] = []

    def fit(model: nn.Module, inputs: Array, labels: Array) -> nn.Module:
        seen.append(model[0].weight.detach().numpy().copy())
        return fitted(model, inputs, labels, epochs=200, rate=1e-2, batch=20)

    run(trained, fit=fit)
    np.testing.assert_array_equal(seen[0], seen[1])
    assert np.abs(seen[0] - trained[0].weight.detach().numpy()).min() > 0


def test_the_history_of_a_users_training_is_reported(trained: nn.Module) -> None:
    def fit(model: nn.Module, inputs: Array, labels: Array) -> tuple[nn.Module, dict[str, Any]]:
        return fitted(model, inputs, labels, epochs=200, rate=1e-2, batch=20), {"loss": np.array([2.0, 1.0])}

    assert run(trained, fit=fit).settings["histories"]["true"] == {"loss": [2.0, 1.0]}


def test_labels_that_were_not_memorized_are_refused(trained: nn.Module) -> None:
    message = (
        r"training on permuted labels: expected an accuracy of at least 0\.95 .* received 0\.\d+\. Train longer"
    )
    with pytest.raises(InputError, match=message):
        run(trained, training=ar.TrainingOptions(epochs=1))
    with pytest.raises(InputError, match=message):
        run(trained, fit=lambda model, inputs, labels: model)
    # The gate is on permuted labels: a model that knows the true ones does not pass it.
    with pytest.raises(InputError, match=message):
        run(trained, fit=lambda model, inputs, labels: trained)


def test_the_seed_decides_everything(trained: nn.Module) -> None:
    first, again = (run(trained, ceiling=False).scores["spearman"] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = run(trained, seed=4, ceiling=False).scores["spearman"]
    assert np.abs(first - other).mean() > 0.01


def test_several_explainers_share_one_training(trained: nn.Module) -> None:
    calls: list[int] = []

    def fit(model: nn.Module, inputs: Array, labels: Array) -> nn.Module:
        calls.append(len(inputs))
        return fitted(model, inputs, labels, epochs=200, rate=1e-2, batch=20)

    scores = run(trained, ["gradient", "input_map"], fit=fit)
    assert calls == [60, 60]
    assert scores["input_map"].mean("spearman").tolist() == [1, 1]
    assert scores.dimensions["explainer"] == ("gradient", "input_map")


def test_bad_input(trained: nn.Module) -> None:
    subject = ar.Subject(trained, TEST_X)
    with pytest.raises(InputError, match="train_labels: expected a label for each training input"):
        ar.DataRandomization(X, None).run(subject, "gradient")
    with pytest.raises(InputError, match="single class"):
        ar.DataRandomization(X, np.zeros(60, dtype=int)).run(subject, "gradient")
    with pytest.raises(InputError, match="labels from 0 to 2"):
        ar.DataRandomization(X, Y + 1).run(subject, "gradient")
    with pytest.raises(ArgumentError, match=r"fit: expected a function that returns a 'torch' model.*NoneType"):
        run(trained, fit=lambda model, inputs, labels: None)
    with pytest.raises(ArgumentError, match="least_accuracy"):
        ar.DataRandomization(X, Y, least_accuracy=95)
    with pytest.raises(UnknownNameError, match="spearmann"):
        ar.DataRandomization(X, Y, measures="spearmann")

    class Bound:
        model = trained

        def explain(self, inputs: Any, targets: Any) -> Any:
            return inputs

    with pytest.raises(ArgumentError, match="bound to one"):
        run(trained, Bound())


def test_a_model_of_another_framework_is_refused(trained: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    both = Registry([*entry_points(group="agnostic_rand"), EntryPoint("fake", fakes.__name__, "agnostic_rand")])
    monkeypatch.setattr("agnostic_rand.adapters.registry._installed", lambda: both)
    with pytest.raises(ArgumentError, match=r"returns a 'torch' model.* received a 'fake' model"):
        run(trained, fit=lambda model, inputs, labels: fakes.Net(features=20))
    with pytest.raises(ArgumentError, match="one framework, received 'fake' and 'torch'"):
        ar.Repeatability([fakes.Net(features=20)], ("spearman",)).run(ar.Subject(trained, TEST_X), "gradient")
