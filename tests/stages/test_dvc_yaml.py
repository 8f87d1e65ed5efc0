"""dvc.yaml declares what the stages really use."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from tests.conftest import ROOT

from obesity_levels.params import Params

PIPELINE = YAML(typ="safe").load(ROOT / "dvc.yaml")
STAGES = PIPELINE["stages"]


def modules_imported(path: Path) -> set[Path]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "obesity_levels":
            package = ROOT / "src" / node.module.replace(".", "/")
            modules = [package.with_suffix(".py"), *(package / f"{alias.name}.py" for alias in node.names)]
            found |= {module for module in modules if module.exists()}
    return found


def all_modules(script: Path) -> set[Path]:
    """Those that a script imports, directly or not, and the packages that they are in."""
    seen, todo = set(), {script}
    while todo:
        module = todo.pop()
        seen.add(module)
        todo |= modules_imported(module) - seen
    packages = {folder / "__init__.py" for module in seen for folder in module.parents}
    return {path.relative_to(ROOT) for path in seen | packages if path.exists()}


def names(entries: list) -> list[str]:
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_its_script_on_what_it_imports_and_on_the_locked_environment_and_on_no_other_code(stage):
    declared = {Path(dep) for dep in STAGES[stage]["deps"] if dep.startswith(("src/", "stages/"))}
    needed = all_modules(ROOT / f"stages/{stage.replace('-', '_')}.py")
    covered = {module: {dep for dep in declared if dep == module or dep in module.parents} for module in needed}
    assert [str(module) for module, by in covered.items() if not by] == []
    assert declared == set().union(*covered.values())
    assert "requirements.lock" in STAGES[stage]["deps"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_the_whole_of_its_section_of_the_params(stage):
    """All its keys, so that none is forgotten when one is added."""
    section = stage.removesuffix("-simulate")
    if section in Params.__struct_fields__:
        assert section in names(STAGES[stage]["params"])


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_the_script_of_its_name(stage):
    assert STAGES[stage]["cmd"] == f"python stages/{stage.replace('-', '_')}.py"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_every_section_of_the_params_that_it_names(stage):
    script = (ROOT / f"stages/{stage.replace('-', '_')}.py").read_text()
    named = set(re.findall(r"(?:params|load_params\(\))\.(\w+)", script)) & set(Params.__struct_fields__)
    declared = {name.split(".")[0] for name in names(STAGES[stage].get("params", []))}
    assert named <= declared | ({"ingest"} if stage == "check" else set())


def test_no_stage_depends_on_what_a_later_one_writes():
    written: set[str] = set()
    for stage in STAGES.values():
        for dep in stage["deps"]:
            if dep.startswith(("models/", "metrics/", "data/")):
                assert any(dep == out or dep.startswith(f"{out}/") for out in written), dep
        written |= {out for kind in ("outs", "metrics", "plots") for out in names(stage.get(kind, []))}


def test_metrics_and_plots_are_tracked_by_git_and_all_else_by_dvc():
    for stage in STAGES.values():
        for kind in ("metrics", "plots"):
            assert all(options == {"cache": False} for entry in stage.get(kind, []) for options in entry.values())
        for out in stage.get("outs", []):  # the model card is no metric, and for reviews
            assert isinstance(out, str) or out == {"metrics/model_card.md": {"cache": False}}


SPY = """
import builtins, os, runpy, sys
root = os.getcwd() + os.sep
seen = set()
def spy(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if path.startswith(root) and os.path.isfile(path) and arguments[1] in (None, "r", "rb"):
            seen.add(path[len(root):])
sys.addaudithook(spy)
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print("READ:" + ":".join(sorted(seen)), file=sys.stderr)
"""


def test_a_stage_reads_no_file_of_the_project_that_it_does_not_declare(small_clone):
    """Watched through Python's audit events while each stage runs; what native code opens by itself is not seen."""
    for name, stage in STAGES.items():
        environment = small_clone.environment | {"PYTHONDONTWRITEBYTECODE": "1"}
        script = stage["cmd"].removeprefix("python ")
        run = subprocess.run(
            [sys.executable, "-c", SPY, script], cwd=small_clone.path, env=environment, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr
        read = set(run.stderr.rsplit("READ:", 1)[1].strip().split(os.pathsep)) - {""}
        read = {path for path in read if not path.startswith((".git/", ".dvc/")) and "__pycache__" not in path}
        declared = [dep.replace("${ingest.source}", "data/population.yaml") for dep in stage["deps"]]
        if name == "check":  # dvc.yaml says why
            declared.append("data/population.yaml")
        undeclared = {
            path
            for path in read - {"params.yaml"}
            if not any(path == dep or path.startswith(f"{dep}/") for dep in declared)
        }
        # a stage may look at what it has just written itself
        own = {out for kind in ("outs", "metrics", "plots") for out in names(stage.get(kind, []))}
        assert not {path for path in undeclared if not any(path.startswith(out) for out in own)}, name
