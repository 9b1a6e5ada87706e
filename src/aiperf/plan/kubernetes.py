"""The Plan's section on running in a Kubernetes cluster.

Owns: its fields. Does not own: checks across fields (`kubernetes_checks`), what becomes of them
(`aiperf.deploy.kubernetes`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator as Checked
from pydantic import Field

from aiperf.plan.kubernetes_values import (
    dns_label,
    dns_subdomain,
    image_name,
    ip_address,
    label_key,
    label_value,
    own_label_key,
    toleration_text,
    variable_name,
)
from aiperf.plan.numbers import Count, WholeSecondsOrZero
from aiperf.plan.quantities import cpu_quantity, memory_quantity
from aiperf.plan.section import Option, Section, option

ObjectName = Annotated[str, Checked(dns_subdomain)]
LabelKey = Annotated[str, Checked(own_label_key)]
LabelValue = Annotated[str, Checked(label_value)]
Cpu = Annotated[str, Checked(cpu_quantity)] | None
Memory = Annotated[str, Checked(memory_quantity)] | None


def _cpu(of: str, flag: str) -> Option:
    return option(f"CPU that {of} asks for. Default: from the load.", flag, metavar="QUANTITY")


def _memory(of: str, flag: str) -> Option:
    return option(f"Memory that {of} asks for and is held to. Default: from the load.", flag, metavar="QUANTITY")


class KubernetesPlan(Section):
    """Running the benchmark in a cluster instead of on this machine."""

    kubernetes: Annotated[
        bool,
        option("Run the benchmark in pods of a Kubernetes cluster.", "--kubernetes"),
    ] = False
    kubernetes_namespace: Annotated[
        Annotated[str, Checked(dns_label)] | None,
        option(
            "Namespace to run in; made if it is missing. Default: a new one, deleted afterwards.",
            "--kubernetes-namespace", "--namespace", metavar="NAME",
        ),
    ] = None  # fmt: skip
    kubeconfig: Annotated[
        Path | None,
        option("File that tells how to reach the cluster. Default: $KUBECONFIG, else ~/.kube/config.", "--kubeconfig"),
    ] = None
    kubecontext: Annotated[
        str | None,
        option("Context of the kubeconfig. Default: its current one.", "--kubecontext", metavar="NAME"),
    ] = None
    image: Annotated[
        Annotated[str, Checked(image_name)] | None,
        option("Image of all pods. Default: aiperf with the tag of this version.", "--image", metavar="NAME:TAG"),
    ] = None
    image_pull_policy: Annotated[
        Literal["IfNotPresent", "Always", "Never"],
        option("When nodes fetch the image.", "--image-pull-policy"),
    ] = "IfNotPresent"
    image_pull_secrets: Annotated[
        tuple[ObjectName, ...],
        option(
            "Existing Secret with the registry's credentials.", "--image-pull-secret", metavar="NAME", repeatable=True
        ),
    ] = ()
    topology: Annotated[
        Literal["compact", "per-service"],
        option(
            "compact: one controller pod, and a record processor beside each worker. per-service: a pod for each "
            "service, and a record processor for four workers.",
            "--topology",
        ),
    ] = "compact"
    ttl_s: Annotated[
        WholeSecondsOrZero | Literal["none"],
        option(
            "How long results are kept in the cluster until they are fetched, and objects until they are removed; "
            "none: for ever.",
            "--ttl-seconds", metavar="SECONDS|none",
        ),
    ] = 300  # fmt: skip
    api_access: Annotated[
        Literal["port-forward", "proxy", "nodeport", "loadbalancer", "direct"],
        option("Way from here to the controller's HTTP API. direct: pod addresses can be reached.", "--api-access"),
    ] = "port-forward"
    node_ip: Annotated[
        Annotated[str, Checked(ip_address)] | None,
        option("Address of a node, for nodeport. Default: as the cluster tells.", "--node-ip", metavar="ADDRESS"),
    ] = None
    node_selector: Annotated[
        Mapping[Annotated[str, Checked(label_key)], LabelValue],
        option(
            "Label that a node must have to get pods. Default: any node.",
            "--node-selector", metavar="KEY=VALUE", repeatable=True,
        ),
    ] = Field(default_factory=dict)  # fmt: skip
    tolerations: Annotated[
        tuple[Annotated[str, Checked(toleration_text)], ...],
        option(
            "Taint of nodes that pods bear with: key=value:Effect, key:Effect or key.",
            "--toleration", metavar="TOLERATION", repeatable=True,
        ),
    ] = ()  # fmt: skip
    service_account: Annotated[
        ObjectName | None,
        option(
            "Existing account for the controller; no Role is made then. Default: one of the run's own.",
            "--service-account", metavar="NAME",
        ),
    ] = None  # fmt: skip
    labels: Annotated[
        Mapping[LabelKey, LabelValue],
        option(
            "Label for every object of the run. Default: aiperf's only.",
            "--label", metavar="KEY=VALUE", repeatable=True,
        ),
    ] = Field(default_factory=dict)  # fmt: skip
    annotations: Annotated[
        Mapping[LabelKey, str],
        option(
            "Annotation for every object of the run. Default: aiperf's only.",
            "--annotation", metavar="KEY=VALUE", repeatable=True,
        ),
    ] = Field(default_factory=dict)  # fmt: skip
    pod_env: Annotated[
        Mapping[Annotated[str, Checked(variable_name)], str],
        option(
            "Environment variable for every container of the run; a name alone takes over the value from here. Values "
            "are in the run's Secret only.",
            "--pod-env", metavar="NAME[=VALUE]", repeatable=True,
        ),
    ] = Field(default_factory=dict, repr=False)  # fmt: skip
    worker_cpu: Annotated[Cpu, _cpu("each worker", "--worker-cpu")] = None
    worker_memory: Annotated[Memory, _memory("each worker", "--worker-memory")] = None
    record_processor_cpu: Annotated[Cpu, _cpu("each record processor", "--record-processor-cpu")] = None
    record_processor_memory: Annotated[Memory, _memory("each record processor", "--record-processor-memory")] = None
    controller_cpu: Annotated[Cpu, _cpu("the controller pod", "--controller-cpu")] = None
    controller_memory: Annotated[Memory, _memory("the controller pod", "--controller-memory")] = None
    worker_manager_cpu: Annotated[Cpu, _cpu("the worker manager (per-service)", "--worker-manager-cpu")] = None
    worker_manager_memory: Annotated[Memory, _memory("the worker manager (per-service)", "--worker-manager-memory")] = (
        None
    )
    dataset_manager_cpu: Annotated[Cpu, _cpu("the dataset manager (per-service)", "--dataset-manager-cpu")] = None
    dataset_manager_memory: Annotated[
        Memory, _memory("the dataset manager (per-service)", "--dataset-manager-memory")
    ] = None
    timing_manager_cpu: Annotated[Cpu, _cpu("the timing manager (per-service)", "--timing-manager-cpu")] = None
    timing_manager_memory: Annotated[Memory, _memory("the timing manager (per-service)", "--timing-manager-memory")] = (
        None
    )
    records_manager_cpu: Annotated[Cpu, _cpu("the records manager (per-service)", "--records-manager-cpu")] = None
    records_manager_memory: Annotated[
        Memory, _memory("the records manager (per-service)", "--records-manager-memory")
    ] = None
    calibration_server_cpu: Annotated[Cpu, _cpu("each calibration server", "--calibration-server-cpu")] = None
    calibration_server_memory: Annotated[Memory, _memory("each calibration server", "--calibration-server-memory")] = (
        None
    )
    min_workers: Annotated[
        Count | None,
        option("Begin when so many workers are ready. Default: all of them.", "--min-workers"),
    ] = None
    detach: Annotated[
        bool,
        option("Return with the run's id as soon as it has begun.", "--detach"),
    ] = False
    dry_run: Annotated[
        bool,
        option("Print the manifests, and create nothing.", "--dry-run"),
    ] = False
    skip_preflight: Annotated[
        bool,
        option("Begin without checking rights, quota, capacity and endpoint.", "--skip-preflight"),
    ] = False
    dataset_pvc: Annotated[
        ObjectName | None,
        option("Claim that holds the input file; --input-file is a path in it.", "--dataset-pvc", metavar="NAME"),
    ] = None
    results_pvc: Annotated[
        ObjectName | None,
        option("Claim that keeps the results, in a folder of the run.", "--results-pvc", metavar="NAME"),
    ] = None
    endpoint_secret: Annotated[
        ObjectName | None,
        option(
            "Existing Secret with the endpoint's `api-key` (and `headers`, a JSON object; `hf-token` for the hub), for "
            "printed manifests: they hold no secret.",
            "--endpoint-secret", metavar="NAME",
        ),
    ] = None  # fmt: skip
