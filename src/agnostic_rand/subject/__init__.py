"""Subject of a check: a model and data that were read and checked, and how both are run."""
