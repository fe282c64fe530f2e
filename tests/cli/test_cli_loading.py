"""From words to models, explainers and data, with errors that say what to write instead."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agnostic_rand.cli.loading import load_data, load_explainers, load_model, load_object
from agnostic_rand.errors import ArgumentError, InputError, UnknownNameError


def test_a_factory_is_called_and_a_ready_object_is_taken(folder):
    made = load_model("usermodels:make")
    assert [type(part).__name__ for part in made] == ["Conv2d", "ReLU", "Flatten", "Linear"]
    assert load_model("usermodels:ready") is load_object("usermodels:ready")
    assert load_model("usermodels:Net").in_features == 100


def test_names_inside_objects_are_found(folder):
    assert load_object("usermodels:ready.forward").__self__ is load_object("usermodels:ready")


def test_a_factory_that_needs_arguments_is_refused(folder):
    with pytest.raises(ArgumentError, match=r"usermodels:needs.*without arguments.*'width'"):
        load_model("usermodels:needs")


def test_a_fault_inside_the_factory_is_seen_as_it_is(folder):
    with pytest.raises(RuntimeError, match="a fault of the user's own"):
        load_model("usermodels:fails")


@pytest.mark.parametrize(
    ("address", "fix"),
    [
        ("usermodels", "usermodels:make_model"),
        ("pkg/usermodels.py:make", "pkg.usermodels:make"),
        ("usermodels:", "usermodels:make_model"),
        (":make", "Write it as"),
    ],
)
def test_an_address_that_is_none_is_refused_with_the_right_form(folder, address, fix):
    with pytest.raises(ArgumentError, match=fix):
        load_object(address)


def test_a_module_that_is_not_there_is_named_with_the_folder_that_was_searched(folder):
    with pytest.raises(ArgumentError, match=f"no_such_module.*{folder.name}"):
        load_object("no_such_module:make")
    with pytest.raises(ArgumentError, match="none of that name"):
        load_object("usermodels.deeper:make")


def test_a_module_that_lacks_an_import_of_its_own_keeps_its_error(folder):
    (folder / "lacking.py").write_text("import a_package_that_is_not_installed")
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_installed"):
        load_object("lacking:make")


def test_a_misspelt_name_gets_the_nearest(folder):
    with pytest.raises(UnknownNameError, match="Did you mean 'make'"):
        load_object("usermodels:mkae")


def test_explainers_are_names_and_functions(folder):
    loaded = load_explainers("gradient, usermodels:my_gradient,random_map")
    assert [explainer.name for explainer in loaded] == ["gradient", "my_gradient", "random_map"]


def test_misspelt_missing_and_repeated_explainers_are_refused(folder):
    with pytest.raises(UnknownNameError, match="Did you mean 'gradient'"):
        load_explainers("gradeint")
    with pytest.raises(ArgumentError, match="--explainers"):
        load_explainers(" , ")
    with pytest.raises(ArgumentError, match="different names"):
        load_explainers("gradient,gradient")


def saved(folder: Path, **arrays: np.ndarray) -> Path:
    path = folder / "other.npz"
    np.savez(path, **arrays)
    return path


X, Y = np.ones((4, 3), np.float32), np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    "names", [("x", "y"), ("inputs", "targets"), ("Images", "Labels"), ("x_test", "y_test"), ("arr_0", "arr_1")]
)
def test_arrays_are_found_by_the_usual_names(folder, names):
    data = load_data(saved(folder, **dict(zip(names, (X, Y), strict=True))))
    np.testing.assert_array_equal(data.inputs, X)
    np.testing.assert_array_equal(data.targets, Y)
    assert repr(names[0]) in data.description
    assert repr(names[1]) in data.description


def test_test_labels_go_with_test_inputs(folder):
    path = saved(folder, x_test=X, y_test=Y, y=1 - Y)
    np.testing.assert_array_equal(load_data(path).targets, Y)


def test_a_single_array_is_the_inputs_whatever_its_name(folder):
    data = load_data(saved(folder, anything=X))
    np.testing.assert_array_equal(data.inputs, X)
    assert data.targets is None
    assert "targets predicted" in data.description


def test_arrays_can_be_named(folder):
    data = load_data(saved(folder, x=Y, a=X, b=Y), inputs="a", targets="b")
    np.testing.assert_array_equal(data.inputs, X)
    np.testing.assert_array_equal(data.targets, Y)


def test_predictions_can_be_asked_for(folder):
    path = saved(folder, x=X, y=Y)
    assert load_data(path, targets="predicted").targets is None
    assert load_data(path, targets="dynamic").targets == "dynamic"


def test_only_the_first_samples_are_taken(folder):
    data = load_data(saved(folder, x=X, y=Y), limit=3)
    assert (len(data.inputs), len(data.targets)) == (3, 3)


def test_an_npy_file_holds_inputs(folder):
    np.save(folder / "x.npy", X)
    np.testing.assert_array_equal(load_data(folder / "x.npy").inputs, X)


def test_unclear_names_are_listed(folder):
    with pytest.raises(InputError, match=r"arrays named first, second.*--inputs NAME"):
        load_data(saved(folder, first=X, second=Y))


@pytest.mark.parametrize("option", ["inputs", "targets"])
def test_unknown_names_get_the_nearest(folder, option):
    with pytest.raises(UnknownNameError, match="Did you mean 'labels_here'"):
        load_data(saved(folder, x=X, labels_here=Y), **{option: "labels_hre"})


def test_files_that_cannot_be_read_are_refused(folder):
    with pytest.raises(InputError, match=r"nowhere\.npz.*No such file"):
        load_data(folder / "nowhere.npz")
    (folder / "text.npz").write_text("no archive")
    with pytest.raises(InputError, match=r"text\.npz.*plain arrays"):
        load_data(folder / "text.npz")
    with pytest.raises(InputError, match="plain arrays"):
        load_data(saved(folder, x=np.array([{}, {}], dtype=object)))
