"""What a sanity check computes: nothing twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Any, ClassVar

import numpy as np
import pytest

import agnostic_rand as ar
from agnostic_rand.adapters import ReluRule, innermost
from agnostic_rand.passes import explained_batches, shard
from agnostic_rand.passes.needs import Needs, Walk
from agnostic_rand.passes.run import run
from agnostic_rand.similarity import resolve_measures

from .fakes import Array, FakeAdapter, Net, weights_of

pytestmark = pytest.mark.usefixtures("fake_backend")

INPUTS = np.random.default_rng(0).standard_normal((20, 3, 4, 4))
LABELS = np.arange(20) % 3
DRAWS = 2
# Four layers from both ends, of which the fully random state is one.
STATES = DRAWS * (4 + 4 - 1)


def state_of(net: Net) -> Hashable:
    return tuple(weights_of(net).values())


class Recording(FakeAdapter):
    """Records what it computes of which batch, with which weights."""

    predicted: ClassVar[Counter[Hashable]] = Counter()
    differentiated: ClassVar[Counter[Hashable]] = Counter()

    def predict(self, inputs: Array) -> Array:
        self.predicted[state_of(self.net), inputs.tobytes()] += 1
        return super().predict(inputs)

    def gradient(self, inputs: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
        self.differentiated[state_of(self.net), inputs.tobytes(), targets.tobytes()] += 1
        return super().gradient(inputs, targets, relu=relu)


@pytest.fixture
def explained(monkeypatch: pytest.MonkeyPatch) -> Counter[Any]:
    """How often each batch was explained: by whom, in which state, for which targets, with which noise."""
    found: Counter[Any] = Counter()
    explain = explained_batches.explain_batch

    def counted(view: Any, explainer: Any, targets: Any, context: Any, place: str) -> Any:
        result = explain(view, explainer, targets, context, place)
        noise = (context.draw, context.step) if context.drew else None
        state: Any = innermost(view)
        found[explainer.name, state_of(state.net), targets.tobytes(), noise, context.first_sample] += 1
        return result

    for module in (explained_batches, shard):
        monkeypatch.setattr(module, "explain_batch", counted)
    Recording.predicted.clear()
    Recording.differentiated.clear()
    return found


@pytest.mark.parametrize("batch_size", [64, 7])
def test_a_sanity_check_explains_once_for_each_state_target_and_noise(
    explained: Counter[Any], batch_size: int
) -> None:
    net = Net(features=48, adapter=Recording)
    methods = ["gradient", "integrated_gradients", "smoothgrad"]
    report = ar.sanity_check(net, INPUTS, LABELS, explainers=methods, draws=DRAWS, batch_size=batch_size, seed=0)
    starts = range(0, len(INPUTS), batch_size)
    assert set(explained.values()) == {1}
    # The trained model's maps, those of another class, and those of all states.
    due = dict.fromkeys((*methods, "constant_map", "input_map", "edge_detector"), (1 + 1 + STATES) * len(starts))
    # Noise of its own again, to know its ceiling, and three more beside which faithfulness is judged.
    due["random_map"] = (1 + 1 + STATES + 1 + 3) * len(starts)
    assert Counter(name for name, *_ in explained.elements()) == due
    assert set(due) == {one.name for one in report.explainers}


def test_a_sanity_check_calls_the_model_once_for_each_state_beside_its_gradients(explained: Counter[Any]) -> None:
    net = Net(features=48, adapter=Recording)
    ar.sanity_check(net, INPUTS, LABELS, explainers=["gradient", "smoothgrad"], draws=DRAWS, seed=0)
    assert set(Recording.differentiated.values()) == {1}
    whole = Counter(
        {state: count for (state, inputs), count in Recording.predicted.items() if inputs == INPUTS.tobytes()}
    )
    assert len(whole) == 1 + STATES
    assert set(whole.values()) == {1}
    # All else is of the trained model: what was looked at when it was opened, and patches taken away.
    others = {state for (state, inputs), _ in Recording.predicted.items() if inputs != INPUTS.tobytes()}
    assert others == {state_of(net)}


def test_a_state_of_two_steps_is_explained_once_but_for_noise_that_belongs_to_the_step(
    explained: Counter[Any],
) -> None:
    subject = ar.Subject(Net(features=48, adapter=Recording), INPUTS, LABELS, seed=0)
    explainers = tuple(map(subject.explainer, ("gradient", "smoothgrad", "random_map")))
    strategies = (ar.CascadingRandomization(), ar.FullRandomization())
    walks = tuple(Walk(one, DRAWS, explainers, resolve_measures("spearman")) for one in strategies)
    run(subject, Needs(walks))
    assert set(explained.values()) == {1}
    states = 1 + DRAWS * 4
    due = {"gradient": states, "smoothgrad": states, "random_map": states + DRAWS}
    assert Counter(name for name, *_ in explained.elements()) == due
