"""The report: one HTML file that shows what exists, what changed, what was deleted, and how certain that is.

Must not know where the file goes, nor the command line.
"""

from image_history.report.content import Facts, Selection, collect
from image_history.report.page import page

__all__ = ["Facts", "Selection", "collect", "page"]
