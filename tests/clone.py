"""A clone of the project somewhere else, and its commands, run as a user does: real git, real DVC, real stages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# Everything that decides how long a run takes, made small; what is tested with it does not depend on the model.
SMALL = {
    r"  rows: \d+": "  rows: 400",
    r"  folds: 5": "  folds: 2",
    r"n_estimators: \[.*\]": "n_estimators: [5]",
    r"max_features: \[.*\]": "max_features: [5]",
    r"min_samples_leaf: \[.*\]": "min_samples_leaf: [1]",
    r"max_iter: \[.*\]": "max_iter: [5]",
    r"max_leaf_nodes: \[.*\]": "max_leaf_nodes: [15]",
    r"l2_regularization: \[.*\]": "l2_regularization: [0.0]",
    r"  C: \[.*\]": "  C: [1.0]",
    r"weights: \[.*\]": "weights: [[1, 1]]",
    r"copies: 10 ": "copies: 1 ",
    r"resamples: \d+": "resamples: 100",
    r"repeats: \d+": "repeats: 1",
    r"shares: \[.*\]": "shares: [0.5, 1.0]",
    r"permutations: \d+": "permutations: 99",
    r" sizes: \[.*\]": " sizes: [50]",
    r"threshold_draws: \d+": "threshold_draws: 1000",
    r" draws: \d+": " draws: 100",
    r"power_draws: \d+": "power_draws: 10",
    r"window_sizes: \[.*\]": "window_sizes: [50, 200, 1000]",
    r"intensities: \[.*\]": "intensities: [0.3]",
}


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

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def edit(self, name: str, changes: dict[str, str]) -> None:
        """Replace regular expressions in a file; each must be found."""
        path = self.path / name
        text = path.read_text()
        for old, new in changes.items():
            text, count = re.subn(old, new, text)
            assert count, f"{name} has no {old!r}"
        path.write_text(text)

    def made(self) -> dict[str, bytes]:
        """All that the pipeline has made, and its lock."""
        folders = (self.path / name for name in ("data", "models", "metrics", "plots"))
        files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.path)): path.read_bytes() for path in (self.path / "dvc.lock", *files)}

    def changed_files(self) -> list[str]:
        return self.run("git", "status", "--porcelain").stdout.splitlines()


def clone_project(source: Path, folder: Path) -> Clone:
    """Clone the last commit of `source` into `folder`; its stages run its own code, with this process's packages."""
    clone = _clone_in(folder)
    subprocess.run(["git", "clone", "--quiet", "--no-local", str(source), str(clone.path)], check=True)
    # CI's checkout may have no branch; here there is one, and it is called main.
    clone.run("git", "checkout", "--quiet", "-B", "main")
    return clone


def clone_small(source: Path, folder: Path) -> Clone:
    """A clone with params that make it fast, its pipeline run and committed."""
    clone = clone_project(source, folder)
    clone.edit("params.yaml", SMALL)
    clone.run("dvc", "repro", "--quiet")
    clone.run("git", "commit", "--quiet", "--all", "--message", "Make it small")
    return clone


def copy_clone(template: Path, folder: Path) -> Clone:
    """A copy in `folder` of the clone that was made in `template`."""
    shutil.copytree(template, folder, symlinks=True, dirs_exist_ok=True)
    return _clone_in(folder)


def _clone_in(folder: Path) -> Clone:
    path = folder / "clone"
    not_ours = ("DVC_", "GIT_", "COV_", "PYTEST", "MLFLOW_")
    own = {name: value for name, value in os.environ.items() if not name.startswith(not_ours)}
    identity = {"NAME": "A Newcomer", "EMAIL": "newcomer@example.com"}
    environment = own | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}",
        "PYTHONPATH": str(path / "src"),
        "HOME": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "DVC_SITE_CACHE_DIR": str(folder / "dvc-site"),
        "DVC_GLOBAL_CONFIG_DIR": str(folder / "dvc-global"),
        "DVC_SYSTEM_CONFIG_DIR": str(folder / "dvc-system"),
        # The tests run on all cores; a stage that starts processes of its own is in their way.
        "LOKY_MAX_CPU_COUNT": "1",
        **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in identity.items()},
    }
    return Clone(path, environment)
