"""Which runs there are in a cluster, and how each is.

Owns: Jobs → runs, finding one by its id. Does not own: what becomes of them (`leftovers`), what a run is made of
(`existing`).

A run is known by the labels of its Jobs: nothing else is asked, so that a list of many is one request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from aiperf.deploy.kubernetes.cluster import Cluster, Objects
from aiperf.deploy.kubernetes.names import (
    LABEL_COMPONENT,
    LABEL_MANAGED_BY,
    LABEL_MODEL,
    LABEL_RUN_ID,
    MANAGER,
    Component,
    label_text,
    names_of,
)
from aiperf.errors import ClusterError
from aiperf.plan.spelling import did_you_mean

OURS = {LABEL_MANAGED_BY: MANAGER}
SHOWN_MAX = 10


class RunState(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    SERVING = "over: serving results"
    OVER = "over"
    FAILED = "failed"
    LOST = "lost"
    """It has no controller any more."""

    @property
    def is_final(self) -> bool:
        """Nothing of it runs, nothing can be had from it."""
        return self in (RunState.OVER, RunState.FAILED, RunState.LOST)


@dataclass(frozen=True, slots=True)
class FoundRun:
    run_id: str
    namespace: str
    model: str
    """As in a label: without slashes, and cut."""
    state: RunState
    detail: str
    """Why it failed; empty if all is well."""
    created: datetime
    workers: int
    workers_ready: int
    expires: datetime | None
    """Later than this even a run that hung has ended, and its finished Jobs are removed; None: never."""

    def is_expired(self, now: datetime) -> bool:
        return self.expires is not None and self.expires < now


async def list_runs(cluster: Cluster, namespace: str | None) -> tuple[list[FoundRun], str]:
    """The runs of one namespace or (None) of all that may be looked at, the latest first; and where was looked."""
    jobs, where = await _list(cluster, namespace, OURS)
    return [await _looked_at_closely(cluster, run) for run in runs_of(jobs)], where


async def find_run(cluster: Cluster, run_id: str, namespace: str | None) -> FoundRun:
    """Raises: ClusterError that names the runs there are."""
    labels = {**OURS, LABEL_RUN_ID: label_text(run_id)}
    jobs, where = await _list(cluster, namespace, labels)
    own = names_of(run_id).namespace
    if not jobs and namespace is None and where not in ("", own):
        jobs = await _list_if_allowed(cluster, own, labels)
    found = runs_of(jobs)
    if len(found) > 1:
        places = " and ".join(sorted(run.namespace for run in found))
        raise ClusterError(f"run {run_id} is in more than one namespace: {places}", "Give one by --namespace.")
    if found:
        return await _looked_at_closely(cluster, found[0])
    others, _ = await list_runs(cluster, namespace)
    place = f" in namespace {where}" if where else ""
    raise ClusterError(f"there is no run {run_id}{place}", _others_hint(run_id, others, place), reason="NotFound")


async def _looked_at_closely(cluster: Cluster, run: FoundRun) -> FoundRun:
    """Workers that are not ready have not begun, are being replaced, or have just ended: a Job does not tell which,
    pods do. One that ended without a failure has ended with the run."""
    if run.state is not RunState.STARTING:
        return run
    labels = {**OURS, LABEL_RUN_ID: run.run_id, LABEL_COMPONENT: Component.WORKER.value}
    try:
        pods = await cluster.list("Pod", run.namespace, labels)
    except ClusterError as error:
        if error.reason == "Forbidden":
            return run
        raise
    codes = [code for pod in pods for code in _exit_codes(pod)]
    if not codes:
        return run
    return replace(run, state=RunState.SERVING if 0 in codes else RunState.RUNNING)


def _exit_codes(pod: Mapping[str, Any]) -> list[int]:
    """Of a worker that has ended."""
    return [
        each["state"]["terminated"].get("exitCode", 1)
        for each in pod.get("status", {}).get("containerStatuses", [])
        if each["name"] == Component.WORKER.value and "terminated" in each.get("state", {})
    ]


def refuse_when_gone(run: FoundRun) -> None:
    """Raises: ClusterError if there is nobody any more to speak to."""
    if run.state.is_final:
        detail = f" ({run.detail})" if run.detail else ""
        raise ClusterError(
            f"run {run.run_id} is {run.state.value}{detail}: nobody serves its results any more",
            f"Its last words, if its pods are there: aiperf kube logs {run.run_id} --namespace {run.namespace}",
        )


def _others_hint(run_id: str, others: Sequence[FoundRun], place: str) -> str:
    if not others:
        return "There is no run at all" + (f"{place}." if place else ".")
    ids = [run.run_id for run in others]
    more = f" and {len(ids) - SHOWN_MAX} more" if len(ids) > SHOWN_MAX else ""
    return f"{did_you_mean(run_id, ids)} There are: {', '.join(ids[:SHOWN_MAX])}{more}.".strip()


async def _list(cluster: Cluster, namespace: str | None, labels: Mapping[str, str]) -> tuple[Objects, str]:
    """Jobs, and the namespace that was looked in; empty: all."""
    if namespace is not None:
        return await cluster.list("Job", namespace, labels), namespace
    try:
        return await cluster.list("Job", "", labels), ""
    except ClusterError as error:
        if error.reason != "Forbidden":
            raise
    return await cluster.list("Job", cluster.namespace, labels), cluster.namespace


async def _list_if_allowed(cluster: Cluster, namespace: str, labels: Mapping[str, str]) -> Objects:
    try:
        return await cluster.list("Job", namespace, labels)
    except ClusterError as error:
        if error.reason == "Forbidden":
            return []
        raise


def runs_of(jobs: Sequence[Mapping[str, Any]]) -> list[FoundRun]:
    """The runs that these Jobs belong to, the latest first."""
    by_run: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for job in jobs:
        metadata = job["metadata"]
        labels = metadata.get("labels", {})
        component = labels.get(LABEL_COMPONENT)
        if LABEL_RUN_ID in labels and component in list(Component):
            by_run.setdefault((metadata["namespace"], labels[LABEL_RUN_ID]), {})[component] = job
    runs = [_run(run_id, namespace, parts) for (namespace, run_id), parts in by_run.items()]
    return sorted(runs, key=lambda run: (run.created, run.run_id), reverse=True)


def _run(run_id: str, namespace: str, parts: Mapping[str, Mapping[str, Any]]) -> FoundRun:
    controller, worker = parts.get(Component.CONTROLLER), parts.get(Component.WORKER)
    known = controller or worker or next(iter(parts.values()))
    state, detail = _state(controller, worker)
    return FoundRun(
        run_id=run_id,
        namespace=namespace,
        model=known["metadata"]["labels"].get(LABEL_MODEL, ""),
        state=state,
        detail=detail,
        created=time_of(known["metadata"]["creationTimestamp"]),
        workers=worker["spec"].get("parallelism", 0) if worker else 0,
        workers_ready=worker.get("status", {}).get("ready", 0) if worker else 0,
        expires=_expires(known),
    )


def _state(controller: Mapping[str, Any] | None, worker: Mapping[str, Any] | None) -> tuple[RunState, str]:
    if controller is None:
        return RunState.LOST, "its controller is gone"
    if (failure := _condition(controller, "Failed")) is not None:
        return RunState.FAILED, str(failure.get("message", ""))
    if _condition(controller, "Complete") is not None:
        return RunState.OVER, ""
    if worker is not None:
        if _condition(worker, "Complete") or _condition(worker, "Failed") or _has_finished(worker):
            return RunState.SERVING, ""
        if worker.get("status", {}).get("ready"):
            return RunState.RUNNING, ""
    return RunState.STARTING, ""


def _has_finished(worker: Mapping[str, Any]) -> bool:
    """A worker ends without a failure only when the run is over; some of its pods end before others."""
    status = worker.get("status", {})
    return bool(status.get("succeeded") or status.get("uncountedTerminatedPods", {}).get("succeeded"))


def _condition(job: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    for each in job.get("status", {}).get("conditions", []):
        if each["type"] == kind and each["status"] == "True":
            return dict(each)
    return None


def _expires(job: Mapping[str, Any]) -> datetime | None:
    lasts_s, kept_s = job["spec"].get("activeDeadlineSeconds"), job["spec"].get("ttlSecondsAfterFinished", 0)
    if lasts_s is None:
        return None
    return time_of(job["metadata"]["creationTimestamp"]) + timedelta(seconds=lasts_s + kept_s)


def time_of(text: str) -> datetime:
    """The API's time (`2026-01-31T12:00:00Z`)."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
