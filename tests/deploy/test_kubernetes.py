"""The Kubernetes manifests: valid for several versions, and what no schema sees: that they agree with one another, with
the service and with the restricted Pod Security Standard.
"""

import tomllib
from typing import Any

import msgspec
import pytest
import yaml
from service.__main__ import SECONDS_TO_FINISH
from service.routes.health import live, ready
from service.routes.metrics import metrics
from service.settings import Settings, load_settings

from tests.command import printed
from tests.conftest import ROOT

FOLDER = ROOT / "deploy/kubernetes"
FILES = sorted(set(FOLDER.glob("*.yaml")) - {FOLDER / "kustomization.yaml"})
MANIFESTS: dict[str, Any] = {
    manifest["kind"]: manifest for file in FILES for manifest in yaml.safe_load_all(file.read_text())
}
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
DEPLOYMENT = MANIFESTS["Deployment"]["spec"]
TEMPLATE = DEPLOYMENT["template"]
POD = TEMPLATE["spec"]
[CONTAINER] = POD["containers"]
ENVIRONMENT = {variable["name"]: variable["value"] for variable in CONTAINER["env"]}
SCALED = MANIFESTS["HorizontalPodAutoscaler"]["spec"]
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
SPREAD = POD["topologySpreadConstraints"]


@pytest.mark.parametrize("version", ["1.31", "1.34", "1.37"])
def test_every_manifest_is_one_of_this_version_with_no_unknown_field(version, operations):
    printed(operations / "kubernetes-validate", "--strict", "--kubernetes-version", version, *FILES)


def test_kustomize_is_told_of_every_manifest_and_changes_nothing_of_them_but_the_image():
    assert sorted(KUSTOMIZATION["resources"]) == [file.name for file in FILES]
    assert KUSTOMIZATION.keys() == {"apiVersion", "kind", "resources", "images"}


def test_the_image_and_the_labels_have_the_project_s_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert CONTAINER["image"] == f"obesity-classifier:{version}"
    assert KUSTOMIZATION["images"] == [{"name": "obesity-classifier", "newTag": version}]
    assert TEMPLATE["metadata"]["labels"]["app.kubernetes.io/version"] == version


def test_all_are_in_one_namespace_which_enforces_the_restricted_standard():
    namespace = MANIFESTS["Namespace"]["metadata"]
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = {kind: manifest["metadata"]["namespace"] for kind, manifest in MANIFESTS.items() if kind != "Namespace"}
    assert set(others.values()) == {namespace["name"]}


@pytest.mark.parametrize(
    "selector",
    [
        DEPLOYMENT["selector"]["matchLabels"],
        MANIFESTS["Service"]["spec"]["selector"],
        MANIFESTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        MANIFESTS["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        *[constraint["labelSelector"]["matchLabels"] for constraint in SPREAD],
    ],
    ids=["deployment", "service", "disruption budget", "network policy", *[one["topologyKey"] for one in SPREAD]],
)
def test_a_selector_matches_the_pods_of_every_version(selector):
    assert selector
    assert selector.items() <= TEMPLATE["metadata"]["labels"].items()
    assert "app.kubernetes.io/version" not in selector


def test_every_port_that_is_named_is_the_container_s():
    [port] = CONTAINER["ports"]
    probes = [CONTAINER[probe]["httpGet"]["port"] for probe in PROBES]
    [service] = MANIFESTS["Service"]["spec"]["ports"]
    [policy] = MANIFESTS["NetworkPolicy"]["spec"]["ingress"]
    assert {*probes, service["targetPort"], *[one["port"] for one in policy["ports"]]} == {port["name"]}
    assert (
        str(port["containerPort"]) == ENVIRONMENT["PORT"] == TEMPLATE["metadata"]["annotations"]["prometheus.io/port"]
    )


def test_the_autoscaler_scales_the_deployment_which_says_no_number_itself():
    deployment = MANIFESTS["Deployment"]
    target = {"apiVersion": deployment["apiVersion"], "kind": "Deployment", "name": deployment["metadata"]["name"]}
    assert SCALED["scaleTargetRef"] == target
    assert "replicas" not in DEPLOYMENT
    assert "cpu" in CONTAINER["resources"]["requests"]  # of which the target is a share


def test_a_pod_can_be_evicted_and_another_one_is_left():
    allowed = MANIFESTS["PodDisruptionBudget"]["spec"]["maxUnavailable"]
    assert 1 <= allowed < SCALED["minReplicas"]


def test_a_rolling_update_takes_no_pod_away_before_its_successor_is_ready():
    assert DEPLOYMENT["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_the_environment_is_settings_that_the_service_takes():
    assert set(ENVIRONMENT) <= {field.encode_name for field in msgspec.structs.fields(Settings)}
    assert load_settings(ENVIRONMENT).host == "0.0.0.0"


def test_a_pod_answers_on_before_it_stops_and_ends_before_it_is_killed():
    seconds = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert seconds >= 5
    assert seconds + SECONDS_TO_FINISH < POD["terminationGracePeriodSeconds"]


@pytest.mark.parametrize(("probe", "route"), [*zip(PROBES, (live, ready, live), strict=True)])
def test_a_probe_asks_the_route_that_is_for_it(probe, route):
    assert CONTAINER[probe]["httpGet"]["path"] in route.paths


def test_prometheus_is_sent_where_the_service_gives_its_metrics():
    annotations = TEMPLATE["metadata"]["annotations"]
    assert annotations["prometheus.io/scrape"] == "true"
    assert annotations["prometheus.io/path"] in metrics.paths


def test_only_the_ingress_controller_and_the_monitoring_get_in_and_nothing_gets_out():
    policy = MANIFESTS["NetworkPolicy"]["spec"]
    [ingress] = policy["ingress"]
    name = "kubernetes.io/metadata.name"  # a label that Kubernetes itself sets
    assert [source["namespaceSelector"]["matchLabels"] for source in ingress["from"]] == [
        {name: "ingress-nginx"},
        {name: "monitoring"},
    ]
    assert policy["egress"] == []
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}


def test_the_pod_keeps_the_restricted_standard_as_the_user_of_the_image_with_a_read_only_file_system():
    """It has these fields and values and no others, so each control of the standard holds.

    Look up what is new in https://kubernetes.io/docs/concepts/security/pod-security-standards/ before it is added.
    """
    user = {"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
    assert POD["securityContext"] == user
    assert POD["automountServiceAccountToken"] is False
    assert POD.keys() == {
        *("automountServiceAccountToken", "containers", "enableServiceLinks", "securityContext"),
        *("terminationGracePeriodSeconds", "topologySpreadConstraints"),
    }
    nothing = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert CONTAINER["securityContext"] == nothing
    assert CONTAINER.keys() == {"name", "image", "ports", "env", "lifecycle", "resources", "securityContext", *PROBES}
    assert CONTAINER["ports"] == [{"name": "http", "containerPort": 8000}]
    assert all(CONTAINER[probe]["httpGet"].keys() == {"path", "port"} for probe in PROBES)
    assert {hook: what.keys() for hook, what in CONTAINER["lifecycle"].items()} == {"preStop": {"sleep"}}
