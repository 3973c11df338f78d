"""One page about a calibration run, as HTML and as PDF; needs the extra 'report'."""

from calibration.report.page import write_report

__all__ = ["write_report"]
