"""Files of this machine and objects in S3, by pyarrow's own file systems: their settings are the variables `AWS_…`."""

import glob
import hashlib
import io
import os
import platform
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
from pyarrow import fs

from obesity_levels.errors import RunError, SourceError

S3 = "s3://"
_FORMATS = (".csv", ".parquet")
_BUFFER_BYTES = 1 << 20


class S3File:
    """An object in S3, which opens like a Path. `uri` is s3://bucket/key."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def __str__(self) -> str:
        return self.uri

    @property
    def suffix(self) -> str:
        """That of its name, such as `.csv`."""
        return PurePosixPath(self.uri).suffix

    def with_suffix(self, suffix: str) -> str:
        """Its address with another suffix."""
        return self.uri.removesuffix(self.suffix) + suffix

    def is_dir(self) -> bool:
        """No: a folder of objects has no address of its own."""
        return False

    def open(self, _: Any = "rb") -> io.BufferedReader:
        """The object to read. Raises FileNotFoundError if there is none, OSError if it cannot be read."""
        # pyarrow's own file reads no lines
        return io.BufferedReader(_filesystem(self.uri).open_input_file(_path(self.uri)), _BUFFER_BYTES)


File = Path | S3File


def file_of(name: str) -> File:
    """The file with this path, or address in S3."""
    return S3File(name) if name.startswith(S3) else Path(name)


def input_files(given: Sequence[str]) -> list[File]:
    """The files that are named, sorted: each of `given` is a file, a folder of CSV or Parquet files, or a pattern.

    Raises SourceError where there is none.
    """
    found: list[File] = []
    for name in given:
        files = [file_of(file) for file in sorted(_s3_names(name) if name.startswith(S3) else _local_names(name))]
        if not files:
            raise SourceError(f"{name}: no such file was found, and no {' or '.join(_FORMATS)} file in such a folder")
        found += files
    return found


def fingerprint(file: File) -> dict[str, Any]:
    """What changes when the file changes: its sha256; of an object in S3, which is not read for it, size and time."""
    if isinstance(file, S3File):
        info = _filesystem(file.uri).get_file_info(_path(file.uri))
        return {"bytes": info.size, "changed": str(info.mtime)}
    with file.open("rb") as content:
        return {"sha256": hashlib.file_digest(content, "sha256").hexdigest()}


class Folder:
    """A folder to write to, of this machine or in S3. A file in it appears when it is complete."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/") or "/"
        self._filesystem, self._path = _filesystem(uri), _path(self.uri)

    def __str__(self) -> str:
        return self.uri

    def names(self) -> list[str]:
        """The names of the files in it; none if it does not exist."""
        files = self._filesystem.get_file_info(fs.FileSelector(self._path, allow_not_found=True))
        return sorted(file.base_name for file in files if file.base_name)

    def read(self, name: str) -> bytes:
        """The content of a file."""
        with self.open(name) as file:
            return file.read()

    def open(self, name: str) -> pa.NativeFile:
        """A file, to read."""
        return self._filesystem.open_input_file(f"{self._path}/{name}")

    def write(self, name: str, content: bytes | pa.Buffer) -> None:
        """Write a file, or replace it. Raises RunError, of a full disk for instance."""
        if self.uri.startswith(S3):  # an object is there when all of it has arrived
            try:
                with self._filesystem.open_output_stream(f"{self._path}/{name}") as file:
                    file.write(content)
            except OSError as error:
                raise RunError(f"{self}/{name} cannot be written: {error}") from error
            return
        with self._temporary(name, content) as temporary:
            temporary.replace(f"{self._path}/{name}")

    def create(self, name: str, content: bytes) -> None:
        """Write a file if there is none. In S3 two that do so at the same time are not kept apart."""
        if self.uri.startswith(S3):
            if name not in self.names():
                self.write(name, content)
            return
        path = Path(f"{self._path}/{name}")
        with self._temporary(name, content) as temporary:
            try:
                path.hardlink_to(temporary)
            except FileExistsError:
                pass
            except OSError:  # a file system without hard links
                if not path.exists():
                    temporary.replace(path)

    @contextmanager
    def _temporary(self, name: str, content: bytes | pa.Buffer) -> Iterator[Path]:
        """A complete file under another name, which is removed in the end."""
        temporary = Path(f"{self._path}/.{name}{self._mark(os.getpid())}")
        try:
            temporary.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(content)
            yield temporary
        except OSError as error:
            raise RunError(f"{self._path}/{name} cannot be written: {error}") from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    @staticmethod
    def _mark(pid: int | str) -> str:
        return f".{platform.node()}.{pid}.tmp"

    def remove_left_over(self) -> None:
        """Remove what killed processes of this machine have left half-written; of others, it may still be written."""
        for name in self.names():
            pid = name.split(".")[-2] if name.endswith(".tmp") else ""
            if pid.isdigit() and name.endswith(self._mark(pid)) and _has_ended(int(pid)):
                self.remove([name])

    def remove(self, names: Sequence[str]) -> None:
        """Remove files."""
        for name in names:
            self._filesystem.delete_file(f"{self._path}/{name}")


def _local_names(name: str) -> list[str]:
    path = Path(name)
    if path.is_dir():
        return [str(file) for file in path.iterdir() if file.suffix.lower() in _FORMATS]
    # Path.glob takes no absolute pattern.
    return [name] if path.exists() else glob.glob(name)  # noqa: PTH207


def _s3_names(name: str) -> list[str]:
    filesystem, path = _filesystem(name), _path(name)
    if filesystem.get_file_info(path).type == fs.FileType.File:
        return [name]
    is_pattern = glob.has_magic(path)
    folder = path.rpartition("/")[0] if is_pattern else path.rstrip("/")
    if glob.has_magic(folder):
        raise SourceError(f"{name}: in S3 only the last part of an address may be a pattern")
    files = filesystem.get_file_info(fs.FileSelector(folder, allow_not_found=True))
    return [
        f"{S3}{file.path}"
        for file in files
        if file.type == fs.FileType.File
        and (fnmatch(file.path, path) if is_pattern else PurePosixPath(file.path).suffix.lower() in _FORMATS)
    ]


def _has_ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's
        pass
    return False


def _filesystem(uri: str) -> fs.FileSystem:
    if not uri.startswith(S3):
        return fs.LocalFileSystem()
    # the one of the usual variables that pyarrow does not read itself
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return fs.S3FileSystem(endpoint_override=endpoint)


def _path(uri: str) -> str:
    if uri.startswith(S3) and not re.fullmatch(r"s3:/(/[^/]+)+/?", uri):
        raise SourceError(f"{uri} is no address in S3: write s3://BUCKET/KEY")
    return uri.removeprefix(S3)
