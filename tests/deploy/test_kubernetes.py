"""The Kubernetes manifests: valid for several versions, and what no schema sees: that they agree with one another, with
the service and with the restricted Pod Security Standard.
"""

import copy
import shutil
import subprocess
import tomllib
from typing import Any

import msgspec
import pytest
import yaml
from service.__main__ import SECONDS_TO_FINISH
from service.settings import Settings, load_settings

from tests.conftest import ROOT

FOLDER = ROOT / "deploy/kubernetes"
KUBECTL = shutil.which("kubectl")
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
SPREAD = POD["topologySpreadConstraints"]


@pytest.mark.parametrize("version", ["1.31", "1.34", "1.37"])
def test_every_manifest_is_one_of_this_version_with_no_unknown_field(version, operations):
    run = subprocess.run(
        [operations / "kubernetes-validate", "--strict", "--kubernetes-version", version, *FILES],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.skipif(not KUBECTL, reason="needs kubectl; that each manifest is named is tested without it")
def test_kustomize_builds_the_manifests_and_changes_nothing_of_them():
    run = subprocess.run([KUBECTL, "kustomize", FOLDER], capture_output=True, text=True, check=True)
    assert {manifest["kind"]: manifest for manifest in yaml.safe_load_all(run.stdout)} == MANIFESTS


def test_kustomize_is_told_of_every_manifest():
    assert sorted(KUSTOMIZATION["resources"]) == [file.name for file in FILES]


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
    probes = [CONTAINER[probe]["httpGet"]["port"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")]
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


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_a_running_service_answers_the_probe(service, probe):
    assert service.client.get(CONTAINER[probe]["httpGet"]["path"]).status_code == 200


def test_a_running_service_gives_its_metrics_where_prometheus_is_sent(service):
    annotations = TEMPLATE["metadata"]["annotations"]
    assert annotations["prometheus.io/scrape"] == "true"
    assert "http_requests_total" in service.client.get(annotations["prometheus.io/path"]).text


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


def test_no_token_of_the_cluster_is_in_the_pod():
    assert POD["automountServiceAccountToken"] is False


def test_its_root_file_system_is_read_only():
    assert CONTAINER["securityContext"]["readOnlyRootFilesystem"] is True


def test_its_user_is_the_image_s():
    assert POD["securityContext"]["runAsUser"] == POD["securityContext"]["runAsGroup"] == 10001


VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def of_both(pod: dict[str, Any], field: str) -> list[Any]:
    """What the pod and its containers say of `field` in their security contexts, where they say it."""
    contexts = [one.get("securityContext", {}) for one in (pod, *containers(pod))]
    return [context[field] for context in contexts if field in context]


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for kind in ("containers", "initContainers", "ephemeralContainers") for one in pod.get(kind, [])]


def contexts(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [container.get("securityContext", {}) for container in containers(pod)]


def effective(pod: dict[str, Any], field: str) -> list[Any]:
    """What holds for each container: its own word, or the pod's."""
    return [context.get(field, pod.get("securityContext", {}).get(field)) for context in contexts(pod)]


def hooks(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """The probes and the hooks of the containers' lives."""
    found = []
    for container in containers(pod):
        found += [container.get(f"{kind}Probe", {}) for kind in ("startup", "readiness", "liveness")]
        found += container.get("lifecycle", {}).values()
    return found


# https://kubernetes.io/docs/concepts/security/pod-security-standards/, baseline and restricted, what is for Linux: the
# control; whether a pod keeps it; a change of the pod or of its container that breaks it.
CONTROLS = {
    "HostProcess": (
        lambda pod: not any(options.get("hostProcess") for options in of_both(pod, "windowsOptions")),
        {"securityContext": {"windowsOptions": {"hostProcess": True}}}, {},
    ),
    "Host Namespaces": (
        lambda pod: not any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")),
        {"hostPID": True}, {},
    ),
    "Privileged Containers": (
        lambda pod: not any(context.get("privileged") for context in contexts(pod)),
        {}, {"securityContext": {"privileged": True}},
    ),
    "Capabilities": (
        lambda pod: all(
            "ALL" in context.get("capabilities", {}).get("drop", [])
            and set(context["capabilities"].get("add", [])) <= {"NET_BIND_SERVICE"}
            for context in contexts(pod)
        ),
        {}, {"securityContext": {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}},
    ),
    "Volume Types": (
        lambda pod: all(set(volume) - {"name"} <= VOLUMES for volume in pod.get("volumes", [])),
        {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}, {},
    ),
    "Host Ports": (
        lambda pod: not any(port.get("hostPort") for one in containers(pod) for port in one.get("ports", [])),
        {}, {"ports": [{"containerPort": 8000, "hostPort": 80}]},
    ),
    "Host Probes / Lifecycle Hooks": (
        lambda pod: not any(
            hook.get(kind, {}).get("host") for hook in hooks(pod) for kind in ("httpGet", "tcpSocket")
        ),
        {}, {"livenessProbe": {"httpGet": {"host": "169.254.169.254", "port": 80}}},
    ),
    "AppArmor": (
        lambda pod: all(one["type"] in ("RuntimeDefault", "Localhost") for one in of_both(pod, "appArmorProfile")),
        {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}, {},
    ),
    "SELinux": (
        lambda pod: all(
            one.get("type", "") in ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
            and not one.get("user")
            and not one.get("role")
            for one in of_both(pod, "seLinuxOptions")
        ),
        {"securityContext": {"seLinuxOptions": {"role": "sysadm_r"}}}, {},
    ),
    "/proc Mount Type": (
        lambda pod: all(kind == "Default" for kind in of_both(pod, "procMount")),
        {}, {"securityContext": {"procMount": "Unmasked"}},
    ),
    "Sysctls": (
        lambda pod: not any(of_both(pod, "sysctls")),  # stricter than the standard, which has a list of safe ones
        {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "65536"}]}}, {},
    ),
    "Privilege Escalation": (
        lambda pod: all(context.get("allowPrivilegeEscalation") is False for context in contexts(pod)),
        {}, {"securityContext": {"allowPrivilegeEscalation": True}},
    ),
    "Running as Non-root": (
        lambda pod: all(value is True for value in effective(pod, "runAsNonRoot")),
        {}, {"securityContext": {"runAsNonRoot": False}},
    ),
    "Running as Non-root user": (
        lambda pod: 0 not in of_both(pod, "runAsUser"),
        {}, {"securityContext": {"runAsUser": 0}},
    ),
    "Seccomp": (
        lambda pod: all(
            (one or {}).get("type") in ("RuntimeDefault", "Localhost") for one in effective(pod, "seccompProfile")
        ),
        {}, {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("control", CONTROLS)
def test_the_pod_keeps_every_control_of_the_restricted_standard(control):
    keeps, _, _ = CONTROLS[control]
    assert keeps(POD)


@pytest.mark.parametrize("control", CONTROLS)
def test_a_pod_that_does_not_is_found(control):
    keeps, of_pod, of_container = CONTROLS[control]
    pod = copy.deepcopy(POD)
    [container] = pod["containers"]
    for target, change in ((pod, of_pod), (container, of_container)):
        for field, value in change.items():
            target[field] = target.get(field, {}) | value if isinstance(value, dict) else value
    assert not keeps(pod)
