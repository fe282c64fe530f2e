"""What people look at: text, tables, figures and folders. Nothing else of the library imports this room.

matplotlib, pandas and rich are imported when something that needs them is drawn or written.
"""

from agnostic_rand.report.maps import MapStrip, randomize_and_record
from agnostic_rand.report.plots import curve_figure, curves_figure
from agnostic_rand.report.strips import strip_figure
from agnostic_rand.report.text import summary_text

__all__ = ["MapStrip", "curve_figure", "curves_figure", "randomize_and_record", "strip_figure", "summary_text"]
