"""Registry of backends: plugins are loaded one by one, all claims are heard, one is chosen."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

import pluggy

from agnostic_rand.adapters.hookspecs import (
    ENTRY_POINT_GROUP,
    Claim,
    OpenRequest,
    PluginHooks,
)
from agnostic_rand.adapters.protocol import API_VERSION, Forward, HostArray, ModelAdapter
from agnostic_rand.adapters.side_inputs import AllInputs, beside, names_of
from agnostic_rand.adapters.unclaimed import told
from agnostic_rand.errors import ArgumentError, BackendError, PluginError, unknown_name

STRICT_VARIABLE = "AGNOSTIC_RAND_STRICT"


@dataclass(frozen=True)
class BackendInfo:
    """What is known of one backend plugin.

    Args:
        name: The entry point's name.
        distribution: The distribution that brought it.
        version: That distribution's version.
        status: `"usable"`, `"framework missing"` or `"broken"`.
        reason: Why it is not usable; empty where it is.
    """

    name: str
    distribution: str
    version: str
    status: Literal["usable", "framework missing", "broken"]
    reason: str


class Registry:
    """The plugins of one set of entry points.

    Args:
        points: The entry points to load. A plugin that fails to load is kept as a broken one.
    """

    def __init__(self, points: Iterable[EntryPoint]) -> None:
        self._manager = pluggy.PluginManager("agnostic_rand")
        self._manager.add_hookspecs(PluginHooks)
        self._plugins: dict[str, Any] = {}
        self._infos: list[BackendInfo] = []
        self._late_faults: dict[str, str] = {}
        for point in points:
            self._load(point)

    def infos(self) -> tuple[BackendInfo, ...]:
        """One entry a plugin, with faults that its hook has shown since."""
        return tuple(
            replace(info, status="broken", reason=self._late_faults[info.name])
            if info.name in self._late_faults and info.status != "broken"
            else info
            for info in self._infos
        )

    def adapt(
        self,
        model: Any,
        *,
        backend: str | None,
        example_inputs: HostArray | AllInputs | None,
        forward: Forward | None,
    ) -> ModelAdapter:
        """Open the adapter of the backend whose claim is the most derived."""
        claims = self._claims(model)
        chosen = self._named(claims, backend, model) if backend is not None else self._best(claims, model)
        adapter = chosen.open(_request(example_inputs, forward))
        if not isinstance(adapter, ModelAdapter):
            raise BackendError(
                f"backend {chosen.backend!r}",
                expected="Claim.open to return a ModelAdapter with every member of the protocol",
                received=f"{type(adapter).__name__} without {', '.join(_missing_members(adapter))}",
                fix="Update the plugin that brings this backend.",
            )
        return adapter

    def _load(self, point: EntryPoint) -> None:
        distribution = point.dist.name if point.dist is not None else "unknown"
        version = point.dist.version if point.dist is not None else "unknown"

        def record(status: Literal["usable", "framework missing", "broken"], reason: str) -> None:
            self._infos.append(BackendInfo(point.name, distribution, version, status, reason))

        try:
            plugin = point.load()
            absent = [name for name in getattr(plugin, "REQUIRES", ()) if not _is_installed(name)]
            self._register(plugin, point.name)
        except (Exception, SystemExit) as error:
            if os.environ.get(STRICT_VARIABLE) == "1":
                raise PluginError(
                    f"backend plugin {point.name!r} of {distribution} {version}",
                    expected="a module that loads and implements a hook of this library",
                    received=_describe(error),
                    fix=f"Update or uninstall {distribution}.",
                ) from error
            record("broken", _describe(error))
            return
        self._plugins[point.name] = plugin
        if absent:
            record("framework missing", f"{', '.join(absent)} is not installed")
        else:
            record("usable", "")

    def _register(self, plugin: Any, name: str) -> None:
        if name in self._plugins:
            raise ValueError(f"another plugin has the entry point name {name!r} already")
        self._manager.register(plugin, name)
        try:
            self._manager.check_pending()
            if not self._manager.get_hookcallers(plugin):
                raise ValueError("it implements no hook: mark agnostic_rand_claim(model) with @hookimpl")
        except Exception:
            # pluggy keeps a plugin registered that failed validation.
            self._manager.unregister(plugin)
            raise

    def _claims(self, model: Any) -> list[Claim]:
        claims: list[Claim] = []
        for implementation in self._manager.hook.agnostic_rand_claim.get_hookimpls():
            name = implementation.plugin_name
            try:
                # A hook may leave out the argument, as pluggy allows.
                claim: Any = implementation.function(*[model for _ in implementation.argnames])
                if claim is None:
                    continue
                _check_claim(claim, model)
            except Exception as error:  # noqa: BLE001 - one broken plugin must not break the others
                self._note_fault(name, "agnostic_rand_claim(model) to return a Claim or None", error)
                continue
            claims.append(claim)
        return claims

    def explainers(self) -> dict[str, Callable[[], Any]]:
        """The explainers that plugins name; of two with one name, the first plugin's."""
        named: dict[str, Callable[[], Any]] = {}
        for implementation in self._manager.hook.agnostic_rand_explainers.get_hookimpls():
            try:
                offered: Any = implementation.function()
                for name, make in offered.items():
                    if not isinstance(name, str) or not callable(make):
                        raise TypeError(f"explainer {name!r} is not a name with a callable")
                    named.setdefault(name, make)
            except Exception as error:  # noqa: BLE001 - one broken plugin must not break the others
                expected = "agnostic_rand_explainers() to return a dictionary of names and callables"
                self._note_fault(implementation.plugin_name, expected, error)
        return named

    def _note_fault(self, name: str, expected: str, error: Exception) -> None:
        if os.environ.get(STRICT_VARIABLE) == "1":
            raise PluginError(
                f"plugin {name!r}",
                expected=expected,
                received=_describe(error),
                fix="Update or uninstall the plugin.",
            ) from error
        self._late_faults[name] = _describe(error)

    def _named(self, claims: list[Claim], backend: str, model: Any) -> Claim:
        for claim in claims:
            if claim.backend == backend:
                return claim
        if claims:
            raise BackendError(
                f"backend={backend!r}",
                expected=f"one of those that claim {_kind(model)}: {', '.join(c.backend for c in claims)}",
                received=repr(backend),
                fix="Pass one of them, or leave backend out.",
            )
        known = [info.name for info in self._infos]
        if backend not in known:
            raise unknown_name("backend", backend, known)
        raise self._nobody(model)

    def _best(self, claims: list[Claim], model: Any) -> Claim:
        if not claims:
            raise self._nobody(model)
        best = [
            claim
            for claim in claims
            if not any(
                issubclass(other.model_type, claim.model_type) and other.model_type is not claim.model_type
                for other in claims
            )
        ]
        if len(best) > 1:
            raise BackendError(
                f"the model {_kind(model)}",
                expected="one backend with the most derived model type",
                received=" and ".join(f"{c.backend!r} (for {c.model_type.__qualname__})" for c in best),
                fix=f"Choose with backend={best[0].backend!r} or backend={best[1].backend!r}.",
            )
        return best[0]

    def _nobody(self, model: Any) -> BackendError:
        found = told(model)
        if found is not None:
            received, fix = found
            return BackendError(
                "the model",
                expected="a model object that holds trained weights",
                received=f"{received} ({_kind(model)})",
                fix=fix,
            )
        states = "; ".join(
            f"{info.name} ({info.distribution} {info.version}): {info.status}"
            + (f", {info.reason}" if info.reason else "")
            for info in self.infos()
        )
        return BackendError(
            "the model",
            expected=f"a model that an installed backend claims ({states or 'no backend is installed'})",
            received=f"an object of type {_kind(model)}",
            fix="Pass the framework's own model object, and install its extra: "
            "pip install 'agnostic-rand[torch]' (or another framework's).",
        )


def adapt(
    model: Any,
    *,
    backend: str | None = None,
    example_inputs: HostArray | AllInputs | None = None,
    forward: Forward | None = None,
) -> ModelAdapter:
    """Give the core's view of a model, through the backend that claims it.

    Args:
        model: A model of any framework with an installed backend.
        backend: A backend's name, where several claim the model or the choice is yours.
        example_inputs: A small batch `(n, ...)`, or a tuple or dictionary of them for a model of
            several inputs; with it the order of layers is that of the forward pass.
        forward: `forward(model, inputs) -> (n, classes)`, for models that are not called as
            `model(inputs)` or do not return their outputs as one array.

    Returns:
        The adapter. The model itself is neither copied nor changed.

    Raises:
        BackendError: No backend, or more than one, claims the model.
        ModelError: The backend cannot use this model; the message says why.

    Example:
        >>> import agnostic_rand as ar, torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
        >>> [layer.name for layer in ar.adapt(net).layers()]
        ['0', '2']
    """
    if forward is not None and not callable(forward):
        raise ArgumentError(
            "forward",
            expected="a callable forward(model, inputs) -> outputs",
            received=repr(forward),
            fix="Pass a function such as: lambda model, inputs: model(inputs).logits",
        )
    return _installed().adapt(model, backend=backend, example_inputs=example_inputs, forward=forward)


def backends() -> tuple[BackendInfo, ...]:
    """List every installed backend plugin: usable or not, and why not.

    Example:
        >>> import agnostic_rand as ar
        >>> any(info.name == "torch" for info in ar.backends())
        True
    """
    return _installed().infos()


def plugin_explainers() -> dict[str, Callable[[], Any]]:
    """The explainers that installed plugins name, by name."""
    return _installed().explainers()


def _request(example: HostArray | AllInputs | None, forward: Forward | None) -> OpenRequest:
    if not isinstance(example, tuple | Mapping):
        return OpenRequest(example_inputs=example, forward=forward)
    # To follow a call it does not matter which of the inputs is the explained one.
    place = names_of(example)[0]
    return OpenRequest(example[place], forward, beside(example, place))


@cache
def _installed() -> Registry:
    return Registry(entry_points(group=ENTRY_POINT_GROUP))


def _is_installed(module: str) -> bool:
    # The top-level package alone: looking up a submodule would import its parents.
    return importlib.util.find_spec(module.partition(".")[0]) is not None


def _check_claim(claim: Any, model: Any) -> None:
    if not isinstance(claim, Claim):
        raise TypeError(f"its hook returned {type(claim).__name__}, not a Claim")
    if claim.api_version != API_VERSION:
        raise ValueError(
            f"it follows version {claim.api_version} of the adapter contract, this library version {API_VERSION}"
        )
    if not isinstance(claim.model_type, type) or not isinstance(model, claim.model_type):
        raise TypeError(f"it claims {claim.model_type!r}, of which the model is no instance")


def _missing_members(adapter: object) -> list[str]:
    members: tuple[str, ...] = (
        "framework",
        "channel_axis",
        "order_source",
        "native",
        "xp",
        "layers",
        "read",
        "write",
    )
    members += ("clone", "asarray", "to_numpy", "to_native", "predict", "gradient")
    return [name for name in members if not hasattr(adapter, name)] or ["(nothing)"]


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _kind(model: object) -> str:
    return f"{type(model).__module__}.{type(model).__qualname__}"
