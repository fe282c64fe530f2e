"""What is remembered of a batch is given back for the same question only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from agnostic_rand.adapters import ReluRule
from agnostic_rand.adapters.batch_view import BatchView

from .fakes import Array, FakeAdapter, Net, WatchingAdapter


class RuledAdapter(FakeAdapter):
    """By the guided rule, no gradient is negative."""

    def gradient(self, inputs: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
        gradient = super().gradient(inputs, targets)
        return gradient if relu == "standard" else np.maximum(gradient, 0)

    def layer_gradient(self, inputs: Array, targets: Array, layer: str) -> tuple[Array, Array]:
        self.calls.append((layer, len(inputs)))
        hidden = dict(zip(("hidden1", "hidden2"), self.net.run(inputs)[:2], strict=True))[layer]
        return hidden, hidden * targets[:, None]

    def layer_shapes(self, inputs: Array) -> dict[str, tuple[int, ...]]:
        self.calls.append(("shapes", len(inputs)))
        return {"hidden1": (len(inputs), 8), "hidden2": (len(inputs), 6)}

    @contextmanager
    def explaining(self, inputs: Array) -> Iterator[Callable[[], Array | None]]:
        yield lambda: self.net(inputs)


class JointAdapter(RuledAdapter):
    """Gives outputs and gradient from one pass."""

    def output_and_gradient(
        self, inputs: Array, targets: Array, *, relu: ReluRule = "standard"
    ) -> tuple[Array, Array]:
        self.calls.append(("joint", len(inputs)))
        return self.net(inputs), RuledAdapter(self.net).gradient(inputs, targets, relu=relu)


TARGETS = np.arange(20) % 3


@pytest.fixture(params=[RuledAdapter, JointAdapter])
def adapter(request: pytest.FixtureRequest, net: Net) -> Any:
    return request.param(net)


def test_gradients_by_two_rules_are_kept_apart(adapter: Any, inputs: Array) -> None:
    view = BatchView(adapter, inputs)
    for _ in range(2):
        for rule in ("guided", "standard"):
            due = RuledAdapter(adapter.net).gradient(inputs, TARGETS, relu=rule)
            np.testing.assert_array_equal(view.gradient(inputs, TARGETS, relu=rule), due)
    assert view.gradient(inputs, TARGETS).min() < 0


def test_gradients_by_a_rule_are_by_it_where_the_outputs_are_known(adapter: Any, inputs: Array) -> None:
    view = BatchView(adapter, inputs)
    view.predict(inputs)
    assert view.gradient(inputs, TARGETS, relu="guided").min() == 0


def test_a_gradient_of_other_targets_or_inputs_is_another(adapter: Any, inputs: Array) -> None:
    view = BatchView(adapter, inputs)
    view.gradient(inputs, TARGETS)
    for x, targets in ((inputs, TARGETS[::-1].copy()), (inputs + 1, TARGETS), (inputs[:3], TARGETS[:3])):
        np.testing.assert_array_equal(view.gradient(x, targets), RuledAdapter(adapter.net).gradient(x, targets))


def test_outputs_are_computed_once_for_the_batch_and_each_time_for_other_inputs(
    adapter: Any, inputs: Array
) -> None:
    view = BatchView(adapter, inputs)
    view.gradient(inputs, TARGETS)
    adapter.calls.clear()
    for _ in range(2):
        np.testing.assert_array_equal(view.predict(inputs), adapter.net(inputs))
    assert adapter.calls == ([] if isinstance(adapter, JointAdapter) else [("predict", 20)])
    np.testing.assert_array_equal(view.predict(inputs + 1), adapter.net(inputs + 1))


def test_one_pass_gives_both_while_the_outputs_are_unknown(net: Net, inputs: Array) -> None:
    view = BatchView(JointAdapter(net), inputs)
    for rule in ("standard", "guided"):
        view.gradient(inputs, TARGETS, relu=rule)
    assert [name for name, _ in JointAdapter.calls] == ["joint", "gradient", "gradient"]


def test_layers_are_kept_apart(adapter: Any, inputs: Array) -> None:
    view = BatchView(adapter, inputs)
    first, second, _ = adapter.net.run(inputs)
    for _ in range(2):
        for layer, hidden in (("hidden1", first), ("hidden2", second)):
            output, gradient = view.layer_gradient(inputs, TARGETS, layer)
            np.testing.assert_array_equal(output, hidden)
            np.testing.assert_array_equal(gradient, hidden * TARGETS[:, None])
    assert len(adapter.calls) == 2
    other = view.layer_gradient(inputs + 1, TARGETS, "hidden1")[0]
    np.testing.assert_array_equal(other, adapter.net.run(inputs + 1)[0])
    np.testing.assert_array_equal(view.layer_gradient(inputs, TARGETS, "hidden1")[0], first)


def test_shapes_are_found_once_for_a_number_of_samples(adapter: Any, inputs: Array) -> None:
    view = BatchView(adapter, inputs)
    for count in (20, 20, 3, 20):
        assert view.layer_shapes(inputs[:count])["hidden2"] == (count, 6)
    assert adapter.calls == [("shapes", 20), ("shapes", 3)]


def test_outputs_that_foreign_code_computed_are_those_of_the_batch_only(adapter: Any, inputs: Array) -> None:
    view = BatchView(adapter, inputs)
    with view.explaining(inputs + 1):
        pass
    np.testing.assert_array_equal(view.predict(inputs), adapter.net(inputs))
    seen = BatchView(adapter, inputs)
    with seen.explaining(inputs):
        pass
    adapter.calls.clear()
    np.testing.assert_array_equal(seen.predict(inputs), adapter.net(inputs))
    assert adapter.calls == []


def test_foreign_code_that_computed_no_outputs_does_not_make_known_ones_unknown(net: Net, inputs: Array) -> None:
    adapter = WatchingAdapter(net)
    view = BatchView(adapter, inputs)
    view.predict(inputs)
    with view.explaining(inputs):
        pass
    view.predict(inputs)
    assert adapter.calls == [("predict", 20)]


def test_a_clone_is_another_model_and_remembers_nothing(adapter: Any, inputs: Array) -> None:
    view = BatchView(adapter, inputs)
    before = view.predict(inputs)
    copy = view.clone()
    copy.write("head", {"bias": np.full(3, 9.0)})
    assert not np.array_equal(copy.predict(inputs), before)
    np.testing.assert_array_equal(adapter.net(inputs), before)
