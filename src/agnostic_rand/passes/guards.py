"""Guards of an explainer: is it fit to be checked? Looked at before and after a run, and said in words.

Methods that ask the adapter only are fit by the contract, and cost no second explanation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agnostic_rand.adapters import Array, HostArray, ModelAdapter, SupportsModelState, innermost
from agnostic_rand.adapters.batch_view import BatchView
from agnostic_rand.errors import AgnosticRandError
from agnostic_rand.explainers import Explainer, ExplanationContext, is_own
from agnostic_rand.explainers.maps import scoring_maps
from agnostic_rand.results.output_change import OutputChange
from agnostic_rand.similarity import MapForm, Measure
from agnostic_rand.statistics import defined_mean
from agnostic_rand.subject.samples import Samples

GUARD_SAMPLES = 4
"""How many samples are explained for the guards."""

EQUAL_SHARE = 1e-4
"""Two maps are called equal where they differ by less than this share of their scale."""

_MODIFIED_BACKWARD = ("guided", "deconv", "gbp")


@dataclass(frozen=True)
class GuardReport:
    """What was found before the run.

    Args:
        self_similarity: By measure, the mean score of two explanations of the same trained model.
        findings: What is wrong, in words.
    """

    self_similarity: Mapping[str, float]
    findings: tuple[str, ...]


def self_similarity(
    forms: Mapping[MapForm, Array], measures: Sequence[Measure], adapter: ModelAdapter
) -> dict[str, float]:
    """By measure, the mean score of the first maps with themselves: of a method that gives them again."""
    first = {form: maps[:GUARD_SAMPLES, ...] for form, maps in forms.items()}
    scores = {m.name: m.compare(m.prepare(first[m.form]), first[m.form]) for m in measures}
    return {name: float(defined_mean(np.asarray(adapter.to_numpy(score)))) for name, score in scores.items()}


def guard(
    adapter: ModelAdapter,
    explainer: Explainer,
    samples: Samples,
    targets: HostArray,
    context: ExplanationContext,
    measures: tuple[Measure, ...],
) -> GuardReport:
    """Explain a few samples twice with the trained model, and look at what it leaves behind.

    Args:
        adapter: The trained model.
        explainer: What is checked.
        samples: A few.
        targets: The classes to explain `(n,)`.
        context: Where explainers get their randomness.
        measures: The run's measures.
    """
    placed, classes = samples.placed(adapter), adapter.asarray(targets)
    adapter, native = placed.seen_by(adapter), placed.explained
    before = _state(adapter)
    first, axis = _maps(adapter, explainer, native, classes, context)
    findings = [
        f"It changed the model's {name} and left them so: restore what it sets up."
        for name, value in _state(adapter).items()
        if value != before[name]
    ]
    second, _ = _maps(adapter, explainer, native, classes, context)
    similarity = {}
    for measure in measures:
        base, again = (measure.form.apply(maps, axis) for maps in (first, second))
        scores = measure.compare(measure.prepare(base), again)
        similarity[measure.name] = float(defined_mean(np.asarray(adapter.to_numpy(scores))))
    if not np.array_equal(adapter.to_numpy(first), adapter.to_numpy(second)):
        shown = ", ".join(f"{name} {value:.3f}" for name, value in similarity.items())
        findings.append(
            f"It is not deterministic: the same model explained twice scores {shown}. No score can be "
            "expected above that."
        )
    if any(word in explainer.name for word in _MODIFIED_BACKWARD):
        findings += _plain_gradient(adapter, explainer, native, classes, first)
    return GuardReport(similarity, tuple(findings))


def survived_exactly(scores: Mapping[str, HostArray], outputs: OutputChange, coverage: float) -> bool:
    """Whether every map was the same after full randomization, though the outputs moved."""
    if coverage < 1 or not scores:
        return False
    last = np.concatenate([array[:, -1].ravel() for array in scores.values()])
    defined = last[np.isfinite(last)]
    moved = np.nanmax(np.append(1 - outputs.correlation[:, -1], -np.inf)) > EQUAL_SHARE
    return bool(defined.size and moved and (defined >= 1 - 1e-9).all())


def told_unbound(explainer: Explainer) -> str:
    """The finding that the maps of all random models are the trained model's."""
    if is_own(explainer):
        return "It does not use the model: with all weights random its maps are the same."
    return (
        "It is not bound to the model under test, or does not use it: with all weights random its maps are the "
        "same. Likely cause: a function that refers to another model than the one it is given, or an object "
        "built with another model."
    )


def left_trained(unused: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """Findings about what no step randomizes.

    Args:
        unused: Parameters on which the outputs do not depend.
        others: Arrays that the model reads and that are no parameters.
    """
    found = []
    if unused:
        found.append(
            f"The outputs do not depend on {_listed(unused)}: no step randomizes it, no coverage counts it."
        )
    if others:
        found.append(
            f"The model also computes with {_listed(others)}, which no step randomizes: no parameters. If they "
            "were trained, make parameters of them."
        )
    return tuple(found)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _plain_gradient(
    adapter: ModelAdapter, explainer: Explainer, inputs: Array, targets: Array, maps: Array
) -> list[str]:
    try:
        gradient = adapter.to_numpy(adapter.gradient(inputs, targets))
    except AgnosticRandError:
        # Inputs without a gradient: then the maps are not the gradient either.
        return []
    shown = adapter.to_numpy(maps)
    if shown.shape != gradient.shape:
        return []
    scale = float(np.sqrt(np.mean(np.square(gradient, dtype=np.float64))))
    for reference in (gradient, np.abs(gradient), gradient * adapter.to_numpy(inputs)):
        if float(np.abs(shown - reference).max()) <= EQUAL_SHARE * scale:
            return [
                f"It is not bound: {explainer.name!r} equals the plain gradient. Likely cause: ReLU is called as "
                "a function, where the method's hooks see modules only. Use 'guided_backprop' of this library."
            ]
    return []


def _maps(
    adapter: ModelAdapter, explainer: Explainer, inputs: Array, targets: Array, context: ExplanationContext
) -> tuple[Array, int | None]:
    view = BatchView(adapter, inputs)
    maps = explainer.explain(view, inputs, targets, context)
    subject = f"{explainer.name!r} on the trained model"
    return scoring_maps(maps, tuple(inputs.shape), context.channel_axis, adapter, subject)


def _state(adapter: ModelAdapter) -> dict[str, object]:
    inner = innermost(adapter)
    return inner.model_state() if isinstance(inner, SupportsModelState) else {}
