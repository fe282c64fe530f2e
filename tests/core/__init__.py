"""Tests of the core: no framework is imported here."""
