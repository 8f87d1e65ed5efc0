"""The service needs what its own lock says, and nothing of the pipeline."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.serving import PATIENT, running


def pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", (ROOT / lock).read_text(), re.MULTILINE))


def test_the_service_s_packages_are_those_that_its_tests_run_with():
    assert pins("service/requirements.lock").items() <= pins("requirements.lock").items()


def test_it_runs_in_an_environment_of_its_locked_packages_alone(model_dir, tmp_path):
    folder = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    environment = os.environ | {"VIRTUAL_ENV": str(folder)}
    uv = str(Path(sys.executable).parent / "uv")
    lock = str(ROOT / "service/requirements.lock")
    subprocess.run([uv, "pip", "sync", "--quiet", "--require-hashes", lock], env=environment, check=True)
    python = str(folder / "bin/python")
    installed = {path.name for path in folder.glob("lib/python*/site-packages/*")}
    assert "litestar" in installed
    assert not installed & {"pandas", "scipy", "sklearn", "dvc", "mlflow"}
    with running(model_dir, tmp_path / "log", python=python) as service:
        assert service.predict(PATIENT).status_code == 200
        # the scripts of the pages are an installation of their own
        assert service.client.get("/docs").status_code == 503
        assert service.client.get("/schema/openapi.json").status_code == 200
