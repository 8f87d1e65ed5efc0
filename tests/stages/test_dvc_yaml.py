"""dvc.yaml declares what the stages really use, and they make the same anywhere."""

import json
import re
import shutil
import sys
from typing import NamedTuple

import pytest
from tests.clone import Clone, copy_clone
from tests.conftest import ROOT

from obesity_levels.params import Params, read_yaml

STAGES = read_yaml(ROOT / "dvc.yaml")["stages"]
SCRIPTS = {name: stage["cmd"].removeprefix("python ") for name, stage in STAGES.items()}


def names(entries: list) -> list[str]:
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_the_sections_of_the_params_that_it_names_and_the_whole_of_its_own(stage):
    """All keys of its own, so that none is forgotten when one is added."""
    script = (ROOT / SCRIPTS[stage]).read_text()
    named = set(re.findall(r"(?:params|load_params\(\))\.(\w+)", script)) & set(Params.__struct_fields__)
    declared = STAGES[stage].get("params", [])
    assert named <= {name.split(".")[0] for name in declared} | ({"ingest"} if stage == "check" else set())
    assert {stage.removesuffix("-simulate")} & set(Params.__struct_fields__) <= set(declared)


def test_metrics_and_plots_are_tracked_by_git_and_all_else_by_dvc():
    for stage in STAGES.values():
        for kind in ("metrics", "plots"):
            assert all(options == {"cache": False} for entry in stage.get(kind, []) for options in entry.values())
        for out in stage.get("outs", []):  # the model card is no metric, and for reviews
            assert isinstance(out, str) or out == {"metrics/model_card.md": {"cache": False}}


SPY = """
import json, os, runpy, sys
root = os.getcwd() + os.sep
read, seen = [], set()
def spy(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if path.startswith(root) and os.path.isfile(path) and arguments[1] in (None, "r", "rb"):
            seen.add(path[len(root):])
sys.addaudithook(spy)
for script in sys.argv[1:]:
    for module in [name for name in sys.modules if name.split(".")[0] == "obesity_levels"]:
        del sys.modules[module]  # so that each stage reads what it imports itself
    seen.clear()
    runpy.run_path(script, run_name="__main__")
    read.append(sorted(seen))
print(json.dumps(read))
"""


class Rebuilt(NamedTuple):
    """A clone in which every stage was run again, and for each stage the files of the project that it read."""

    clone: Clone
    files_read: dict[str, list[str]]


@pytest.fixture(scope="module")
def rebuilt(small_template, tmp_path_factory) -> Rebuilt:
    """With another hash seed, time zone, locale and umask, and with one thread.

    Watched through Python's audit events while the stages run one after the other, in one process, which imports pandas
    and scikit-learn once. What native code opens by itself is not seen.
    """
    clone = copy_clone(small_template, tmp_path_factory.mktemp("elsewhere"))
    for compiled in [*clone.path.rglob("__pycache__")]:
        shutil.rmtree(compiled)  # so that a module that is imported is read
    elsewhere = {"PYTHONHASHSEED": "7", "TZ": "Asia/Kathmandu", "LC_ALL": "C", "OMP_NUM_THREADS": "1"}
    command = (sys.executable, "-B", "-c", SPY, *SCRIPTS.values())
    run = clone.run("sh", "-c", 'umask 077 && exec "$@"', "sh", *command, **elsewhere)
    return Rebuilt(clone, dict(zip(STAGES, json.loads(run.stdout.splitlines()[-1]), strict=True)))


def test_stages_that_are_run_again_elsewhere_make_the_same_bit_for_bit(rebuilt, small_clone):
    assert rebuilt.clone.made() == small_clone.made()
    assert rebuilt.clone.changed_files() == []


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_declares_the_files_of_the_project_and_the_code_that_it_reads_and_no_other_code(rebuilt, name):
    stage = STAGES[name]
    source = {"${ingest.source}": "data/population.yaml", "${ingest.layout}": "data/layout.yaml"}
    declared = [source.get(dep, dep) for dep in stage["deps"]]
    if name == "check":  # dvc.yaml says why
        declared += source.values()
    # a stage may look at what it has just written itself
    own = [out for kind in ("outs", "metrics", "plots") for out in names(stage.get(kind, []))]
    # and Python at the version of a package that is installed from the clone
    allowed = ("params.yaml", ".git", ".dvc", *declared, *own)
    read_for = {one: [path for path in rebuilt.files_read[name] if f"{path}/".startswith(f"{one}/")] for one in allowed}
    assert sorted(set(rebuilt.files_read[name]).difference(*read_for.values())) == []
    assert [one for one, read in read_for.items() if one.startswith(("src/", "stages/")) and not read] == []
    assert "requirements.lock" in declared  # for the code of others
