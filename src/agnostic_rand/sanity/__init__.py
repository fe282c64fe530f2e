"""Sanity check: every explainer, every check, controls and verdicts in one call."""
