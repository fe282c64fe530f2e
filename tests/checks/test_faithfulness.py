"""Faithfulness against blurring by hand, patch by patch."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import agnostic_rand as ar
from agnostic_rand.checks._patch_grid import PatchGrid
from agnostic_rand.errors import InputError

from .nets import Array
from .slow import gradient_map

LABELS = np.array([0, 3, 1, 2, 0])


def box_blur(image: Array, side: int) -> Array:
    """The mean over a square around each pixel, the edge's pixels repeated beyond it."""
    reach = side // 2
    padded = np.pad(image, reach, mode="edge")
    rows, columns = image.shape
    return np.array([[padded[i : i + side, j : j + side].mean() for j in range(columns)] for i in range(rows)])


def slow_curve(net: nn.Module, image: Array, label: int, ranking: Array, side: int, steps: int) -> list[float]:
    blurred = np.stack([box_blur(channel, max(side, 5)) for channel in image])
    corners = [(i, j) for i in range(0, image.shape[1], side) for j in range(0, image.shape[2], side)]
    mass = [np.abs(ranking[:, i : i + side, j : j + side]).sum() for i, j in corners]
    current, curve = image.copy(), []
    for place in sorted(range(len(corners)), key=lambda k: -mass[k])[:steps]:
        i, j = corners[place]
        current[:, i : i + side, j : j + side] = blurred[:, i : i + side, j : j + side]
        outputs = net(torch.from_numpy(current[None]))[0].detach().numpy()
        curve.append(float(np.exp(outputs[label]) / np.exp(outputs).sum()))
    return curve


@pytest.mark.parametrize(("side", "steps"), [(2, 4), (4, 30), (1, 36)])
def test_the_curve_is_that_of_blurring_by_hand(small: tuple[nn.Module, Array], side: int, steps: int) -> None:
    net, x = small
    result = ar.Faithfulness(side, steps).run(ar.Subject(net, x, LABELS, seed=0, batch_size=2), "gradient")
    maps = gradient_map(net, x, LABELS)
    expected = [slow_curve(net, x[i], LABELS[i], maps[i], side, steps) for i in range(5)]
    # The library blurs in single precision.
    np.testing.assert_allclose(result.scores["probability"].T, expected, atol=2e-6)
    assert result.settings["blur"] == max(side, 5)


def test_the_score_is_the_mean_over_all_patches_and_the_curve_is_kept(small: tuple[nn.Module, Array]) -> None:
    net, x = small
    result = ar.Faithfulness(2, 9).run(ar.Subject(net, x, LABELS, seed=0), "gradient")
    curve = result.scores["probability"]
    assert curve.shape == (9, 5)
    assert float(result.mean()) == pytest.approx(curve.mean(), abs=1e-12)
    by_sample = curve.mean(axis=0)
    estimate = result.estimate()
    assert estimate.mean == pytest.approx(curve.mean(), abs=1e-12)
    # One score for each sample: the interval is Student's over samples.
    reach = stats.t.ppf(0.975, 4) * by_sample.std(ddof=1) / np.sqrt(5)
    np.testing.assert_allclose(estimate.interval(), [curve.mean() - reach, curve.mean() + reach], atol=1e-9)
    assert result.estimate(place={"patches": 3}).mean == pytest.approx(curve[3].mean(), abs=1e-12)
    assert f"{curve.mean():8.3f}" in result.summary()
    again = pickle.loads(pickle.dumps(result))
    assert float(again.mean()) == float(result.mean())


@pytest.mark.parametrize("side", [1, 5, 6, 8])
def test_the_blur_lies_in_the_middle_of_its_box(side: int) -> None:
    image = np.zeros((1, 1, 25, 25), "float32")
    image[0, 0, 12, 12] = 1
    blurred = PatchGrid.of(image, 1, side).blurred(image)[0, 0]
    # A point's blur is the same from both ends, up and down and turned.
    for turned in (blurred[::-1], blurred[:, ::-1], blurred.T):
        np.testing.assert_allclose(blurred, turned, atol=1e-7)
    assert PatchGrid.of(image, 1, side).box == {1: 5, 5: 5, 6: 7, 8: 9}[side]


def test_images_without_channels_are_images(small: tuple[nn.Module, Array]) -> None:
    net, x = small
    gray = nn.Sequential(nn.Unflatten(1, (1, 6)), nn.Conv2d(1, 2, 1).double(), net)
    # Its first layer makes two channels of one.
    flat = ar.Faithfulness(2, 9).run(ar.Subject(gray, x[:, 0], LABELS, seed=0), "gradient")
    assert flat.scores["probability"].shape == (9, 5)
    maps = gradient_map(gray, x[:, 0], LABELS)
    expected = [
        slow_curve(nn.Sequential(nn.Flatten(1, 2), gray), x[i, :1], LABELS[i], maps[i : i + 1], 2, 9)
        for i in range(5)
    ]
    np.testing.assert_allclose(flat.scores["probability"].T, expected, atol=2e-6)


def test_without_labels_the_first_prediction_is_followed(small: tuple[nn.Module, Array]) -> None:
    net, x = small
    predicted = net(torch.from_numpy(x)).argmax(1).numpy()
    first, second = (
        ar.Faithfulness(2, 9).run(ar.Subject(net, x, labels, seed=0), "gradient").of()
        for labels in (None, predicted)
    )
    np.testing.assert_array_equal(first, second)


def test_what_is_explained_is_the_output_and_not_its_softmax(small: tuple[nn.Module, Array]) -> None:
    net, x = small
    with torch.no_grad():
        large = nn.Sequential(*net[:3], nn.Linear(108, 4).double(), Scaled(1000.0))
    result = ar.Faithfulness(2, 9).run(ar.Subject(large, x, LABELS, seed=0), "gradient")
    maps = gradient_map(large, x, LABELS)
    # A saturated softmax has no gradient: its patches would have no order.
    expected = [slow_curve(large, x[i], LABELS[i], maps[i], 2, 1) for i in range(5)]
    np.testing.assert_allclose(result.scores["probability"][:1].T, expected, atol=1e-3)


class Scaled(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


def test_a_model_that_puts_out_probabilities_gets_no_second_softmax(small: tuple[nn.Module, Array]) -> None:
    net, x = small
    plain, ending = (
        ar.Faithfulness(2, 9).run(ar.Subject(model, x, LABELS, seed=0), "input_map")
        for model in (net, nn.Sequential(net, nn.Softmax(1)))
    )
    np.testing.assert_allclose(plain.scores["probability"], ending.scores["probability"], atol=1e-6)
    assert plain.settings["probability"] != ending.settings["probability"]


def test_ties_are_not_broken_from_the_top_left() -> None:
    # The output falls only where the first row is blurred; a constant map points nowhere.
    net = nn.Sequential(nn.Flatten(), nn.Linear(144, 2, bias=False))
    with torch.no_grad():
        net[1].weight.zero_()
        net[1].weight[0, :12] = torch.linspace(-2, 2, 12)
    x = np.random.default_rng(0).standard_normal((1, 1, 12, 12)).astype("float32")
    curves = {
        tuple(ar.Faithfulness(1, 72).run(ar.Subject(net, x, [0], seed=seed), "constant_map").of()[:, 0])
        for seed in range(4)
    }
    assert len(curves) == 4


def test_the_truth_is_more_faithful_than_noise() -> None:
    # A planted task: the class is decided by one quarter of the image.
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 1, 8, 8)).astype("float32")
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2, bias=False))
    with torch.no_grad():
        weight = torch.zeros(8, 8)
        weight[:4, :4] = torch.from_numpy(rng.standard_normal((4, 4)).astype("float32"))
        net[1].weight[0], net[1].weight[1] = weight.flatten(), -weight.flatten()
    truth, noise = ar.Faithfulness(2, 4).run(ar.Subject(net, x, seed=0), ["gradient", "random_map"]).mean()
    assert truth < noise - 0.03


def test_single_outputs_and_tables_are_refused() -> None:
    single = nn.Sequential(nn.Flatten(), nn.Linear(16, 1))
    with pytest.raises(InputError, match="two outputs"):
        ar.Faithfulness().run(ar.Subject(single, np.ones((2, 1, 4, 4), "float32")), "gradient")
    with pytest.raises(InputError, match="images"):
        ar.Faithfulness().run(ar.Subject(nn.Linear(4, 2), np.ones((2, 4), "float32")), "gradient")
