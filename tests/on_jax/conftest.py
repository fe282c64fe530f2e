"""The JAX backend among the installed ones, and small models of every kind."""

from __future__ import annotations

import os
from importlib.metadata import EntryPoint, entry_points

import pytest

from agnostic_rand.adapters import registry

# Programs with JAX's default generator take most of the time that compiling takes, in a suite that draws a
# little in many shapes. Nothing in the backend depends on which generator it is.
os.environ.setdefault("JAX_DEFAULT_PRNG_IMPL", "rbg")


@pytest.fixture(scope="session", autouse=True)
def jax_backend():
    """The registry knows the backend before its entry point is installed."""
    points = {point.name: point for point in entry_points(group="agnostic_rand")}
    points.setdefault("jax", EntryPoint("jax", "agnostic_rand_jax", "agnostic_rand"))
    known = registry.Registry(points.values())
    original = registry._installed
    registry._installed = lambda: known
    yield
    registry._installed = original
