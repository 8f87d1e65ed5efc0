"""No secret in what a public clone gives to everybody: the files, every version of them before, and the messages.

By Yelp's detect-secrets: the forms of known tokens and keys, passwords in URLs, what is assigned to a name like
`password`, and texts of high entropy. Not hexadecimal ones: md5 and sha256 are all over this project.
"""

import json
import re
import subprocess
from collections import defaultdict
from pathlib import Path

from tests.command import printed
from tests.conftest import ROOT

# A third of all lines, of the lock files; hexadecimal, so nothing is looked for in them.
HASH = re.compile(rb" {4}--hash=sha256:[0-9a-f]{64}( \\)?")

# The path and the kind of what is none: texts that tests need, of the same form as a secret.
NO_SECRETS = {
    ("tests/end_to_end/test_publishing.py", "Basic Auth Credentials"),
    ("tests/service/test_errors.py", "Secret Keyword"),
}


def secrets_in(folder: Path, operations: Path) -> set[tuple[str, str]]:
    """Path and kind of each secret in the files of `folder`."""
    plugins = ("--no-verify", "--disable-plugin", "HexHighEntropyString")
    found = json.loads(printed(operations / "detect-secrets", "scan", "--all-files", *plugins, ".", cwd=folder))
    return {(path, secret["type"]) for path, secrets in found["results"].items() for secret in secrets}


def git(*arguments: str, **options) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True, **options).stdout


def every_line() -> dict[str, dict[bytes, None]]:
    """Of every path, each line that it had in any version that HEAD can reach, or has now; and those of the messages.

    Once: what detect-secrets looks for is in one line.
    """
    named = [line.partition(" ") for line in git("rev-list", "--objects", "HEAD").decode().splitlines()]
    paths = {sha: path for sha, _, path in named if path}
    lines: dict[str, dict[bytes, None]] = defaultdict(dict)
    content = git("cat-file", "--batch", input="\n".join(paths).encode())
    while content:
        head, _, content = content.partition(b"\n")
        sha, kind, size = head.decode().split()
        if kind == "blob":
            lines[paths[sha]] |= dict.fromkeys(content[: int(size)].splitlines())
        content = content[int(size) + 1 :]
    for path in git("ls-files", "-z").decode().split("\0")[:-1]:
        if (ROOT / path).is_file():
            lines[path] |= dict.fromkeys((ROOT / path).read_bytes().splitlines())
    lines["messages"] = dict.fromkeys(git("log", "--format=%an %ae %cn %ce%n%B", "HEAD").splitlines())
    return lines


def test_no_version_of_any_file_and_no_message_holds_a_secret(tmp_path, operations):
    for path, lines in every_line().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"\n".join(line for line in lines if not HASH.fullmatch(line)))
    assert secrets_in(tmp_path, operations) == NO_SECRETS


# Of the kinds that NO_SECRETS does not show. Put together here, or this file would be one of those that hold a secret.
PLANTED = {
    "AWS Access Key": ("notes.txt", "AKIA" + "IOSFODNN7EXAMPLK"),
    "GitHub Token": ("ci.yaml", "token: ghp_" + "0123456789abcdefABCDEF0123456789abcd"),
    "Private Key": ("id_ed25519", "-----BEGIN OPENSSH " + "PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n"),
    "Base64 High Entropy String": ("gdrive.json", '{"key": "' + 'n3J2kqv8Zt0YpLx5RmWb7uHsQd1EfGaC"}'),
}


def test_secrets_that_are_planted_are_found(tmp_path, operations):
    for name, content in PLANTED.values():
        (tmp_path / name).write_text(content)
    assert {(name, kind) for kind, (name, _) in PLANTED.items()} <= secrets_in(tmp_path, operations)
