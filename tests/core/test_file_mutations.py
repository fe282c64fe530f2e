"""Files that say what no result says: each is refused by its name, or sound in everything that it can do."""

from __future__ import annotations

import copy
import importlib.util
import io
import json
import math
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import agnostic_rand as ar
from agnostic_rand.errors import ArgumentError
from agnostic_rand.results.archive import FILE_FORMAT
from agnostic_rand.results.scores import Notes, Scores
from agnostic_rand.sanity.report import SanityReport

from .fakes import Array, Net
from .stored import RNG, result

Described = dict[str, Any]
Arrays = dict[str, Array]
Mutation = Callable[[Described, Arrays], None]

# The core is tested without them too.
HAS_TABLES = all(map(importlib.util.find_spec, ("pandas", "xarray")))


def parts(path: Path) -> tuple[Described, Arrays]:
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    return json.loads(str(arrays.pop("description"))), arrays


def written(path: Path, described: Any, arrays: Arrays) -> Path:
    np.savez_compressed(path, description=np.array(json.dumps(described)), **arrays)  # type: ignore[arg-type]
    return path


def use(found: Scores | SanityReport, folder: Path) -> None:
    """Everything that a result can do with what it holds."""
    assert repr(found)
    assert found.summary()
    json.dumps(found.to_dict(), allow_nan=False)
    found.save(folder / "again.npz")
    assert ar.load(folder / "again.npz").to_dict() == found.to_dict()
    if HAS_TABLES:
        found.to_dataframe()
    if isinstance(found, SanityReport):
        return
    if HAS_TABLES:
        found.to_xarray()
    assert found.findings is not None
    assert found.self_similarity is not None
    assert math.isnan(found.coverage) or 0 <= found.coverage <= 1
    for measure in found.scores:
        assert found.interval(measure).shape == (*found.mean(measure).shape, 2)
        assert found.undefined[measure].sum() <= found.of(measure).size
        found.estimate(measure)
    for name in found.explainers:
        assert found[name].explainers == (name,)


def refused_or_sound(path: Path) -> bool:
    told = ""
    try:
        found = ar.load(path)
    except ArgumentError as error:
        told = str(error)
    if not told:
        use(found, path.parent)
    assert not told or str(path) in told
    return bool(told)


def field(name: str, value: Any) -> Mutation:
    """The field, named by its path with dots, becomes a value."""

    def mutated(described: Described, arrays: Arrays) -> None:
        *way, last = (int(part) if part.isdecimal() else part for part in name.split("."))
        place: Any = described
        for part in way:
            place = place[part]
        place[last] = value

    return mutated


def without(name: str) -> Mutation:
    return lambda described, _: described.pop(name)


def array(name: str, value: Any) -> Mutation:
    return lambda _, arrays: arrays.update({name: np.asarray(value)})


def no_array(name: str) -> Mutation:
    def mutated(_: Described, arrays: Arrays) -> None:
        del arrays[name]

    return mutated


FIELDS = (
    "check",
    "explainer",
    "dimensions",
    "notes",
    "meaning",
    "seed",
    "settings",
    "versions",
    "steps",
    "averaged",
    "scores",
    "outputs",
)
SCORES, OUTPUT = "scores.spearman", "outputs.correlation"

REFUSED: dict[str, Mutation] = {
    **{f"no {name}": without(name) for name in (*FIELDS, "kind", "format")},
    **{f"{name} is a number": field(name, 3.5) for name in FIELDS},
    **{f"{name} is a list of lists": field(name, [[1, 2]]) for name in FIELDS},
    **{f"{name} is null": field(name, None) for name in FIELDS if name not in ("outputs",)},
    "a newer format": field("format", FILE_FORMAT + 1),
    "an older format": field("format", FILE_FORMAT - 1),
    "a format in words": field("format", str(FILE_FORMAT)),
    "a kind that is not known": field("kind", "model"),
    "a kind that is a list": field("kind", ["scores"]),
    "another field": field("more", 1),
    "no steps": field("steps", []),
    "one step less": lambda d, _: d["steps"].pop(),
    "steps in another order": lambda d, _: d["steps"].reverse(),
    "a step without a total": field("steps.0.total", 0),
    "a step that covers more than all": field("steps.0.covered", 99),
    "a step's share is negative": field("steps.0.covered", -1),
    "a step's layers are one word": field("steps.0.layers", "fc"),
    "a step with a field more": field("steps.0.more", 1),
    "no scores": field("scores", []),
    "one measure twice": field("scores", ["spearman", "spearman"]),
    "a measure without an array": field("scores", ["spearman", "cosine", "ssim"]),
    "an array that is not described": array("scores.ssim", np.zeros((2, 3, 4))),
    "an array of another name": array("more", np.zeros(3)),
    "no array of scores": no_array(SCORES),
    "no array of outputs": no_array(OUTPUT),
    "seven steps of scores": array(SCORES, np.zeros((2, 7, 4))),
    "three draws of scores": array(SCORES, np.zeros((3, 3, 4))),
    "one axis": array(SCORES, np.zeros(3)),
    "no axis": array(SCORES, 0.0),
    "an axis more": array(SCORES, np.zeros((2, 3, 4, 1))),
    "axes in another order": array(SCORES, np.zeros((4, 3, 2))),
    "words as scores": array(SCORES, ["a", "b"]),
    "complex scores": array(SCORES, np.zeros((2, 3, 4), complex)),
    "single precision": array(SCORES, np.zeros((2, 3, 4), np.float32)),
    "whole numbers as scores": array(SCORES, np.zeros((2, 3, 4), int)),
    "true and false as scores": array(SCORES, np.zeros((2, 3, 4), bool)),
    "dates as scores": array(SCORES, np.zeros((2, 3, 4), "M8[s]")),
    "records as scores": array(SCORES, np.zeros((2, 3, 4), [("a", "f8")])),
    "words as outputs": array(OUTPUT, ["x"]),
    "outputs of fewer steps": array(OUTPUT, np.zeros((2, 2))),
    "outputs of more draws": array(OUTPUT, np.zeros((3, 3))),
    "outputs without accuracy": lambda d, _: d["outputs"].remove("accuracy"),
    "outputs that are not known": field("outputs", ["odds"]),
    "another explainer than the notes": field("explainer", "other"),
    "notes on two": field("notes.more", {"findings": [], "self_similarity": {}, "settings": {}}),
    "notes on nobody": field("notes", {}),
    "findings in one word": field("notes.mine.findings", "odd"),
    "a ceiling in words": field("notes.mine.self_similarity", {"spearman": "high"}),
    "a seed in words": field("seed", "0"),
    "a negative seed": field("seed", -1),
    "a seed that is true": field("seed", True),
    "settings that are a list": field("settings", []),
    "ranges in words": field("settings.ranges", {"spearman": "wide"}),
    "ranges of three ends": field("settings.ranges", {"spearman": [0, 1, 2]}),
    "tied layers as numbers": field("settings.tied", {"a": [1]}),
    "excluded layers in one word": field("settings.excluded", "fc"),
    "versions as numbers": field("versions", {"python": 3}),
    "no dimensions": field("dimensions", {}),
    "a dimension without values": field("dimensions.sample", []),
    "a sample twice": field("dimensions.sample", [0, 1, 2, 2]),
    "samples in words": field("dimensions.sample", ["a", "b", "c", "d"]),
    "a value that is a mapping": field("dimensions.sample", [{}, 1, 2, 3]),
    "a step more than described": field("dimensions.step", ["step0", "step1", "step2", "step3"]),
    "other steps than described": field("dimensions.step", ["a", "b", "c"]),
    "an explainer among the axes": field("dimensions.explainer", ["mine"]),
    "means over nothing": field("averaged", []),
    "means over samples alone": field("averaged", ["sample"]),
    "means over steps": field("averaged", ["draw", "step", "sample"]),
    "means over what is not there": field("averaged", ["draw", "sample", "pixel"]),
    "means over samples twice": field("averaged", ["draw", "sample", "sample"]),
}


@pytest.fixture
def good(tmp_path: Path) -> tuple[Described, Arrays]:
    result().save(tmp_path / "good.npz")
    return parts(tmp_path / "good.npz")


def test_what_is_not_mutated_is_read(good: tuple[Described, Arrays], tmp_path: Path) -> None:
    assert not refused_or_sound(written(tmp_path / "same.npz", *good))


@pytest.mark.parametrize("name", REFUSED)
def test_mutated_scores_are_refused(good: tuple[Described, Arrays], tmp_path: Path, name: str) -> None:
    REFUSED[name](*good)
    path = written(tmp_path / "bad.npz", *good)
    with pytest.raises(ArgumentError, match=r"the file '.*bad\.npz': expected"):
        ar.load(path)
    with pytest.raises(ArgumentError, match=r"bad\.npz"):
        Scores.load(path)


@pytest.mark.parametrize(
    "mutation",
    [
        field("settings", {}),
        field("settings.more", {"deep": [None, 1e300]}),
        field("meaning", ""),
        field("check", "\x1b[31m"),
        array(SCORES, np.full((2, 3, 4), np.inf)),
        array(SCORES, np.full((2, 3, 4), np.nan)),
        array(SCORES, np.zeros((2, 3, 4), ">f8")),
        array(SCORES, np.asfortranarray(np.arange(24.0).reshape(2, 3, 4))),
    ],
)
def test_odd_scores_are_sound(good: tuple[Described, Arrays], tmp_path: Path, mutation: Mutation) -> None:
    mutation(*good)
    assert not refused_or_sound(written(tmp_path / "odd.npz", *good))


def test_a_field_that_stands_twice_is_refused(good: tuple[Described, Arrays], tmp_path: Path) -> None:
    described, arrays = good
    text = json.dumps(described).replace('"seed":', '"seed": 1, "seed":')
    np.savez(tmp_path / "twice.npz", description=np.array(text), **arrays)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"twice\.npz.*twice"):
        ar.load(tmp_path / "twice.npz")


def test_pickled_objects_are_refused(good: tuple[Described, Arrays], tmp_path: Path) -> None:
    described, arrays = good
    objects = np.empty((2, 3, 4), object)
    with pytest.raises(ArgumentError, match=r"objects\.npz"):
        ar.load(written(tmp_path / "objects.npz", described, {**arrays, SCORES: objects}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 9) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to all values within."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, one in below for found in [(*way, key), *places(one, (*way, key))]]


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Described, Arrays]:
    folder = tmp_path_factory.mktemp("several")
    notes = Notes(("odd",), {"spearman": 1.0}, {"samples": 3})
    both = Scores.of_explainers([result(name=name, notes=notes) for name in ("mine", "other")])
    both.save(folder / "several.npz")
    return folder, *parts(folder / "several.npz")


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_whatever_stands_in_the_description_is_refused_or_sound(
    several: tuple[Path, Described, Arrays], data: st.DataObject
) -> None:
    folder, described, arrays = several
    described = copy.deepcopy(described)
    way = data.draw(st.sampled_from(places(described)))
    place = described
    for key in way[:-1]:
        place = place[key]
    place[way[-1]] = data.draw(JSON)
    refused_or_sound(written(folder / "mutated.npz", described, arrays))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(place=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_a_damaged_byte_is_refused_or_harmless(
    several: tuple[Path, Described, Arrays], place: int, byte: int
) -> None:
    folder, _, _ = several
    data = bytearray((folder / "several.npz").read_bytes())
    data[place % len(data)] = byte
    (folder / "damaged.npz").write_bytes(data)
    refused_or_sound(folder / "damaged.npz")


@pytest.mark.parametrize("text", ['{"format": 3, "format": 3}', '{"format": NaN}', "[]", "[" * 100_000, "3", "{"])
def test_descriptions_that_are_no_mapping_of_values_are_refused(tmp_path: Path, text: str) -> None:
    np.savez(tmp_path / "bad.npz", description=np.array(text))
    with pytest.raises(ArgumentError, match=r"bad\.npz"):
        ar.load(tmp_path / "bad.npz")


def _header(shape: str) -> bytes:
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize("shape", ["(2, 3, 1000000000000)", "(-2, -3, 4)", "(2, 3)", "(2, 3, 'a')", "(1 << 62,)"])
def test_a_header_that_lies_about_its_size_is_refused_before_anything_is_made(
    tmp_path: Path, good: tuple[Described, Arrays], shape: str
) -> None:
    described, arrays = good
    path = written(tmp_path / "lies.npz", described, {n: a for n, a in arrays.items() if n != SCORES})
    with zipfile.ZipFile(path, "a") as zipped:
        zipped.writestr(f"{SCORES}.npy", _header(shape) + bytes(2 * 3 * 4 * 8))
    with pytest.raises(ArgumentError, match=r"lies\.npz"):
        ar.load(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_array_that_stands_twice_is_refused(tmp_path: Path, good: tuple[Described, Arrays]) -> None:
    path = written(tmp_path / "twice.npz", *good)
    with zipfile.ZipFile(path, "a") as zipped:
        zipped.writestr(f"{SCORES}.npy", _header("(2, 3, 4)") + bytes(192))
    with pytest.raises(ArgumentError, match=r"twice\.npz.*twice"):
        ar.load(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_is_packed_so_that_it_cannot_be_bounded_is_refused(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "other.npz", "w", method) as zipped:
        zipped.writestr("description.npy", bytes(1000))
    with pytest.raises(ArgumentError, match=r"other\.npz.*packed"):
        ar.load(tmp_path / "other.npz")


def test_a_small_file_that_unpacks_to_much_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped, zipped.open("x.npy", "w") as member:
        for _ in range(300):
            member.write(bytes(10**6))
    assert path.stat().st_size < 400_000
    tracemalloc.start()
    try:
        with pytest.raises(ArgumentError, match=r"bomb\.npz.*at most 268,435,456 bytes.*300,000,000.*most_bytes="):
            ar.load(path)
        assert tracemalloc.get_traced_memory()[1] < 10**7
    finally:
        tracemalloc.stop()


def test_the_bound_can_be_set(tmp_path: Path) -> None:
    found = result(RNG.random((2, 3, 400)))
    found.save(tmp_path / "scores.npz")
    with pytest.raises(ArgumentError, match="at most 1,000 bytes"):
        ar.load(tmp_path / "scores.npz", most_bytes=1000)
    assert ar.load(tmp_path / "scores.npz", most_bytes=10**6).to_dict() == found.to_dict()
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ArgumentError, match="most_bytes"):
            ar.load(tmp_path / "scores.npz", most_bytes=wrong)  # type: ignore[arg-type]


def test_a_directory_that_says_less_than_is_there_does_not_pass_the_bound(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("description.npy", bytes(10**7))
    data = stream.getvalue().replace((10**7).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    (tmp_path / "lies.npz").write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(ArgumentError, match=r"lies\.npz"):
            ar.load(tmp_path / "lies.npz", most_bytes=1000)
        assert tracemalloc.get_traced_memory()[1] < 10**6
    finally:
        tracemalloc.stop()


def test_a_folder_and_a_file_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"the file '.*': .*[Dd]irectory"):
        ar.load(tmp_path)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SanityReport]:
    from importlib.metadata import EntryPoint

    from agnostic_rand.adapters import Registry

    from . import fakes

    with pytest.MonkeyPatch.context() as patch:
        registry = Registry([EntryPoint("fake", fakes.__name__, "agnostic_rand")])
        patch.setattr("agnostic_rand.adapters.registry._installed", lambda: registry)
        x = np.random.default_rng(5).standard_normal((8, 12))
        found = ar.sanity_check(Net(), x, explainers=["gradient"], seed=0, draws=2, blocks=2)
    path = tmp_path_factory.mktemp("report") / "report.npz"
    found.save(path)
    return path, found


def test_a_report_survives_saving_and_loading(report: tuple[Path, SanityReport], tmp_path: Path) -> None:
    path, found = report
    for loaded in (ar.load(path), SanityReport.load(path)):
        assert isinstance(loaded, SanityReport)
        assert loaded.to_dict() == found.to_dict()
        assert loaded.summary() == found.summary()
        scores = loaded["gradient"].cascades["top_down"].scores["spearman"]
        np.testing.assert_array_equal(scores, found["gradient"].cascades["top_down"].scores["spearman"])
        use(loaded, tmp_path)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict()


def test_each_class_reads_its_own_kind(report: tuple[Path, SanityReport], tmp_path: Path) -> None:
    result().save(tmp_path / "scores.npz")
    with pytest.raises(ArgumentError, match=r"the kind sanity_report.*agnostic_rand\.load"):
        SanityReport.load(tmp_path / "scores.npz")
    with pytest.raises(ArgumentError, match=r"the kind scores.*agnostic_rand\.load"):
        Scores.load(report[0])


_FIRST = "report.explainers.0"

REPORTS: dict[str, Mutation] = {
    "no report": without("report"),
    "no explainers": field("report.explainers", []),
    "one explainer twice": lambda d, _: d["report"]["explainers"].append(d["report"]["explainers"][0]),
    "an explainer renamed": field(f"{_FIRST}.name", "other"),
    "no cascade from the top": lambda d, _: d["report"]["explainers"][0]["cascades"].pop("top_down"),
    "no floors": field(f"{_FIRST}.floors", {}),
    "floors of another measure": lambda d, _: d["report"]["explainers"][0]["floors"].update(
        other=d["report"]["explainers"][0]["floors"]["spearman"]
    ),
    "a floor in words": field(f"{_FIRST}.floors.spearman.shuffled", "low"),
    "a verdict that is not known": field(f"{_FIRST}.verdict.outcome", "good"),
    "a verdict without a reason": lambda d, _: d["report"]["explainers"][0]["verdict"].pop("reason"),
    "an interval of three ends": field(f"{_FIRST}.verdict.interval", [0, 1, 2]),
    "a verdict less": lambda d, _: d["report"]["explainers"][0]["by_step"].pop(),
    "information that is not known": field(f"{_FIRST}.informative", "maybe"),
    "a control in words": field(f"{_FIRST}.control", "no"),
    "another measure of verdicts": field("report.settings.verdict_measure", "other"),
    "no settings": field("report.settings", {}),
    "no seconds": lambda d, _: d["report"].pop("seconds"),
    "endless seconds": field("report.seconds", "inf"),
    "an array less": lambda _, a: a.pop(f"{_FIRST}.cascades.top_down/scores.spearman"),
    "an array more": array(f"{_FIRST}.cascades.other/scores.spearman", np.zeros((2, 3, 4))),
    "a decay of another shape": array("report.decay.top_down/scores.accuracy", np.zeros(3)),
}


@pytest.mark.parametrize("name", REPORTS)
def test_mutated_reports_are_refused(report: tuple[Path, SanityReport], tmp_path: Path, name: str) -> None:
    described, arrays = parts(report[0])
    REPORTS[name](described, arrays)
    path = written(tmp_path / "bad.npz", described, arrays)
    with pytest.raises(ArgumentError, match=r"the file '.*bad\.npz': expected"):
        ar.load(path)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_whatever_stands_in_a_report_is_refused_or_sound(
    report: tuple[Path, SanityReport], data: st.DataObject
) -> None:
    described, arrays = parts(report[0])
    way = data.draw(st.sampled_from(places(described)))
    place = described
    for key in way[:-1]:
        place = place[key]
    place[way[-1]] = data.draw(JSON)
    refused_or_sound(written(report[0].with_name("mutated.npz"), described, arrays))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"scores": {"spearman": np.zeros((2, 3))}}, r"float64 of the dimensions \(draw: 2, step: 3, sample: 4\)"),
        ({"scores": {"spearman": np.zeros((2, 3, 4), np.float32)}}, "received float32"),
        ({"steps": ()}, r"draws, steps"),
        ({"notes": {}}, "an explainer"),
        ({"averaged": ("draw",)}, "a mean over draw, sample"),
    ],
)
def test_contradictory_scores_cannot_be_made(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ArgumentError, match=f"the scores of 'model_randomization': .*{told}"):
        replace(result(), **wrong)


def test_every_name_that_a_measure_may_have_survives(tmp_path: Path) -> None:
    names = ("a/b", "x.npy", "é", "a\0b", "\ud800", "100%", "back\\slash", "description", " ", "$x$")
    found = replace(result(), scores={name: RNG.random((2, 3, 4)) for name in names})
    found.save(tmp_path / "named.npz")
    assert ar.load(tmp_path / "named.npz").to_dict() == found.to_dict()
