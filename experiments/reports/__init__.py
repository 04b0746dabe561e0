"""One self-contained HTML page from run folders, section by section.

Reads what the runs left on disk and never imports Keras, so that a report can be written on any
machine. A section is a module and a template in `sections/`, and its line in the table there.
"""

from experiments.reports.page import Report, report

__all__ = ["Report", "report"]
