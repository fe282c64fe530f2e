"""The only loop over data, and what it makes: maps, outputs and scores."""
