"""From atlases to a page that opens from disk: plain Python, numpy and Pillow. No torch."""

from filterscope.report.write import Written as Written
from filterscope.report.write import default_path as default_path
from filterscope.report.write import publish as publish
from filterscope.report.write import write_report as write_report
