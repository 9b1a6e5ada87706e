"""One pod: containers, their probes, volumes and rights.

Owns: the pod template of each component. Does not own: how many and for how long (`jobs`), sizes (`sizing`).

Every pod passes the `restricted` Pod Security standard. No user or group is named: the image's user is a number, and
platforms that choose one per namespace may.
"""

from typing import Any

from aiperf.deploy.kubernetes.blueprint import Blueprint
from aiperf.deploy.kubernetes.endpoint_secrets import endpoint_environment
from aiperf.deploy.kubernetes.names import INDEXED, LABEL_COMPONENT, LABEL_RUN_ID, Component, component_of
from aiperf.deploy.kubernetes.pod_environment import environment_entries
from aiperf.deploy.kubernetes.pod_hosts import DISRUPTIONS_ANNOTATION, FAILURES_ANNOTATION
from aiperf.deploy.kubernetes.pod_plan import CLAIM_DIR, RUN_DIR, dataset_claim
from aiperf.deploy.kubernetes.ports import API_PORT, CALIBRATION_PORT, PORT_NAMES
from aiperf.deploy.kubernetes.run_files import run_volume
from aiperf.deploy.kubernetes.sizing import Resources
from aiperf.deploy.layouts import POD_ARTIFACT_DIR, POD_DATA_DIR, POD_WORK_DIR
from aiperf.plan.kubernetes_values import read_toleration
from aiperf.plan.quantities import cpu_text, memory_text
from aiperf.service.layout import Host, ServiceType, binder_of
from aiperf.wire.address import LOOPBACK

TERMINATION_GRACE_S = 20
"""From SIGTERM to the end by force: time to flush, and less than what a node that is taken away leaves."""

START_LIMIT_S = 120
"""How long a container may take to answer for the first time."""

CONFIG_DIR = "/etc/aiperf"
"""Where a standalone controller finds what was printed, to make its run directory from."""

ADOPT_COMMAND = ["aiperf", "kube", "adopt", "--config-dir", CONFIG_DIR, "--run-dir", RUN_DIR]
"""The first step of a standalone controller: makes the run's keys, and owns its objects."""

OWNED_NAMESPACE = "AIPERF_OWNED_NAMESPACE"
"""Tells the controller which namespace was made for its run."""

_WRITABLE = {"work": POD_WORK_DIR, "data": POD_DATA_DIR, "artifacts": POD_ARTIFACT_DIR}
_SERVES_API = (ServiceType.SYSTEM_CONTROLLER, ServiceType.DATASET_MANAGER, ServiceType.RECORDS_MANAGER)
"""Progress and orders; the dataset; results."""
_FILE_GROUP = 65532
"""Of a claim's files, where the claim must be written to: the image's own group."""


def pod_template(blueprint: Blueprint, host: Host, sidecar: Host | None = None) -> dict[str, Any]:
    """The template of the pod that runs this host. With a sidecar, that ends after the host's container and not before.

    Of an Indexed Job `host` is any of its pods': all look the same but for their index.
    """
    component = component_of(host)
    indexed = component in INDEXED
    first = [_adopting(blueprint)] if blueprint.standalone and component is Component.CONTROLLER else []
    if sidecar is not None:
        first.append({**_container(blueprint, sidecar, "index", is_sidecar=True), "restartPolicy": "Always"})
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        **({} if indexed else {"hostname": component.value}),
        "subdomain": blueprint.names.service,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": TERMINATION_GRACE_S,
        # The first search domain completes our own names, and names with a namespace in them are tried as they are.
        "dnsConfig": {"options": [{"name": "ndots", "value": "2"}]},
        "securityContext": _pod_security(blueprint, host),
        **_account(blueprint, component),
        **_placement(blueprint, component),
        **({"initContainers": first} if first else {}),
        "containers": [_container(blueprint, host, "index" if indexed else "")],
        "volumes": _volumes(blueprint, host),
    }
    labels = blueprint.labels(component)
    return {"metadata": {"labels": labels, **blueprint.annotations()}, "spec": spec}


def _container(blueprint: Blueprint, host: Host, index: str, *, is_sidecar: bool = False) -> dict[str, Any]:
    component = component_of(host)
    host_id = f"{component.value}-$(JOB_COMPLETION_INDEX)" if index else host.host_id
    return {
        "name": component.value,
        "image": blueprint.image,
        "imagePullPolicy": blueprint.cluster.image_pull_policy,
        "command": ["aiperf", "service", "--host", host_id, "--run-dir", RUN_DIR],
        "env": [
            *_environment(),
            *(_incarnation() if index else []),
            *_owned_namespace(blueprint, component),
            *endpoint_environment(blueprint, component, fetches_tokenizer=_fetches_tokenizer(host)),
            *_user_environment(blueprint, host),
        ],
        "ports": [
            {"name": PORT_NAMES[port], "containerPort": port, "protocol": "TCP"} for port in _ports(blueprint, host)
        ],
        **_probes(host, is_sidecar=is_sidecar),
        "resources": _resources(blueprint.sizing.resources[component]),
        "securityContext": _container_security(),
        "volumeMounts": _mounts(blueprint, host),
        # The end of the log tells why a container failed, to whoever may read pods but not logs.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _adopting(blueprint: Blueprint) -> dict[str, Any]:
    return {
        "name": "adopt",
        "image": blueprint.image,
        "imagePullPolicy": blueprint.cluster.image_pull_policy,
        "command": ADOPT_COMMAND,
        "env": _environment(),
        "resources": _resources(blueprint.sizing.resources[Component.CONTROLLER]),
        "securityContext": _container_security(),
        "volumeMounts": [
            {"name": "run", "mountPath": RUN_DIR},
            {"name": "config", "mountPath": CONFIG_DIR, "readOnly": True},
            {"name": "work", "mountPath": POD_WORK_DIR},
        ],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _environment() -> list[dict[str, Any]]:
    """Where this container is, and where libraries may write."""
    fields = {
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
        "POD_IP": "status.podIP",
        "NODE_NAME": "spec.nodeName",
    }
    places = {"HOME": POD_WORK_DIR, "TMPDIR": POD_WORK_DIR, "HF_HOME": f"{POD_DATA_DIR}/huggingface"}
    return [
        *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()),
        *({"name": name, "value": value} for name, value in places.items()),
    ]


def _user_environment(blueprint: Blueprint, host: Host) -> list[dict[str, Any]]:
    secret = None if blueprint.standalone else blueprint.names.secret
    return environment_entries(blueprint.environment, secret, fetches_tokenizer=_fetches_tokenizer(host))


def _fetches_tokenizer(host: Host) -> bool:
    return _runs(host, ServiceType.DATASET_MANAGER)


def _incarnation() -> list[dict[str, Any]]:
    """How often this index failed before, or was taken away: who replaces a lost worker is another one."""

    def count(name: str, annotation: str) -> dict[str, Any]:
        return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": f"metadata.annotations['{annotation}']"}}}

    counts = {"AIPERF_FAILURES": FAILURES_ANNOTATION, "AIPERF_DISRUPTIONS": DISRUPTIONS_ANNOTATION}
    return [
        *(count(name, annotation) for name, annotation in counts.items()),
        {"name": "AIPERF_INCARNATION", "value": "+".join(f"$({name})" for name in counts)},
    ]


def _owned_namespace(blueprint: Blueprint, component: Component) -> list[dict[str, Any]]:
    """The namespace that the controller deletes in the end, if it may."""
    if not blueprint.owns_namespace or component is not Component.CONTROLLER or blueprint.controller_account is None:
        return []
    return [{"name": OWNED_NAMESPACE, "value": blueprint.namespace}]


def _ports(blueprint: Blueprint, host: Host) -> list[int]:
    """What a host listens on for others: its services' channels, the API, health. Loopback is nobody else's."""
    layout = blueprint.layout
    ids = {seat.service_id for seat in host.services}
    places = [addresses[-1] for channel, addresses in layout.addresses.items() if binder_of(channel) in ids]
    channels = [int(place.rpartition(":")[2]) for place in places if LOOPBACK not in place]
    api = [API_PORT] if _serves_api(host) else []
    calibration = [CALIBRATION_PORT] if _runs(host, ServiceType.CALIBRATION_SERVER) else []
    return [*channels, *calibration, *api, host.health_port]


def _probes(host: Host, *, is_sidecar: bool = False) -> dict[str, Any]:
    """Startup is watched closely. Later a container is ended only after five minutes without an answer.

    A hung service is found and named by its missing heartbeats, long before. One that is only starved of CPU must not
    be killed for it: a full node once lost three workers so, in the middle of 100,000 streams.

    A sidecar has no probe for its startup: the pod's container would be held back until that has passed, and both
    take their time to start. It is left alone at first instead.
    """

    def get(path: str, period_s: int, failures: int) -> dict[str, Any]:
        return {
            "httpGet": {"path": path, "port": host.health_port, "scheme": "HTTP"},
            "periodSeconds": period_s,
            "timeoutSeconds": 5,
            "failureThreshold": failures,
        }

    alive, ready = get("/healthz", 20, 15), get("/readyz", 2, 3)
    if is_sidecar:
        return {"livenessProbe": {**alive, "initialDelaySeconds": START_LIMIT_S}, "readinessProbe": ready}
    return {"startupProbe": get("/healthz", 1, START_LIMIT_S), "livenessProbe": alive, "readinessProbe": ready}


def _resources(each: Resources) -> dict[str, dict[str, str]]:
    limits = {"memory": memory_text(each.memory_limit_bytes)}
    if each.cpu_limit_millicores is not None:
        limits["cpu"] = cpu_text(each.cpu_limit_millicores)
    asked = {"cpu": cpu_text(each.cpu_millicores), "memory": memory_text(each.memory_bytes)}
    return {"requests": asked, "limits": limits}


def _container_security() -> dict[str, Any]:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def _pod_security(blueprint: Blueprint, host: Host) -> dict[str, Any]:
    security: dict[str, Any] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if _keeps_results(blueprint, host):
        security |= {"fsGroup": _FILE_GROUP, "fsGroupChangePolicy": "OnRootMismatch"}
    return security


def _account(blueprint: Blueprint, component: Component) -> dict[str, Any]:
    """Only the controller ever speaks to the cluster."""
    name = blueprint.controller_account if component is Component.CONTROLLER else None
    secrets = [{"name": secret} for secret in blueprint.cluster.image_pull_secrets]
    return {
        **({"serviceAccountName": name} if name else {}),
        "automountServiceAccountToken": name is not None,
        **({"imagePullSecrets": secrets} if secrets else {}),
    }


def _placement(blueprint: Blueprint, component: Component) -> dict[str, Any]:
    cluster = blueprint.cluster
    placement: dict[str, Any] = {}
    if cluster.node_selector:
        placement["nodeSelector"] = dict(cluster.node_selector)
    if cluster.tolerations:
        placement["tolerations"] = [_toleration(text) for text in cluster.tolerations]
    if component is Component.WORKER:
        labels = blueprint.labels(component)
        placement["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {name: labels[name] for name in (LABEL_RUN_ID, LABEL_COMPONENT)}},
            }
        ]
    return placement


def _toleration(text: str) -> dict[str, str]:
    key, value, effect = read_toleration(text)
    match = {"operator": "Exists"} if value is None else {"operator": "Equal", "value": value}
    return {"key": key, **match, **({"effect": effect} if effect else {})}


def _volumes(blueprint: Blueprint, host: Host) -> list[dict[str, Any]]:
    component = component_of(host)
    volumes: list[dict[str, Any]] = [run_volume(blueprint, component, serves_api=_serves_api(host))]
    for name in _WRITABLE:
        volume: dict[str, Any] = {"name": name, "emptyDir": {}}
        if name == "artifacts" and _keeps_results(blueprint, host):
            volume = {"name": name, "persistentVolumeClaim": {"claimName": blueprint.cluster.results_pvc}}
        volumes.append(volume)
    claim = _input_claim(blueprint, host)
    if claim is not None and not _is_one_claim(blueprint, host):
        volumes.append({"name": "dataset", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}})
    if blueprint.standalone and component is Component.CONTROLLER:
        volumes.append({"name": "config", "configMap": {"name": blueprint.names.config_map}})
    return volumes


def _mounts(blueprint: Blueprint, host: Host) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [{"name": "run", "mountPath": RUN_DIR, "readOnly": True}]
    mounts += [{"name": name, "mountPath": path} for name, path in _WRITABLE.items()]
    if _input_claim(blueprint, host) is not None:
        name = "artifacts" if _is_one_claim(blueprint, host) else "dataset"
        mounts.append({"name": name, "mountPath": CLAIM_DIR, "readOnly": True})
    return mounts


def _serves_api(host: Host) -> bool:
    return any(_runs(host, kind) for kind in _SERVES_API)


def _keeps_results(blueprint: Blueprint, host: Host) -> bool:
    """Whether this host writes the artifacts, and onto a claim."""
    return blueprint.cluster.results_pvc is not None and _runs(host, ServiceType.RECORDS_MANAGER)


def _input_claim(blueprint: Blueprint, host: Host) -> str | None:
    """The claim with the input file, for the host that reads it."""
    found = dataset_claim(blueprint.plan)
    return found[0] if found is not None and _runs(host, ServiceType.DATASET_MANAGER) else None


def _is_one_claim(blueprint: Blueprint, host: Host) -> bool:
    """Whether input and results of this host are on the same claim: two volumes of it, one for reading only, would both
    be for reading only."""
    return _keeps_results(blueprint, host) and _input_claim(blueprint, host) == blueprint.cluster.results_pvc


def _runs(host: Host, kind: ServiceType) -> bool:
    return any(seat.service_type is kind for seat in host.services)
