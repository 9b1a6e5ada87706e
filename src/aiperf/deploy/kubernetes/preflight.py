"""Everything that can be known to be wrong before a run, at once.

Owns: which checks run, that they run together, their screen. Does not own: the checks (`checks`, `probe_job`), what a
run is drafted from (`survey`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aiperf.deploy.kubernetes.blueprint import Blueprint
from aiperf.deploy.kubernetes.checks import (
    Check,
    check_capacity,
    check_claims,
    check_namespace,
    check_objects,
    check_pods,
    check_quota,
    check_rights,
    check_version,
    not_yet,
)
from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.probe_job import LIMIT_S, look_from_inside
from aiperf.errors import ClusterError, InfrastructureError

CheckFunction = Callable[[Cluster, Blueprint], Awaitable[list[Check]]]

_ALWAYS: dict[str, CheckFunction] = {
    "connection": check_version,
    "rights": check_rights,
    "namespace": check_namespace,
    "capacity": check_capacity,
}
_IN_NAMESPACE: dict[str, CheckFunction] = {
    "quota": check_quota,
    "claims": check_claims,
    "pods": check_pods,
    "objects": check_objects,
}
"""Only where the namespace is there."""

AFTER_FAILURE_S = 8.0
"""The run fails anyway: a pod that starts soon still tells whether image and endpoint are at fault too."""
_UNSEEN = Check("endpoint", None, "not checked: the pod that looks did not start soon, and the run would fail anyway")

_MARKS = {True: "[ok]", False: "[FAILED]", None: "[unknown]"}
_NOTE = "[ok, but]"


async def preflight(
    cluster: Cluster, blueprint: Blueprint, *, probe: bool, probe_limit_s: float = LIMIT_S
) -> list[Check]:
    """All checks, in the order of the screen. `probe`: look from inside a pod too, if the namespace is there."""
    there = await _namespace_exists(cluster, blueprint)
    looking = asyncio.create_task(_look(cluster, blueprint, probe_limit_s)) if there and probe else None
    try:
        chosen = {**_ALWAYS, **(_IN_NAMESPACE if there else {})}
        results = await asyncio.gather(*(_guarded(name, check, cluster, blueprint) for name, check in chosen.items()))
        checks = [check for result in results for check in result]
        if not there:
            later = ("quota", "pods", "objects", *(["endpoint"] if probe else []))
            return [*checks, *(not_yet(name, blueprint) for name in later)]
        if looking is None:
            return checks
        await asyncio.wait({looking}, timeout=AFTER_FAILURE_S if failed(checks) else None)
        return [*checks, *(looking.result() if looking.done() else [_UNSEEN])]
    finally:
        if looking is not None:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)


async def require_endpoint(cluster: Cluster, blueprint: Blueprint) -> None:
    """Looks from inside the run's namespace, which was not there before. Raises: InfrastructureError."""
    checks = await _look(cluster, blueprint, LIMIT_S)
    if failed(checks):
        raise InfrastructureError(not_ready(checks))


def not_ready(checks: Sequence[Check]) -> str:
    """Why there will be no run."""
    return f"the cluster is not ready for this run\n{render(checks)}"


async def _look(cluster: Cluster, blueprint: Blueprint, limit_s: float) -> list[Check]:
    async def look(cluster: Cluster, blueprint: Blueprint) -> list[Check]:
        return await look_from_inside(cluster, blueprint, limit_s)

    return await _guarded("endpoint", look, cluster, blueprint)


async def _namespace_exists(cluster: Cluster, blueprint: Blueprint) -> bool:
    """One that may not be looked at is taken to be there, unless it is to be made. One that is being deleted takes
    nothing any more: that is told once, not by every object."""
    try:
        there = await cluster.get("Namespace", blueprint.namespace)
        return there is not None and there.get("status", {}).get("phase") != "Terminating"
    except ClusterError as error:
        if error.reason != "Forbidden":
            raise
        return not blueprint.owns_namespace


async def _guarded(name: str, check: CheckFunction, cluster: Cluster, blueprint: Blueprint) -> list[Check]:
    """What may not be looked at is unknown; any other refusal is a failure of the check."""
    try:
        return await check(cluster, blueprint)
    except ClusterError as error:
        if error.reason == "Forbidden" and error.what.startswith("you may not "):
            return [Check(name, None, f"not checked: {error.what}", "" if name == "capacity" else error.hint)]
        return [Check(name, False, error.what, error.hint)]


def failed(checks: Sequence[Check]) -> bool:
    """Whether the run would fail."""
    return any(check.ok is False for check in checks)


def render(checks: Sequence[Check]) -> str:
    """A line for each check, hints below, and a last line with the sum."""
    width = max((len(check.name) for check in checks), default=0)
    indent = " " * (len(_MARKS[None]) + width + 2)
    lines = []
    for check in checks:
        mark = _NOTE if check.ok and check.hint else _MARKS[check.ok]
        what = check.what.replace("\n", f"\n{indent}")
        lines.append(f"{mark:{len(_MARKS[None])}} {check.name:{width}} {what}")
        if check.hint:
            lines.append(f"{indent}{check.hint}")
    bad = sum(check.ok is False for check in checks)
    unknown = sum(check.ok is None for check in checks)
    end = f"{bad} of {len(checks)} checks failed" if bad else "Nothing stands in the way"
    lines.append(f"{end}{f'; {unknown} could not be made' if unknown else ''}.")
    return "\n".join(lines)
