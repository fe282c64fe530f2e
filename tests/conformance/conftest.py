"""The example plugin is its own distribution: here it is imported from its source."""

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "plugins" / "example_numpy" / "src"))
