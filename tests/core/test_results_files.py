"""Results on disk: stored without loss, replaced as a whole, and refused where they are none."""

from __future__ import annotations

import gc
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import agnostic_rand as ar
from agnostic_rand.errors import ArgumentError
from agnostic_rand.results.scores import Scores

from .fakes import Array, Net
from .stored import RNG, assert_equal, result


@pytest.mark.usefixtures("fake_backend")
def test_real_results_survive_saving_and_loading(net: Net, inputs: Array, tmp_path: Path) -> None:
    metric = ar.ModelRandomizationMetric(
        net, inputs, randomization_strategy=ar.CascadingRandomization(), draws=2, seed=None
    )
    for explainer in ("gradient", "constant_map"):
        found = metric.run(explainer)
        found.save(tmp_path / explainer)
        assert_equal(found, Scores.load(tmp_path / explainer))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["constant_map", "gradient"]


@pytest.mark.usefixtures("fake_backend")
def test_results_can_be_saved_whatever_kind_of_whole_numbers_the_arguments_were(
    net: Net, inputs: Array, tmp_path: Path
) -> None:
    one: Any = np.int64(1)
    metric = ar.ModelRandomizationMetric(net, inputs, draws=one, batch_size=one, channel_axis=one, seed=one)
    metric.run("input_map").save(tmp_path / "saved.npz")


def test_loaded_results_cannot_be_changed_either(tmp_path: Path) -> None:
    result().save(tmp_path / "saved.npz")
    loaded = Scores.load(str(tmp_path / "saved.npz"))
    with pytest.raises(ValueError, match="read-only"):
        loaded.scores["spearman"][0, 0, 0] = 1


def test_a_failure_while_saving_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "saved.npz"
    old = result()
    old.save(path)
    for fault in (OSError("disk full"), KeyboardInterrupt()):

        def failing(file: Any, fault: BaseException = fault, **arrays: Any) -> None:
            file.write(b"half a file")
            raise fault

        with monkeypatch.context() as patch:
            patch.setattr(np, "savez_compressed", failing)
            with pytest.raises(ArgumentError if isinstance(fault, OSError) else type(fault)):
                result().save(path)
        assert [one.name for one in tmp_path.iterdir()] == ["saved.npz"]
        assert_equal(old, Scores.load(path))


def test_saving_replaces_an_older_result(tmp_path: Path) -> None:
    path = tmp_path / "saved.npz"
    result().save(path)
    newer = result(explained := RNG.random((1, 1, 2)))
    newer.save(path)
    np.testing.assert_array_equal(Scores.load(path).scores["spearman"], explained)


def test_a_saved_file_can_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    result().save(tmp_path / "saved.npz")
    assert (tmp_path / "saved.npz").stat().st_mode == (tmp_path / "other").stat().st_mode


def _garbage(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / "garbage.npz"
    if kind == "text":
        path.write_text("not a result")
    elif kind == "empty":
        path.touch()
    elif kind == "array":
        with path.open("wb") as file:
            np.save(file, np.ones(3))
    elif kind == "pickle":
        path.write_bytes(pickle.dumps({"scores": 1}))
    elif kind == "other arrays":
        np.savez(path, scores=np.ones(3))
    else:
        with zipfile.ZipFile(path, "w") as zipped:
            zipped.writestr("description.npy", b"no array")
    return path


@pytest.mark.parametrize("kind", ["text", "empty", "array", "pickle", "other arrays", "other members"])
def test_files_that_are_no_results_are_refused(tmp_path: Path, kind: str) -> None:
    path = _garbage(tmp_path, kind)
    with pytest.raises(ArgumentError, match=r"garbage\.npz.*a result saved by this library"):
        Scores.load(path)


def _cut_off(tmp_path: Path) -> Path:
    path = tmp_path / "cut_off.npz"
    result().save(path)
    path.write_bytes(path.read_bytes()[:-100])
    return path


def test_files_that_were_cut_off_are_refused(tmp_path: Path) -> None:
    path = _cut_off(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        with pytest.raises(ArgumentError, match="a result saved by this library"):
            Scores.load(path)


def test_a_refused_file_is_closed(tmp_path: Path) -> None:
    path = _cut_off(tmp_path)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(ArgumentError):
            Scores.load(path)
        gc.collect()
    assert [str(one.message) for one in told] == []


def test_a_missing_file_is_the_usual_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Scores.load(tmp_path / "absent.npz")
