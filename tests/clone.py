"""A clone of the project somewhere else, and its commands, run as a user does: real git, real DVC, real stages."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

# Everything that decides how long a run takes, made small; what is tested with it does not depend on the model.
# The source is the population, whatever file a commit of the workflow `retrain` has put in its place.
SMALL = {
    "ingest.source": "data/population.yaml",
    "ingest.layout": "data/layout.yaml",
    "ingest.rows": 400,
    "train.augmentation.copies": 1,
    "train.search.folds": 2,
    "train.search.random_forest.n_estimators": [5],
    "train.search.random_forest.max_features": [5],
    "train.search.hist_gradient_boosting.max_iter": [5],
    "train.search.hist_gradient_boosting.max_leaf_nodes": [15],
    "train.search.hist_gradient_boosting.l2_regularization": [0.0],
    "train.search.logistic_regression.C": [1.0],
    "train.search.voting.weights": [[1, 1]],
    "evaluate.bootstrap.resamples": 100,
    "evaluate.cross_validation.folds": 2,
    "evaluate.cross_validation.repeats": 1,
    "evaluate.importance.repeats": 1,
    "evaluate.learning_curve.shares": [0.5, 1.0],
    "drift.detect.permutations": 99,
    "drift.calibrate.sizes": [50],
    "drift.calibrate.draws": 100,
    "drift.calibrate.power_draws": 10,
    "drift.calibrate.window_sizes": [50, 200, 1000],
    "drift.calibrate.threshold_draws": 1000,
    "drift.scenarios.intensities": [0.3],
}
yaml = YAML()  # keeps the comments


@dataclass
class Clone:
    path: Path
    environment: dict[str, str]

    def run(self, *command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the clone; with `check`, fail with all it printed if it does."""
        run = subprocess.run(
            command,
            cwd=self.path,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if check and run.returncode:
            raise AssertionError(f"{' '.join(command)} ended with {run.returncode}\n{run.stdout}\n{run.stderr}")
        return run

    def write(self, name: str, content: str | bytes) -> None:
        (self.path / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    def set_params(self, values: dict[str, Any]) -> None:
        """Change keys of params.yaml, such as `train.seed`."""
        path = self.path / "params.yaml"
        params = yaml.load(path)
        for key, value in values.items():
            *sections, name = key.split(".")
            section = reduce(getitem, sections, params)
            assert name in section, key
            section[name] = value
        yaml.dump(params, path)

    def commit(self, message: str) -> None:
        self.run("git", "commit", "--quiet", "--all", "--message", message)

    def enter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make this process, and what it starts, work in the clone."""
        monkeypatch.chdir(self.path)
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)

    def made(self) -> dict[str, bytes]:
        """All that the pipeline has made, and its lock."""
        folders = (self.path / name for name in ("data", "models", "metrics", "plots"))
        files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.path)): path.read_bytes() for path in (self.path / "dvc.lock", *files)}

    def changed_files(self) -> list[str]:
        return self.run("git", "status", "--porcelain").stdout.splitlines()


def with_make(target: str) -> list[str]:
    """A target of the Makefile, in the environment that runs this instead of one of the clone's own."""
    here = Path(sys.executable).parent.parent
    return ["make", "--no-print-directory", f"--old-file={here}/ready", f"VENV={here}", target]


def clone_small(source: Path, folder: Path) -> Clone:
    """Clone the last commit of `source` into `folder`, with params that make it fast; its pipeline run and committed.

    Its stages run its own code, with this process's packages.
    """
    clone = _clone_in(folder)
    subprocess.run(["git", "clone", "--quiet", "--no-local", str(source), str(clone.path)], check=True)
    # CI's checkout may have no branch; here there is one, and it is called main.
    clone.run("git", "checkout", "--quiet", "-B", "main")
    clone.set_params(SMALL)
    clone.run("dvc", "repro", "--quiet")
    clone.commit("Make it small")
    return clone


def copy_clone(template: Path, folder: Path) -> Clone:
    """A copy in `folder` of the clone that was made in `template`."""
    shutil.copytree(template, folder, symlinks=True, dirs_exist_ok=True)
    return _clone_in(folder)


def _clone_in(folder: Path) -> Clone:
    path = folder / "clone"
    not_ours = ("DVC_", "GIT_", "COV_", "PYTEST", "MLFLOW_", "XDG_")  # without XDG_, its folders are in HOME
    own = {name: value for name, value in os.environ.items() if not name.startswith(not_ours)}
    identity = {"NAME": "A Newcomer", "EMAIL": "newcomer@example.com"}
    environment = own | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}",
        "PYTHONPATH": str(path / "src"),
        "HOME": str(folder),
        "DVC_SITE_CACHE_DIR": str(folder / "dvc-site"),
        "DVC_SYSTEM_CONFIG_DIR": str(folder / "dvc-system"),
        **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in identity.items()},
    }
    return Clone(path, environment)
