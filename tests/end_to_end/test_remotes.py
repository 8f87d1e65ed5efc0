"""DVC's remotes: what was made is pushed and pulled; without credentials it is said so at once."""

import shutil


def test_what_was_pushed_is_pulled_after_everything_was_lost_and_nothing_runs_again(clone, tmp_path):
    clone.run("dvc", "remote", "add", "--local", "--default", "storage", str(tmp_path / "storage"))
    clone.run("dvc", "push")
    made = {path: path.read_bytes() for path in (clone.path / "models").iterdir() if path.suffix in (".onnx", ".json")}
    assert len(made) == 3
    shutil.rmtree(clone.path / ".dvc/cache")
    for path in (*made, clone.path / "data/clean.parquet"):
        path.unlink()
    clone.run("dvc", "pull")
    assert {path: path.read_bytes() for path in made} == made
    said = clone.run("dvc", "repro").stdout
    assert "Running stage" not in said
    assert "Data and pipelines are up to date." in said


def test_a_tagged_version_of_the_artifact_is_taken_by_name_from_a_repository_and_a_remote(clone, tmp_path):
    """By somebody who has neither a clone nor this one's cache."""
    storage, repository, taken = tmp_path / "storage", tmp_path / "repository.git", tmp_path / "taken.onnx"
    clone.run("dvc", "remote", "add", "--local", "--default", "storage", str(storage))
    clone.run("dvc", "push")
    clone.run("git", "clone", "--quiet", "--bare", ".", str(repository))
    clone.run("git", "tag", "-a", "obesity-levels@v1.0.0", "-m", "Champion")
    clone.run("git", "push", str(repository), "obesity-levels@v1.0.0")
    clone.run("git", "tag", "--delete", "obesity-levels@v1.0.0")
    command = (
        "dvc",
        "artifacts",
        "get",
        f"file://{repository}",
        "obesity-levels",
        "--rev",
        "v1.0.0",
        "--out",
        str(taken),
    )
    clone.run(*command, "--remote", "storage", "--remote-config", f"url={storage}")
    assert taken.read_bytes() == (clone.path / "models/classifier.onnx").read_bytes()


def test_google_drive_without_credentials_is_refused_with_the_setting_that_is_missing(clone):
    refused = clone.run("dvc", "push", "-r", "gdrive", check=False)
    assert refused.returncode != 0
    assert "gdrive_service_account_json_file_path" in refused.stderr
