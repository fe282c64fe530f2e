"""Whose weights change, and the proof that the caller's are as before."""

from __future__ import annotations

import pytest

from agnostic_rand.errors import ArgumentError, IsolationError
from agnostic_rand.weights import isolated, resolve_isolation

from .fakes import FakeAdapter, Net, weights_of


def test_a_copy_is_the_default_unless_the_explainer_holds_the_model() -> None:
    assert resolve_isolation(None, bound=False) == "clone"
    assert resolve_isolation(None, bound=True) == "in_place"
    assert resolve_isolation("in_place", bound=False) == "in_place"
    with pytest.raises(ArgumentError, match="bound to the model"):
        resolve_isolation("clone", bound=True)
    with pytest.raises(ArgumentError, match="'clone', 'in_place' or None, received 'copy'"):
        resolve_isolation("copy", bound=False)


def test_a_clone_may_change_and_the_model_stays(net: Net) -> None:
    adapter, before = FakeAdapter(net), weights_of(net)
    with isolated(adapter, "clone", None) as working:
        working.native.weights["head"]["bias"][:] = 7
    assert weights_of(net) == before


def test_in_place_works_on_the_model_itself(net: Net) -> None:
    adapter = FakeAdapter(net)
    with isolated(adapter, "in_place", None) as working:
        assert working is adapter


@pytest.mark.parametrize("isolation", ["clone", "in_place"])
@pytest.mark.parametrize("place", [("hidden2", "weight"), ("norm", "running_var")])
def test_a_changed_model_is_found_and_the_layer_named(net: Net, isolation: str, place: tuple[str, str]) -> None:
    with (
        pytest.raises(IsolationError, match=f"other values in {place[0]}\\."),
        isolated(FakeAdapter(net), resolve_isolation(isolation, bound=False), None),
    ):
        net.weights[place[0]][place[1]].flat[0] += 1e-12


@pytest.mark.parametrize("flight", [RuntimeError, KeyboardInterrupt])
def test_a_changed_model_is_found_when_an_exception_is_in_flight_and_that_one_is_kept(
    net: Net, flight: type[BaseException]
) -> None:
    def run() -> None:
        with isolated(FakeAdapter(net), "clone", None):
            net.weights["head"]["bias"][0] += 1
            raise flight("first")

    with pytest.raises(IsolationError) as caught:
        run()
    assert isinstance(caught.value.__context__, flight)


def test_an_exception_passes_where_the_model_is_unchanged(net: Net) -> None:
    with pytest.raises(RuntimeError, match="mine"), isolated(FakeAdapter(net), "clone", None):
        raise RuntimeError("mine")
