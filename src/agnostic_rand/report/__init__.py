"""Report: tables, maps and folders, imported where something is shown.

matplotlib, pandas and rich are imported when something that needs them is drawn or written.
"""

from agnostic_rand.report.strips import strip_figure
from agnostic_rand.results.plots import curve_figure, curves_figure
from agnostic_rand.results.text import summary_text

__all__ = ["curve_figure", "curves_figure", "strip_figure", "summary_text"]
