"""Which backend adapts a model, and what a broken plugin can and cannot do."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

import agnostic_rand as ar
from agnostic_rand.adapters import Claim, Registry, hookimpl
from agnostic_rand.errors import ArgumentError, BackendError, PluginError, UnknownNameError

from .fakes import FakeAdapter, Net
from .plugins_at_fault import claiming, forgotten, plugin

OPEN: Any = FakeAdapter
NO_TYPE: Any = "Net"


class SubNet(Net):
    """A model that a more special backend knows."""


@pytest.fixture(autouse=True)
def _clean_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("AGNOSTIC_RAND_STRICT", raising=False)
    with forgotten():
        yield


def opened(registry: Registry, model: Any, backend: str | None = None) -> Any:
    return registry.adapt(model, backend=backend, example_inputs=None, forward=None)


def states(registry: Registry) -> dict[str, tuple[str, str]]:
    return {info.name: (info.status, info.reason) for info in registry.infos()}


def raising(model: Any) -> None:
    raise RuntimeError("cannot look")


def misspelt(model: Any) -> None:
    return None


def without_model(other: Any) -> None:
    return None


def faulty(name: str) -> EntryPoint:
    """One of the plugins that fail while they are loaded."""
    return {
        "absent": lambda: EntryPoint("absent", "a_module_that_is_not_there", "agnostic_rand"),
        "misspelt": lambda: plugin("misspelt", misspelt, as_name="agnostic_rand_clam"),
        "unmarked": lambda: plugin("unmarked", agnostic_rand_claim=lambda model: None),
        "hookless": lambda: plugin("hookless"),
        "wrong_argument": lambda: plugin("wrong_argument", without_model),
    }[name]()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("absent", "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"),
        ("misspelt", "agnostic_rand_clam"),
        ("unmarked", "agnostic_rand_claim(model)"),
        ("hookless", "agnostic_rand_claim(model)"),
        ("wrong_argument", "other"),
    ],
)
@pytest.mark.parametrize("first", [True, False], ids=["broken first", "broken last"])
def test_a_plugin_that_cannot_be_loaded_is_reported_and_breaks_nothing(
    name: str, reason: str, first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = [faulty(name), plugin("good", claiming("good"))]
    registry = Registry(points if first else points[::-1])
    assert states(registry)["good"] == ("usable", "")
    status, told = states(registry)[name]
    assert status == "broken"
    assert reason in told
    assert isinstance(opened(registry, Net()), FakeAdapter)
    with pytest.raises(BackendError, match=rf"{name} .*broken"):
        opened(registry, object())

    monkeypatch.setenv("AGNOSTIC_RAND_STRICT", "1")
    with pytest.raises(PluginError, match=f"plugin '{name}'"):
        Registry(points)


@pytest.mark.parametrize(
    ("hook", "reason"),
    [
        (raising, "RuntimeError: cannot look"),
        (lambda model: "torch", "its hook returned str, not a Claim"),
        (lambda model: Claim("late", Net, OPEN, 99), "follows version 99 of the adapter contract"),
        (lambda model: Claim("late", dict, OPEN, 1), "of which the model is no instance"),
        (lambda model: Claim("late", NO_TYPE, OPEN, 1), "of which the model is no instance"),
    ],
    ids=["raises", "garbage", "wrong version", "wrong type", "no type"],
)
@pytest.mark.parametrize("first", [True, False], ids=["broken first", "broken last"])
def test_a_hook_that_fails_is_reported_and_breaks_nothing(
    hook: Any, reason: str, first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = [plugin("late", hook), plugin("good", claiming("good"))]
    registry = Registry(points if first else points[::-1])
    assert isinstance(opened(registry, Net()), FakeAdapter)
    status, told = states(registry)["late"]
    assert status == "broken"
    assert reason in told
    assert states(registry)["good"] == ("usable", "")

    monkeypatch.setenv("AGNOSTIC_RAND_STRICT", "1")
    with pytest.raises(PluginError, match="plugin 'late'"):
        opened(registry, Net())


@pytest.mark.parametrize(
    "requires", ["absent_parent.child", 3, ""], ids=["a module in an absent package", "a number", "nothing"]
)
def test_a_plugin_whose_requirements_cannot_be_looked_up_breaks_nothing(requires: Any) -> None:
    points = [plugin("odd", claiming("odd", dict), REQUIRES=(requires,)), plugin("good", claiming("good"))]
    assert isinstance(opened(Registry(points), Net()), FakeAdapter)


def test_a_plugin_that_exits_at_import_breaks_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "fake_plugin_exits.py").write_text("raise SystemExit(3)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    points = [EntryPoint("exits", "fake_plugin_exits", "agnostic_rand"), plugin("good", claiming("good"))]
    assert isinstance(opened(Registry(points), Net()), FakeAdapter)


def test_a_missing_framework_is_a_state_of_its_own() -> None:
    points = [plugin("distant", claiming("distant", dict), REQUIRES=("no_such_framework", "json"))]
    registry = Registry(points)
    assert states(registry)["distant"] == ("framework missing", "no_such_framework is not installed")
    with pytest.raises(BackendError, match=r"distant .*framework missing, no_such_framework is not installed"):
        opened(registry, Net())


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 0, 2]])
def test_the_most_derived_claim_wins_whatever_the_order(order: list[int]) -> None:
    def marked(name: str, model_type: type) -> EntryPoint:
        def open_marked(request: Any) -> FakeAdapter:
            adapter = FakeAdapter(Net())
            adapter.framework = name
            return adapter

        return plugin(name, claiming(name, model_type, opened=open_marked))

    points = [marked("any", object), marked("net", Net), marked("sub", SubNet)]
    registry = Registry([points[i] for i in order])
    assert opened(registry, SubNet()).framework == "sub"
    assert opened(registry, Net()).framework == "net"
    assert opened(registry, 3).framework == "any"
    assert opened(registry, SubNet(), backend="net").framework == "net"


def test_two_claims_of_one_type_are_an_error_that_names_both() -> None:
    registry = Registry([plugin("one", claiming("one")), plugin("two", claiming("two"))])
    with pytest.raises(BackendError, match=r"'one' \(for Net\) and 'two' \(for Net\).*backend='one'") as caught:
        opened(registry, Net())
    assert "Net" in caught.value.subject
    assert isinstance(opened(registry, Net(), backend="two"), FakeAdapter)


def test_a_backend_can_be_chosen_only_among_those_that_claim_the_model() -> None:
    registry = Registry([plugin("one", claiming("one")), plugin("other", claiming("other", dict))])
    with pytest.raises(BackendError, match=r"backend='other': expected one of those that claim .*Net: one,"):
        opened(registry, Net(), backend="other")
    with pytest.raises(UnknownNameError, match="Did you mean 'other'"):
        opened(registry, 3, backend="othr")
    with pytest.raises(BackendError, match=r"an object of type builtins\.int"):
        opened(registry, 3, backend="other")


def test_without_plugins_the_error_says_so() -> None:
    with pytest.raises(BackendError, match="no backend is installed"):
        opened(Registry([]), Net())


def test_the_error_for_a_model_that_nobody_claims_lists_every_plugin_with_its_state() -> None:
    points = [
        plugin("good", claiming("good")),
        faulty("absent"),
        plugin("distant", claiming("d"), REQUIRES=("nope",)),
    ]
    with pytest.raises(BackendError) as caught:
        opened(Registry(points), [1, 2])
    for told in (
        "good (unknown unknown): usable",
        "absent",
        "broken, ModuleNotFound",
        "distant",
        "framework missing",
    ):
        assert told in str(caught.value)
    assert "builtins.list" in caught.value.received
    assert "pip install" in caught.value.fix


class Estimator:
    def fit(self) -> None: ...
    def predict_proba(self) -> None: ...


class Session:
    def get_inputs(self) -> None: ...
    def get_outputs(self) -> None: ...
    def run(self) -> None: ...


class Exported:
    graph_signature = None

    def module(self) -> None: ...


class Unbound:
    def init(self) -> None: ...
    def apply(self) -> None: ...


@pytest.mark.parametrize(
    ("held", "received", "fix"),
    [
        (Net, "a class", r"model = Net\(...\)"),
        ("model.pt", "the path", "Load the model"),
        (Path("model.keras"), "the path", "Load the model"),
        ({"head.weight": [1.0]}, "weights by name", "load these weights into it"),
        (({"w": 1}, len), "a pair with the function second", r"\(apply, params\), the function first"),
        (Estimator(), "an estimator", "Pass the network"),
        (Session(), "an ONNX model", "exported from"),
        (Exported(), "an exported program", r"exported.module\(\)"),
        (Unbound(), "a module without its variables", r"\(module, variables\)"),
        (lambda x: x, "a function", "forward=lambda model, inputs"),
        (Net().__call__, "a function", "forward=lambda model, inputs"),
    ],
)
@pytest.mark.parametrize("backend", [None, "good"])
def test_what_people_hold_is_told_with_what_to_pass_instead(
    held: Any, received: str, fix: str, backend: str | None
) -> None:
    with pytest.raises(BackendError, match=f"received {received}.*{fix}") as caught:
        opened(Registry([plugin("good", claiming("good"))]), held, backend)
    assert "pip install" not in str(caught.value)


def test_two_plugins_of_one_name_are_both_reported() -> None:
    with_name = plugin("same", claiming("same"))
    other = plugin("same_name_elsewhere", claiming("elsewhere", dict))
    registry = Registry([with_name, EntryPoint("same", other.value, "agnostic_rand")])
    assert isinstance(opened(registry, Net()), FakeAdapter)
    assert sorted(info.status for info in registry.infos()) == ["broken", "usable"]


def test_an_adapter_that_lacks_members_is_refused_with_their_names() -> None:
    class Partial:
        framework, channel_axis, order_source, native, xp = "fake", 1, "declared", None, None
        layers = read = clone = asarray = to_numpy = to_native = predict = lambda self: None

    registry = Registry([plugin("partial", claiming("partial", opened=lambda request: Partial()))])
    with pytest.raises(BackendError, match="received Partial without write, gradient"):
        opened(registry, Net())


def test_a_hook_may_leave_out_its_argument() -> None:
    registry = Registry([plugin("silent", hookimpl(lambda: None)), plugin("good", claiming("good"))])
    assert isinstance(opened(registry, Net()), FakeAdapter)
    assert states(registry)["silent"] == ("usable", "")


@pytest.mark.usefixtures("fake_backend")
def test_adapting_hands_the_request_on_and_checks_forward() -> None:
    def twice(model: Any, inputs: Any) -> Any:
        return 2 * model(inputs)

    adapter: Any = ar.adapt(Net(), forward=twice)
    assert adapter.forward is twice
    with pytest.raises(ArgumentError, match="forward: expected a callable"):
        ar.adapt(Net(), forward="logits")  # type: ignore[arg-type]
    assert [info.name for info in ar.backends()] == ["fake"]
