"""Scores: the same for one seed however the run is cut, right for controls, and defined or NaN."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset
from zoo import BY_NAME, Case, cases

import agnostic_rand as ar
from agnostic_rand.errors import FindingWarning, UndefinedScoreWarning

CASE = BY_NAME["cnn with batch normalization"]


def scores(
    explainer: object = "saliency",
    *,
    seed: int = 5,
    batch_size: int = 64,
    samples: int = 12,
    measure: str = "spearman",
) -> np.ndarray:
    metric = ar.ModelRandomizationMetric(
        CASE.model(),
        CASE.inputs(samples),
        randomization_strategy=ar.CascadingRandomization(),
        batch_size=batch_size,
        seed=seed,
        draws=2,
        measures=[measure],
    )
    return metric.run(explainer).scores[measure]


@pytest.mark.parametrize("name", ["saliency", "guided_backprop", "smoothgrad", "random_map"])
def test_scores_do_not_depend_on_the_batch_size(name: str) -> None:
    explainer = ar.explainers.SmoothGrad(samples=5) if name == "smoothgrad" else name
    # No ranks: batched kernels round differently, and one may turn.
    whole = scores(explainer, samples=10, measure="pearson")
    for batch_size in (1, 7):
        cut = scores(explainer, batch_size=batch_size, samples=10, measure="pearson")
        np.testing.assert_allclose(cut, whole, atol=1e-4)


def test_another_seed_gives_other_scores() -> None:
    assert np.abs(scores(seed=6) - scores(seed=5)).mean() > 0.01
    assert np.abs(scores(seed=5)[0] - scores(seed=5)[1]).mean() > 0.01


def test_a_fresh_process_gives_the_same_scores() -> None:
    script = textwrap.dedent(
        """
        import json, torch
        torch.rand(7)
        from test_torch_scores import scores
        print(json.dumps(scores().tolist()))
        """
    )
    environment = dict(os.environ, PYTHONPATH=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.array(json.loads(done.stdout)), scores(), atol=1e-3)


@cases("mlp", "cnn with batch normalization", "vision transformer", "lstm", "bfloat16", "tied autoencoder")
def test_controls(case: Case) -> None:
    metric = ar.ModelRandomizationMetric(
        case.model(), case.inputs(40), randomization_strategy=ar.CascadingRandomization(), seed=0, draws=2
    )
    with pytest.warns(FindingWarning) as told:
        assert metric.evaluate("input_map") == pytest.approx(1, abs=1e-12)
    assert "less than half" in str(told[0].message)
    assert "does not use the model" in str(told[1].message)
    noise = metric.run("random_map").scores["spearman"]
    # The standard error of the mean of this many independent correlations.
    size = case.inputs(1)[0].size if len(case.shape) < 3 else case.inputs(1)[0][0].size
    assert abs(noise.mean()) < 4 / np.sqrt(noise.size * (size - 1))
    with (
        pytest.warns(UndefinedScoreWarning, match="undefined"),
        pytest.warns(FindingWarning, match="less than half"),
    ):
        assert np.isnan(metric.evaluate("constant_map"))
    result = metric.run("constant_map")
    assert (result.undefined["spearman"] == 40).all()


def test_an_explainer_that_ignores_the_model_scores_one() -> None:
    metric = ar.ModelRandomizationMetric(CASE.model(), CASE.inputs(6), None, ar.FullRandomization(), seed=0)
    for explain in (
        lambda model, inputs, targets: inputs.abs(),
        lambda model, inputs, targets: inputs.numpy()[:, 0],
    ):
        with pytest.warns(FindingWarning, match="does not use it"):
            assert metric.evaluate(explain) == 1.0


def test_a_function_gives_the_scores_of_the_method_that_it_implements() -> None:
    def saliency(model: torch.nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        inputs = inputs.requires_grad_()
        chosen = model(inputs).gather(1, targets[:, None]).sum()
        return torch.autograd.grad(chosen, inputs)[0].abs()

    np.testing.assert_allclose(scores(saliency), scores("saliency"), atol=1e-6)
    np.testing.assert_allclose(scores(lambda *a: saliency(*a).numpy()), scores("saliency"), atol=1e-6)


def test_captum_through_a_function() -> None:
    attribution = pytest.importorskip("captum.attr")

    def integrated(model: torch.nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        method = attribution.IntegratedGradients(model)
        return method.attribute(inputs, target=targets, n_steps=16, method="riemann_middle")

    ours = ar.explainers.IntegratedGradients(steps=16)
    np.testing.assert_allclose(scores(integrated, samples=6), scores(ours, samples=6), atol=1e-3)


def test_all_forms_of_data_give_the_same() -> None:
    x, y = CASE.inputs(6), np.array([0, 1, 2, 3, 0, 1])
    data = TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    forms = [
        (x, y),
        (torch.from_numpy(x), torch.from_numpy(y)),
        (x, np.eye(4)[y]),
        (DataLoader(data, batch_size=4), None),
        (
            [
                (torch.from_numpy(x[:2]), torch.from_numpy(y[:2])),
                (torch.from_numpy(x[2:]), torch.from_numpy(y[2:])),
            ],
            None,
        ),
    ]
    found = [
        ar.ModelRandomizationMetric(CASE.model(), *form, seed=0).run("gradient").scores["spearman"]
        for form in forms
    ]
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@pytest.mark.parametrize("perturbation", ["reinitialize", "native_init", "permute", "matched_normal", "uniform"])
@cases("vision transformer", "weight_norm", "float16")
def test_every_perturbation_runs_on(case: Case, perturbation: str) -> None:
    metric = ar.ModelRandomizationMetric(
        case.model(), case.inputs(4), randomization_strategy=ar.FullRandomization(perturbation=perturbation), seed=0
    )
    result = metric.run("gradient")
    assert result.coverage == 1.0
    assert np.isfinite(result.outputs.scale).all()


def test_a_single_output_explains_itself() -> None:
    case = BY_NAME["single output"]
    result = ar.ModelRandomizationMetric(case.model(), case.inputs(8), seed=0).run("gradient")
    assert np.isfinite(result.scores["spearman"]).all()
    assert np.isnan(result.outputs.agreement).all()


@pytest.mark.parametrize("name", ["dictionary output", "compiled", "data parallel", "tied head"])
def test_wrapped_models_run_through_the_metric(name: str) -> None:
    case = BY_NAME[name]
    metric = ar.ModelRandomizationMetric(case.model(), case.inputs(4), seed=0, forward=case.forward)
    plain = ar.ModelRandomizationMetric(BY_NAME["mlp"].model(), BY_NAME["mlp"].inputs(4), seed=0)
    explainer = "random_map" if name == "tied head" else "gradient"
    result = metric.run(explainer).scores["spearman"]
    assert np.isfinite(result).all()
    if name != "tied head":
        np.testing.assert_array_equal(result, plain.run(explainer).scores["spearman"])
