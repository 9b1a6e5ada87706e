"""The first step of a run that nobody started: its controller makes what its starter would have made.

Owns: the run's keys and their Secret, the ownership of what was applied, the run directory. Does not own: the manifests
(`manifests`), the files' forms (`run_files`).

Everything may be done twice: by a container that is started again, after half of it, beside somebody who applies the
manifests anew. Pods that wait for the Secret start when it is there, so it comes first.
"""

import asyncio
import base64
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.manifests import Manifest, owner_reference, time_text
from aiperf.deploy.kubernetes.names import (
    ANNOTATION_EXPIRES_AT,
    LABEL_RUN_ID,
    Component,
    component_of,
    names_of,
    object_labels,
    run_labels,
)
from aiperf.deploy.kubernetes.pod_plan import CA_NAME
from aiperf.deploy.kubernetes.run_files import LAYOUT_NAME, PLAN_NAME, PUBLIC_PLAN_NAME, key_files, secret_of
from aiperf.deploy.kubernetes.run_length import namespace_s_max
from aiperf.deploy.kubernetes.run_secrets import make_run_secrets
from aiperf.errors import ClusterError, InfrastructureError
from aiperf.plan.dumps import load_dump
from aiperf.plan.plan import Plan
from aiperf.schedule.phases import phases
from aiperf.service.layout import Layout

APPLY_PATIENCE_S = 120.0
"""The controller may start before all manifests were applied, or while an earlier run of that name is removed."""
PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class PrintedRun:
    """What the ConfigMap tells."""

    layout: Layout
    plan: Plan
    files: Mapping[str, str]
    """As the run directory gets them."""


def read_printed_run(config_dir: Path) -> PrintedRun:
    """Raises: InfrastructureError if this is not the mounted ConfigMap of a run."""
    try:
        layout = (config_dir / LAYOUT_NAME).read_text(encoding="utf-8")
        plan = (config_dir / PUBLIC_PLAN_NAME).read_text(encoding="utf-8")
    except OSError as error:
        raise InfrastructureError(f"{config_dir} does not hold a run: {error}") from error
    files = {LAYOUT_NAME: layout, PLAN_NAME: plan}
    if (path := config_dir / CA_NAME).exists():
        files[CA_NAME] = path.read_text(encoding="utf-8")
    return PrintedRun(msgspec.json.decode(layout, type=Layout), load_dump(plan), files)


async def adopt(cluster: Cluster, printed: PrintedRun, run_dir: Path, tell: Callable[[str], None]) -> None:
    """Makes the run whole, in the namespace of this pod. Raises: ClusterError if the account may not do so."""
    layout, plan = printed.layout, printed.plan
    names = names_of(layout.run_id)
    controller = await _wait_for(cluster, "Job", names.job(Component.CONTROLLER))
    owner = owner_reference(names, controller["metadata"]["uid"])
    secret = await _secret(cluster, printed, owner)
    _write({**printed.files, **_decoded(secret)}, run_dir)
    tell(f"the run's keys are in Secret {names.secret}")
    adopted = adopted_objects(layout, plan)
    for kind, name in adopted:
        await _own(cluster, kind, name, owner)
    tell(f"{len(adopted)} objects belong to Job {owner['name']}")
    await _date_namespace(cluster, printed, tell)


def adopted_objects(layout: Layout, plan: Plan) -> list[tuple[str, str]]:
    """Kind and name of what was applied beside the controller Job."""
    names, chosen = names_of(layout.run_id), plan.kubernetes
    components = {component_of(host) for host in layout.hosts if not host.outstays} - {Component.CONTROLLER}
    objects = [
        ("ConfigMap", names.config_map),
        ("NetworkPolicy", names.network_policy),
        ("Service", names.service),
        *(("Job", names.job(component)) for component in sorted(components)),
    ]
    if chosen.api_access in ("nodeport", "loadbalancer"):
        objects.append(("Service", names.access_service))
    if chosen.service_account is None:
        objects += [(kind, names.controller_account) for kind in ("ServiceAccount", "RoleBinding", "Role")]
    return objects


async def _secret(cluster: Cluster, printed: PrintedRun, owner: Manifest) -> dict[str, Any]:
    """The run's Secret: the one that is there if it belongs to this Job, else a new one."""
    layout, plan = printed.layout, printed.plan
    name = names_of(layout.run_id).secret
    deadline_s = time.monotonic() + APPLY_PATIENCE_S
    while (there := await cluster.get("Secret", name, cluster.namespace)) is not None:
        if _is_owned(there, owner):
            return there
        # An earlier run was made from the same manifests: what it owned goes with it.
        if time.monotonic() > deadline_s:
            raise ClusterError(f"Secret {name} is there and belongs to something else", "Delete it, and apply again.")
        await asyncio.sleep(PAUSE_S)
    metadata: Manifest = {
        "name": name,
        "namespace": cluster.namespace,
        "labels": object_labels(layout.run_id, plan.endpoint.models[0], plan.kubernetes.labels),
        "ownerReferences": [owner],
    }
    if plan.kubernetes.annotations:
        metadata["annotations"] = dict(plan.kubernetes.annotations)
    return await cluster.create(secret_of(metadata, key_files(make_run_secrets(layout.run_id, plan))))


async def _own(cluster: Cluster, kind: str, name: str, owner: Manifest) -> None:
    there = await _wait_for(cluster, kind, name)
    if not _is_owned(there, owner):
        await cluster.patch(kind, name, cluster.namespace, {"metadata": {"ownerReferences": [owner]}})


def _is_owned(there: Mapping[str, Any], owner: Manifest) -> bool:
    return any(each["uid"] == owner["uid"] for each in there["metadata"].get("ownerReferences", []))


async def _wait_for(cluster: Cluster, kind: str, name: str) -> dict[str, Any]:
    """The object, once somebody has applied it. One that is on its way out does not count."""
    deadline_s = time.monotonic() + APPLY_PATIENCE_S
    while True:
        there = await cluster.get(kind, name, cluster.namespace)
        if there is not None and not there["metadata"].get("deletionTimestamp"):
            return there
        if time.monotonic() > deadline_s:
            raise ClusterError(f"{kind} {name} is not there", "Apply all of the printed manifests.", reason="NotFound")
        await asyncio.sleep(PAUSE_S)


async def _date_namespace(cluster: Cluster, printed: PrintedRun, tell: Callable[[str], None]) -> None:
    """Notes when a namespace that was made for this run may be removed: when it was printed, nobody knew."""
    layout, plan = printed.layout, printed.plan
    if plan.kubernetes.service_account is not None or cluster.namespace != names_of(layout.run_id).namespace:
        return
    there = await cluster.get("Namespace", cluster.namespace)
    metadata = (there or {}).get("metadata", {})
    if metadata.get("labels", {}).get(LABEL_RUN_ID) != run_labels(layout.run_id)[LABEL_RUN_ID]:
        return
    lasts_s = namespace_s_max(plan, phases(plan, layout.random_seed))
    if lasts_s is None or ANNOTATION_EXPIRES_AT in metadata.get("annotations", {}):
        return
    expiry = {ANNOTATION_EXPIRES_AT: time_text(int(time.time()) + lasts_s)}
    await cluster.patch("Namespace", cluster.namespace, "", {"metadata": {"annotations": expiry}})
    tell(f"namespace {cluster.namespace} may be removed after {expiry[ANNOTATION_EXPIRES_AT]}")


def _decoded(secret: Mapping[str, Any]) -> dict[str, str]:
    return {name: base64.b64decode(text).decode() for name, text in secret["data"].items()}


def _write(files: Mapping[str, str], run_dir: Path) -> None:
    """Readable by this pod's user only."""
    for name, text in files.items():
        descriptor = os.open(run_dir / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
