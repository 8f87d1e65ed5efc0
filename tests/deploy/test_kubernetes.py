"""The Kubernetes manifests: valid for several versions, and what no schema sees: that they agree with one another, with
the service and with the restricted Pod Security Standard.
"""

import tomllib
from typing import Any

import click
import msgspec
import pytest
import yaml
from service.__main__ import SECONDS_TO_FINISH
from service.routes.health import live, ready
from service.routes.metrics import metrics
from service.settings import Settings, load_settings

from obesity_levels.prediction.command import predict
from tests.command import printed
from tests.conftest import ROOT

FOLDER = ROOT / "deploy/kubernetes"
FILES = sorted(set(FOLDER.glob("*.yaml")) - {FOLDER / "kustomization.yaml"})
ON_DEMAND = FOLDER / "batch-job.yaml"
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
JOB = MANIFESTS["Job"]["spec"]
BATCH_POD = JOB["template"]["spec"]
[BATCH] = BATCH_POD["containers"]
SELECTORS = {
    "deployment": DEPLOYMENT["selector"]["matchLabels"],
    "service": MANIFESTS["Service"]["spec"]["selector"],
    "disruption budget": MANIFESTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    "network policy": MANIFESTS["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    **{constraint["topologyKey"]: constraint["labelSelector"]["matchLabels"] for constraint in SPREAD},
}


@pytest.mark.parametrize("version", ["1.31", "1.34", "1.37"])
def test_every_manifest_is_one_of_this_version_with_no_unknown_field(version, operations, tmp_path):
    # kubernetes-validate prints the name of each; that of a job comes from the cluster
    job = tmp_path / ON_DEMAND.name
    job.write_text(ON_DEMAND.read_text().replace("generateName:", "name: a-job\n  generateName:", 1))
    files = [job if file == ON_DEMAND else file for file in FILES]
    printed(operations / "kubernetes-validate", "--strict", "--kubernetes-version", version, *files)


def test_kustomize_is_told_of_every_manifest_but_the_job_and_changes_nothing_of_them_but_the_image():
    assert sorted(KUSTOMIZATION["resources"]) == [file.name for file in FILES if file != ON_DEMAND]
    assert KUSTOMIZATION.keys() == {"apiVersion", "kind", "resources", "images"}


def test_the_image_and_the_labels_have_the_project_s_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert CONTAINER["image"] == f"obesity-classifier:{version}"
    assert KUSTOMIZATION["images"] == [{"name": "obesity-classifier", "newTag": version}]
    assert BATCH["image"] == f"obesity-batch:{version}"
    for template in (TEMPLATE, JOB["template"]):
        assert template["metadata"]["labels"]["app.kubernetes.io/version"] == version


def test_all_are_in_one_namespace_which_enforces_the_restricted_standard():
    namespace = MANIFESTS["Namespace"]["metadata"]
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = {kind: manifest["metadata"]["namespace"] for kind, manifest in MANIFESTS.items() if kind != "Namespace"}
    assert set(others.values()) == {namespace["name"]}


@pytest.mark.parametrize("selector", SELECTORS.values(), ids=SELECTORS)
def test_a_selector_matches_the_pods_of_every_version(selector):
    assert selector
    assert selector.items() <= TEMPLATE["metadata"]["labels"].items()
    assert "app.kubernetes.io/version" not in selector
    # or requests were sent to the job, and S3 were closed to it
    assert not selector.items() <= JOB["template"]["metadata"]["labels"].items()


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


def test_the_job_s_pod_has_what_the_restricted_standard_allows_as_the_deployment_s():
    assert BATCH_POD.keys() == {
        *("automountServiceAccountToken", "containers", "enableServiceLinks", "restartPolicy", "securityContext"),
    }
    for key in ("automountServiceAccountToken", "enableServiceLinks", "securityContext"):
        assert BATCH_POD[key] == POD[key]
    assert BATCH["securityContext"] == CONTAINER["securityContext"]
    assert BATCH.keys() == {"name", "image", "args", "env", "envFrom", "resources", "securityContext"}


def test_the_job_s_arguments_are_those_of_predict_and_write_a_folder_which_a_retry_completes():
    given = predict.make_context("predict", list(BATCH["args"])).params
    assert given["to"].startswith("s3://")
    assert given["to"].endswith("/")
    assert not given["overwrite"]
    assert JOB["backoffLimit"] > 0


def test_each_process_of_the_job_has_a_core_and_a_gibibyte():
    jobs = predict.make_context("predict", list(BATCH["args"])).params["jobs"]
    assert BATCH["resources"]["requests"] == {"cpu": f"{jobs}", "memory": f"{jobs}Gi"}
    assert BATCH["resources"]["limits"] == {"memory": f"{jobs}Gi"}


def test_the_job_is_not_retried_with_wrong_options_and_a_drained_node_is_no_failure():
    wrong, drained = JOB["podFailurePolicy"]["rules"]
    assert (wrong["action"], wrong["onExitCodes"]["values"]) == ("FailJob", [click.UsageError.exit_code])
    assert wrong["onExitCodes"]["containerName"] == BATCH["name"]
    assert (drained["action"], drained["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    # Kubernetes takes a podFailurePolicy only with these.
    assert (BATCH_POD["restartPolicy"], JOB["podReplacementPolicy"]) == ("Never", "Failed")


def test_credentials_reach_the_job_from_a_secret_that_is_not_in_the_repository():
    assert BATCH["envFrom"] == [{"secretRef": {"name": "obesity-batch-s3"}}]
    assert [variable["name"] for variable in BATCH["env"]] == ["AWS_REGION"]
    assert "Secret" not in MANIFESTS
