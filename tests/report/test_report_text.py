"""The summary says what was measured, and fits a terminal."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agnostic_rand.results.text import CAUTION, WIDTH, number, percent, shortened, summary_text


def row_of(text: str, step: str) -> str:
    """The one row of a step, without its spaces."""
    rows = [line for line in text.splitlines() if line.split(" ")[0] == step]
    assert len(rows) == 1, text
    return rows[0].replace(" ", "")


def test_each_step_of_a_real_run_has_one_row_with_its_numbers(real_run):
    result = real_run[0][0]
    text = summary_text(result)
    assert [step.name for step in result.steps] == ["5", "3", "0"]
    for k, step in enumerate(result.steps):
        expected = step.name + percent(step.coverage) + f"{result.outputs.correlation[:, k].mean():.2f}"
        expected += percent(float(result.outputs.agreement[:, k].mean()))
        for measure in ("spearman", "spearman_abs"):
            low, high = result.interval(measure)[k]
            expected += f"{number(result.mean(measure)[k])}[{number(low)},{number(high)}]"
        assert row_of(text, step.name) == expected


def test_the_head_says_what_was_run(real_run):
    head = summary_text(real_run[0][0]).splitlines()
    assert head[0] == "gradient · torch · seed 3 · 5 samples · 2 draws · isolation: clone"
    assert head[1] == "CascadingRandomization(order='top_down'), layers in traced order"


def test_the_end_says_what_was_random_and_what_a_low_score_means(real_run):
    lines = summary_text(real_run[0][0]).splitlines()
    assert "3,347 of 3,347 parameters were random (100%) in the last step." in lines
    assert "Axis 1 of the maps (channels) was averaged." in lines
    assert lines[-1] == CAUTION
    assert "necessary, not sufficient" in CAUTION


def test_coverage_of_steps_that_are_not_nested_is_the_largest(make):
    text = summary_text(make({"spearman": np.zeros((1, 4, 3))}, nested=False))
    assert "10 of 40 parameters were random (25.0%)." in text


def test_undefined_scores_are_counted_and_never_shown_as_numbers(real_run):
    text = summary_text(real_run[0][2])
    for step in ("5", "3", "0"):
        # Two draws of five samples.
        assert row_of(text, step).endswith("undefined10undefined10")


def test_there_is_no_column_of_undefined_scores_where_there_are_none(real_run):
    assert "unde-" not in summary_text(real_run[0][0])


def test_a_partly_undefined_step_shows_the_mean_of_the_rest_and_the_count(make):
    scores = np.full((1, 2, 4), 0.5)
    scores[0, 1, :3] = np.nan
    text = summary_text(make({"spearman": scores}))
    assert row_of(text, "layer0").endswith("0.50[0.50,0.50]0")
    # One sample with a score in every draw: how the mean varies is not known.
    assert row_of(text, "layer1").endswith("0.503")


def test_special_layers_are_listed(make):
    settings = {
        "excluded": ["head"],
        "unchanged_layers": ["bn1", "bn2"],
        "tied": {"embed": ["decoder.weight"]},
    }
    text = summary_text(make({"spearman": np.zeros((1, 1, 2))}, settings=settings))
    assert "Excluded, always trained: head" in text
    assert "Unchanged by their draw: bn1, bn2" in text
    assert "Tied: embed = decoder.weight" in text


def test_findings_are_told(make):
    text = summary_text(make({"spearman": np.zeros((1, 1, 2))}, findings=("It is not deterministic.",)))
    assert "It is not deterministic." in text.splitlines()


@pytest.mark.parametrize("measures", [("spearman",), ("spearman", "spearman_abs"), ("a", "b", "c", "d", "e", "f")])
@pytest.mark.parametrize("undefined", [False, True])
def test_sixty_long_names_fit_and_stay_apart(make, measures, undefined):
    names = [f"transformer.encoder.layers.{60 - i}.self_attention.out_proj" for i in range(60)]
    rng = np.random.default_rng(0)
    scores = {measure: rng.normal(0, 0.5, (2, 60, 5)) for measure in measures}
    if undefined:
        for array in scores.values():
            array[:, 30:] = np.nan
    settings = {"unchanged_layers": names, "tied": {"embed": names[:9]}}
    text = summary_text(make(scores, names=names, settings=settings))
    assert max(map(len, text.splitlines())) <= WIDTH
    rule = next(i for i, line in enumerate(text.splitlines()) if set(line) == {"-"})
    rows = [line for line in text.splitlines()[rule + 1 : rule + 66] if line]
    assert len({row.split()[0] for row in rows[:60]}) == 60
    for measure in measures:
        assert sum(measure in line.split() for line in text.splitlines()) == 1


def test_the_scores_of_several_explainers_are_told_place_by_place_and_fit(make):
    names = [f"transformer.encoder.layers.{i}.self_attention.out_proj" for i in range(12)]
    scores = np.full((2, 12, 3), 0.25)
    one, other = (make({"spearman": scores * k}, explainer=f"a_method_{k}", names=names) for k in (1, np.nan))
    lines = summary_text(type(one).of_explainers([one, other])).splitlines()
    assert max(map(len, lines)) <= WIDTH
    rows = [line.split() for line in lines if line.split()[0] == "spearman"]
    assert len({tuple(row) for row in rows}) == 24
    assert [row[-1] for row in rows] == ["0.250"] * 12 + ["undefined"] * 12
    assert "  spearman: 72 undefined" in lines


def test_a_mean_that_rounds_to_zero_has_no_sign(make):
    text = summary_text(make({"spearman": np.full((1, 1, 3), -0.001)}))
    assert "-0.00" not in text


@given(st.lists(st.text("abc.0123", min_size=1, max_size=60), min_size=1, max_size=20), st.integers(3, 40))
def test_shortened_names_fit_and_keep_their_order(names, width):
    short = shortened(names, width)
    assert len(short) == len(names)
    assert all(len(name) <= width for name in short)
    assert all(one == other for one, other in zip(short, names, strict=True) if max(map(len, names)) <= width)


def test_names_that_differ_in_one_place_stay_apart():
    names = [f"model.encoder.block.{i}.attention.self.query" for i in range(100)]
    for width in (12, 16, 24, 40):
        assert len(set(shortened(names, width))) == 100


def test_a_summary_needs_no_optional_package():
    code = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("matplotlib", "pandas", "rich", "typer", "torch", "sklearn"):
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Absent())
import numpy as np
from agnostic_rand.results.output_change import OutputChange
from agnostic_rand.results.scores import Notes, Scores
from agnostic_rand.weights import Step
change = OutputChange(*np.ones((4, 1, 1)))
scores = Scores(
    check="model_randomization",
    dimensions={"draw": (0,), "step": ("fc",), "sample": (0, 1)},
    scores={"spearman": np.ones((1, 1, 2))},
    notes={"gradient": Notes()},
    meaning="it stays",
    seed=0,
    steps=(Step("fc", ("fc",), 5, 5),),
    outputs=change,
)
print(scores.summary())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "1.00 [1.00, 1.00]" in done.stdout
