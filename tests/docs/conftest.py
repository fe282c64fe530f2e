"""What the tests of the documentation share. torch comes first: after TensorFlow its import can crash."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import torch  # noqa: F401

# Stand-ins for what the bridged libraries import and no test uses.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bridges"))
matplotlib.use("Agg")
