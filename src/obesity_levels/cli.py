"""The command line, `obesity-levels`. It works on the project in the current folder.

MLflow takes seconds to import, so only the commands that need it import `mlflow_registry`.
"""

import math
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
from msgspec.structs import replace
from tabulate import tabulate

from obesity_levels.comparison.command import compare
from obesity_levels.data.layout import load_layout
from obesity_levels.data.layout_proposal import propose_layout
from obesity_levels.data.simulation import Population
from obesity_levels.data.source import read_raw
from obesity_levels.drift.check import DEFAULT_INTENSITY, Checked, check_file, check_simulation, write_report
from obesity_levels.drift.report import report_table
from obesity_levels.drift.scenarios import FIELD_ERROR_INTENSITY, SCENARIOS
from obesity_levels.errors import ArtifactError, check_merged
from obesity_levels.evaluation.model_card import results_table
from obesity_levels.evaluation.verification import differences
from obesity_levels.io import read_json
from obesity_levels.model.classifier import load_manifest
from obesity_levels.options import ALIAS, FILE, FOLDER, LAYOUT, MODEL, chosen_model, echo_report, run_command
from obesity_levels.params import load_params, load_yaml
from obesity_levels.paths import CONFUSION_MATRIX_CSV, EVALUATE_METRICS, MANIFEST, MODELS, POPULATION_YAML, REPORTS
from obesity_levels.prediction.command import predict
from obesity_levels.registry import CHALLENGER, CHAMPION, NAME, pipeline_run, retraining
from obesity_levels.registry.pipeline_run import PipelineRun
from obesity_levels.reporting.command import report
from obesity_levels.reporting.drift_page import drift_page

DRIFT_STATUS = {"no drift": 0, "drift": 3, "too few rows to tell": 4}
"""The exit status of `drift` by its verdict."""
UNIT_ERROR_STATUS = 5
"""The exit status of `retrain` for rows that are likely in another unit."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit."""
    run_command(commands, arguments, "obesity-levels")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="obesity-levels")
def commands() -> None:
    """Inspect, check and register the results of the pipeline in the current folder.

    The pipeline itself is run by DVC (`dvc repro`, `dvc exp run`). Exit status: 0 success, 1 an error, 2 wrong usage;
    `compare`, `drift`, `layout` and `retrain` have more.
    """


commands.add_command(compare)
commands.add_command(predict)
commands.add_command(report)


@commands.command()
def results() -> None:
    """Print the metrics of the last run as a table (Markdown)."""
    check_merged()
    if not EVALUATE_METRICS.exists():
        raise ArtifactError(
            f"{EVALUATE_METRICS} does not exist: run `make repro` (or `dvc repro`) in the project's root"
        )
    click.echo(results_table(read_json(EVALUATE_METRICS)))


@commands.command()
@click.argument("file", type=FILE)
@click.option("--output", type=FILE, metavar="FILE", required=True, help="The YAML file to write.")
def layout(file: Path, output: Path) -> None:
    """Propose a layout for FILE: how it is written, and what its columns, words and codes mean.

    The evidence is beside each line. Nothing takes effect before a person has read the layout and named it in
    ingest.layout, or with --layout. Exit status: 0 written; 3 written, with a "?" to fill in; 1 an error.
    """
    proposal = propose_layout(file, load_params(), load_yaml(POPULATION_YAML, Population))
    if output.exists() and output.samefile(file):
        raise click.UsageError(f"--output {output} is the file itself: give another name for its layout")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(str(proposal), encoding="utf-8")
    click.echo(f"written: {output}. {proposal.notes[()]}")
    if proposal.open_lines:
        lines = "1 line" if proposal.open_lines == 1 else f"{proposal.open_lines} lines"
        click.echo(f'{lines} with a "?": replace each by what is meant, then use the layout')
        sys.exit(3)
    named = " ".join(
        f"-S {shlex.quote(f'ingest.{key}={path}')}" for key, path in (("source", file), ("layout", output))
    )
    click.echo(f"Read it, then: dvc exp run {named}")


@commands.command()
@click.option("--data", type=FILE, metavar="FILE", help="Check the rows of this file.")
@LAYOUT
@click.option("--drift-type", type=click.Choice(list(SCENARIOS)), help="Simulate this kind of drift instead.")
@click.option(
    "--intensity",
    type=click.FloatRange(0, 1, min_open=True),
    help=f"Strength of the drift.  [default: {DEFAULT_INTENSITY}; {FIELD_ERROR_INTENSITY:g} for noise, swap and units]",
)
@click.option("--output", type=FOLDER, metavar="DIR", default=REPORTS, show_default=True, help="Folder to write to.")
@click.option("--html", is_flag=True, help="Write the report as a page too.")
@MODEL
@ALIAS
def drift(
    data: Path | None,
    layout: Path | None,
    drift_type: str | None,
    intensity: float | None,
    output: Path,
    html: bool,
    model: Path | None,
    alias: str | None,
) -> None:
    """Check whether rows have drifted from those that the model was trained on.

    Prints a table and writes a report with figures. Name either --data, a file with or without labels, or
    --drift-type, which checks the validation and test rows with simulated drift. The project must hold the rows that
    the model was made from. Exit status: 0 no drift, 3 drift, 4 too few rows to tell, 1 an error.
    """
    if (data is None) == (drift_type is None):
        raise click.UsageError("name either --data or --drift-type")
    if data is not None and intensity is not None:
        raise click.UsageError("--intensity belongs to --drift-type: leave it out with --data")
    if data is None and layout is not None:
        raise click.UsageError("--layout belongs to --data: leave it out with --drift-type")
    if intensity is not None and math.isnan(intensity):
        raise click.UsageError("--intensity must be a number, more than 0 and at most 1")
    with chosen_model(model, alias) as models:
        checked = check_file(data, models, layout) if data else check_simulation(str(drift_type), intensity, models)
        simulated = load_manifest(models / MANIFEST).data.simulated
    sys.exit(_report_drift(checked, output, drift_page(checked, simulated=simulated) if html else None))


@commands.command()
@click.option("--exp", multiple=True, metavar="NAME", help="Publish this experiment of DVC, not the workspace.")
@click.option("--all-experiments", is_flag=True, help="Publish all experiments, none of them as challenger.")
def publish(exp: Sequence[str], all_experiments: bool) -> None:
    """Register the model of the last run with MLflow, as challenger.

    Params, metrics, plots and the model card are logged with it. What is registered already is left as it is. The
    registry is MLFLOW_TRACKING_URI, or mlflow.db in the current folder.
    """
    if exp and all_experiments:
        raise click.UsageError("name either --exp or --all-experiments")
    if not (exp or all_experiments):
        _publish(pipeline_run.workspace_run())
    chosen = [pipeline_run.find_experiment(name) for name in exp]
    if all_experiments:
        chosen = pipeline_run.experiments("--all-commits")
        if not chosen:
            click.echo("there are no experiments: make one with `dvc exp run`")
    failed = False
    for experiment in chosen:
        try:
            with pipeline_run.experiment_run(experiment) as run:
                _publish(run, challenger=not all_experiments)
        # The other experiments are still published. An error of the registry ends the command.
        except ArtifactError as error:
            failed = True
            click.echo(f"error: {error}", err=True)
    sys.exit(int(failed))


@commands.command()
@click.option("--rollback", is_flag=True, help="Give the alias back to the version that the present champion replaced.")
def promote(rollback: bool) -> None:
    """Make the committed model the champion, if it passes the gate and beats the present champion.

    --rollback does not look at the workspace. Run it again to go back one more version.
    """
    from obesity_levels.registry import mlflow_registry

    click.echo(mlflow_registry.rollback() if rollback else mlflow_registry.promote())


@commands.command()
@click.option("--alias", default=CHAMPION, show_default=True, metavar="NAME", help="Alias of the version to fetch.")
@click.option("--to", type=FOLDER, default=CHAMPION, show_default=True, metavar="DIR", help="Folder to fill.")
def fetch(alias: str, to: Path) -> None:
    """Copy a registered model into a folder, to serve it with MODEL_DIR."""
    from obesity_levels.registry import mlflow_registry

    manifest = mlflow_registry.fetch(alias, to)
    click.echo(f"{to} holds the {alias}, {manifest.version}: serve it with MODEL_DIR={to} make serve")


@commands.command()
@click.argument("file", type=FILE)
@LAYOUT
@click.option("--force", is_flag=True, help="Do not look for drift: train in any case.")
@click.option("--json", "outcome_file", type=FILE, metavar="FILE", help="Write the outcome as JSON; none if it fails.")
def retrain(file: Path, layout: Path | None, force: bool, outcome_file: Path | None) -> None:
    """Train on the labelled rows of FILE, if they have drifted.

    Runs an experiment of DVC with FILE as its only data, and prints its metrics and whether its model passes the gate.
    The workspace is left as it is. Exit status: 0 done, or nothing to do; 4 too few rows to tell; 5 likely in another
    unit, nothing was trained; 1 an error.
    """
    check_merged()
    source = retraining.in_project(file)
    layout = retraining.in_project(layout or Path(load_params().ingest.layout))
    retraining.check_can_run(source, layout)
    read_raw(source, layout=load_layout(layout))  # requires labels, which the check for drift does not
    outcome = retraining.Outcome()
    if not force:
        checked = check_file(source, MODELS, layout)
        status = _report_drift(checked, REPORTS)
        drifted = checked.report
        outcome = retraining.Outcome(drifted.verdict, drifted.causes, drifted.recommendation)
        if drifted.verdict == "no drift":
            click.echo(f"\n{source} has not drifted: nothing was trained")
        if outcome.unit_error:
            click.echo(f"\n{source} is likely in another unit: {outcome.unit_error}. Nothing was trained.")
            click.echo("Correct the unit at its source. If the values are right: obesity-levels retrain --force")
            status = UNIT_ERROR_STATUS
        if drifted.verdict != "drift" or outcome.unit_error:
            _write_outcome(outcome, outcome_file)
            sys.exit(status)
        click.echo(f"\n{source} has drifted.")
    name, metrics, gate, existed = retraining.retrain(source, layout)
    _write_outcome(replace(outcome, experiment=name, gate=gate), outcome_file)
    existing = "exists already" if existed else f"was made from {source} alone"
    click.echo(f"\n{results_table(metrics)}\nThe experiment {name} {existing}; its model is {gate.model_version}.")
    click.echo("It passes the gate:" if gate.passed else "It does NOT pass the gate:")
    for condition, found in gate.conditions.items():
        click.echo(f"  {'holds' if found.holds else 'FAILS'}  {condition}: {found}")
    for line in retraining.next_steps(source, layout, name):
        click.echo(line)


@commands.command()
@click.option("--tolerance", type=float, default=0.0, help="Largest difference of a number to accept.  [default: none]")
def verify(tolerance: float) -> None:
    """Compare dvc.lock, metrics and plots with the last commit.

    `make verify` runs it after `dvc repro --force`. Exit status: 0 if nothing differs, or no number by more than the
    tolerance; 1 otherwise.
    """
    found = differences()
    if not found:
        click.echo("verified: dvc.lock, metrics and plots were rebuilt bit for bit")
        return
    rows = [[str(one.path), f"{one.largest:.2g}", one.what] for one in found]
    click.echo(tabulate(rows, ["file", "largest difference", ""], "github", disable_numparse=True))
    labels = "differ" if any(one.path == CONFUSION_MATRIX_CSV for one in found) else "are equal"
    largest = max(one.largest for one in found)
    click.echo(f"The predictions for the test rows {labels}; no number differs by more than {largest:.2g}.")
    if not 0 < tolerance >= largest:
        raise ArtifactError("the rebuilt numbers above differ from the committed ones")
    click.echo(f"verified: within {tolerance:g}")


def _report_drift(checked: Checked, output: Path, page: str | None = None) -> int:
    """Write the report, and its page if there is one, and print it; return the exit status."""
    paths = write_report(checked, output)
    if page is not None:
        paths.append(paths[0].with_suffix(".html"))
        paths[-1].write_text(page, encoding="utf-8", newline="\n")
    lines = [report_table(checked.report), *(f"written: {path}" for path in paths)]
    echo_report("\n".join(lines))
    return DRIFT_STATUS[checked.report.verdict]


def _write_outcome(outcome: retraining.Outcome, path: Path | None) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(outcome), indent=2) + b"\n")


def _publish(run: PipelineRun, *, challenger: bool = True) -> None:
    from obesity_levels.registry import mlflow_registry

    version, is_new = mlflow_registry.publish(run, challenger=challenger)
    experiment = run.tags.get("dvc.experiment")
    name = f"{run.manifest.version} ({experiment})" if experiment else run.manifest.version
    suffix = f", the {CHALLENGER}" if challenger else ""
    click.echo(f"{name} is version {version} of {NAME}{suffix if is_new else ' already: nothing to do'}")


if __name__ == "__main__":
    main()
