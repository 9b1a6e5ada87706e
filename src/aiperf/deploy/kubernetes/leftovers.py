"""What runs have left in a cluster, whose command and controller did not remove it.

Owns: which runs and namespaces may go, and why. Does not own: removing a run (`removal`).
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiperf.deploy.kubernetes.cluster import Cluster, Objects
from aiperf.deploy.kubernetes.names import ANNOTATION_EXPIRES_AT, LABEL_RUN_ID
from aiperf.deploy.kubernetes.runs import OURS, FoundRun, list_runs, time_of
from aiperf.errors import ClusterError


@dataclass(frozen=True, slots=True)
class Leftover:
    """A run to be removed."""

    run_id: str
    namespace: str
    owns_namespace: bool
    why: str


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of all may go. Without any: what is finished, and what has expired."""

    run_id: str | None = None
    expired_only: bool = False
    even_running: bool = False


async def find_leftovers(cluster: Cluster, namespace: str | None, choice: Choice, now: datetime) -> list[Leftover]:
    """Raises: ClusterError."""
    runs, _ = await list_runs(cluster, namespace)
    return leftovers(runs, await _namespaces(cluster, namespace), choice, now)


def leftovers(
    runs: Sequence[FoundRun], namespaces: Sequence[Mapping[str, Any]], choice: Choice, now: datetime
) -> list[Leftover]:
    """Runs first, then namespaces in which no run is left."""
    made_for = {each["metadata"]["name"]: each["metadata"]["labels"][LABEL_RUN_ID] for each in namespaces}
    found = []
    for run in runs:
        if choice.run_id in (None, run.run_id) and (why := _why(run, choice, now)):
            owns = made_for.get(run.namespace) == run.run_id
            found.append(Leftover(run.run_id, run.namespace, owns, why))
    alive = {run.namespace for run in runs}
    for each in namespaces:
        name, run_id = each["metadata"]["name"], made_for[each["metadata"]["name"]]
        if each["metadata"].get("deletionTimestamp") or choice.run_id not in (None, run_id):
            continue
        if name not in alive and (why := _why_namespace(each, choice, now)):
            found.append(Leftover(run_id, name, True, why))
    return found


def _why(run: FoundRun, choice: Choice, now: datetime) -> str:
    """Empty if it is to stay."""
    if run.is_expired(now):
        return "it has expired"
    if choice.expired_only:
        return ""
    if run.state.is_final:
        return f"it is {run.state.value}" + (f" ({run.detail})" if run.detail else "")
    return f"it is {run.state.value}, and goes all the same" if choice.even_running else ""


def _why_namespace(namespace: Mapping[str, Any], choice: Choice, now: datetime) -> str:
    if is_expired(namespace, now):
        return "its namespace has expired"
    return "only its namespace is left" if choice.even_running or choice.run_id else ""


def is_expired(namespace: Mapping[str, Any], now: datetime) -> bool:
    """By its annotation; one without it, or with what is no time, stays."""
    text = namespace["metadata"].get("annotations", {}).get(ANNOTATION_EXPIRES_AT)
    with contextlib.suppress(ValueError):
        return text is not None and time_of(text) < now
    return False


async def sweep_expired_namespaces(cluster: Cluster) -> list[str]:
    """Deletes namespaces that lost runs left, without waiting for their end; those it may. Their names."""
    swept = []
    for each in await _namespaces(cluster, None):
        if is_expired(each, datetime.now(UTC)) and not each["metadata"].get("deletionTimestamp"):
            name = each["metadata"]["name"]
            with contextlib.suppress(ClusterError):  # whose it is may remove it
                await cluster.delete("Namespace", name)
                swept.append(name)
    return swept


async def _namespaces(cluster: Cluster, name: str | None) -> Objects:
    """Those that were made for a run; none for who may not list them."""
    try:
        found = await cluster.list("Namespace", labels=OURS)
    except ClusterError as error:
        if error.reason != "Forbidden":
            raise
        return []
    return [
        each
        for each in found
        if LABEL_RUN_ID in each["metadata"].get("labels", {}) and name in (None, each["metadata"]["name"])
    ]
