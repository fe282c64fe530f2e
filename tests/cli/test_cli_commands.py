"""What the commands print, write and refuse."""

from __future__ import annotations

import json
import resource

import numpy as np
import pytest

import agnostic_rand as ar
from agnostic_rand.adapters import BackendInfo
from agnostic_rand.cli.loading import load_model

CASCADE = ("cascade", "usermodels:make", "--data", "data.npz")


def means_in(output: str, explainer: str, steps: int) -> list[str]:
    line = next(line for line in output.splitlines() if line.split()[:1] == [explainer])
    return line.split()[1 : 1 + steps]


def test_cascade_prints_the_scores_of_the_metric(run, folder):
    done = run(*CASCADE, "--explainers", "gradient,usermodels:my_gradient,input_map", "--draws", "2", "--seed", "5")
    assert done.exit_code == 0, done.output
    with np.load("data.npz") as data:
        metric = ar.ModelRandomizationMetric(
            load_model("usermodels:make"),
            data["x"],
            data["y"],
            randomization_strategy=ar.CascadingRandomization(),
            draws=2,
            seed=5,
        )
    expected = [f"{mean:.2f}" for mean in metric.run("gradient").mean()]
    assert means_in(done.output, "gradient", 2) == expected
    assert means_in(done.output, "my_gradient", 2) == expected
    assert means_in(done.output, "input_map", 2) == ["1.00", "1.00"]
    assert "data.npz: inputs 'x' (6, 1, 10, 10) float32, targets 'y'" in done.output
    assert "A low score is necessary, not sufficient: independent noise scores 0 too." in done.output
    # Nothing is drawn on what is no terminal.
    assert done.stderr == ""


def test_cascade_prints_one_explainer_in_full(run):
    done = run(*CASCADE, "--explainers", "gradient", "--seed", "5")
    assert "gradient · torch · seed 5 · 6 samples · 1 draw · isolation: clone" in done.output
    assert "spearman_abs" in done.output


def test_every_line_on_the_screen_has_at_most_80_columns(run):
    for explainers in ("gradient", "gradient,saliency,smoothgrad,random_map,constant_map,input_map"):
        done = run(*CASCADE, "--explainers", explainers)
        assert max(len(line) for line in done.output.splitlines()) <= 80


def test_options_reach_the_run(run):
    options = "--draws 2 --seed 9 --batch-size 4 --limit 5 --measures pearson,cosine --isolation in_place"
    done = run(*CASCADE, "--explainers", "gradient", *options.split(), "--backend", "torch", "--out", "r.json")
    assert done.exit_code == 0, done.output
    with open("r.json", encoding="utf-8") as file:
        result = json.load(file)["results"][0]
    settings = result["settings"]
    assert (settings["draws"], result["seed"], settings["batch_size"], settings["samples"]) == (2, 9, 4, 5)
    assert list(result["scores"]) == ["pearson", "cosine"]
    assert settings["isolation"] == "in_place"


@pytest.mark.parametrize(
    ("options", "strategy"),
    [
        ("", ar.CascadingRandomization()),
        ("--strategy cascading --order bottom_up", ar.CascadingRandomization(order="bottom_up")),
        ("--strategy cascading --groups 1", ar.CascadingRandomization(groups=1)),
        ("--strategy progressive", ar.ProgressiveLayerRandomization()),
        ("--strategy progressive --stop-layer 2", ar.ProgressiveLayerRandomization(stop_layer=2)),
        ("--strategy progressive --stop-layer 0.5", ar.ProgressiveLayerRandomization(stop_layer=0.5)),
        ("--strategy progressive --stop-layer name:0", ar.ProgressiveLayerRandomization(stop_layer="0")),
        ("--strategy independent", ar.IndependentRandomization()),
        ("--strategy full", ar.FullRandomization()),
    ],
)
def test_strategies_are_those_of_the_library(run, options, strategy):
    done = run(*CASCADE, "--explainers", "input_map", *options.split(), "--out", "r.json")
    assert done.exit_code == 0, done.output
    with open("r.json", encoding="utf-8") as file:
        assert json.load(file)["results"][0]["settings"]["strategy"] == repr(strategy)


def test_a_folder_is_written_and_named(run, folder):
    done = run(*CASCADE, "--out", "deep/report")
    assert done.exit_code == 0, done.output
    assert "Wrote deep/report/: curves.png, strip.png, scores.csv and 3 results (.npz)." in done.output
    assert len(list((folder / "deep/report").iterdir())) == 6


def test_inputs_that_are_no_images_get_no_strip_and_it_is_said(run, folder):
    np.savez("flat.npz", x=np.random.default_rng(0).normal(size=(5, 100)).astype(np.float32))
    done = run("cascade", "usermodels:Net", "--data", "flat.npz", "--out", "report")
    assert done.exit_code == 0, done.output
    assert "There is no strip of maps" in done.output
    assert not (folder / "report/strip.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--explainers gradeint", "Did you mean 'gradient'"),
        ("--measures spearmen", "Did you mean 'spearman'"),
        ("--data nowhere.npz", "No such file"),
        ("--inputs z", "array of data.npz 'z'"),
        ("--strategy full --order top_down", "--strategy cascading, to which it belongs"),
        ("--stop-layer 2", "--strategy progressive, to which it belongs"),
        ("--strategy progressive --stop-layer 1.5", "a float in [0, 1]"),
        ("--backend tensorflaw", "tensorflaw"),
        ("--out report.html", "HTML reports are yet to come"),
        ("--out r.npz", "3 explainers"),
        ("--out usermodels.py/report", "usermodels.py"),
    ],
)
def test_errors_of_the_library_are_messages_and_exit_code_2(run, options, message):
    words = [word for word in CASCADE if word not in options]
    if "--data" in options:
        words = list(CASCADE[:2])
    done = run(*words, *options.split())
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert "explainer  " not in done.stdout


def test_labels_out_of_range_are_refused(run):
    np.savez("data.npz", x=np.ones((2, 1, 10, 10), np.float32), y=np.array([0, 3]))
    done = run(*CASCADE)
    assert (done.exit_code, "labels from 0 to 2" in done.stderr) == (2, True)


def test_an_explainer_that_cannot_work_is_refused_before_the_others_run(run, folder):
    np.savez("flat.npz", x=np.random.default_rng(0).normal(size=(5, 100)).astype(np.float32))
    done = run("cascade", "usermodels:Net", "--data", "flat.npz", "--explainers", "gradient,guided_backprop")
    assert done.exit_code == 2
    assert "at least one ReLU" in done.stderr


def test_the_note_that_places_an_error_is_told(run, folder):
    (folder / "broken.py").write_text("def flat(model, inputs, targets):\n    return inputs.flatten(1)\n")
    done = run(*CASCADE, "--explainers", "broken:flat")
    assert done.exit_code == 2
    assert "'flat' on the trained model" in done.stderr


def test_a_fault_of_the_users_code_is_no_error_of_the_library(run):
    done = run("cascade", "usermodels:fails", "--data", "data.npz")
    assert isinstance(done.exception, RuntimeError)
    assert done.exit_code == 1


def test_ctrl_c_ends_with_130_and_writes_nothing(run, folder):
    (folder / "stopping.py").write_text("def stop(model, inputs, targets):\n    raise KeyboardInterrupt\n")
    done = run(*CASCADE, "--explainers", "stopping:stop", "--out", "report")
    assert done.exit_code == 130
    assert "Interrupted" in done.stderr
    assert list((folder / "report").iterdir()) == []


def test_a_full_disk_is_a_message_after_the_scores(run, folder):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    try:
        done = run(*CASCADE, "--out", "report")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert done.exit_code == 2
    assert "File too large" in done.stderr
    assert means_in(done.stdout, "input_map", 2) == ["1.00", "1.00"]


def test_backends_are_listed(run, monkeypatch):
    monkeypatch.setattr(
        ar, "backends", lambda: (BackendInfo("mine", "a-plugin", "3.1", "broken", "it [bold]fell"),)
    )
    done = run("backends")
    assert done.exit_code == 0
    assert done.output.splitlines()[-1].split() == ["mine", "a-plugin", "3.1", "broken", "it", "[bold]fell"]


def test_the_version_is_told(run):
    done = run("--version")
    assert (done.exit_code, done.output.strip()) == (0, f"agnostic-rand {ar.__version__}")


@pytest.mark.parametrize(
    "words", [("cascade",), ("cascade", "m:f"), ("cascade", "m:f", "--data", "d", "--draws", "0")]
)
def test_wrong_usage_is_exit_code_2(run, words):
    assert run(*words).exit_code == 2


def test_each_command_has_a_help_page(run):
    for words, expected in (
        (("--help",), "backends"),
        (("cascade", "--help"), "--stop-layer"),
        (("demo", "--help"), "--draws"),
    ):
        done = run(*words)
        assert done.exit_code == 0
        assert expected in done.output
