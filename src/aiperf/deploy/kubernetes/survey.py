"""What must be known of a cluster before a run can be drafted for it.

Owns: the choice of the namespace, and what follows from the user's rights and the namespace's quotas. Does not own:
judging (`checks`), the draft (`draft`).
"""

from dataclasses import dataclass

from aiperf.deploy.kubernetes.access import ROLES
from aiperf.deploy.kubernetes.cluster import Cluster, Objects
from aiperf.deploy.kubernetes.names import names_of
from aiperf.deploy.kubernetes.quota import cpu_limits_demanded
from aiperf.errors import ClusterError
from aiperf.plan.plan import Plan


@dataclass(frozen=True, slots=True)
class Survey:
    """As `draft_blueprint` takes it, and what to tell the user of it."""

    namespace: str
    owns_namespace: bool
    namespace_exists: bool
    may_create_roles: bool
    cpu_limits_demanded: bool
    notes: tuple[str, ...] = ()


async def survey(cluster: Cluster, plan: Plan, run_id: str) -> Survey:
    """Where the run goes and what is granted there. Raises: ClusterError if the cluster cannot be asked."""
    given = plan.kubernetes.kubernetes_namespace
    notes: list[str] = []
    if given is not None:
        namespace, exists = given, await _exists(cluster, given)
        if not exists:
            notes.append(f"namespace {given} does not exist: it is made, and deleted afterwards")
    else:
        namespace, exists = names_of(run_id).namespace, False
        if not await _may_have_own(cluster, namespace):
            namespace, exists = cluster.namespace, True
            notes.append(f"you may not make a namespace: the benchmark runs in the context's, {namespace}")
    roles = await _may_create_roles(cluster, namespace)
    if not roles and plan.kubernetes.service_account is None:
        notes.append(f"you may not make a Role in {namespace}: the controller runs without rights in the cluster")
    limits = exists and cpu_limits_demanded(
        await _list_if_allowed(cluster, "ResourceQuota", namespace),
        await _list_if_allowed(cluster, "LimitRange", namespace),
    )
    if limits:
        notes.append(f"namespace {namespace} wants a CPU limit of every container: workers may be throttled")
    return Survey(namespace, not exists, exists, roles, limits, tuple(notes))


async def _exists(cluster: Cluster, namespace: str) -> bool:
    """One that may not be looked at was named by somebody who knows it."""
    try:
        return await cluster.get("Namespace", namespace) is not None
    except ClusterError as error:
        if error.reason == "Forbidden":
            return True
        raise


async def _may_have_own(cluster: Cluster, namespace: str) -> bool:
    """Whether a namespace can be made, used and removed again."""
    return (
        await cluster.may("create", "", "namespaces")
        and await cluster.may("delete", "", "namespaces", name=namespace)
        and await cluster.may("create", "batch", "jobs", namespace=namespace)
    )


async def _may_create_roles(cluster: Cluster, namespace: str) -> bool:
    return (
        await cluster.may("create", ROLES, "roles", namespace=namespace)
        and await cluster.may("create", ROLES, "rolebindings", namespace=namespace)
        and await cluster.may("create", "", "serviceaccounts", namespace=namespace)
    )


async def _list_if_allowed(cluster: Cluster, kind: str, namespace: str) -> Objects:
    try:
        return await cluster.list(kind, namespace)
    except ClusterError as error:
        if error.reason == "Forbidden":
            return []
        raise
