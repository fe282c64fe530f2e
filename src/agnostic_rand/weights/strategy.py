"""Strategy: which layers are random in which step, and how their weights are drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from agnostic_rand.adapters import AllInputs, Forward, HostArray, Layer, PlacedInputs, adapt
from agnostic_rand.errors import ArgumentError, ModelError, unknown_name
from agnostic_rand.weights.grouping import Grouping, excluded_layers, group_layers
from agnostic_rand.weights.isolation import independent_copy
from agnostic_rand.weights.perturbations import (
    Perturbation,
    Reinitialize,
    StatisticsPolicy,
    default_statistics,
    resolve_perturbation,
)
from agnostic_rand.weights.plan import Group, Plan, Step, step_of, unused_parameters
from agnostic_rand.weights.randomizer import Randomizer
from agnostic_rand.weights.streams import Streams

Steps: TypeAlias = Sequence[Sequence[Group | str]]
"""For each step the groups that are random in it, or their names."""


@dataclass(frozen=True, kw_only=True)
class ModelRandomizationStrategy(ABC):
    """Which layers are random in which step; subclass it with `steps`, or pass a function of the same form.

    Args:
        perturbation: What happens to a weight: an object such as `Permute()`, its snake_case
            name, or any function `(value, parameter, rng) -> value`.
        groups: Which layers are randomized together: a function from a layer to a group name, a
            list of globs over layer names, a number of blocks of equal length, or `None` for each
            layer on its own.
        fresh: Whether each step draws all its layers anew (as the code of Adebayo et al. 2018
            does); by default a layer keeps its draw from step to step.
        statistics: What happens to running means and variances of randomized layers: `"reset"`
            (mean 0, variance 1), `"keep"`, `"recalibrate"` (estimated anew on the evaluated
            inputs), or `None` for the perturbation's default.
        exclude: Globs over the names of layers that stay as they are.

    Raises:
        ArgumentError: An argument is none of these.

    Example:
        >>> class LastTwo(ModelRandomizationStrategy):
        ...     def steps(self, groups):
        ...         return [groups[-1:], groups[-2:]]
        >>> import torch
        >>> net = torch.nn.Sequential(*(torch.nn.Linear(3, 3) for _ in range(4)))
        >>> from agnostic_rand import adapt
        >>> [step.layers for step in LastTwo().plan(adapt(net).layers()).steps]
        [('3',), ('2', '3')]
    """

    perturbation: str | Perturbation = Reinitialize()
    groups: Grouping = None
    fresh: bool = False
    statistics: StatisticsPolicy | None = None
    exclude: Sequence[str] = ()

    def __post_init__(self) -> None:
        resolve_perturbation(self.perturbation)
        if self.statistics not in (None, "reset", "keep", "recalibrate"):
            raise ArgumentError(
                "statistics",
                expected="'reset', 'keep', 'recalibrate' or None",
                received=repr(self.statistics),
                fix="Leave it out for the perturbation's default.",
            )

    @abstractmethod
    def steps(self, groups: Sequence[Group]) -> Steps:
        """The groups that are random in each step, in the order in which the steps are taken.

        Args:
            groups: From input to output; where `groups` is `None`, each is one layer, and has its name.

        Returns:
            For each step the groups that are random in it, or their names. All others are trained.
        """

    def plan(self, layers: Sequence[Layer]) -> Plan:
        """The steps for a model with these layers, from input to output.

        Raises:
            ModelError: No layer has parameters.
            UnknownNameError: A layer, a group or a glob names nothing.
            ArgumentError: The steps are none.
        """
        if not any(layer.parameters for layer in layers):
            raise ModelError(
                "the model",
                expected="at least one parameter to randomize",
                received="a model without parameters",
                fix="Pass the model that holds the trained weights.",
            )
        if not any(layer.used for layer in layers):
            raise ModelError(
                "the model",
                expected="outputs that depend on its parameters",
                received="outputs that depend on none of them",
                fix="Let forward= call the model that it is given, and pass the model that it calls.",
            )
        perturbation = resolve_perturbation(self.perturbation)
        groups = group_layers(layers, self.groups, self.exclude)
        return Plan(
            steps=_checked(self.steps(groups), groups, layers),
            perturbation=perturbation,
            fresh=self.fresh,
            statistics=self.statistics or default_statistics(perturbation),
            excluded=excluded_layers(layers, self.exclude),
            unused=unused_parameters(layers),
        )

    def randomize(
        self,
        model: Any,
        *,
        seed: int,
        example_inputs: HostArray | AllInputs | None = None,
        backend: str | None = None,
        forward: Forward | None = None,
    ) -> Any:
        """A randomized copy of the model, of the same type, in the state of the last step.

        Args:
            model: Stays as it is.
            seed: The root of all draws.
            example_inputs: A small batch `(n, ...)`, to find the order of layers.
            backend: As in `agnostic_rand.adapt`.
            forward: As in `agnostic_rand.adapt`.

        Raises:
            ModelError: The model cannot be copied or randomized.

        Example:
            >>> import torch
            >>> from agnostic_rand import FullRandomization
            >>> net = torch.nn.Linear(3, 2)
            >>> other = FullRandomization().randomize(net, seed=0)
            >>> bool((other.weight == net.weight).any())
            False
        """
        adapter = adapt(model, backend=backend, example_inputs=example_inputs, forward=forward)
        plan = self.plan(adapter.layers())
        example = None if example_inputs is None else PlacedInputs.of(adapter, example_inputs)
        copy = independent_copy(adapter, example)
        randomizer = Randomizer(copy, plan, Streams(seed), trained=adapter, calibration=example, example=example)
        randomizer.apply(draw=0, step=len(plan.steps) - 1)
        randomizer.verify()
        return copy.native


@dataclass(frozen=True, repr=False)
class FunctionStrategy(ModelRandomizationStrategy):
    """The strategy of a function that gets the groups and returns the steps.

    Args:
        function: As `ModelRandomizationStrategy.steps`.
    """

    function: Callable[[Sequence[Group]], Steps]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(function={getattr(self.function, '__name__', self.function)})"

    def steps(self, groups: Sequence[Group]) -> Steps:
        """What the function returns."""
        return self.function(groups)


def _checked(steps: Any, groups: Sequence[Group], layers: Sequence[Layer]) -> tuple[Step, ...]:
    """The steps as they are run, each named for what is new in it."""
    if not isinstance(steps, Sequence) or isinstance(steps, str) or not steps:
        raise _no_steps(repr(steps))
    by_name = {group.name: group for group in groups}
    found: list[Step] = []
    before: Sequence[str] = ()
    for step in steps:
        if not isinstance(step, Sequence) or isinstance(step, str):
            raise _no_steps(f"a step {step!r}")
        names = [one.name if isinstance(one, Group) else one for one in step]
        for name in names:
            if name not in by_name:
                raise unknown_name("layer of a step", str(name), by_name)
        new = [name for name in names if name not in before]
        found.append(step_of(_title(new, len(groups)), [by_name[name] for name in dict.fromkeys(names)], layers))
        before = names
    return tuple(found)


def _title(new: Sequence[str], groups: int) -> str:
    if len(new) < 2:
        return new[0] if new else "nothing"
    return "all layers" if len(new) == groups else f"{new[0]} … {new[-1]}"


def _no_steps(received: str) -> ArgumentError:
    return ArgumentError(
        "the steps of the strategy",
        expected="a list of steps, each a list of the layers that are random in it",
        received=received,
        fix="Return for example [layers[-1:], layers[-2:]] for the last layer, and then the last two.",
    )
