"""The one call, on a CNN that was trained here: verdicts, floors, findings in words, and what it refuses."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import agnostic_rand as ar
from agnostic_rand.errors import ArgumentError, InputError, UnknownNameError
from agnostic_rand.sanity.report import SanityReport
from agnostic_rand.sanity.sanity_check import sanity_check
from agnostic_rand.subject.progress import Progress

from .conftest import Trained
from .nets import random_images

CONTROLS = ("random_map", "constant_map", "input_map", "edge_detector")


@pytest.fixture(scope="module")
def report(trained_cnn: Trained) -> SanityReport:
    explainers = ["gradient", "guided_backprop", ar.explainers.IntegratedGradients(steps=8)]
    x, y = trained_cnn.x[:60], trained_cnn.y[:60]
    return sanity_check(trained_cnn.model, x, y, explainers=explainers, seed=0, draws=5)


def test_noise_wins_every_similarity_and_is_uninformative(report: SanityReport) -> None:
    noise = report["random_map"]
    for measure in noise.cascades["top_down"].scores:
        own = np.abs(noise.cascades["top_down"].mean(measure))
        for name in ("gradient", "guided_backprop", "integrated_gradients", "input_map", "edge_detector"):
            others = np.abs(report[name].cascades["top_down"].mean(measure))
            # "Lower is better" would rank noise first, at the first step and on the whole.
            assert own[0] < others[0], (measure, name)
            assert own.mean() < others.mean() + 0.02, (measure, name)
    assert noise.informative == "uninformative"
    assert noise.information is not None
    assert noise.information.interval[1] > 0
    # Against other noise than its own.
    assert abs(noise.information.difference) > 1e-6
    assert any("no more than blurring where noise" in finding for finding in noise.findings)
    # Not by its name: noise under another name, and a copier, are judged as they are.
    assert report["gradient"].informative == "informative"


def test_it_says_that_noise_changes_by_itself(report: SanityReport) -> None:
    assert any("No dependence on the weights was seen" in finding for finding in report["random_map"].findings)
    for name in ("gradient", "guided_backprop", "integrated_gradients", "input_map"):
        assert not any("noise:" in finding for finding in report[name].findings)
        assert report[name].floors["spearman"].ceiling == pytest.approx(1)


def test_copiers_are_insensitive(report: SanityReport) -> None:
    for name in ("input_map", "edge_detector"):
        assert report[name].verdict.outcome == "insensitive"
        assert report[name].verdict.score == 1
        assert "every map is still the trained model's" in report[name].verdict.reason
        assert all(verdict.outcome == "insensitive" for verdict in report[name].by_step)
    assert any("look like the input's edges" in finding for finding in report["input_map"].findings)
    assert report["constant_map"].verdict.outcome == "undefined"


def test_the_gradient_is_sensitive(report: SanityReport) -> None:
    gradient = report["gradient"]
    assert gradient.verdict.outcome == "sensitive"
    assert "depend on the weights" in gradient.verdict.reason
    assert [verdict.outcome for verdict in gradient.by_step] == ["sensitive"] * 4


def test_guided_backprop_is_insensitive_to_the_top_layers(report: SanityReport) -> None:
    guided = report["guided_backprop"]
    assert [verdict.outcome for verdict in guided.by_step[:2]] == ["insensitive"] * 2
    assert guided.by_step[0].score > report["gradient"].by_step[0].score + 0.2
    # The model is at chance by then, and the report says so in words.
    assert report.decay["top_down"].mean("accuracy")[1] < 0.35
    assert any("Insensitive to the layers above and in" in finding for finding in guided.findings)


def test_gradcam_is_sensitive(trained_cnn: Trained) -> None:
    # Coarse maps vary much from draw to draw: the interval asks for many draws.
    x, y = trained_cnn.x[:60], trained_cnn.y[:60]
    found = sanity_check(
        trained_cnn.model,
        x,
        y,
        explainers={"gradcam": ar.explainers.GradCAM("conv2")},
        seed=0,
        draws=40,
        blocks=1,
        measures=("spearman",),
    )
    assert found["gradcam"].verdict.outcome == "sensitive", found["gradcam"].verdict


def test_absolute_path_maps_are_high_where_signed_ones_are_low_and_it_says_why(report: SanityReport) -> None:
    path = report["integrated_gradients"]
    means = {name: float(path.cascades["top_down"].mean(name)[-1]) for name in path.cascades["top_down"].scores}
    assert means["spearman_abs"] > 0.7
    assert abs(means["spearman"]) < 0.15
    assert means["spearman_abs_nonzero"] < means["spearman_abs"] - 0.2
    (words,) = [finding for finding in path.findings if "zero at the same pixels" in finding]
    assert f"{means['spearman_abs']:.2f}" in words
    assert f"{means['spearman_abs_nonzero']:.2f}" in words


def test_the_report_ranks_nothing_and_says_what_it_is_worth(report: SanityReport) -> None:
    text = str(report)
    assert "necessary, not sufficient" in " ".join(text.split())
    assert "No number here ranks methods" in " ".join(text.split())
    order = [one.name for one in report.explainers]
    assert order == ["gradient", "guided_backprop", "integrated_gradients", *CONTROLS]


def test_every_setting_is_recorded_and_everything_can_be_kept(report: SanityReport) -> None:
    kept = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert kept["settings"]["draws"] == 5
    assert kept["settings"]["margin"] == 0.1
    assert kept["settings"]["measures"]["spearman_abs"].startswith("MapForm(sign='absolute'")
    assert kept["explainers"][1]["by_step"][0]["outcome"] == "insensitive"
    assert set(kept["decay"]) == {"top_down", "bottom_up"}
    again = pickle.loads(pickle.dumps(report))
    assert again.to_dict().keys() == kept.keys()
    frame = report.to_dataframe()
    assert {
        "cascade_top_down",
        "cascade_bottom_up",
        "random_logit",
        "faithfulness",
        "decay_top_down",
        "references",
    } == set(frame["check"]) - {"decay_bottom_up"}


def test_scores_are_shown_with_their_place_between_floor_and_ceiling(report: SanityReport) -> None:
    guided = report["guided_backprop"]
    floors = guided.floors["spearman"]
    place = (guided.verdict.score - floors.floor) / (floors.ceiling - floors.floor)
    assert guided.normalized("spearman") == pytest.approx(place)
    assert report["input_map"].normalized("spearman") == 1
    kept = report.to_dict()["explainers"][1]
    assert kept["normalized"]["spearman"] == pytest.approx(place)
    assert kept["floors"]["spearman"]["floor"] == floors.floor
    frame = report.to_dataframe()
    rows = frame[(frame["explainer"] == "guided_backprop") & (frame["measure"] == "spearman")]
    last = rows[(rows["check"] == "cascade_top_down") & (rows["step"] == 3)]
    assert last["normalized"].mean() == pytest.approx(place)
    references = rows[rows["check"] == "references"].set_index("reference")["score"].to_dict()
    assert references == {
        "cross_image": floors.cross_image,
        "shuffled": floors.shuffled,
        "between_draws": floors.between_draws,
        "ceiling": 1,
        "floor": floors.floor,
        "likeness_input_map": guided.likeness["input_map"],
        "likeness_edge_detector": guided.likeness["edge_detector"],
    }
    with pytest.raises(UnknownNameError, match="spearman"):
        guided.normalized("spaerman")


def test_the_table_fits_and_shows_the_interval_that_its_title_names(report: SanityReport) -> None:
    lines = str(report).splitlines()
    assert max(map(len, lines)) <= 80
    row = next(line for line in lines if line.startswith("guided_backprop"))
    low, high = report["guided_backprop"].cascades["top_down"].interval()[-1]
    assert f"[{low:.2f}, {high:.2f}]" in row
    assert row.split()[-2] == f"{report['guided_backprop'].normalized('spearman'):.2f}"
    assert "score [95 %]" in lines[3]
    text = " ".join(str(report).split())
    floors = report["gradient"].floors["spearman"]
    assert f"other random weights {floors.between_draws:.2f}" in text
    assert f"edge_detector and the trained model's maps {report['gradient'].likeness['edge_detector']:.2f}" in text


def test_random_models_without_any_score_are_counted(trained_cnn: Trained) -> None:
    def sometimes_constant(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> Any:
        given = inputs.clone().requires_grad_()
        (maps,) = torch.autograd.grad(model(given).gather(1, targets[:, None]).sum(), given)
        weight = next(p for p in model.parameters() if p.ndim == 4)
        if torch.equal(weight, trained):
            return maps
        seen.add(float(weight.detach().sum()))
        # Of the first random model.
        return torch.zeros_like(maps) if len(seen) == 1 else maps

    trained = next(p for p in trained_cnn.model.parameters() if p.ndim == 4).detach().clone()
    seen: set[float] = set()
    found = sanity_check(
        trained_cnn.model,
        trained_cnn.x[:20],
        trained_cnn.y[:20],
        explainers=[sometimes_constant],
        seed=0,
        draws=5,
        blocks=1,
        measures=("spearman",),
        batch_size=20,
    )["sometimes_constant"]
    assert any(finding.startswith("1 of 5 random models gave no score") for finding in found.findings)
    assert np.isfinite(found.verdict.interval).all()


def test_the_same_seed_gives_the_same_report_and_the_model_stays(trained_cnn: Trained) -> None:
    x, y = trained_cnn.x[:12], trained_cnn.y[:12]
    before = torch.cat([p.flatten() for p in trained_cnn.model.parameters()]).clone()

    def scores(seed: int) -> list[Any]:
        found = sanity_check(
            trained_cnn.model, x, y, explainers=["gradient", "random_map"], seed=seed, draws=2, blocks=2
        )
        return [found[name].verdict for name in ("gradient", "random_map")]

    assert scores(3) == scores(3)
    assert scores(3) != scores(4)
    assert torch.equal(torch.cat([p.flatten() for p in trained_cnn.model.parameters()]), before)


def test_one_draw_says_that_it_is_one_and_progress_counts_to_the_end(trained_cnn: Trained) -> None:
    seen: list[Progress] = []
    found = sanity_check(
        trained_cnn.model,
        trained_cnn.x[:8],
        trained_cnn.y[:8],
        explainers={"mine": "gradient"},
        seed=0,
        draws=1,
        blocks=2,
        progress=seen.append,
    )
    assert [one.done for one in seen] == list(range(1, seen[-1].total + 1))
    assert "mine" in {one.description for one in seen}
    assert seen[0].seconds_left >= 0 == seen[-1].seconds_left
    assert any("One draw" in finding for finding in found["mine"].findings)


def test_tables_have_neither_edges_nor_patches() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 3))
    found = sanity_check(net, random_images(20, (12,)), explainers=["gradient"], seed=0)
    assert [one.name for one in found.explainers] == ["gradient", "random_map", "constant_map", "input_map"]
    assert found["gradient"].informative == "unknown"
    assert found["gradient"].faithfulness is None
    # Nor have sequences (n, channels, length).
    sequence = nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 3))
    found = sanity_check(sequence, random_images(8, (2, 6)), explainers=["gradient"], seed=0, draws=2)
    assert "ssim" not in found["gradient"].floors
    assert found["gradient"].informative == "unknown"
    single = sanity_check(nn.Linear(12, 1), random_images(20, (12,)), explainers=["gradient"], seed=0)
    assert single["gradient"].random_logit is None


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"explainers": []}, ArgumentError, "at least one explainer"),
        ({"explainers": "gradient"}, ArgumentError, r"Pass \['gradient'\]"),
        ({"explainers": ["gradient", "gradient"]}, ArgumentError, "names of their own"),
        ({"measures": "mse"}, ArgumentError, "larger scores mean less alike"),
        ({"measures": ("mse", "spearman")}, ArgumentError, "Put for example 'spearman' before it"),
        ({"draws": 0}, ArgumentError, "draws"),
        ({"blocks": 0}, ArgumentError, "blocks"),
        ({"margin": -0.1}, ArgumentError, "margin"),
        ({"inputs": random_images(3, (12,))}, InputError, "at least 4 samples.* received 3"),
        ({"targets": [0, 1, 2]}, InputError, "one target for each of the 8 inputs"),
        ({"targets": [3] * 8}, InputError, "labels from 0 to 2"),
    ],
)
def test_bad_input(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    given = {"inputs": random_images(8, (12,)), "explainers": ["gradient"], "seed": 0, **arguments}
    with pytest.raises(error, match=words):
        sanity_check(nn.Linear(12, 3), given.pop("inputs"), given.pop("targets", None), **given)
