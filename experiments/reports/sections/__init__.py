"""The sections of a report, in the order of the page.

A section is a module with a function `show(context)`, which returns what it shows or None where it
has nothing to show, a template of the module's name beside it, which finds that as `section`, and
its line here. matplotlib is imported where figures are drawn: the command line takes tables and
their columns from these modules.
"""

from experiments.reports.sections import (
    across,
    embeddings,
    ensembles,
    fitted,
    generated,
    generator,
    papers,
    phone,
    results,
    robustness,
    runs,
    saliency,
    sweeps,
)

SECTIONS = (
    fitted,
    papers,
    results,
    sweeps,
    across,
    phone,
    ensembles,
    robustness,
    saliency,
    embeddings,
    generator,
    generated,
    runs,
)
