"""What lands on the disk is complete, or the file that was there before."""

from __future__ import annotations

import errno
import json
import os
from typing import BinaryIO

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from agnostic_rand.errors import ArgumentError, MissingExtraError
from agnostic_rand.report.folder import prepare_folder, prepare_output, write_output
from agnostic_rand.results.scores import Scores


def test_a_folder_gets_figures_scores_and_each_result(real_run, tmp_path):
    results, strip = real_run
    folder = tmp_path / "a" / "report"
    prepare_output(folder, len(results))
    written = write_output(folder, results, "spearman", strip)
    names = {"gradient.npz", "random_map.npz", "constant_map.npz", "scores.csv", "curves.png", "strip.png"}
    assert {path.name for path in written} == names == set(os.listdir(folder))
    for result in results:
        loaded = Scores.load(folder / f"{result.explainer}.npz")
        np.testing.assert_array_equal(loaded.scores["spearman"], result.scores["spearman"])
    for figure in ("curves.png", "strip.png"):
        assert (folder / figure).read_bytes().startswith(b"\x89PNG")


def test_scores_csv_holds_every_score_and_leaves_undefined_ones_empty(real_run, tmp_path):
    results, _ = real_run
    write_output(tmp_path, results, "spearman")
    read = pd.read_csv(tmp_path / "scores.csv")
    assert len(read) == sum(array.size for result in results for array in result.scores.values())
    for result in results:
        rows = read[(read.explainer == result.explainer) & (read.measure == "spearman_abs")]
        np.testing.assert_allclose(rows.score.to_numpy(), result.scores["spearman_abs"].ravel())


def test_without_images_there_is_no_strip(real_run, tmp_path):
    write_output(tmp_path, real_run[0], "spearman", None)
    assert not (tmp_path / "strip.png").exists()


@pytest.mark.parametrize("name", ["r.npz", "r.json", "r.csv"])
def test_a_file_holds_the_results_in_the_form_of_its_ending(real_run, tmp_path, name):
    results = real_run[0][:1]
    path = tmp_path / "new" / name
    prepare_output(path, 1)
    assert write_output(path, results, "spearman") == [path]
    assert os.listdir(path.parent) == [name]
    expected = results[0].scores["spearman"]
    if name == "r.npz":
        found = Scores.load(path).scores["spearman"]
    elif name == "r.json":
        found = np.array(json.loads(path.read_text())["results"][0]["scores"]["spearman"])
    else:
        table = pd.read_csv(path)
        found = table[table.measure == "spearman"].score.to_numpy().reshape(expected.shape)
    np.testing.assert_allclose(found, expected)


def test_json_has_null_where_a_score_is_undefined(real_run, tmp_path):
    write_output(tmp_path / "r.json", real_run[0][2:], "spearman")
    text = (tmp_path / "r.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["results"][0]["scores"]["spearman"][0][0][0] is None


def test_html_is_refused_with_the_folder_to_pass_instead(tmp_path):
    with pytest.raises(ArgumentError, match=r"HTML reports are yet to come.*--out .*report: it gets figures"):
        prepare_output(tmp_path / "report.html", 1)


def test_an_npz_file_of_several_results_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="2 explainers"):
        prepare_output(tmp_path / "r.npz", 2)


@pytest.mark.parametrize("name", ["r.json", "report"])
def test_a_place_below_a_file_cannot_be_written(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(ArgumentError, match=r"file.*(Not a directory|File exists)"):
        prepare_output(tmp_path / "file" / name, 1)


def test_a_file_where_the_folder_should_be_is_refused(tmp_path):
    (tmp_path / "report").touch()
    with pytest.raises(ArgumentError, match=r"report.*File exists"):
        prepare_folder(tmp_path / "report")


def test_a_folder_where_the_file_should_be_is_refused(tmp_path):
    (tmp_path / "r.json").mkdir()
    with pytest.raises(ArgumentError, match="is a folder"):
        prepare_output(tmp_path / "r.json", 1)


def test_missing_packages_are_told_before_the_run(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'agnostic-rand\[report\]'"):
        prepare_output(tmp_path / "report", 1)


def test_a_full_disk_is_told_and_leaves_the_old_file_whole(real_run, tmp_path, monkeypatch):
    (tmp_path / "curves.png").write_bytes(b"old")

    def fill(self: Figure, file: BinaryIO, **_: object) -> None:
        file.write(b"half of a fig")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Figure, "savefig", fill)
    with pytest.raises(ArgumentError, match=r"curves\.png.*No space left on device.*Free some space"):
        write_output(tmp_path, real_run[0], "spearman")
    assert (tmp_path / "curves.png").read_bytes() == b"old"
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def test_an_explainer_may_have_any_name(make, tmp_path):
    result = make({"spearman": np.zeros((1, 2, 2))}, explainer="../my explainer (v2)")
    write_output(tmp_path, [result], "spearman")
    assert (tmp_path / ".._my_explainer__v2_.npz").exists()
    write_output(tmp_path, [make({"spearman": np.zeros((1, 2, 2))}, explainer="long" * 100)], "spearman")


def test_names_that_map_to_one_file_do_not_overwrite_each_other(make, tmp_path):
    names = ["a b", "a_b", "A_B", "a/b", "a_b-2", "other"]
    results = [make({"spearman": np.full((1, 2, 2), k / 10)}, explainer=name) for k, name in enumerate(names)]
    written = [path for path in write_output(tmp_path, results, "spearman") if path.suffix == ".npz"]
    assert len({path.name.lower() for path in written}) == len(names)
    for path, result in zip(written, results, strict=True):
        assert Scores.load(path).to_dict() == result.to_dict()


def test_no_word_of_a_table_is_a_formula_and_numbers_stay_numbers(make, tmp_path):
    names = ["=1+1", "@SUM(A1)", "-minus", "+plus", "\ttab", "plain"]
    results = [make({"spearman": np.full((1, 2, 2), -0.5)}, explainer=n, names=["=fc", "conv"]) for n in names]
    write_output(tmp_path / "scores.csv", results, "spearman")
    read = pd.read_csv(tmp_path / "scores.csv")
    assert sorted(set(read.explainer)) == sorted([*(f"'{name}" for name in names[:5]), "plain"])
    assert set(read.step_name) == {"'=fc", "conv"}
    assert (read.score == -0.5).all()
    assert set(read.step) == {0, 1}
