"""What is wrong with a Plan's section on Kubernetes whose single values are fine.

Owns: its checks across fields, as functions. Does not own: when they are called (`checks`), what only a cluster can
tell (preflight).
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

from aiperf.errors import Problem
from aiperf.plan.origins import DEFAULT, Origins, is_given
from aiperf.plan.plan import Plan

PVC_SCHEME = "pvc://"

PER_SERVICE_SIZES = tuple(
    f"{service}_{size}"
    for service in ("worker_manager", "dataset_manager", "timing_manager", "records_manager")
    for size in ("cpu", "memory")
)
"""Sizes of services that share the controller pod in the compact topology."""

CLAIM_HINT = "Write pvc://CLAIM/PATH, or --dataset-pvc CLAIM and --input-file PATH."


def cluster_flags_have_a_cluster(plan: Plan, origins: Origins) -> Iterator[Problem]:
    """Only flags: environment and file may hold a cluster's settings for whenever one is used."""
    if plan.kubernetes.kubernetes:
        return
    for name, value in plan.kubernetes:
        default = type(plan.kubernetes).model_fields[name].get_default(call_default_factory=True)
        if value != default and origins.get(name, DEFAULT).startswith("-"):
            yield Problem("has no effect: the benchmark runs on this machine", origins[name], "Add --kubernetes.")


def cluster_choices_go_together(plan: Plan, origins: Origins) -> Iterator[Problem]:
    cluster = plan.kubernetes
    if not cluster.kubernetes:
        return
    if cluster.node_ip is not None and cluster.api_access != "nodeport":
        what = f"has no effect on {cluster.api_access}"
        yield Problem(what, origins.get("node_ip", DEFAULT), "Add --api-access nodeport.")
    if cluster.detach and cluster.dry_run:
        what = f"contradicts {origins.get('dry_run', DEFAULT)}, which creates nothing to detach from"
        yield Problem(what, origins.get("detach", DEFAULT), "Leave out one of both.")
    most = plan.services.workers_max
    if cluster.min_workers is not None and most is not None and cluster.min_workers > most:
        what = f"asks for more workers than {origins.get('workers_max', DEFAULT)} allows ({most})"
        yield Problem(what, origins.get("min_workers", DEFAULT), f"Give at most {most}.")


def endpoint_is_not_the_pod_itself(plan: Plan, origins: Origins) -> Iterator[Problem]:
    if not plan.kubernetes.kubernetes or plan.calibration.calibrate_only:
        return
    for url in plan.endpoint.urls:
        host = urlsplit(url).hostname or ""
        if host == "localhost" or host == "::1" or host.startswith("127."):
            hint = "Name the endpoint's Service: --url SERVICE.NAMESPACE:PORT."
            yield Problem(f"{url} is the pod itself, seen from a pod", origins.get("urls", DEFAULT), hint)


def sizes_are_of_pods_there_are(plan: Plan, origins: Origins) -> Iterator[Problem]:
    """In the compact topology several services share a pod, and record processors are as many as workers."""
    if not plan.kubernetes.kubernetes or plan.kubernetes.topology != "compact":
        return
    for name in PER_SERVICE_SIZES:
        if getattr(plan.kubernetes, name) is not None:
            what = "has no effect: this service is in the controller pod"
            hint = f"Use --controller-{name.rpartition('_')[2]}, or add --topology per-service."
            yield Problem(what, origins.get(name, DEFAULT), hint)
    if is_given(origins, "record_processors_count"):
        what = "has no effect: each worker pod has a record processor"
        yield Problem(what, origins["record_processors_count"], "Leave it out, or add --topology per-service.")


def claim_holds_a_file(plan: Plan, origins: Origins) -> Iterator[Problem]:
    """An input file on a claim is told in one way, and only where pods can mount it."""
    text, cluster = plan.input.input_file, plan.kubernetes
    origin = origins.get("input_file", DEFAULT)
    if text is not None and text.startswith(PVC_SCHEME):
        claim, _, path = text.removeprefix(PVC_SCHEME).partition("/")
        if not cluster.kubernetes:
            yield Problem("a claim can be mounted by pods only", origin, "Add --kubernetes.")
        elif not claim or not path:
            yield Problem("names no file on a claim", origin, CLAIM_HINT)
        elif cluster.dataset_pvc is not None:
            yield Problem(f"says again what {origins.get('dataset_pvc', DEFAULT)} says", origin, CLAIM_HINT)
    elif cluster.kubernetes and cluster.dataset_pvc is not None:
        if text is None:
            yield Problem("holds no file that is asked for", origins.get("dataset_pvc", DEFAULT), "Add --input-file.")
        elif "://" in text:
            yield Problem("is not a path on the claim", origin, CLAIM_HINT)
    if text is not None and ".." in text.split("/") and (cluster.dataset_pvc or text.startswith(PVC_SCHEME)):
        yield Problem("leads out of the claim", origin, "Give the path from the claim's top.")


def is_on_this_machine(plan: Plan) -> bool:
    """Whether the input file is one of this machine's; not on a claim, and not fetched by the cluster."""
    text = plan.input.input_file
    if text is None:
        return False
    if text.startswith(PVC_SCHEME):
        return False
    return not (plan.kubernetes.kubernetes and (plan.kubernetes.dataset_pvc or text.startswith("https://")))
