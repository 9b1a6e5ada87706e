"""What is checked before a run, each by itself.

Owns: one function for each subject, which asks the cluster and judges. Does not own: which of them run, and the screen
(`preflight`); the look from inside a pod (`probe_job`).
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiperf.deploy.kubernetes.blueprint import Blueprint
from aiperf.deploy.kubernetes.capacity import fit, largest_text
from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.demand import demands, total
from aiperf.deploy.kubernetes.jobs import controller_job, service_jobs
from aiperf.deploy.kubernetes.manifests import Manifest, namespace, owned_objects, standalone_manifests
from aiperf.deploy.kubernetes.pod_plan import dataset_claim
from aiperf.deploy.kubernetes.quota import limit_range_problems, quota_problems
from aiperf.deploy.kubernetes.refusals import RIGHTS_PAGE
from aiperf.deploy.kubernetes.rights import Right, Scope, actions_of, rights_of
from aiperf.errors import ClusterError
from aiperf.plan.quantities import cpu_text, memory_text

SUPPORTED_MINORS = (34, 35, 36)
"""Of Kubernetes 1: the three newest when this version was made."""
_NO_UID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    ok: bool | None
    """None: could not be checked."""
    what: str
    hint: str = ""
    """What to do; of a check that is well, what to keep in mind."""


async def check_version(cluster: Cluster, blueprint: Blueprint) -> list[Check]:  # noqa: ARG001 (all take both)
    version = await cluster.version()
    what = f"Kubernetes {version} at {cluster.server} answers"
    match = re.match(r"v?1\.(\d+)", version)
    newest, oldest = SUPPORTED_MINORS[-1], SUPPORTED_MINORS[0]
    if match is None:
        hint = f"Its version is none that is known; 1.{oldest} to 1.{newest} were tried."
    elif int(match[1]) < oldest:
        hint = f"It is older than what was tried, 1.{oldest} to 1.{newest}: it may work."
    elif int(match[1]) > newest:
        hint = f"It is newer than what was tried, 1.{oldest} to 1.{newest}."
    else:
        hint = ""
    return [Check("connection", True, what, hint)]


async def check_rights(cluster: Cluster, blueprint: Blueprint) -> list[Check]:
    rights = rights_of(actions_of(blueprint))
    allowed = await asyncio.gather(*(_may(cluster, right, blueprint.namespace) for right in rights))
    return judge_rights(rights, allowed, blueprint.namespace)


def judge_rights(rights: Sequence[Right], allowed: Sequence[bool], place: str) -> list[Check]:
    """One check for what is needed, and one for each thing that is done without."""
    denied = [right for right, granted in zip(rights, allowed, strict=True) if not granted]
    needed = [right for right in denied if not right.optional]
    hint = f"Ask whoever runs the cluster for a Role; a ready one: {RIGHTS_PAGE}."
    if needed:
        checks = [Check("rights", False, f"in namespace {place} you may not {_rights_text(needed)}", hint)]
    else:
        count = sum(not right.optional for right in rights)
        checks = [Check("rights", True, f"all {count} that are needed in namespace {place} are there")]
    for without in dict.fromkeys(right.without for right in denied if right.optional):
        lost = [right for right in denied if right.without == without]
        checks.append(Check("rights", None, f"you may not {_rights_text(lost)}: {without}"))
    return checks


def _rights_text(rights: Sequence[Right]) -> str:
    verbs: dict[str, list[str]] = {}
    for right in rights:
        where = " of all namespaces" if right.everywhere else ""
        verbs.setdefault(f"{right.full_resource}{where}", []).append(right.verb)
    return ", ".join(f"{'/'.join(dict.fromkeys(names))} {resource}" for resource, names in verbs.items())


async def _may(cluster: Cluster, right: Right, place: str) -> bool:
    own = right.resource == "namespaces" and right.verb != "create" and right.verb != "list"
    where = place if right.scope is Scope.NAMESPACE else ""
    name = place if own else ""
    return await cluster.may(right.verb, right.group, right.resource, right.subresource, where, name)


async def check_namespace(cluster: Cluster, blueprint: Blueprint) -> list[Check]:
    name, there = blueprint.namespace, await cluster.get("Namespace", blueprint.namespace)
    if there is not None:
        if there.get("status", {}).get("phase") == "Terminating":
            return [Check("namespace", False, f"{name} is being deleted", "Wait until it is gone, or use another.")]
        return [Check("namespace", True, f"{name} exists")]
    if not blueprint.owns_namespace:
        return [Check("namespace", False, f"{name} does not exist", "Make it, or leave --namespace out.")]
    await cluster.dry_run(namespace(blueprint))
    return [Check("namespace", True, f"{name} can be made")]


async def check_quota(cluster: Cluster, blueprint: Blueprint) -> list[Check]:
    """Empty namespaces have none: that is no reason not to ask, for some clusters put them there at once."""
    quotas, ranges = await asyncio.gather(
        cluster.list("ResourceQuota", blueprint.namespace), cluster.list("LimitRange", blueprint.namespace)
    )
    demanded = demands(blueprint)
    kinds = [manifest["kind"] for manifest in objects(blueprint)]
    problems = [*quota_problems(quotas, ranges, demanded, kinds), *limit_range_problems(ranges, demanded)]
    hint = "Lower the load or the sizes (--worker-cpu, --worker-memory, …), free some of it, or use another namespace."
    if problems:
        return [Check("quota", False, problem, hint) for problem in problems]
    names = [f"{each['metadata']['name']}" for each in (*quotas, *ranges)]
    return [
        Check("quota", True, f"the run fits into {', '.join(names)}" if names else "no quota or limit range applies")
    ]


async def check_capacity(cluster: Cluster, blueprint: Blueprint) -> list[Check]:
    nodes = await cluster.list("Node")
    demanded = demands(blueprint)
    pods: list[dict[str, Any]] | None = None
    if await cluster.may("list", "", "pods"):
        pods = await cluster.list("Pod", fields={"status.phase!": "Succeeded"})
    found = fit(nodes, pods, demanded)
    unsure = "" if pods is not None else "Pods of others cannot be seen: nodes are taken to be empty."
    asked = total(demanded, "requests")
    size = f"{cpu_text(round(asked['cpu'] * 1000))} CPU, {memory_text(int(asked['memory']))} memory"
    if found.fits:
        return [
            Check("capacity", True, f"all {found.planned:,} pods ({size}) fit on {_nodes_text(len(nodes))}", unsure)
        ]
    what = f"{found.placed:,} of {found.planned:,} pods fit now. No room for {largest_text(demanded, found.missing)}: "
    what += "; ".join(found.reasons)
    if found.may_grow:
        return [Check("capacity", None, what, "The cluster may add nodes when pods wait; that takes minutes.")]
    hint = "Lower the load or the sizes, free nodes, or choose others by --node-selector and --toleration."
    return [Check("capacity", False, what, hint)]


def _nodes_text(count: int) -> str:
    return "the only node" if count == 1 else f"{count:,} nodes"


async def check_objects(cluster: Cluster, blueprint: Blueprint) -> list[Check]:
    """Every object, as the server would take it. A binding's Role is looked up, and is not there yet."""
    manifests = [manifest for manifest in objects(blueprint) if manifest["kind"] != "RoleBinding"]
    checks = await asyncio.gather(*(_dry_run(cluster, "objects", manifest) for manifest in manifests))
    failures = [check for check in checks if check is not None]
    return failures or [Check("objects", True, f"the server accepts all {len(manifests)}")]


async def check_pods(cluster: Cluster, blueprint: Blueprint) -> list[Check]:
    """Pod Security, and whatever else in the cluster looks at pods: only a pod itself is held against it."""
    there = await cluster.get("Namespace", blueprint.namespace)
    labels = (there or {}).get("metadata", {}).get("labels") or {}
    level = labels.get("pod-security.kubernetes.io/enforce")
    stated = f"Pod Security level {level}" if level else "no Pod Security level is stated"
    if not await cluster.may("create", "", "pods", namespace=blueprint.namespace):
        return [Check("pods", True, f"{stated}; the pods pass `restricted`, the strictest")]
    checks = await asyncio.gather(
        *(_dry_run(cluster, "pods", _sample(job)) for job in (controller_job(blueprint), *service_jobs(blueprint)))
    )
    failures = [check for check in checks if check is not None]
    return failures or [Check("pods", True, f"{stated}; the server accepts the pods")]


async def check_claims(cluster: Cluster, blueprint: Blueprint) -> list[Check]:
    """Things of the user's own that pods need, and wait for in vain if they are not there."""
    plan = blueprint.cluster
    claim = dataset_claim(blueprint.plan)
    names = dict.fromkeys(name for name in (claim[0] if claim else None, plan.results_pvc) if name)
    checks = []
    for name in names:
        if await cluster.get("PersistentVolumeClaim", name, blueprint.namespace) is None:
            what = f"there is no claim {name} in namespace {blueprint.namespace}"
            checks.append(Check("claims", False, what, "Make it, or name another (--dataset-pvc, --results-pvc)."))
        else:
            checks.append(Check("claims", True, f"{name} is there"))
    return checks


def objects(blueprint: Blueprint) -> list[Manifest]:
    """Everything that the run makes in its namespace."""
    if blueprint.standalone:
        return [manifest for manifest in standalone_manifests(blueprint) if manifest["kind"] != "Namespace"]
    return [controller_job(blueprint), *owned_objects(blueprint, _NO_UID)]


async def _dry_run(cluster: Cluster, name: str, manifest: Manifest) -> Check | None:
    """None if all is well."""
    try:
        await cluster.dry_run(manifest)
    except ClusterError as error:
        if "does not support dry run" in error.what:
            return Check(name, None, f"{manifest['kind']}: {error.what}")
        hint = error.hint
        if manifest["kind"] == "Role" and error.reason == "Forbidden":
            hint = f"Who makes a Role must have what it grants; --service-account needs none. See {RIGHTS_PAGE}."
        return Check(name, False, error.what, hint)
    return None


def _sample(job: Manifest) -> Manifest:
    """A pod of the Job. Its account is left out: the server would look it up, and it is not there yet."""
    template = job["spec"]["template"]
    spec = {key: value for key, value in template["spec"].items() if key != "serviceAccountName"}
    metadata = {**template["metadata"], "name": f"{job['metadata']['name']}-sample"[:63]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**metadata, "namespace": job["metadata"]["namespace"]},
        "spec": spec,
    }


def not_yet(name: str, blueprint: Blueprint) -> Check:
    return Check(name, None, f"checked once namespace {blueprint.namespace} is there")
