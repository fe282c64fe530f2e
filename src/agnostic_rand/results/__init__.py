"""Results of checks."""
