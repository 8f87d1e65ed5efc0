"""The command `obesity-levels compare`."""

import hashlib
import math
import re
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NoReturn

import click
from tabulate import tabulate

from obesity_levels.comparison import size
from obesity_levels.comparison.outcomes import Period, by_period, read_outcomes
from obesity_levels.comparison.over_time import judge_periods
from obesity_levels.comparison.paired import compare_groups, compare_rows
from obesity_levels.comparison.report import (
    POWER,
    Report,
    Verdict,
    paired_report,
    percent,
    periods_report,
    split_report,
)
from obesity_levels.comparison.scored import Scored, score_rows
from obesity_levels.comparison.split import compare_arms
from obesity_levels.data.layout import load_layout
from obesity_levels.data.source import layout_of, read_raw
from obesity_levels.errors import ArtifactError, ComparisonError
from obesity_levels.evaluation.metrics import slice_masks
from obesity_levels.model.artifact import read_evaluation
from obesity_levels.model.classifier import load_manifest
from obesity_levels.options import ALIAS, FILE, LAYOUT, MODEL, chosen_model, echo_report
from obesity_levels.params import load_params
from obesity_levels.paths import EVALUATE_METRICS, MANIFEST
from obesity_levels.schema import LEVELS

STATUS: dict[Verdict, int] = {"better": 0, "worse": 3, "too few rows to tell": 4}
"""The exit status by the verdict."""


class _Number(click.FloatRange):
    """A number in a range. click itself lets nan pass."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value} is not a number", param, ctx)
        return number


_OPEN_SHARE = _Number(0, 1, min_open=True, max_open=True)
_SHARE = click.option(
    "--share", type=_OPEN_SHARE, default=0.5, show_default=True, help="Share of the units that the challenger gets."
)
_ALPHA = click.option(
    "--alpha",
    type=_Number(0.0001, 0.5),
    default=0.05,
    show_default=True,
    help="Accepted false-alarm rate of the verdict.",
)


@click.group()
def compare() -> None:
    """Compare two models, or watch one.

    Exit status of `paired` and `split`: 0 the challenger is better, 3 it is worse, 4 too few rows to tell, 1 an error;
    of one model: 0 its accuracy holds, 3 it has dropped, 4 too few rows to tell.
    """


@compare.command()
@click.argument("champion")
@click.argument("challenger")
@click.argument("rows", type=FILE)
@LAYOUT
@_ALPHA
def paired(champion: str, challenger: str, rows: Path, layout: Path | None, alpha: float) -> None:
    """Compare two models on the same rows.

    ROWS is a file with labels that neither model was trained on. A model is a folder, or the alias of a registered
    version, such as champion. A row counts if it has a label and an answer.
    """
    params = load_params()
    raw = read_raw(rows, layout=layout_of(rows, load_layout(layout or Path(params.ingest.layout))))
    scored = []
    for name in (champion, challenger):
        with _model(name) as folder:
            scored.append(score_rows(folder, raw, params))
    first, second = scored
    usable = first.usable & second.usable
    if not usable.any():
        raise ComparisonError(f"{rows}: no row has a label and an answer")
    lines = [
        f"champion {first.manifest.version}, challenger {second.manifest.version}, {usable.sum():,} rows of {rows}",
        *_trained_on(rows, scored),
    ]
    if not usable.all():
        lines.append(f"{(~usable).sum():,} rows without a label or without any answer are left out")
    answers, labels = first.answers[usable], first.labels[usable]
    groups = {level: labels == at for at, level in enumerate(LEVELS)}
    for kind, slices in slice_masks(answers, params.evaluate.age_bands).items():
        groups |= {f"{kind} {name}": mask for name, mask in slices.items()}
    right = (first.right[usable], second.right[usable])
    report = paired_report(compare_rows(*right, alpha), compare_groups(*right, groups, alpha), alpha)
    _end(report, lines)


@compare.command()
@click.argument("outcomes", type=FILE)
@MODEL
@ALIAS
@_SHARE
@click.option(
    "--planned",
    type=click.IntRange(100),
    default=5000,
    show_default=True,
    help="Units for which the interval of every look is closest. Choose it before the first look.",
)
@click.option("--once", is_flag=True, help="This is the only look: judge by the narrower interval of one look.")
@click.option(
    "--by",
    type=click.Choice(["day", "week", "month"]),
    default="week",
    show_default=True,
    help="Period by which one model is watched.",
)
@_ALPHA
def split(
    outcomes: Path,
    model: Path | None,
    alias: str | None,
    share: float,
    planned: int,
    once: bool,
    by: Period,
    alpha: float,
) -> None:
    """Compare two models in production, or watch one.

    OUTCOMES is a CSV file with the columns unit, model_version, prediction, truth and time. A unit is what was split,
    such as a person; truth is a level, or empty where it is not known yet. The champion is the model that --model or
    --alias names. Outcomes of one model: its accuracy by period, and whether it has dropped.
    """
    params = load_params()
    table = read_outcomes(outcomes)
    versions = sorted(table["model_version"].unique())
    with chosen_model(model, alias) as folder:
        champion = load_manifest(folder / MANIFEST)
        evaluation = read_evaluation(folder, champion) if len(versions) == 1 else None
    if champion.version not in versions or len(versions) > 2:
        # any other text may be of another column, such as a unit
        named = ", ".join([version for version in versions if re.fullmatch("[0-9a-f]{12}", version)][:5])
        raise ComparisonError(
            f"{outcomes} has {len(versions):,} values in model_version{f' ({named})' if named else ''}: it must have"
            f" one or two, one of them the champion's, which is {champion.version} here (--model or --alias names"
            " another)"
        )
    if len(versions) == 2:
        found = compare_arms(table, champion.version, share, alpha, planned, params.drift.detect.min_rows)
        _end(split_report(found, alpha, planned, once=once))
    if evaluation is None:
        raise ArtifactError(
            f"there is no {EVALUATE_METRICS.name} with the model {champion.version}: its accuracy is unknown"
        )
    test, detect = evaluation.test, params.drift.detect
    periods = judge_periods(by_period(table, by), test["accuracy"], detect)
    interval = test["accuracy_interval"]
    _end(periods_report(periods, champion.version, test["accuracy"], interval, by, detect))


@compare.command("size")
@click.option("--from", "accuracy", type=_OPEN_SHARE, required=True, help="Accuracy of the champion.")
@click.option("--lift", type=_Number(0.0001, 1, max_open=True), required=True, help="Difference to find, such as 0.01.")
@click.option(
    "--discordant", type=_OPEN_SHARE, help="Share of rows on which only one of the models is right, if known."
)
@_SHARE
@click.option(
    "--power",
    type=_Number(0.5, 1, max_open=True),
    default=POWER,
    show_default=True,
    help="Chance to find the difference.",
)
@_ALPHA
def needed_size(
    accuracy: float, lift: float, discordant: float | None, share: float, power: float, alpha: float
) -> None:
    """Print how many rows a comparison needs."""
    if accuracy + lift >= 1:
        raise click.UsageError("--from and --lift together must be less than 1")
    least, most = size.discordance_bounds(accuracy, lift)
    limit = lift + 2 * min(accuracy, 1 - accuracy - lift)
    if discordant is not None and not lift <= discordant <= limit + 1e-9:
        raise click.UsageError(f"--discordant must be from {lift:g} to {limit:g} for this accuracy and lift")
    known = (
        {"only one model is right on": discordant}
        if discordant
        else {
            "the challenger makes no new error:": least,
            "errors are independent:": most,
        }
    )
    rows = [
        [f"paired, {what} {value:.2%} of the rows", size.paired_rows(lift, value, alpha, power), "compare paired"]
        for what, value in known.items()
    ]
    daily = size.sequence_units(accuracy, lift, share, alpha, power)
    rows += [
        ["split, looked at once", size.split_units(accuracy, lift, share, alpha, power), "compare split --once"],
        ["split, looked at every day", daily, f"compare split --planned {daily}"],
    ]
    click.echo(tabulate(rows, ["comparison", "rows or units", "command"], "github", intfmt=","))
    click.echo(
        f"\nto find {accuracy:.2%} against {accuracy + lift:.2%} in {percent(power)} of cases, with false alarms in at"
        f" most {percent(alpha)}. Split: of both arms together, {percent(share)} of them the challenger's"
    )


def _model(name: str) -> AbstractContextManager[Path]:
    """A folder, or else the registered version with this alias."""
    is_folder = Path(name).is_dir() or "/" in name
    return chosen_model(Path(name), None) if is_folder else chosen_model(None, name)


def _trained_on(rows: Path, scored: list[Scored]) -> list[str]:
    digest = hashlib.md5(rows.read_bytes(), usedforsecurity=False).hexdigest()
    return [
        f"careful: {one.manifest.version} was made from this file, and knows most of its rows"
        for one in scored
        if one.manifest.data.md5 == digest
    ]


def _end(report: Report, lines: list[str] | None = None) -> NoReturn:
    echo_report("\n".join([*(lines or []), report.text]))
    sys.exit(STATUS[report.verdict])
