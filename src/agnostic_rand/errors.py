"""Errors of this library: each names the object, what was expected, what came, and the fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AgnosticRandError(Exception):
    """The root of every error that this library raises on purpose.

    Args:
        subject: The object that is wrong, as the user knows it.
        expected: What was needed.
        received: What came instead.
        fix: One sentence on what to do.

    Example:
        >>> error = AgnosticRandError("batch_size", expected="an int above 0", received="0", fix="Pass 1.")
        >>> print(error)
        batch_size: expected an int above 0, received 0. Pass 1.
    """

    def __init__(self, subject: str, *, expected: str, received: str, fix: str) -> None:
        super().__init__(f"{subject}: expected {expected}, received {received}. {fix}")
        self.subject = subject
        self.expected = expected
        self.received = received
        self.fix = fix

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.subject, self.expected, self.received, self.fix)


def _rebuild(
    kind: type[AgnosticRandError], subject: str, expected: str, received: str, fix: str
) -> AgnosticRandError:
    return kind(subject, expected=expected, received=received, fix=fix)


class ArgumentError(AgnosticRandError, ValueError):
    """An argument has a value that the call cannot use."""


class InputError(AgnosticRandError, ValueError):
    """The inputs or targets cannot be explained as they are."""


class UnknownNameError(ArgumentError):
    """A name stands for nothing that the library, the model or a plugin knows."""


class MissingExtraError(AgnosticRandError, ImportError):
    """An optional dependency is not installed."""


class ModelError(AgnosticRandError):
    """The model cannot be read, written, copied or called as the check needs."""


class BackendError(ModelError):
    """No backend, or more than one, claims the model."""


class PluginError(AgnosticRandError):
    """A backend plugin is broken; raised only where AGNOSTIC_RAND_STRICT=1."""


class CapabilityError(ModelError):
    """The model's adapter lacks an optional capability that the call needs."""


class WeightsError(ModelError):
    """Weights cannot be randomized, or are not what was written."""


class IsolationError(ModelError):
    """The caller's model is not the same after the run as before it, or two runs would change it at once."""


class NonFiniteOutputError(ModelError):
    """A model's outputs are infinite or not a number."""


class ExplanationError(AgnosticRandError):
    """An explainer returned something that is not a map of its inputs."""


class InsensitiveError(AgnosticRandError, AssertionError):
    """`assert_sensitive` found more similarity than it was told to allow."""


class FindingWarning(UserWarning):
    """A single number does not show what the run found about the explainer or the model."""


class UndefinedScoreWarning(UserWarning):
    """A mean leaves out samples whose score is undefined."""


def unknown_name(kind: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """Describe a name that is not known, with the nearest ones that are."""
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return UnknownNameError(
        f"{kind} {name!r}",
        expected=f"one of: {shown}" if names else "a name, but there are none to choose from",
        received=repr(name),
        fix=f"Did you mean {' or '.join(map(repr, near))}?" if near else "Check the spelling.",
    )


def missing_extra(purpose: str, package: str, extra: str) -> MissingExtraError:
    """Describe an optional dependency that is not installed, with the command that installs it."""
    return MissingExtraError(
        purpose,
        expected=f"the package {package!r}",
        received="an environment without it",
        fix=f"Run: pip install 'agnostic-rand[{extra}]'",
    )
