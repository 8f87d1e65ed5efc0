"""Line ends are part of what DVC hashes, so a checkout has the same ones everywhere."""

from tests.command import printed
from tests.conftest import ROOT


def test_where_git_writes_crlf_a_clone_has_the_bytes_of_the_repository(tmp_path):
    clone = tmp_path / "clone"
    printed("git", "clone", "--quiet", "--config", "core.autocrlf=true", ROOT, clone)
    text = printed("git", "grep", "--cached", "-I", "--name-only", "-e", "", cwd=clone).split()
    assert {"params.yaml", "dvc.lock", "data/population.yaml"} <= set(text)
    assert [name for name in text if b"\r" in (clone / name).read_bytes()] == []
