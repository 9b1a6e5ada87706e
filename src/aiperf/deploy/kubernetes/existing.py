"""A run that is in a cluster already, as whoever comes later needs it.

Owns: reading its ConfigMap and its Secret. Does not own: finding it (`runs`), speaking to it (`api_line`).
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.names import LABEL_RUN_ID, label_text, names_of
from aiperf.deploy.kubernetes.reach import Entrance
from aiperf.deploy.kubernetes.run_files import API_CERTIFICATE_NAME, LAYOUT_NAME, PUBLIC_PLAN_NAME, TOKEN_NAME
from aiperf.deploy.kubernetes.runs import FoundRun
from aiperf.deploy.kubernetes.service_manager import HostedRun
from aiperf.errors import ClusterError
from aiperf.plan.dumps import load_dump
from aiperf.plan.plan import Plan
from aiperf.service.layout import Layout


@dataclass(frozen=True, slots=True)
class ExistingRun:
    hosted: HostedRun
    plan: Plan
    """As the pods have it, without secrets."""
    entrance: Entrance


async def read_run(cluster: Cluster, found: FoundRun, access: str | None = None) -> ExistingRun:
    """`access`: another way to the controller than the plan's. Raises: ClusterError."""
    names = names_of(found.run_id)
    files = (await _get(cluster, "ConfigMap", names.config_map, found))["data"]
    secret = (await _get(cluster, "Secret", names.secret, found))["data"]
    layout = msgspec.json.decode(files[LAYOUT_NAME], type=Layout)
    plan = load_dump(files[PUBLIC_PLAN_NAME])
    entrance = Entrance(
        namespace=found.namespace,
        run_id=found.run_id,
        access=plan.kubernetes.api_access,
        token=_decoded(secret, TOKEN_NAME),
        certificate_pem=_decoded(secret, API_CERTIFICATE_NAME),
        node_ip=plan.kubernetes.node_ip,
    )
    if access is not None:
        entrance = replace(entrance, access=access)
    owns_namespace = await is_namespace_of(cluster, found.namespace, found.run_id)
    return ExistingRun(HostedRun(layout, found.namespace, owns_namespace), plan, entrance)


async def is_namespace_of(cluster: Cluster, namespace: str, run_id: str) -> bool:
    """Whether the namespace was made for this run. One that may not be looked at was not made by this user."""
    try:
        there = await cluster.get("Namespace", namespace)
    except ClusterError as error:
        if error.reason != "Forbidden":
            raise
        return False
    labels = (there or {}).get("metadata", {}).get("labels", {})
    return bool(labels.get(LABEL_RUN_ID) == label_text(run_id))


async def _get(cluster: Cluster, kind: str, name: str, found: FoundRun) -> dict[str, Any]:
    there = await cluster.get(kind, name, found.namespace)
    if there is None:
        what = f"{kind} {name} is not there: run {found.run_id} in namespace {found.namespace} is {found.state.value}"
        hint = "Its controller makes it first: try again in a moment." if kind == "Secret" else ""
        raise ClusterError(what, hint, reason="NotFound")
    return there


def _decoded(secret: Mapping[str, str], name: str) -> str:
    return base64.b64decode(secret[name]).decode()
