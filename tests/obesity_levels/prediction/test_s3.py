"""`obesity-levels predict` from and to S3: a server of this machine that speaks it."""

import socket
import subprocess
from urllib.request import urlopen

import pyarrow.parquet as pq
import pytest
from pyarrow import fs
from tests.prediction import predict
from tests.waiting import eventually

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
    assert pq.read_table(tmp_path / "s3.parquet") == pq.read_table(tmp_path / "here.parquet")


def test_parts_are_written_to_s3_and_a_run_goes_on_there(bucket, project, tmp_path):
    arguments = ["s3://survey/in/csv/", "--to", "s3://survey/out/"]
    assert predict(*arguments) == 0
    found = pq.read_table("survey/out", filesystem=bucket).replace_schema_metadata()
    assert predict("data/raw.csv", "data/raw.csv", "--to", tmp_path / "here.parquet") == 0
    assert found == pq.read_table(tmp_path / "here.parquet").replace_schema_metadata()
    bucket.delete_file("survey/out/part-000001.parquet")
    assert predict(*arguments) == 0
    assert pq.read_table("survey/out", filesystem=bucket).replace_schema_metadata() == found
    assert predict(*arguments, "--keep", "Age") == 1


def test_an_object_that_does_not_exist_is_an_error(bucket, project, tmp_path, capsys):
    assert predict("s3://survey/none.csv", "--to", tmp_path / "x.csv") == 1
    assert "s3://survey/none.csv: no such file" in capsys.readouterr().err


def test_a_bucket_that_does_not_exist_is_an_error(bucket, project, tmp_path, capsys):
    assert predict("s3://nobodys/rows.csv", "--to", tmp_path / "x.csv") == 1
    assert "nobodys" in capsys.readouterr().err
