"""What a run of the pipeline made, found in a real workspace or as an experiment, and refused if it is not complete."""

import re

import pytest
from tests.clone import Clone, copy_clone

from obesity_levels.errors import ArtifactError, RegistryError
from obesity_levels.registry.pipeline_run import experiment_run, find_experiment, workspace_run

COMPLETE, BROKEN_OFF = "complete", "broken-off"


@pytest.fixture(scope="module")
def project(small_template, tmp_path_factory) -> Clone:
    """A clone with two experiments: one was run to its end, one only up to the model."""
    clone = copy_clone(small_template, tmp_path_factory.mktemp("experiments"))
    run = ("dvc", "exp", "run", "--quiet", "--temp", "--name")
    clone.run(*run, COMPLETE, "-S", "gate.at_least.accuracy=0.01")
    clone.run(*run, BROKEN_OFF, "-S", "train.seed=6", "train")
    return clone


@pytest.fixture
def here(project, monkeypatch) -> Clone:
    project.enter(monkeypatch)
    return project


def test_the_workspace_is_what_the_last_commit_says(here):
    run = workspace_run()
    assert run.tags["git.revision"] == here.run("git", "rev-parse", "HEAD").stdout.strip()
    assert (run.tags["git.dirty"], run.tags["data.simulated"]) == ("false", "true")
    assert run.tags["dvc.md5.models/classifier.onnx"] in (here.path / "dvc.lock").read_text()


@pytest.mark.parametrize(
    ("path", "old", "new", "stages"),
    [
        ("metrics/evaluate.json", '"accuracy": 0', '"accuracy": 1', "evaluate (metrics/evaluate.json)"),
        ("params.yaml", "min_rows: 50", "min_rows: 51", "check (params.yaml), drift-simulate (params.yaml)"),
        ("models/manifest.json", '"full"', '"habits"', "train (models/manifest.json)"),
    ],
    ids=["a number edited by hand", "params that were not run", "an altered artifact"],
)
def test_a_workspace_that_is_not_as_dvc_lock_says_is_refused(here, path, old, new, stages):
    file = here.path / path
    content = file.read_text()
    file.unlink()  # it may be a link into DVC's cache
    file.write_text(content.replace(old, new, 1))
    try:
        with pytest.raises(ArtifactError, match=re.escape(stages)) as error:
            workspace_run()
    finally:
        file.write_text(content)
    assert "not as dvc.lock says" in str(error.value)
    assert "run `dvc repro`" in str(error.value)


@pytest.mark.parametrize("shallow", [False, True])
def test_an_experiment_is_found_complete_even_in_a_shallow_repository(here, shallow):
    """Most clones in CI are shallow; nothing can be cloned from them."""
    if shallow:
        here.write(".git/shallow", here.run("git", "rev-parse", "HEAD").stdout)
    try:
        with experiment_run(find_experiment(COMPLETE)) as run:
            assert run.tags["dvc.experiment"] == COMPLETE
            assert run.digest != workspace_run().digest
            assert (run.folder / "models/classifier.onnx").exists()
    finally:
        (here.path / ".git/shallow").unlink(missing_ok=True)
    assert here.changed_files() == []


def test_an_experiment_that_was_run_only_up_to_the_model_has_the_metrics_of_another_and_is_refused(here):
    experiment = find_experiment(BROKEN_OFF)
    with pytest.raises(ArtifactError, match=re.escape("evaluate (")) as error, experiment_run(experiment):
        pass
    assert str(error.value).startswith("experiment broken-off: not complete")


def test_an_experiment_whose_model_is_not_in_the_cache_is_refused(here):
    experiment = find_experiment(BROKEN_OFF)
    locks = (here.run("git", "show", f"{commit}:dvc.lock").stdout for commit in (experiment.revision, "HEAD"))
    its, ours = (set(re.findall(r"path: models/classifier.onnx\s+hash: md5\s+md5: (\w+)", lock)) for lock in locks)
    (md5,) = its - ours
    cached = here.path / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    content = cached.read_bytes()
    cached.unlink()
    try:
        with pytest.raises(ArtifactError, match="not complete .`dvc pull`") as error, experiment_run(experiment):
            pass
    finally:
        cached.write_bytes(content)
    assert "train (models/classifier.onnx not in cache)" in str(error.value)


def test_of_two_experiments_of_one_name_the_revision_says_which(clone, monkeypatch):
    clone.enter(monkeypatch)
    clone.run("dvc", "exp", "save", "--name", "twin")
    first = find_experiment("twin")
    clone.run("git", "commit", "--quiet", "--allow-empty", "--message", "Another baseline")
    clone.run("dvc", "exp", "save", "--name", "twin")
    with pytest.raises(RegistryError, match="choose one by its revision") as error:
        find_experiment("twin")
    revisions = re.findall(r"\b[0-9a-f]{7}\b", str(error.value))
    assert len(revisions) == 2
    assert first in map(find_experiment, revisions)


def test_an_experiment_is_found_in_a_folder_whose_name_dvc_cannot_write(clone, monkeypatch):
    clone.run("dvc", "exp", "save", "--name", "saved")
    clone.path = clone.path.rename(clone.path.with_name("Übung"))
    clone.enter(monkeypatch)
    with experiment_run(find_experiment("saved")) as run:
        assert run.tags["dvc.experiment"] == "saved"


def test_an_experiment_that_does_not_exist_is_an_error_that_says_how_to_list_them(here):
    with pytest.raises(RegistryError, match="there is no experiment 'deeper' .*dvc exp list -A"):
        find_experiment("deeper")
