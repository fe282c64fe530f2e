"""Passes over the data, the only loops there are: maps, outputs and scores."""
