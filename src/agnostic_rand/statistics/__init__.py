"""With how much certainty a score is known."""

from agnostic_rand.statistics.bootstrap import crossed_bootstrap

__all__ = ["crossed_bootstrap"]
