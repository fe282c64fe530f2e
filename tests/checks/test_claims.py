"""What the literature reports of these methods, on MNIST and CIFAR-10 with small nets: 100 images, 5 draws."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional as F

import agnostic_rand as ar
from agnostic_rand.results.scores import Scores
from agnostic_rand.sanity.sanity_check import sanity_check

from .nets import Array, fitted, mlp

MEASURES = ("spearman", "spearman_abs", "spearman_abs_nonzero")
GRADIENT = ar.explainers.Gradient()
GUIDED = ar.explainers.GuidedBackprop()
PATH = ar.explainers.IntegratedGradients(steps=6)
TIMES_INPUT = ar.explainers.GradientTimesInput()
SMOOTH = ar.explainers.SmoothGrad(samples=6)
NATIVE = ar.FullRandomization(perturbation="native_init")


@dataclass(frozen=True)
class Mnist:
    train_x: Array
    train_y: Array
    x: Array
    y: Array


@pytest.fixture(scope="module")
def mnist(test_data: Path) -> Mnist:
    with np.load(test_data / "mnist.npz") as data:
        parts = {
            name: ((data[f"x_{name}"][:count] / 255).astype("float32")[:, None], data[f"y_{name}"][:count])
            for name, count in (("train", 6000), ("test", 100))
        }
    (train_x, train_y), (x, y) = parts["train"], parts["test"]
    return Mnist(train_x, train_y.astype(np.int64), x, y.astype(np.int64))


@pytest.fixture(scope="module")
def mnist_mlp(mnist: Mnist) -> nn.Module:
    return fitted(mlp(0, 784, (256, 128, 64)), mnist.train_x, mnist.train_y, epochs=4, rate=1e-3)


@pytest.fixture(scope="module")
def mnist_cnn(mnist: Mnist) -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(784, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )
    return fitted(net, mnist.train_x, mnist.train_y, epochs=2, rate=2e-3)


def cascade(net: nn.Module, mnist: Mnist) -> Scores:
    explainers = [
        GRADIENT,
        SMOOTH,
        PATH,
        TIMES_INPUT,
        GUIDED,
        ar.explainers.InputTimesNoise(),
        ar.explainers.RandomMap(),
    ]
    check = ar.ModelRandomization(draws=5, measures=MEASURES)
    return check.run(ar.Subject(net, mnist.x, mnist.y, seed=0), explainers)


@pytest.fixture(scope="module")
def of_cnn(mnist: Mnist, mnist_cnn: nn.Module) -> Scores:
    return cascade(mnist_cnn, mnist)


@pytest.fixture(scope="module")
def of_mlp(mnist: Mnist, mnist_mlp: nn.Module) -> Scores:
    return cascade(mnist_mlp, mnist)


@pytest.fixture(params=["of_cnn", "of_mlp"])
def found(request: pytest.FixtureRequest) -> Scores:
    scores: Scores = request.getfixturevalue(request.param)
    return scores


def test_1_signed_maps_do_not_survive_full_randomization(found: Scores) -> None:
    for name in ("gradient", "smoothgrad", "integrated_gradients", "gradient_times_input"):
        assert abs(found[name].mean("spearman")[-1]) <= 0.10


def test_2_guided_backprop_hardly_sees_the_top_layer(found: Scores) -> None:
    # The paper's nets, four and ten times as wide, have .89 and .90; these have .74 to .82.
    guided, gradient = found["guided_backprop"], found["gradient"]
    assert guided.mean("spearman")[0] > 0.7
    assert guided.mean("spearman")[0] > gradient.mean("spearman")[0] + 0.2
    assert guided.mean("spearman_abs")[0] > gradient.mean("spearman_abs")[0] + 0.2


def test_3_guided_backprop_falls_along_the_cascade_and_further_in_an_mlp(of_cnn: Scores, of_mlp: Scores) -> None:
    for found in (of_cnn, of_mlp):
        guided, gradient = (found[name].mean("spearman") for name in ("guided_backprop", "gradient"))
        assert (np.diff(guided) <= 0.05).all()
        assert (guided[:-1] > gradient[:-1] + 0.2).all()
    assert of_cnn["guided_backprop"].mean("spearman")[-1] > of_cnn["gradient"].mean("spearman")[-1] + 0.2
    assert of_cnn["guided_backprop"].mean("spearman")[-1] > of_mlp["guided_backprop"].mean("spearman")[-1] + 0.1
    assert of_mlp["guided_backprop"].mean("spearman_abs")[-1] == pytest.approx(0.04, abs=0.10)
    assert of_mlp["guided_backprop"].mean("spearman")[-1] == pytest.approx(0.04, abs=0.10)


def test_4_absolute_maps_that_multiply_by_the_input_never_fall(found: Scores) -> None:
    for name in ("integrated_gradients", "gradient_times_input"):
        assert (found[name].mean("spearman_abs") >= 0.97).all()
        assert found[name].mean("spearman")[0] <= 0.45
        # Over the pixels that are not zero in both, the likeness is gone.
        assert (found[name].mean("spearman_abs_nonzero") <= 0.6).all()
        assert found[name].mean("spearman_abs_nonzero")[-1] <= 0.5


def test_5_so_do_inputs_times_noise(of_mlp: Scores) -> None:
    noise = of_mlp["input_times_noise"]
    assert (noise.mean("spearman_abs") >= 0.97).all()
    assert (np.abs(noise.mean("spearman")) <= 0.02).all()
    assert (noise.mean("spearman_abs_nonzero") <= 0.45).all()


def test_6_independent_noise_is_best_or_tied(found: Scores) -> None:
    noise = found["random_map"].scores["spearman"]
    assert abs(noise.mean()) <= 0.01
    assert noise.std() == pytest.approx(1 / np.sqrt(783), rel=0.1)
    for measure in MEASURES:
        own = abs(found["random_map"].mean(measure).mean())
        assert all(own <= abs(found[name].mean(measure).mean()) + 0.02 for name in found.explainers)


class LeNet(nn.Module):
    """6-16-120-84-10, ReLU called as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(256, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.conv2(F.max_pool2d(F.relu(self.conv1(x)), 2))), 2)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


@pytest.fixture(scope="module")
def lenet(mnist: Mnist) -> nn.Module:
    torch.manual_seed(0)
    return fitted(LeNet(), normalized(mnist.train_x), mnist.train_y, epochs=3, rate=2e-3)


def normalized(x: Array) -> Array:
    return ((x - 0.1307) / 0.3081).astype("float32")


def test_7_absolute_path_methods_are_one_group_above_the_gradients(mnist: Mnist, lenet: nn.Module) -> None:
    subject = ar.Subject(lenet, normalized(mnist.x), mnist.y, seed=0)
    paths = [PATH, TIMES_INPUT, ar.explainers.ExpectedGradients(samples=6)]
    plains = [GRADIENT, ar.explainers.Saliency(), SMOOTH]
    scores = ar.ModelRandomization(NATIVE, 5, "spearman_abs").run(subject, [*paths, *plains])
    path, plain = ([scores[one.name].mean()[0] for one in group] for group in (paths, plains))
    # Published as .75 and at most .10, which are numbers of another measure: see the next test.
    assert min(path) > max(plain) + 0.05
    assert max(path) - min(path) <= 0.02


def flat_ssim(first: Array, second: Array) -> Array:
    """SSIM of maps laid out as one row of pixels, as Quantus computes it."""
    skimage = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    pairs = [
        [np.asarray(one, dtype=np.float64).ravel() for one in pair] for pair in zip(first, second, strict=True)
    ]
    scaled = [[one / np.sqrt((one**2).mean()) for one in pair] for pair in pairs]
    return np.array([skimage.structural_similarity(a, b, data_range=np.ptp(np.append(a, b))) for a, b in scaled])


def lenet_of_modules(padding: int) -> nn.Module:
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(1, 6, 5, padding=padding), nn.ReLU(), nn.MaxPool2d(2)]
    convolutions += [nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)]
    linear = [nn.Linear(400 if padding else 256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)]
    return nn.Sequential(*convolutions, nn.Flatten(), *linear)


@pytest.fixture(scope="module")
def padded_lenet(mnist: Mnist) -> nn.Module:
    return fitted(lenet_of_modules(padding=2), mnist.train_x, mnist.train_y, epochs=3, rate=2e-3)


def test_7_the_published_numbers_are_of_ssim_on_signed_maps(mnist: Mnist, padded_lenet: nn.Module) -> None:
    subject = ar.Subject(padded_lenet, mnist.x, mnist.y, seed=0)
    check = ar.ModelRandomization(NATIVE, 5, flat_ssim)
    means = check.run(subject, [GRADIENT, ar.explainers.Saliency(), PATH, TIMES_INPUT]).mean()[:, 0]
    assert means[0] <= 0.10
    assert means[1] <= 0.15
    assert means[2:] == pytest.approx(0.75, abs=0.05)


def test_7_positive_relevance_outlives_everything(mnist: Mnist) -> None:
    pytest.importorskip("zennit", reason="zennit cannot be imported", exc_type=ImportError)
    x = normalized(mnist.train_x)
    net = fitted(lenet_of_modules(padding=0), x, mnist.train_y, epochs=3, rate=2e-3)
    subject = ar.Subject(net, normalized(mnist.x), mnist.y, seed=0)
    check = ar.ModelRandomization(NATIVE, 5, "spearman_abs")
    epsilon, path, positive = check.run(subject, ["lrp_epsilon", TIMES_INPUT, "lrp_zplus"]).mean()[:, 0]
    # In a net of ReLU and little bias, the epsilon rule is the gradient times the input.
    assert epsilon == pytest.approx(path, abs=0.02)
    assert positive == pytest.approx(0.91, abs=0.06)


def test_8_the_random_control_has_no_complexity_and_gradients_gain_some(mnist: Mnist, lenet: nn.Module) -> None:
    subject = ar.Subject(lenet, normalized(mnist.x), mnist.y, seed=0)
    methods = ["random_map", GRADIENT, ar.explainers.Saliency(), SMOOTH]
    scores = ar.EfficientMPRT(bins=(100,), draws=5).run(subject, methods)
    noise = scores["random_map"].of()
    assert abs(noise.mean()) < 4 * noise.std() / np.sqrt(100)
    assert noise.std() > 0
    assert (scores.mean()[1:, 0] >= 0.05).all()


def test_8_complexity_rises_for_gradients_and_not_for_path_methods(mnist: Mnist, padded_lenet: nn.Module) -> None:
    subject = ar.Subject(padded_lenet, mnist.x, mnist.y, seed=0)

    def rises(perturbation: str, *explainers: ar.explainers.Explainer) -> Array:
        rise: Array = ar.EfficientMPRT((100,), perturbation, 5).run(subject, explainers).mean()[:, 0]
        return rise

    gradient, saliency, *paths = rises("native_init", GRADIENT, ar.explainers.Saliency(), PATH, TIMES_INPUT)
    assert min(gradient, saliency) >= 0.12
    assert -0.05 <= min(paths) <= max(paths) <= 0.10
    # Without biases a background of zeros has a gradient of exactly zero: one bin of the histogram.
    assert rises("reinitialize", GRADIENT)[0] < gradient - 0.10


def test_9_converging_methods_do_not_see_the_class(test_data: Path) -> None:
    from on_torch.resnet20 import load_images, load_resnet20

    x, y = load_images(test_data, 24)
    subject = ar.Subject(load_resnet20(test_data), x, y, seed=0)
    found = ar.RandomLogit().run(subject, ["gradient", "guided_backprop", "deconvnet"])
    median = {name: float(np.median(found[name].scores["ssim_sign_invariant"])) for name in found.explainers}
    assert median["guided_backprop"] > median["gradient"] + 0.10
    assert median["deconvnet"] > median["gradient"] + 0.10
    assert median["guided_backprop"] > 0.8


def test_on_a_trained_resnet_the_verdicts_are_those_of_the_literature(test_data: Path) -> None:
    from on_torch.resnet20 import load_images, load_resnet20

    x, y = load_images(test_data, 30)
    report = sanity_check(
        load_resnet20(test_data),
        x,
        y,
        explainers=["gradient", "guided_backprop"],
        seed=0,
        blocks=3,
        measures=("spearman",),
    )
    assert report["gradient"].verdict.outcome == "sensitive"
    assert report["guided_backprop"].verdict.outcome == "insensitive"
    assert [verdict.outcome for verdict in report["guided_backprop"].by_step[:2]] == ["insensitive"] * 2
    assert report["input_map"].verdict.outcome == "insensitive"
    # Thirty images are too few to show that noise gains less than two percent: see the digits and the LeNet.
    assert report["random_map"].informative != "informative"
    information = report["random_map"].information
    assert information is not None
    assert information.interval[0] < 0 < information.interval[1]
    # Edges tell where the object is, and are no explanation: faithfulness alone is not sufficient either.
    assert report["edge_detector"].verdict.outcome == "insensitive"
    assert report.decay["top_down"].mean("accuracy")[0] > 0.9
    assert report.decay["top_down"].mean("accuracy")[1] < 0.3


def test_10_maps_fall_with_the_noise_of_the_weights(mnist: Mnist, mnist_mlp: nn.Module) -> None:
    levels = (0.1, 0.2, 0.3)
    check = ar.ParameterNoise("gaussian", levels, draws=5, measures=("spearman",))
    found = check.run(ar.Subject(mnist_mlp, mnist.x, mnist.y, seed=0), [GRADIENT, PATH, TIMES_INPUT, GUIDED])
    means = dict(zip(found.explainers, found.mean(), strict=True))
    for name, curve in means.items():
        for step in range(curve.shape[1]):
            assert stats.kendalltau(levels, curve[:, step]).statistic == pytest.approx(-1), name
    lowest = np.min(list(means.values()), axis=0)
    assert all((means["guided_backprop"] >= curve).all() for curve in means.values())
    assert (means["integrated_gradients"] <= lowest + 0.05).all()


def test_data_randomization_memorizes_and_keeps_the_order_of_methods(mnist: Mnist) -> None:
    x, y = mnist.train_x[:400], mnist.train_y[:400]
    net = fitted(mlp(0, 784, (256, 128, 64)), x, y, epochs=15, rate=1e-3)
    check = ar.DataRandomization(x, y, training=ar.TrainingOptions(epochs=60, stop_at_accuracy=0.999))
    found = check.run(ar.Subject(net, mnist.x, mnist.y, seed=0), [GRADIENT, GUIDED])
    gradient, guided = found["gradient"], found["guided_backprop"]
    assert gradient.settings["permuted_label_accuracy"] >= 0.95
    assert gradient.settings["permuted_test_accuracy"] == pytest.approx(0.1, abs=0.05)
    # Place 0: permuted labels; place 1: the true ones, learned again.
    assert guided.mean("spearman")[0] > gradient.mean("spearman")[0] + 0.1
    assert gradient.mean("spearman")[1] > gradient.mean("spearman")[0] + 0.3
