"""What a check is about: a model and data that were read and checked, and how both are run."""
