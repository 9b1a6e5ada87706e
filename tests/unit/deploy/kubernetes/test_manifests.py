"""All objects of a run: equal to what is expected, owned, restricted, and without a secret where none belongs."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from aiperf import __version__
from aiperf.cli import service as service_command
from aiperf.deploy.kubernetes import run_files
from aiperf.deploy.kubernetes.blueprint import Account, Blueprint
from aiperf.deploy.kubernetes.jobs import controller_job
from aiperf.deploy.kubernetes.manifests import (
    DELETE_OPTIONS,
    RESUME_PATCH,
    namespace,
    owned_objects,
    standalone_manifests,
    standalone_problems,
)
from aiperf.deploy.kubernetes.yaml_out import yaml_text
from aiperf.errors import PlanError
from aiperf.plan.dumps import load_dump
from aiperf.service.layout import Layout, read_layout

EXPECTED = Path(__file__).parent / "expected"
UID = "11111111-2222-3333-4444-555555555555"
EXPIRES_AT_S = 1_800_000_000
NEWEST_VERSIONS = ("1.35", "1.36", "1.37")

Manifest = dict[str, Any]

RUNS = {
    "compact": ("--concurrency", "30", "--connections-per-worker", "10", "--duration", "60"),
    "per_service": (
        *("--concurrency", "50", "--connections-per-worker", "10", "--duration", "60", "--topology", "per-service"),
        *("--namespace", "perf", "--api-access", "nodeport", "--ttl-seconds", "none", "--image", "r.example/aiperf:1"),
        *("--image-pull-secret", "registry", "--node-selector", "pool=load", "--toleration", "spot=yes:NoSchedule,gpu"),
        *("--label", "team=perf", "--annotation", "note=a, b", "--results-pvc", "results", "--worker-cpu", "2"),
        *("--input-file", "pvc://data/in.jsonl", "--service-account", "runner"),
    ),
    "standalone": ("--concurrency", "5", "--duration", "60", "--endpoint-secret", "llm"),
}


def created(blueprint: Blueprint) -> list[Manifest]:
    """Everything that is created for a run, in order."""
    if blueprint.standalone:
        return standalone_manifests(blueprint)
    first = [namespace(blueprint, EXPIRES_AT_S)] if blueprint.owns_namespace else []
    return [*first, controller_job(blueprint), *owned_objects(blueprint, UID)]


@pytest.fixture(params=RUNS)
def run(request: pytest.FixtureRequest, draft: Any) -> tuple[str, list[Manifest]]:
    blueprint = draft(*RUNS[request.param], standalone=request.param == "standalone")
    return request.param, created(blueprint)


@pytest.fixture
def manifests(run: tuple[str, list[Manifest]]) -> list[Manifest]:
    return run[1]


def shortened(manifests: list[Manifest]) -> list[Manifest]:
    """With placeholders for what has tests of its own, and for what changes with each version."""
    copy = json.loads(json.dumps(manifests).replace(__version__, "VERSION"))
    for manifest in copy:
        for holder in ("data", "stringData"):
            for name in manifest.get(holder, {}):
                if name.endswith(".json"):
                    manifest[holder][name] = f"({name})"
    return copy


# Equality


def test_a_run_is_exactly_what_is_expected(run: tuple[str, list[Manifest]]) -> None:
    name, manifests = run
    expected = list(yaml.safe_load_all((EXPECTED / f"{name}.yaml").read_text()))
    for made, wanted in zip(shortened(manifests), expected, strict=True):
        assert made == wanted


def test_the_same_run_is_the_same_text(run: tuple[str, list[Manifest]]) -> None:
    name, manifests = run
    assert yaml_text(shortened(manifests)) == (EXPECTED / f"{name}.yaml").read_text()


def test_a_worker_pod_literally(draft: Any) -> None:
    (job,) = (m for m in created(draft(*RUNS["compact"])) if m["metadata"]["name"].endswith("-worker"))
    pod = job["spec"].pop("template")["spec"]
    assert job["spec"] == {
        "suspend": False,
        "completionMode": "Indexed",
        "completions": 3,
        "parallelism": 3,
        "backoffLimitPerIndex": 3,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "FailIndex",
                    "onExitCodes": {"containerName": "worker", "operator": "In", "values": [2, 70]},
                },
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            ]
        },
        "activeDeadlineSeconds": 900 + 90 + 900,
    }
    (worker,), (processor,) = pod["containers"], pod["initContainers"]
    assert worker["command"] == [
        *("aiperf", "service", "--host", "worker-$(JOB_COMPLETION_INDEX)", "--run-dir", "/run/aiperf")
    ]
    assert processor["command"][3] == "record-processor-$(JOB_COMPLETION_INDEX)"
    assert processor["restartPolicy"] == "Always"
    assert worker["resources"] == {
        "requests": {"cpu": "75m", "memory": "80Mi"},
        "limits": {"memory": "288Mi"},
    }
    assert processor["resources"] == {
        "requests": {"cpu": "25m", "memory": "112Mi"},
        "limits": {"cpu": "1", "memory": "624Mi"},
    }
    assert worker["startupProbe"]["httpGet"] == {"path": "/healthz", "port": 8081, "scheme": "HTTP"}
    assert processor["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": 8082, "scheme": "HTTP"}


# Schemas


@pytest.mark.parametrize("version", NEWEST_VERSIONS)
def test_every_object_is_one_of_the_published_schemas(manifests: list[Manifest], version: str) -> None:
    for manifest in manifests:
        assert kubernetes_validate.validate(manifest, version, strict=True) == version


# Ownership


def test_everything_in_the_namespace_belongs_to_the_controller_job(draft: Any) -> None:
    for name in ("compact", "per_service"):
        for manifest in owned_objects(draft(*RUNS[name]), UID):
            assert manifest["metadata"]["ownerReferences"] == [
                {"apiVersion": "batch/v1", "kind": "Job", "name": "aiperf-0123456789ab-controller", "uid": UID}
            ]
            assert manifest["metadata"]["namespace"] == ("perf" if name == "per_service" else "aiperf-0123456789ab")


def test_nothing_holds_up_a_delete(manifests: list[Manifest]) -> None:
    assert "blockOwnerDeletion" not in str(manifests)
    assert "finalizers" not in str(manifests)
    assert DELETE_OPTIONS["propagationPolicy"] == "Background"


def test_every_object_is_found_by_its_run(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        assert manifest["metadata"]["labels"]["aiperf/run-id"] == "0123456789ab"
        if manifest["kind"] == "Job":
            assert manifest["spec"]["template"]["metadata"]["labels"] == manifest["metadata"]["labels"]


def test_no_two_objects_have_one_name(manifests: list[Manifest]) -> None:
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]
    assert len(names) == len(set(names))


def test_the_controller_waits_until_it_is_resumed(draft: Any) -> None:
    job = controller_job(draft("--concurrency", "1"))
    assert job["spec"]["suspend"] is True
    assert job["spec"]["backoffLimit"] == 0
    assert RESUME_PATCH == {"spec": {"suspend": False}}


def test_a_made_namespace_says_whose_it_is_and_until_when(draft: Any) -> None:
    metadata = namespace(draft("--annotation", "note=x"), EXPIRES_AT_S)["metadata"]
    assert metadata["labels"]["aiperf/run-id"] == "0123456789ab"
    assert metadata["annotations"] == {"note": "x", "aiperf/expires-at": "2027-01-15T08:00:00Z"}


@pytest.mark.parametrize(
    ("words", "known", "expected"),
    [
        ((), {}, ("aiperf-0123456789ab", True)),
        ((), {"namespace": "mine"}, ("mine", False)),  # of the context, where none may be made
        (("--namespace", "perf"), {}, ("perf", False)),
        (("--namespace", "perf"), {"owns_namespace": True}, ("perf", True)),  # it was missing
    ],
)
def test_whose_the_namespace_is(
    draft: Any, words: tuple[str, ...], known: dict[str, Any], expected: tuple[str, bool]
) -> None:
    blueprint = draft(*words, **known)
    assert (blueprint.namespace, blueprint.owns_namespace) == expected


# Secrets

PLANTED = ("planted-key", "planted-header", "planted-field")
WITH_SECRETS = (
    *("--api-key", PLANTED[0], "--header", f"X-Api-Key:{PLANTED[1]}", "--header", "X-Plain:plain"),
    *("--extra-inputs", f"api_key:{PLANTED[2]}"),
)


def forms(text: str) -> set[str]:
    return {text, base64.b64encode(text.encode()).decode().rstrip("=")}


@pytest.mark.parametrize("topology", ["compact", "per-service"])
def test_secrets_are_in_the_secret_and_nowhere_else(draft: Any, topology: str) -> None:
    manifests = created(draft("--concurrency", "30", "--topology", topology, *WITH_SECRETS))
    secret = [manifest for manifest in manifests if manifest["kind"] == "Secret"]
    others = [manifest for manifest in manifests if manifest["kind"] != "Secret"]
    for planted in (*PLANTED, "a-token", "wire-key", "a-private-key"):
        assert planted in yaml_text(secret)
        assert not any(form in yaml_text(others) for form in forms(planted))


def test_a_blueprint_that_is_printed_shows_no_secret(draft: Any) -> None:
    shown = repr(draft(*WITH_SECRETS).secrets)
    assert not any(secret in shown for secret in (*PLANTED, "a-token", "wire-key", "a-private-key"))


def test_printed_manifests_hold_no_secret(draft: Any) -> None:
    blueprint = draft(*WITH_SECRETS[:-2], "--endpoint-secret", "llm", standalone=True)
    text = yaml_text(standalone_manifests(blueprint))
    assert not any(form in text for planted in PLANTED for form in forms(planted))
    assert "kind: Secret\n" not in text
    (config,) = (m for m in standalone_manifests(blueprint) if m["kind"] == "ConfigMap")
    plan = load_dump(config["data"]["plan.public.json"])
    assert (plan.endpoint.api_key, plan.endpoint.headers) == (None, {"X-Plain": "plain"})  # no mask is ever sent


def test_only_where_the_api_is_served_is_its_private_key(manifests: list[Manifest]) -> None:
    """A standalone controller makes the key itself, and keeps it in memory."""
    for pod in pods(manifests):
        serves = any(port["name"] == "api" for port in pod["containers"][0]["ports"])
        volume = str(pod["volumes"][0])
        assert ("tls.key" in volume or "Memory" in volume) == serves


def test_only_workers_see_the_secret_of_the_endpoint(draft: Any) -> None:
    manifests = created(draft(*RUNS["standalone"], "--topology", "per-service", standalone=True))
    seeing = {c["name"] for pod in pods(manifests) for c in containers(pod) if "secretKeyRef" in str(c["env"])}
    assert seeing == {"worker"}


# Pods


def pods(manifests: list[Manifest]) -> Iterator[Manifest]:
    for manifest in manifests:
        if manifest["kind"] == "Job":
            yield manifest["spec"]["template"]["spec"]


def containers(pod: Manifest) -> list[Manifest]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def test_every_pod_is_restricted(manifests: list[Manifest]) -> None:
    """Source: Kubernetes, Pod Security Standards, profile `restricted`; and a root that cannot be written to."""
    allowed_volumes = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
    for pod in pods(manifests):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        for volume in pod["volumes"]:
            assert volume.keys() - {"name"} <= allowed_volumes
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert not any("hostPort" in port for port in container.get("ports", []))


def test_every_container_that_serves_is_probed_where_it_listens(manifests: list[Manifest]) -> None:
    for pod in pods(manifests):
        for container in containers(pod):
            if container["name"] == "adopt":
                continue
            ports = {port["containerPort"] for port in container["ports"]}
            is_sidecar = container.get("restartPolicy") == "Always"
            probes = {name for name in container if name.endswith("Probe")}
            # A pod's container waits for its sidecar's startup probe, so that has none.
            assert probes == {"livenessProbe", "readinessProbe"} | (set() if is_sidecar else {"startupProbe"})
            assert all(container[probe]["httpGet"]["port"] in ports for probe in probes)


def test_only_the_controller_can_speak_to_the_cluster(manifests: list[Manifest]) -> None:
    for job in (manifest for manifest in manifests if manifest["kind"] == "Job"):
        pod = job["spec"]["template"]["spec"]
        controller = job["metadata"]["name"].endswith("-controller")
        assert pod["automountServiceAccountToken"] is controller
        assert ("serviceAccountName" in pod) is controller


def test_every_mount_has_its_volume_and_paths_to_write_are_there(manifests: list[Manifest]) -> None:
    for pod in pods(manifests):
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in containers(pod):
            mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
            assert mounts.keys() <= volumes
            if container["name"] != "adopt":
                assert {mounts[name]["mountPath"] for name in ("work", "data", "artifacts")} == {
                    "/work",
                    "/data",
                    "/artifacts",
                }


def test_ports_within_a_pod_are_told_apart(manifests: list[Manifest]) -> None:
    for pod in pods(manifests):
        ports = [port for container in containers(pod) for port in container.get("ports", [])]
        assert len({port["name"] for port in ports}) == len(ports)
        assert len({port["containerPort"] for port in ports}) == len(ports)


def test_a_host_of_a_container_is_in_the_layout(draft: Any) -> None:
    for name in ("compact", "per_service"):
        blueprint = draft(*RUNS[name])
        known = {host.host_id for host in blueprint.layout.hosts}
        for job in (manifest for manifest in created(blueprint) if manifest["kind"] == "Job"):
            for container in containers(job["spec"]["template"]["spec"]):
                for index in range(job["spec"]["completions"]):
                    host_id = container["command"][3].replace("$(JOB_COMPLETION_INDEX)", str(index))
                    assert host_id in known
                    known.discard(host_id)
        assert known == set()


def test_pods_are_named_as_the_layout_calls_them(draft: Any) -> None:
    """A pod's host name and its Service are the DNS name in the layout's addresses."""
    for name in ("compact", "per_service"):
        blueprint = draft(*RUNS[name])
        reachable = set()
        for job in (manifest for manifest in created(blueprint) if manifest["kind"] == "Job"):
            pod = job["spec"]["template"]["spec"]
            hosts = [pod["hostname"]] if "hostname" in pod else [f"{job['metadata']['name']}-{n}" for n in range(99)]
            reachable |= {f"{host}.{pod['subdomain']}" for host in hosts}
        called = {
            places[-1].removeprefix("tcp://").rpartition(":")[0] for places in blueprint.layout.addresses.values()
        }
        assert called - {"127.0.0.1"} <= reachable


def test_results_on_a_claim_are_in_a_folder_of_the_run(draft: Any) -> None:
    blueprint = draft("--results-pvc", "results")
    assert blueprint.layout.artifact_dir == "/artifacts/aiperf-0123456789ab"
    for manifest in created(blueprint):
        if manifest["kind"] == "Job":
            pod = manifest["spec"]["template"]["spec"]
            (mount,) = (m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "artifacts")
            # A part of the volume is made by root, and only root could write there.
            assert mount == {"name": "artifacts", "mountPath": "/artifacts"}


def test_a_claim_for_input_and_results_is_one_volume_that_can_be_written(draft: Any) -> None:
    blueprint = draft("--results-pvc", "both", "--input-file", "pvc://both/in.jsonl")
    (job,) = (m for m in created(blueprint) if m["metadata"]["name"].endswith("-controller") and m["kind"] == "Job")
    pod = job["spec"]["template"]["spec"]
    claims = [volume for volume in pod["volumes"] if "persistentVolumeClaim" in volume]
    assert claims == [{"name": "artifacts", "persistentVolumeClaim": {"claimName": "both"}}]
    assert {"name": "artifacts", "mountPath": "/dataset", "readOnly": True} in pod["containers"][0]["volumeMounts"]


# Files


def test_files_are_named_as_the_service_command_reads_them() -> None:
    assert (run_files.PLAN_NAME, run_files.LAYOUT_NAME) == (service_command.PLAN_NAME, service_command.LAYOUT_NAME)


def test_a_pod_reads_the_layout_and_plan_that_were_meant(draft: Any, tmp_path: Path) -> None:
    blueprint = draft("--concurrency", "30", *WITH_SECRETS)
    data: dict[str, str] = {}
    for manifest in created(blueprint):
        data |= manifest.get("data", {}) | manifest.get("stringData", {})
    (tmp_path / "layout.json").write_text(data["layout.json"])
    layout: Layout = read_layout(tmp_path / "layout.json")
    assert layout == blueprint.layout
    assert load_dump(data["plan.json"]) == blueprint.plan


def test_certificate_authorities_come_along(draft: Any) -> None:
    manifests = created(draft(ca_pem="-----BEGIN CERTIFICATE-----\n"))
    (config,) = (manifest for manifest in manifests if manifest["kind"] == "ConfigMap")
    assert config["data"]["ca.pem"] == "-----BEGIN CERTIFICATE-----\n"
    for pod in pods(manifests):
        assert {"key": "ca.pem", "path": "ca.pem"} in pod["volumes"][0]["projected"]["sources"][0]["configMap"]["items"]


# Network


@pytest.mark.parametrize(
    ("access", "service", "open_to_all"),
    [
        ("port-forward", None, False),
        ("proxy", None, True),
        ("direct", None, True),
        ("nodeport", "NodePort", True),
        ("loadbalancer", "LoadBalancer", True),
    ],
)
def test_the_network_knows_the_way_in(draft: Any, access: str, service: str | None, open_to_all: bool) -> None:
    manifests = created(draft("--api-access", access))
    (policy,) = (manifest["spec"] for manifest in manifests if manifest["kind"] == "NetworkPolicy")
    to_all = [rule for rule in policy["ingress"] if "from" not in rule]
    assert to_all == ([{"ports": [{"protocol": "TCP", "port": 8443}]}] if open_to_all else [])
    types = [manifest["spec"].get("type") for manifest in manifests if manifest["kind"] == "Service"]
    assert types == [None, service] if service else [None]


# Rights of the controller


def rules(manifests: list[Manifest]) -> list[Manifest]:
    return [rule for manifest in manifests if manifest["kind"] == "Role" for rule in manifest["rules"]]


def test_in_a_namespace_of_others_the_controller_may_only_look_at_pods(draft: Any) -> None:
    assert rules(created(draft("--namespace", "perf"))) == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}
    ]


def test_the_controller_may_delete_a_namespace_of_its_own_and_no_other(draft: Any) -> None:
    assert rules(created(draft()))[1] == {
        "apiGroups": [""],
        "resources": ["namespaces"],
        "verbs": ["get", "delete"],
        "resourceNames": ["aiperf-0123456789ab"],
    }


def test_a_standalone_controller_may_adopt_what_was_applied_and_nothing_else(draft: Any) -> None:
    """Save for what cannot have a name yet, every rule names its objects; and every object that is there has one."""
    manifests = created(draft(*RUNS["standalone"], "--api-access", "nodeport", standalone=True))
    named = {name for rule in rules(manifests) for name in rule.get("resourceNames", [])}
    assert {manifest["metadata"]["name"] for manifest in manifests} <= named
    unnamed = [(rule["resources"], rule["verbs"]) for rule in rules(manifests) if "resourceNames" not in rule]
    assert unnamed == [(["pods"], ["get", "list", "watch"]), (["secrets"], ["create"])]


@pytest.mark.parametrize(
    ("words", "known", "account", "name"),
    [
        ((), {}, Account.OWN, "aiperf-0123456789ab-controller"),
        (("--service-account", "runner"), {}, Account.GIVEN, "runner"),
        ((), {"may_create_roles": False}, Account.NONE, None),
    ],
)
def test_whose_rights_the_controller_has(
    draft: Any, words: tuple[str, ...], known: dict[str, Any], account: Account, name: str | None
) -> None:
    blueprint = draft(*words, **known)
    manifests = created(blueprint)
    assert blueprint.account is account
    assert bool(rules(manifests)) is (account is Account.OWN)
    (controller,) = (m for m in manifests if m["metadata"]["name"].endswith("-controller") and m["kind"] == "Job")
    pod = controller["spec"]["template"]["spec"]
    assert pod.get("serviceAccountName") == name
    assert pod["automountServiceAccountToken"] is (name is not None)


# Without the command


def test_a_standalone_run_begins_with_its_controller(draft: Any) -> None:
    manifests = created(draft(*RUNS["standalone"], standalone=True))
    jobs = [manifest for manifest in manifests if manifest["kind"] == "Job"]
    assert [job["metadata"]["name"].rpartition("-")[2] for job in jobs] == ["controller", "worker"]
    assert manifests[-2:] == jobs
    assert jobs[0]["spec"]["template"]["spec"]["initContainers"][0]["command"][:3] == ["aiperf", "kube", "adopt"]
    assert not any("ownerReferences" in manifest["metadata"] for manifest in manifests)


@pytest.mark.parametrize("topology", ["compact", "per-service"])
def test_manifests_that_are_applied_again_hold_nothing_that_the_controller_changes(draft: Any, topology: str) -> None:
    """A Job whose `suspend` was changed meanwhile would be suspended by that, and its pods ended."""
    manifests = created(draft(*RUNS["standalone"], "--topology", topology, standalone=True))
    jobs = [manifest for manifest in manifests if manifest["kind"] == "Job"]
    assert len(jobs) >= 2
    assert [job["spec"]["suspend"] for job in jobs] == [False] * len(jobs)


def test_what_cannot_run_by_itself_is_told_at_once(draft: Any, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "Hello"}')
    blueprint = draft(*WITH_SECRETS, "--input-file", str(path), standalone=True, may_create_roles=False)
    problems = standalone_problems(blueprint)
    assert [problem.origin for problem in problems] == ["--api-key", "--header", "--extra-inputs", "--input-file", ""]
    with pytest.raises(PlanError):
        standalone_manifests(blueprint)


CALIBRATED = ("--concurrency", "30", "--connections-per-worker", "10", "--duration", "60", "--calibrate")


@pytest.mark.parametrize("topology", ["compact", "per-service"])
@pytest.mark.parametrize("standalone", [False, True])
def test_a_calibration_adds_servers_that_workers_may_reach(draft: Any, topology: str, standalone: bool) -> None:
    blueprint = draft(*CALIBRATED, "--topology", topology, standalone=standalone)
    manifests = created(blueprint)
    jobs = {each["metadata"]["name"]: each["spec"] for each in manifests if each["kind"] == "Job"}
    servers = jobs[f"{blueprint.names.base}-calibration-server"]
    assert (servers["completionMode"], servers["completions"], servers["parallelism"]) == ("Indexed", 2, 2)
    spec = servers["template"]["spec"]
    (container,) = spec["containers"]
    assert container["command"][:4] == ["aiperf", "service", "--host", "calibration-server-$(JOB_COMPLETION_INDEX)"]
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {"calibration": 5555, "health": 8081}
    assert not any(entry["name"] == "AIPERF_API_KEY" for entry in container["env"])
    (policy,) = (each for each in manifests if each["kind"] == "NetworkPolicy")
    assert {"protocol": "TCP", "port": 5555} in policy["spec"]["ingress"][0]["ports"]


def test_without_a_calibration_nobody_listens_for_one(draft: Any) -> None:
    manifests = created(draft("--concurrency", "30", "--duration", "60"))
    assert not any("calibration" in each["metadata"]["name"] for each in manifests)
    (policy,) = (each for each in manifests if each["kind"] == "NetworkPolicy")
    assert {"protocol": "TCP", "port": 5555} not in policy["spec"]["ingress"][0]["ports"]
