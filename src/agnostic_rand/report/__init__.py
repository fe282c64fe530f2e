"""What people look at: text, tables, figures and folders. It is imported where something is shown.

matplotlib, pandas and rich are imported when something that needs them is drawn or written.
"""

from agnostic_rand.report.plots import curve_figure, curves_figure
from agnostic_rand.report.strips import strip_figure
from agnostic_rand.report.text import summary_text

__all__ = ["curve_figure", "curves_figure", "strip_figure", "summary_text"]
