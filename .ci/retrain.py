"""Retrains on a batch, and writes what is to be said about it: what .github/workflows/retrain.yaml runs.

It reads the DVC remote, and pushes to it what a new model is made of; it does not talk to GitHub. It writes into
`reports/retraining/`: `kind` (`pull-request`, `issue` or `nothing`), `title`, `body.md` and `outcome.json`; with a new
model `report.html`; and if that passes the gate, `branch.bundle`, the branch to push. Nothing else here changes.
"""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import click
import msgspec

from obesity_levels.errors import ArtifactError
from obesity_levels.evaluation.gate import Gate
from obesity_levels.options import run_command
from obesity_levels.params import load_params
from obesity_levels.paths import EVALUATE_METRICS, GATE_METRICS, PARAMS_YAML, REPORTS, TRACKED
from obesity_levels.registry.pipeline_run import experiments
from obesity_levels.registry.retraining import Outcome, experiment_name
from obesity_levels.versioning import dvc, git

BATCHES = Path("data/batches")
WRITTEN = REPORTS / "retraining"
MAKE = shlex.split(os.environ.get("MAKE", "make"))
LINES_OF_AN_ERROR = 100
LONGEST_TABLE = 55_000
"""Characters; GitHub takes 65,536 in all."""


class Finding(NamedTuple):
    """What is opened on GitHub, if anything: its title, and its text in Markdown."""

    kind: str
    title: str
    body: str


@click.command()
@click.argument("batch", required=False)
def retrain(batch: str | None) -> None:
    """Retrain on BATCH, a file that DVC tracks; by default on the last one in data/batches/ by name."""
    if git("status", "--porcelain"):
        raise ArtifactError("a branch is made of what is committed: commit or stash your changes first")
    shutil.rmtree(WRITTEN, ignore_errors=True)
    WRITTEN.mkdir(parents=True)
    finding = look_at(chosen(batch))
    for name, text in {"kind": finding.kind, "title": finding.title, "body.md": finding.body}.items():
        (WRITTEN / name).write_text(f"{text}\n", encoding="utf-8")
    click.echo(f"{finding.kind}: {finding.title}")


def chosen(batch: str | None) -> str:
    """The batch that was named, or the newest one. Raises ArtifactError if git has no such `.dvc` file."""
    tracked = [name.removesuffix(".dvc") for name in git("ls-files", "-z", "*.dvc").split("\0") if name]
    if batch is not None and batch not in tracked:
        raise ArtifactError(f"{batch} is not tracked: run `dvc add {batch}` and `dvc push`, and commit {batch}.dvc")
    newest = max((name for name in tracked if Path(name).parent == BATCHES), default=None)
    if batch is None and newest is None:
        raise ArtifactError(f"there is no batch: put one into {BATCHES}/, and run `dvc add` and `dvc push`")
    return batch or str(newest)


def look_at(batch: str) -> Finding:
    """Check a batch for drift, and train on it if it has drifted."""
    run("dvc", "pull", f"{batch}.dvc")
    name = experiment_name(Path(batch), Path(load_params().ingest.layout))
    if git("for-each-ref", f"refs/remotes/*/{name}", f"refs/heads/{name}"):
        return Finding("nothing", f"{batch}: the branch {name} exists already", "Delete it to train on the rows again.")
    # The model, and the rows that it was made from: from the remote, or else made again.
    run("dvc", "repro", "--pull")
    if git("status", "--porcelain"):
        raise ArtifactError("dvc.lock is not of these params and this code: run `dvc repro` and commit what it changes")

    failed = make("retrain", f"SOURCE={batch}", f"JSON={WRITTEN}/outcome.json")
    if not (WRITTEN / "outcome.json").exists():
        return Finding("issue", f"{batch} cannot be trained on ({name})", why(batch, "This failed:", failed))
    outcome = msgspec.json.decode((WRITTEN / "outcome.json").read_bytes(), type=Outcome)
    if outcome.unit_error:
        return Finding("issue", f"{batch} is likely in another unit ({name})", why(batch, outcome.recommendation))
    if outcome.experiment is None or outcome.gate is None:
        return Finding("nothing", f"{batch}: {outcome.verdict}", outcome.recommendation)

    # Experiments on other commits may have this name too.
    revision = dict(experiments())[name]
    run("obesity-levels", "report", revision, "--against", git("rev-parse", "HEAD"), "--to", f"{WRITTEN}/report.html")
    body = f"{outcome.recommendation}\n\n{described(revision, outcome.gate)}"
    if not outcome.gate.passed:
        return Finding("issue", f"{batch}: a model trained on it does not pass the gate ({name})", why(batch, body))
    failed = put_on_branch(name, revision, batch)
    if failed is not None:
        return Finding("issue", f"{batch}: {name} is not rebuilt bit for bit", why(batch, "`make verify`:", failed))
    verified = "`make verify` has rebuilt it bit for bit. After the merge, `dvc pull` brings the rows and the model."
    return Finding("pull-request", f"Train on {batch} ({name})", f"{verified}\n\n{body}")


def put_on_branch(name: str, revision: str, batch: str) -> str | None:
    """Commit an experiment, rebuild it, push its files to the remote, and bundle it as a branch of its name.

    Returns None, or the errors of the rebuild if it is not the same; then there is no branch.
    """
    base = git("rev-parse", "HEAD")
    started_on = git("branch", "--show-current") or base
    git("checkout", "--quiet", "--detach")
    try:
        run("dvc", "exp", "apply", revision)
        git("add", *map(str, (PARAMS_YAML, *TRACKED)))
        git("commit", "--quiet", "--message", f"Train on {batch}, which has drifted")
        failed = make("verify")
        if failed is None:
            run("dvc", "push")
            git("branch", name)
            git("bundle", "create", f"{WRITTEN}/branch.bundle", f"{base}..{name}")
    finally:
        git("checkout", "--quiet", "--force", started_on)
        run("dvc", "checkout", "--quiet", "--force")
    return failed


def described(revision: str, gate: Gate) -> str:
    """How a model meets the gate, and what differs from the present one, in Markdown."""
    conditions = [f"- {'holds' if one.holds else '**fails**'}: {key}: {one}" for key, one in gate.conditions.items()]
    metrics = difference("metrics", revision, "--targets", str(EVALUATE_METRICS), str(GATE_METRICS))
    if len(metrics) > LONGEST_TABLE:
        metrics = difference("metrics", revision, "--targets", str(GATE_METRICS))
    folded = f"<details><summary>every difference</summary>\n\n{metrics}\n</details>\n"
    return "\n".join(("## Gate", *conditions, "\n## Metrics", folded, "## Params", difference("params", revision)))


def difference(what: str, revision: str, *options: str) -> str:
    """What DVC says differs from the last commit, as a table without padding, as in ci.yaml."""
    return re.sub(r"([ -])\1+", r"\1", dvc(what, "diff", "--md", "HEAD", revision, *options))


def why(batch: str, reason: str, failed: str | None = None) -> str:
    """The text of an issue: the reason, the errors of a command, and how to see the same."""
    printed = "" if failed is None else f"\n```\n{failed}\n```\n"
    return f"{reason}\n{printed}\nTo see it: `dvc pull {batch}.dvc && make retrain SOURCE={batch}`."


def make(target: str, *settings: str) -> str | None:
    """Make a target: None if it succeeds, else its errors, or the end of standard error if none is marked as one."""
    finished = subprocess.run([*MAKE, target, *settings], stderr=subprocess.PIPE, text=True, check=False)
    click.echo(finished.stderr, err=True, nl=False)
    lines = finished.stderr.splitlines()[-LINES_OF_AN_ERROR:]
    errors = [line for line in lines if line.lower().startswith("error: ")]
    return "\n".join(errors or lines) if finished.returncode else None


def run(*command: str) -> None:
    """Run a command that has to succeed. Raises ArtifactError if it does not."""
    if subprocess.run(command, check=False).returncode:
        raise ArtifactError(f"`{shlex.join(command)}` failed, see above")


if __name__ == "__main__":
    run_command(retrain, None, "retrain.py")
