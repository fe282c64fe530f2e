"""Loading of what words on a command line name: models, explainers and data."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand.errors import ArgumentError, InputError, unknown_name
from agnostic_rand.explainers import Explainer, resolve_explainer
from agnostic_rand.subject.targets import DYNAMIC

PREDICTED = "predicted"
"""What `--targets` takes for the trained model's own predictions."""

INPUT_KEYS = ("inputs", "x", "images", "data", "features", "x_test", "inputs_test", "images_test", "arr_0")
TARGET_KEYS = ("targets", "y", "labels", "label", "target", "y_test", "targets_test", "labels_test", "arr_1")
"""The names of arrays that are taken without being told, the first that is there; case does not matter."""


@dataclass(frozen=True)
class LoadedData:
    """The samples of one file.

    Args:
        inputs: `(n, ...)`.
        targets: Labels, `None` for the trained model's predictions, or `"dynamic"`.
        description: What was taken from where, in one line.
    """

    inputs: HostArray
    targets: HostArray | str | None
    description: str


def load_model(address: str) -> Any:
    """The model at `pkg.module:name`: what the factory of that name returns, or the object itself.

    Functions and classes are called without arguments; any other object is the model.

    Raises:
        ArgumentError: The address is none, or the factory needs arguments.
        UnknownNameError: The module has no such name.
    """
    found = load_object(address)
    if not (inspect.isroutine(found) or inspect.isclass(found) or isinstance(found, functools.partial)):
        return found
    try:
        inspect.signature(found).bind()
    except TypeError as error:
        raise ArgumentError(
            f"the factory {address!r}",
            expected="a function or class that is called without arguments and returns the model",
            received=f"one that needs them ({error})",
            fix="Wrap it: def make_model(): return …",
        ) from error
    except ValueError:
        # A callable of C has no signature that can be looked at.
        pass
    return found()


def load_object(address: str) -> Any:
    """The object at `pkg.module:name`; modules in the current directory are found.

    Raises:
        ArgumentError: The address is none, or there is no such module.
        UnknownNameError: The module has no such name.
    """
    module_name, colon, path = address.partition(":")
    if not (colon and path) or not all(part.isidentifier() for part in module_name.split(".")):
        guess = module_name.removesuffix(".py").replace("/", ".").strip(".")
        raise ArgumentError(
            f"the address {address!r}",
            expected="pkg.module:name",
            received="something else",
            fix=f"Write it as {guess}:{path or 'make_model'}.",
        )
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # A module that is there but lacks one of its own imports is a fault to be seen in full.
        if error.name is None or not (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise
        raise ArgumentError(
            f"the module {module_name!r}",
            expected="a module that can be imported",
            received=f"none of that name in {here} or among the installed packages",
            fix="Check the name, or change to the directory that holds it.",
        ) from error
    for name in path.split("."):
        if not hasattr(found, name):
            public = (
                [known for known in vars(found) if not known.startswith("_")] if hasattr(found, "__dict__") else []
            )
            raise unknown_name(f"attribute of {module_name!r}", name, public)
        found = getattr(found, name)
    return found


def load_explainers(words: str) -> list[Explainer]:
    """The explainers of a comma-separated list: names, and addresses `pkg.module:function`.

    Raises:
        UnknownNameError: A name stands for none.
        ArgumentError: There is none, or one twice.
    """
    names = [word.strip() for word in words.split(",") if word.strip()]
    if not names or len(set(names)) < len(names):
        raise ArgumentError(
            "--explainers",
            expected="different names, separated by commas",
            received=repr(words),
            fix="Pass for example --explainers gradient,smoothgrad.",
        )
    return [resolve_explainer(load_object(name) if ":" in name else name) for name in names]


def load_data(
    path: Path, *, inputs: str | None = None, targets: str | None = None, limit: int | None = None
) -> LoadedData:
    """Samples from an `.npz` file, or inputs alone from an `.npy` file.

    Args:
        path: The file.
        inputs: The name of the array of inputs, or `None` to find it by its name.
        targets: The name of the array of labels, `"predicted"`, `"dynamic"`, or `None` to find it.
        limit: How many samples to take from the start.

    Raises:
        InputError: The file cannot be read, or what to take is not clear.
        UnknownNameError: The file has no such array.
    """
    with _opened(path) as arrays:
        key = _input_key(path, arrays, inputs)
        x = _array(path, arrays, key)[:limit]
        chosen: HostArray | str | None
        if targets in (PREDICTED, DYNAMIC) and targets not in arrays:
            chosen, said = (None if targets == PREDICTED else DYNAMIC), targets
        else:
            label_key = _target_key(arrays, targets, key)
            chosen = None if label_key is None else _array(path, arrays, label_key)[:limit]
            said = PREDICTED if label_key is None else repr(label_key)
    return LoadedData(x, chosen, f"{path.name}: inputs {key!r} {x.shape} {x.dtype}, targets {said}")


@contextmanager
def _opened(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        loaded = np.load(path, allow_pickle=False)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise _unreadable(path, str(error)) from error
    if isinstance(loaded, np.ndarray):
        yield {"inputs": loaded}
        return
    with loaded:
        yield loaded


def _array(path: Path, arrays: Mapping[str, Any], key: str) -> HostArray:
    try:
        array: HostArray = arrays[key]
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise _unreadable(path, f"{key!r}: {error}") from error
    return array


def _unreadable(path: Path, reason: str) -> InputError:
    return InputError(
        f"--data {str(path)!r}",
        expected="an .npz or .npy file of plain arrays",
        received=reason,
        fix="Write it with numpy.savez(path, inputs=..., targets=...).",
    )


def _input_key(path: Path, arrays: Mapping[str, Any], given: str | None) -> str:
    if given is not None:
        if given not in arrays:
            raise unknown_name(f"array of {path.name}", given, list(arrays))
        return given
    names = list(arrays)
    found = names[0] if len(names) == 1 else _first(names, INPUT_KEYS)
    if found is None:
        raise InputError(
            f"--data {str(path)!r}",
            expected=f"an array of inputs with one of the names {', '.join(INPUT_KEYS[:5])}",
            received=f"arrays named {', '.join(names)}" if names else "a file without arrays",
            fix="Say which it is with --inputs NAME.",
        )
    return found


def _target_key(arrays: Mapping[str, Any], given: str | None, inputs_key: str) -> str | None:
    if given is not None:
        if given not in arrays:
            raise unknown_name("array of targets", given, [*arrays, PREDICTED, DYNAMIC])
        return given
    # What belongs to the inputs is preferred: y_test to x_test.
    suffix = "_test" if inputs_key.lower().endswith("_test") else ""
    preferred = sorted(TARGET_KEYS, key=lambda name: name.endswith("_test") != bool(suffix))
    return _first([name for name in arrays if name != inputs_key], preferred)


def _first(names: Sequence[str], known: Sequence[str]) -> str | None:
    lowered = {name.lower(): name for name in reversed(names)}
    return next((lowered[name] for name in known if name in lowered), None)
