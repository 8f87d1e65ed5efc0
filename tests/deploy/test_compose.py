"""The compose file: valid, hardened, and in agreement with the files that it mounts. No engine runs it here."""

import json
import re

import pytest
import yaml

from tests.command import printed
from tests.conftest import ROOT
from tests.deploy.test_monitoring import CONFIG

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
GRAFANA = ROOT / "deploy/grafana"
(DATASOURCE,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]

each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


def mounts(service: dict) -> dict[str, str]:
    """Where in the container -> what is mounted there."""
    return {target: source for source, target, *_ in (volume.split(":") for volume in service.get("volumes", []))}


def test_it_is_a_compose_file_by_the_schema_of_the_specification(operations):
    printed(operations / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", ROOT / "docker-compose.yml")


@each_service
def test_each_container_may_do_no_more_than_it_needs(service):
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "cap_add" not in service


@each_service
def test_each_container_is_started_anew_and_has_limits(service):
    assert service["restart"] == "unless-stopped"
    assert {"cpus", "mem_limit", "pids_limit"} <= service.keys()


@each_service
def test_each_port_is_this_machine_s_alone(service):
    assert service["ports"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


@each_service
def test_each_image_is_built_here_or_of_one_version(service):
    assert "build" in service or re.search(r":v?\d+\.\d+\.\d+$", service["image"])


@each_service
def test_what_is_mounted_is_there_and_only_read_or_a_volume(service):
    for volume in service.get("volumes", []):
        source, _, *mode = volume.split(":")
        if source.startswith("."):
            assert (ROOT / source).exists()
            assert mode == ["ro"]
        else:
            assert source in COMPOSE["volumes"]


@each_service
def test_no_password_is_in_the_file(service):
    assert not [name for name in service.get("environment", {}) if re.search("PASSWORD|SECRET|TOKEN|KEY", name)]


def test_the_service_listens_where_its_port_is_published_as_the_image_s_user():
    service = SERVICES["obesity-classifier"]
    assert service["build"]["target"] == "service"
    assert service["user"] == "10001:10001"
    assert service["environment"]["HOST"] == "0.0.0.0"
    assert service["ports"] == ["127.0.0.1:8000:8000"]


def test_prometheus_watches_the_service_by_the_name_that_it_has_here():
    (job,) = CONFIG["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["obesity-classifier:8000"]}]


def test_prometheus_is_given_its_configuration_and_the_rules_beside_it():
    mounted = mounts(SERVICES["prometheus"])
    assert "--config.file=/etc/prometheus/prometheus.yml" in SERVICES["prometheus"]["command"]
    assert mounted["/etc/prometheus/prometheus.yml"] == "./deploy/prometheus/prometheus.yml"
    for name in CONFIG["rule_files"]:
        assert mounted[f"/etc/prometheus/{name}"] == f"./deploy/prometheus/{name}"


def test_grafana_asks_prometheus_by_the_name_and_port_that_it_has_here():
    assert DATASOURCE["url"] == "http://prometheus:9090"
    assert SERVICES["prometheus"]["ports"] == ["127.0.0.1:9090:9090"]


def test_grafana_knows_how_often_prometheus_looks():
    assert DATASOURCE["jsonData"]["timeInterval"] == CONFIG["global"]["scrape_interval"]


def test_grafana_finds_the_dashboard_where_its_provider_looks_and_shows_it_first():
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/obesity-levels.yml").read_text())["providers"]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    folder, _, name = home.rpartition("/")
    assert folder == provider["options"]["path"]
    assert (ROOT / mounts(SERVICES["grafana"])[folder] / name).is_file()


def test_every_panel_asks_the_datasource_that_is_provisioned():
    for path in (GRAFANA / "dashboards").glob("*.json"):
        for panel in json.loads(path.read_text())["panels"]:
            asked = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
            assert asked == [{"type": DATASOURCE["type"], "uid": DATASOURCE["uid"]}] * len(asked)


def test_the_mlflow_server_is_of_the_version_that_the_pipeline_talks_to_it_with():
    (locked,) = re.findall(r"^mlflow==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert SERVICES["mlflow"]["image"].endswith(f"/mlflow:v{locked}")
