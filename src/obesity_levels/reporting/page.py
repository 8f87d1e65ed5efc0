"""Pages that are one HTML file: style and figures are in them, so that they open anywhere, without a network."""

import json
from base64 import b64encode
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from obesity_levels.io import leaves, number
from obesity_levels.reporting.numbers import as_text
from obesity_levels.reporting.reported import Reported
from obesity_levels.reporting.sections import sections
from obesity_levels.versioning import dvc


def render_page(template: str, **values: Any) -> str:
    """Fill in `template`, a file of this package: a whole page. Values are text, whatever is in them."""
    environment = Environment(
        loader=PackageLoader("obesity_levels", "reporting"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
    environment.filters |= {
        "base64": lambda content: b64encode(content).decode(),
        "number": number,
        "percent": "{:.1%}".format,
    }
    return environment.get_template(template).render(**values)


def report_page(now: Reported, before: Reported | None = None) -> str:
    """The report on a run as HTML; with `before`, beside that run. The same content, the same text."""
    runs = [now] if before is None else [now, before]
    return render_page(
        "report.html.jinja",
        now=now,
        before=before,
        simulated=[run.name for run in runs if run.metrics.get("ingest", {}).get("simulated")],
        sections=sections(now, before),
        changed_values=_changed_values(now, before) if before else [],
        changed_params=_changed_params(now, before) if before else {},
    )


def _changed_values(now: Reported, before: Reported) -> list[str]:
    values, others = (dict(leaves(run.metrics)) for run in (now, before))
    return [name for name in {**values, **others} if values.get(name) != others.get(name)]


def _changed_params(now: Reported, before: Reported) -> dict[str, tuple[str, str]]:
    """The params that differ, each with its value now and before. A run without a revision is the workspace."""
    revisions = [run.revision for run in (before, now) if run.revision]
    changed: dict[str, dict[str, Any]] = json.loads(dvc("params", "diff", "--json", *revisions) or "{}")
    return {
        name: (as_text(values.get("new")), as_text(values.get("old")))
        for file in changed.values()
        for name, values in file.items()
    }
