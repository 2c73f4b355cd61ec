"""Code review for asyncio programs.

``review`` is the whole of it: a supervised team of processes, from an order to a report. The rest is pure:
``list_files`` says which files there are, ``analyse_file`` reviews one of them, ``make_report`` and ``render`` write
down what was found. None of these keeps state, and all may be called from any thread.
"""

from mabeam.review._analyse import analyse_file, analyse_source
from mabeam.review._codes import known_codes, select_codes
from mabeam.review._finding import ErrorKind, FileError, Finding, Severity
from mabeam.review._listing import ListedFile, Listing, list_files
from mabeam.review._order import CRASHES_PER_FILE, InjectedCrash, Order, Outcome
from mabeam.review._printable import printable
from mabeam.review._report import Report, ReportFormat, make_report, render
from mabeam.review._report_text import summary_line
from mabeam.review._team import review

__all__ = (
    "CRASHES_PER_FILE",
    "ErrorKind",
    "FileError",
    "Finding",
    "ListedFile",
    "InjectedCrash",
    "Listing",
    "Order",
    "Outcome",
    "Report",
    "ReportFormat",
    "Severity",
    "analyse_file",
    "analyse_source",
    "known_codes",
    "list_files",
    "make_report",
    "printable",
    "render",
    "review",
    "select_codes",
    "summary_line",
)
