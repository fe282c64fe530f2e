"""The demo trains well, touches no global state, shows what it scored, and writes its report."""

from __future__ import annotations

import random
from contextlib import contextmanager

import numpy as np
import pytest
import rich.style  # noqa: F401 - it draws from Python's generator when it is imported
import torch
from scipy.stats import spearmanr

from agnostic_rand.cli import demo
from agnostic_rand.errors import MissingExtraError
from agnostic_rand.explainers import CONTROLS
from agnostic_rand.results.scores import Scores
from agnostic_rand.weights import Streams


@contextmanager
def unmoved_generators():
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    yield
    assert random.getstate() == before[0]
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), before[1], strict=True))
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.fixture(scope="module")
def trained():
    streams = Streams(0)
    with unmoved_generators():
        digits = demo.load_digits(streams)
        net = demo.train_net(digits, streams)
    return digits, net


def test_the_digits_are_split_without_overlap(trained):
    digits, _ = trained
    assert digits.train_images.shape == (1438, 1, 32, 32)
    assert digits.test_images.shape == (359, 1, 32, 32)
    together = np.concatenate([digits.train_images, digits.test_images]).reshape(1797, -1)
    assert len(np.unique(together, axis=0)) == 1797
    assert (together.min(), together.max()) == (0.0, 1.0)


def test_the_net_is_right_on_95_percent_of_unseen_digits(trained):
    digits, net = trained
    with torch.no_grad():
        predicted = net.model(torch.from_numpy(digits.test_images)).argmax(dim=1).numpy()
    assert (predicted == digits.test_labels).mean() == net.accuracy >= 0.95


def test_the_same_seed_trains_the_same_net_and_another_does_not(monkeypatch):
    monkeypatch.setattr(demo, "_EPOCHS", 1)
    nets = [demo.train_net(demo.load_digits(Streams(seed)), Streams(seed)).model for seed in (1, 1, 2)]
    first, again, other = (torch.cat([p.flatten() for p in net.parameters()]) for net in nets)
    assert torch.allclose(first, again, atol=1e-5)
    assert (first - other).abs().max() > 0.01


def test_the_maps_that_are_shown_were_scored(trained, monkeypatch):
    digits, net = trained
    monkeypatch.setattr(demo, "EXPLAINERS", ("gradient", "guided_backprop", "random_map"))
    monkeypatch.setattr(demo, "SAMPLES", 6)
    found = demo.demonstrate(net, digits, seed=4, draws=2)
    np.testing.assert_array_equal(found.strip.image, digits.test_images[0])
    assert [step.name for step in found.strip.steps] == ["fc2", "fc1", "conv2", "conv1"]
    assert found.results[0].steps[-1].coverage == 1.0
    for result in found.results:
        base, *maps = found.strip.maps[result.explainer]
        scores = [spearmanr(base.ravel(), one.ravel()).statistic for one in maps]
        np.testing.assert_allclose(scores, result.scores["spearman"][0, :, 0], atol=1e-6)


def test_the_demo_says_what_it_found_and_writes_it(run, folder, monkeypatch):
    names = ("gradient", "random_map", "constant_map", "input_map")
    monkeypatch.setattr(demo, "EXPLAINERS", names)
    monkeypatch.setattr(demo, "SAMPLES", 8)
    monkeypatch.setattr(demo, "_EPOCHS", 1)
    with unmoved_generators():
        done = run("demo", "--out", "out/report", "--draws", "2", "--seed", "3")
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert "of scikit-learn's digits (32x32)" in said
    assert "over 2 draws and 8 samples" in said
    assert "undef." in next(line for line in done.output.splitlines() if line.startswith("constant_map"))
    written = {path.name for path in (folder / "out/report").iterdir()}
    assert written == {f"{name}.npz" for name in names} | {"scores.csv", "curves.png", "strip.png"}
    result = Scores.load(folder / "out/report/gradient.npz")
    assert result.scores["spearman"].shape == (2, 4, 8)
    assert result.seed == 3


def test_the_demo_checks_methods_and_every_kind_of_control():
    controls = [name for name in demo.EXPLAINERS if name in CONTROLS]
    assert {"random_map", "constant_map", "input_map", "edge_detector"} == set(controls)
    assert len(demo.EXPLAINERS) - len(controls) == 6


@pytest.mark.parametrize("out", ["taken", "taken/report", "report.html", "report.csv"])
def test_a_place_that_cannot_be_written_is_refused_before_training(run, folder, monkeypatch, out):
    (folder / "taken").touch()
    monkeypatch.setattr(demo, "load_digits", lambda streams: pytest.fail("it has begun"))
    done = run("demo", "--out", out)
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")


@pytest.mark.parametrize("package", ["sklearn.datasets", "torch"])
def test_without_the_extra_the_install_command_is_told(monkeypatch, package):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'agnostic-rand\[demo\]'"):
        demo.load_digits(Streams(0))
