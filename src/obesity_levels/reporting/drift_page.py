"""The drift report as one HTML file: what the terminal says, and the distributions, those that alarm first."""

from obesity_levels.drift.check import Checked
from obesity_levels.drift.report import distributions
from obesity_levels.reporting.page import render_page


def drift_page(checked: Checked, *, simulated: bool) -> str:
    """The report on a batch as HTML; `simulated` tells whether the model was made of simulated people."""
    report, reference, scored = checked
    performance = report.performance
    return render_page(
        "drift.html.jinja",
        report=report,
        simulated=simulated,
        scores={
            "accuracy": performance.accuracy,
            "weighted F1": performance.f1_weighted,
            "accuracy estimated without labels": performance.estimated_accuracy,
        },
        columns=sorted(report.columns, key=lambda column: (not column.alarm, -(column.psi or 0))),
        shares={
            name: list(zip(table.index, table["training"], table["batch"], strict=True))
            for name, table in distributions(reference, scored).items()
        },
    )
