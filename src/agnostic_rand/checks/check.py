"""Check of explanations: settings, what they need of a run, and how its scores are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from inspect import signature
from typing import Any, ClassVar, Self, TypeAlias

from agnostic_rand.errors import ArgumentError, unknown_name
from agnostic_rand.explainers import Explainer, ExplainerLike
from agnostic_rand.explainers.named import NamedExplainer
from agnostic_rand.passes.needs import Found, Needs
from agnostic_rand.passes.run import run
from agnostic_rand.results.scores import Scores
from agnostic_rand.subject.subject import Subject

CHECKS: dict[str, type[Check]] = {}
"""All checks by name, as their modules are imported."""

_OF_THE_SUBJECT = tuple(signature(Subject).parameters)

ITSELF = "(the model itself)"
"""What stands for the explainer in checks that have none."""

Explainers: TypeAlias = ExplainerLike | Sequence[ExplainerLike] | Mapping[str, ExplainerLike]
"""One explainer, a list of them, or a dictionary of them by the names that they shall have."""


@dataclass(frozen=True)
class Check(ABC):
    """Settings of a check, the same for every model and explainer; subclasses say what they are.

    Raises:
        UnknownNameError: There is no such setting.
        ArgumentError: A setting has a value that cannot be used.
    """

    name: ClassVar[str]
    """The snake_case name in results."""
    question: ClassVar[str]
    """What the check asks, in one sentence."""
    meaning: ClassVar[str]
    """What a high score says."""
    cannot_say: ClassVar[str]
    """What no score of it says."""
    of_the_model: ClassVar[bool] = False
    """Whether it asks about the model itself, and takes no explainers."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if "name" in vars(cls):
            CHECKS[cls.name] = cls

    def __new__(cls, *_settings: Any, **named: Any) -> Self:
        """Name the setting that is meant where another is passed."""
        known = [one.name for one in fields(cls)]
        for name in named:
            if name in _OF_THE_SUBJECT:
                raise ArgumentError(
                    f"the setting {name!r} of {cls.__name__}",
                    expected=f"one of: {', '.join(known)}",
                    received=f"{name!r}, which belongs to the subject",
                    fix=f"Pass ar.Subject(model, inputs, targets, {name}=...), and the subject to run().",
                )
            if name not in known:
                raise unknown_name(f"setting of {cls.__name__}", name, known)
        return super().__new__(cls)

    def run(self, subject: Subject, explainers: Explainers = ()) -> Scores:
        """The scores of one explainer, or of several over the dimension `"explainer"`.

        Args:
            subject: The model and the data.
            explainers: A name, an explainer, a function `f(model, inputs, targets) -> maps`, or an
                object with `.explain(inputs, targets)` and `.model`; or a list or dictionary of them.
                None for a check of the model itself.

        Raises:
            ArgumentError: The subject is none, such as the model itself, or a check of the model got explainers.
            AgnosticRandError: An explainer, its maps or a random model cannot be used.
        """
        if not isinstance(subject, Subject):
            raise ArgumentError(
                "subject",
                expected="a Subject: the model and the data, opened once",
                received=f"a {type(subject).__name__}",
                fix="Pass ar.Subject(model, inputs, targets).",
            )
        if self.of_the_model:
            if not isinstance(explainers, Sequence | Mapping) or explainers:
                raise ArgumentError(
                    "explainers",
                    expected=f"none: {type(self).__name__} asks about the model itself",
                    received=repr(explainers),
                    fix="Call run(subject) alone.",
                )
            return self.results(subject, ())[0]
        resolved, single = resolve_explainers(subject, explainers)
        results = self.results(subject, resolved)
        return results[0] if single else Scores.of_explainers(results)

    @abstractmethod
    def results(self, subject: Subject, explainers: Sequence[Explainer]) -> tuple[Scores, ...]:
        """The scores of each explainer, in their order; see `run`."""


@dataclass(frozen=True)
class PassCheck(Check):
    """A check whose scores are read from a pass over the data, which it may share with others."""

    def results(self, subject: Subject, explainers: Sequence[Explainer]) -> tuple[Scores, ...]:
        """The scores of each explainer, in their order; see `run`."""
        needs = self.needs(subject, explainers)
        return self.read(subject, explainers, run(subject, needs))

    @abstractmethod
    def needs(self, subject: Subject, explainers: Sequence[Explainer]) -> Needs:
        """The states of the model and the maps that the scores are made of."""

    @abstractmethod
    def read(self, subject: Subject, explainers: Sequence[Explainer], found: Found) -> tuple[Scores, ...]:
        """The scores of each explainer, from what was found for `needs`."""


def resolve_explainers(subject: Subject, explainers: Explainers) -> tuple[tuple[Explainer, ...], bool]:
    """The explainers with names of their own, and whether a single one was passed.

    Raises:
        ArgumentError: There is none, or two have one name.
        AgnosticRandError: One stands for no explainer.
    """
    if isinstance(explainers, Mapping):
        found: list[Explainer] = [
            NamedExplainer(subject.explainer(one), str(name)) for name, one in explainers.items()
        ]
    elif isinstance(explainers, Sequence) and not isinstance(explainers, str):
        found = [subject.explainer(one) for one in explainers]
    else:
        return (subject.explainer(explainers),), True
    refuse_same_names([one.name for one in found])
    return tuple(found), False


def refuse_same_names(names: Sequence[str]) -> None:
    """Refuse explainers without names of their own.

    Raises:
        ArgumentError: There is none, or two have one name.
    """
    if not names:
        raise ArgumentError(
            "explainers", expected="at least one explainer", received="none", fix="Pass for example ['gradient']."
        )
    if len(set(names)) < len(names):
        raise ArgumentError(
            "explainers",
            expected="explainers with names of their own",
            received=repr(names),
            fix="Pass a dictionary {name: explainer}, or give functions different names.",
        )
