"""Scores of every check equal those that were stored before the house of the library was built anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import agnostic_rand as ar

from .nets import Array

STORED = Path(__file__).with_name("scores_before.npz")
RNG = np.random.default_rng(0)
X = RNG.standard_normal((11, 2, 8, 8))
Y = RNG.integers(0, 4, 11)
TABLE = RNG.standard_normal((40, 6))
LABELS = (TABLE[:, 0] > 0).astype(np.int64)
DRAWS = 2


def cnn(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    parts = [nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()]
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(4 * 64, 16), nn.ReLU(), nn.Linear(16, 4)).double().eval()


def mlp() -> nn.Module:
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(6, 48), nn.ReLU(), nn.Linear(48, 2)).double().eval()


def own(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    inputs = inputs.clone().requires_grad_()
    model(inputs).gather(1, targets[:, None]).sum().backward()
    assert inputs.grad is not None
    return inputs.grad.abs()


def subject(model: nn.Module, inputs: Array, targets: Any = None, **settings: Any) -> ar.Subject:
    return ar.Subject(model, inputs, targets, seed=3, batch_size=4, **settings)


@pytest.fixture(scope="module")
def stored() -> dict[str, Array]:
    with np.load(STORED) as file:
        return dict(file)


def assert_stored(stored: dict[str, Array], name: str, scores: Any) -> None:
    kept = {key.rpartition("/")[2]: array for key, array in stored.items() if key.rpartition("/")[0] == name}
    assert kept
    for measure, array in kept.items():
        found = (
            getattr(scores.outputs, measure.removeprefix("outputs."))
            if measure.startswith("outputs.")
            else scores.scores[measure]
        )
        np.testing.assert_allclose(found, array, rtol=1e-12, atol=1e-12, err_msg=f"{name} {measure}")


STRATEGIES: dict[str, Any] = {
    "top_down": "top_down",
    "bottom_up": "bottom_up",
    "independent": ar.IndependentRandomization(),
    "full": ar.FullRandomization(),
    "progressive": ar.ProgressiveLayerRandomization(stop_layer=0.5),
    "fresh": ar.CascadingRandomization(fresh=True, groups=2),
    "permute": ar.CascadingRandomization(perturbation="permute"),
    "recalibrate": ar.CascadingRandomization(statistics="recalibrate"),
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_model_randomization_by_strategy(stored: dict[str, Array], name: str) -> None:
    check = ar.ModelRandomization(STRATEGIES[name], DRAWS, ("spearman", "spearman_abs", "ssim", "pearson"))
    assert_stored(stored, f"model_randomization {name}", check.run(subject(cnn(5), X, Y), "gradient"))


EXPLAINERS = (
    "saliency",
    "integrated_gradients",
    "smoothgrad",
    "guided_backprop",
    "random_map",
    "input_map",
    "permuted_map",
)


def test_model_randomization_of_several_explainers_at_once(stored: dict[str, Array]) -> None:
    scores = ar.ModelRandomization().run(subject(cnn(5), X, Y), list(EXPLAINERS))
    for name in EXPLAINERS:
        assert_stored(stored, f"model_randomization {name}", scores[name])


def test_model_randomization_by_targets(stored: dict[str, Array]) -> None:
    check = ar.ModelRandomization()
    activated = subject(cnn(5), X, activation="softmax")
    assert_stored(stored, "model_randomization function", check.run(activated, own))
    assert_stored(stored, "model_randomization dynamic", check.run(subject(cnn(5), X, "dynamic"), "gradient"))


@pytest.mark.filterwarnings("ignore::agnostic_rand.errors.FindingWarning")
def test_evaluate(stored: dict[str, Array]) -> None:
    found = ar.ModelRandomizationMetric(cnn(5), X, Y).evaluate("saliency")
    np.testing.assert_allclose(found, stored["evaluate"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("which", ["one", "all"])
@pytest.mark.parametrize("explainer", ["gradient", "random_map", "guided_backprop"])
def test_random_logit(stored: dict[str, Array], which: Any, explainer: str) -> None:
    scores = ar.RandomLogit(which).run(subject(cnn(5), X, Y), explainer)
    assert_stored(stored, f"random_logit {which} {explainer}", scores)


CHECKS: dict[str, tuple[ar.Check, str]] = {
    "smooth_mprt": (ar.SmoothMPRT(samples=5, draws=DRAWS), "gradient"),
    "efficient_mprt": (ar.EfficientMPRT(draws=DRAWS), "gradient"),
    "multiplier_split": (ar.InputMultiplier(draws=DRAWS), "integrated_gradients"),
    "parameter_noise": (ar.ParameterNoise(levels=(0.1, 0.5), draws=DRAWS), "gradient"),
    "parameter_noise poisson": (ar.ParameterNoise("poisson", (0.3,), draws=DRAWS), "gradient"),
    "cosine_convergence layers": (ar.CosineConvergence(vectors=3, layers="all"), "gradient"),
    **{
        f"cosine_convergence {one}": (ar.CosineConvergence(vectors=3), one)
        for one in ("gradient", "guided_backprop", "integrated_gradients")
    },
    **{
        f"faithfulness {one}": (ar.Faithfulness(steps=6), one) for one in ("gradient", "random_map", "constant_map")
    },
}


@pytest.mark.parametrize("name", CHECKS)
def test_other_checks(stored: dict[str, Array], name: str) -> None:
    check, explainer = CHECKS[name]
    # Those that take no labels explained the model's predictions.
    labels = None if name.startswith("cosine") else Y
    assert_stored(stored, name, check.run(subject(cnn(5), X, labels), explainer))


def test_checks_of_the_model_itself(stored: dict[str, Array]) -> None:
    assert_stored(stored, "model_decay", ar.ModelDecay(draws=DRAWS).run(subject(cnn(5), X, Y)))
    assert_stored(stored, "activation_scale", ar.ScalePreservation(draws=DRAWS).run(subject(cnn(5), X)))


def test_measure_grid(stored: dict[str, Array]) -> None:
    scores = ar.RankResilience(draws=DRAWS).run(subject(cnn(5), X, Y), ["gradient", "saliency", "input_map"])
    assert scores.settings["resilience"] == pytest.approx(float(stored["measure_grid/resilience"]), abs=1e-12)
    for setting, row in zip(stored["measure_grid/settings"], stored["measure_grid/scores"], strict=True):
        measure, normalization, order = str(setting).split("|")
        i = scores.dimensions["normalization"].index(normalization)
        j = scores.dimensions["order"].index(order)
        sign = -1 if measure == "mse" else 1
        np.testing.assert_allclose(sign * scores.mean(measure)[:, i, j], row, rtol=1e-12, atol=1e-12)


def test_noise_to_chance(stored: dict[str, Array]) -> None:
    predicted = mlp()(torch.from_numpy(TABLE)).argmax(1).numpy()
    scores = ar.GeneralizedFaithfulness().run(subject(mlp(), TABLE, predicted), "gradient")
    assert_stored(stored, "noise_to_chance", scores)


def test_data_randomization(stored: dict[str, Array]) -> None:
    training = ar.TrainingOptions(epochs=400, batch_size=20, learning_rate=1e-2)
    check = ar.DataRandomization(TABLE, LABELS, training=training, least_accuracy=0.8)
    assert_stored(stored, "data_randomization", check.run(subject(mlp(), TABLE[:11], LABELS[:11]), "gradient"))


def test_repeatability(stored: dict[str, Array]) -> None:
    scores = ar.Repeatability([cnn(6)]).run(subject(cnn(5), X, Y), "gradient")
    assert_stored(stored, "repeatability", scores)


def test_sanity_check(stored: dict[str, Array]) -> None:
    explainers = ["gradient", "smoothgrad", own]
    report = ar.sanity_check(cnn(5), X, Y, explainers=explainers, seed=3, draws=DRAWS, blocks=3, batch_size=4)
    for one in report.explainers:
        name = f"sanity {one.name}"
        for order, scores in one.cascades.items():
            assert_stored(stored, f"{name} {order}", scores)
        assert_stored(stored, f"{name} random_logit", one.random_logit)
        assert_stored(stored, f"{name} faithfulness", one.faithfulness)
        for measure, floors in one.floors.items():
            found = [floors.cross_image, floors.shuffled, floors.between_draws, floors.ceiling]
            np.testing.assert_allclose(found, stored[f"{name} floors/{measure}"], rtol=0, atol=1e-12)
        verdict = one.verdict
        numbers = [verdict.score, *verdict.interval, verdict.limit, verdict.excess, *verdict.excess_interval]
        np.testing.assert_allclose(numbers, stored[f"{name} verdict"], rtol=0, atol=1e-9)
        assert [verdict.outcome, one.informative] == stored[f"{name} outcome"].tolist()
    for order, scores in report.decay.items():
        assert_stored(stored, f"sanity decay {order}", scores)
