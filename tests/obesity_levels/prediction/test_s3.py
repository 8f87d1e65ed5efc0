"""`obesity-levels predict` from and to S3: a server of this machine that speaks it."""

import socket
import subprocess
from urllib.request import urlopen

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs
from tests.prediction import predict
from tests.waiting import eventually

from obesity_levels.data.csv_file import BLOCK_BYTES
from obesity_levels.prediction import command

NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")


@pytest.fixture(scope="module")
def server(operations):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [operations / "moto_server", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: answers(address), "the server answers")
        yield address
    finally:
        process.kill()
        process.wait()


def answers(address: str) -> bool:
    try:
        with urlopen(f"{address}/moto-api/"):
            return True
    except OSError:
        return False


def table(path, filesystem=None) -> pa.Table:
    """The rows of a file or a folder, without what is said of them."""
    return pq.read_table(path, filesystem=filesystem).replace_schema_metadata()


@pytest.fixture
def bucket(server, project, monkeypatch):
    """A bucket with two CSV files of the same rows, and a Parquet file."""
    for name in NAMES:
        monkeypatch.setenv(name, "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    s3 = fs.S3FileSystem(allow_bucket_creation=True, endpoint_override=server)
    s3.create_dir("survey")
    local = fs.LocalFileSystem()
    for name, path in {
        "csv/a.csv": "data/raw.csv",
        "csv/b.csv": "data/raw.csv",
        "clean.parquet": "data/clean.parquet",
    }.items():
        fs.copy_files(path, f"survey/in/{name}", source_filesystem=local, destination_filesystem=s3)
    return s3


@pytest.mark.parametrize("given", ["csv/a.csv", "csv", "csv/*.csv", "csv/?.csv", "clean.parquet"])
def test_objects_are_read_as_files_are(bucket, project, tmp_path, given):
    assert predict(f"s3://survey/in/{given}", "--to", tmp_path / "s3.parquet") == 0
    files = ["data/clean.parquet"] if "parquet" in given else ["data/raw.csv"] * (1 if given == "csv/a.csv" else 2)
    assert predict(*files, "--to", tmp_path / "here.parquet") == 0
    assert table(tmp_path / "s3.parquet") == table(tmp_path / "here.parquet")


def test_parts_are_written_to_s3_and_a_run_goes_on_there(bucket, project, tmp_path):
    arguments = ["s3://survey/in/csv/", "--to", "s3://survey/out/"]
    assert predict(*arguments) == 0
    found = table("survey/out", bucket)
    assert predict("data/raw.csv", "data/raw.csv", "--to", tmp_path / "here.parquet") == 0
    assert found == table(tmp_path / "here.parquet")
    bucket.delete_file("survey/out/part-000001.parquet")
    assert predict(*arguments) == 0
    assert table("survey/out", bucket) == found
    assert predict(*arguments, "--keep", "Age") == 1


def test_an_object_that_does_not_exist_is_an_error(bucket, project, tmp_path, capsys):
    assert predict("s3://survey/none.csv", "--to", tmp_path / "x.csv") == 1
    assert "s3://survey/none.csv: no such file" in capsys.readouterr().err


def test_a_bucket_that_does_not_exist_is_an_error(bucket, project, tmp_path, capsys):
    assert predict("s3://nobodys/rows.csv", "--to", tmp_path / "x.csv") == 1
    assert "nobodys" in capsys.readouterr().err


def test_an_object_larger_than_a_block_is_read_whole(bucket, project, raw, tmp_path):
    pd.concat([raw] * 200).to_csv(tmp_path / "large.csv", index=False)
    assert (tmp_path / "large.csv").stat().st_size > BLOCK_BYTES
    fs.copy_files(str(tmp_path / "large.csv"), "survey/large.csv", destination_filesystem=bucket)
    assert predict("s3://survey/large.csv", "--to", tmp_path / "s3.parquet") == 0
    assert predict(tmp_path / "large.csv", "--to", tmp_path / "here.parquet") == 0
    assert table(tmp_path / "s3.parquet") == table(tmp_path / "here.parquet")


def test_row_groups_of_an_object_are_parts(bucket, project, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "PART_BYTES", 10_000)
    rows = pd.read_parquet("data/clean.parquet")
    rows.to_parquet(tmp_path / "rows.parquet", row_group_size=50)
    fs.copy_files(str(tmp_path / "rows.parquet"), "survey/groups.parquet", destination_filesystem=bucket)
    assert predict("s3://survey/groups.parquet", "--to", tmp_path / "parts") == 0
    assert len(list(tmp_path.glob("parts/part-*"))) >= 3
    assert predict(tmp_path / "rows.parquet", "--to", tmp_path / "here.parquet") == 0
    assert table(tmp_path / "parts") == table(tmp_path / "here.parquet")


@pytest.mark.parametrize("address", ["s3:///x.csv", "s3://survey//x.csv", "s3://", "s3://survey/*/a.csv"])
def test_what_is_no_address_is_an_error(bucket, project, tmp_path, capsys, address):
    assert predict(address, "--to", tmp_path / "x.csv") == 1
    assert f"error: {address}" in capsys.readouterr().err


def test_a_bucket_that_cannot_be_written_is_an_error_that_names_it(bucket, project, capsys):
    assert predict("data/raw.csv", "--to", "s3://nobodys/out/") == 1
    assert "s3://nobodys/out" in capsys.readouterr().err
