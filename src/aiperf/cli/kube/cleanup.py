"""`aiperf kube cleanup`: removes what runs have left that nobody looks after any more.

Owns: telling what is removed. Does not own: what may go (`deploy.kubernetes.leftovers`).
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from aiperf.cli.kube.frame import run_on_cluster
from aiperf.cli.kube.usage import CLUSTER_OPTIONS, Chosen, Option, Usage
from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.leftovers import Choice, Leftover, find_leftovers
from aiperf.deploy.kubernetes.removal import remove_run
from aiperf.deploy.kubernetes.runs import FoundRun, RunState, find_run
from aiperf.errors import ClusterError, ExitCode, InfrastructureError

EXPIRED = Option("--expired", "Only what has outlived its time.")
ALL = Option("--all", "Also what still runs, and results that nobody has fetched.")
DRY_RUN = Option("--dry-run", "Only tell what would be removed.")
USAGE = Usage(
    "cleanup",
    "Removes what lost runs have left.",
    (EXPIRED, ALL, DRY_RUN, *CLUSTER_OPTIONS),
    "possible",
    "Removed are runs that are over, failed, lost or expired, with their namespaces where those were made for them, "
    "and such namespaces alone. With a RUN, only that. Nothing is asked; each removal is told.",
)


def run(argv: Sequence[str]) -> int:
    return run_on_cluster(USAGE, argv, _clean_up)


async def _clean_up(cluster: Cluster, chosen: Chosen) -> int:
    choice = Choice(chosen.run_id or None, chosen.has(EXPIRED), chosen.has(ALL))
    leftovers = await find_leftovers(cluster, chosen.namespace, choice, datetime.now(UTC))
    if choice.run_id and not leftovers:
        found = await find_run(cluster, choice.run_id, chosen.namespace)
        raise _refusal(found)
    if not leftovers:
        print("there is nothing to remove")
    elif chosen.has(DRY_RUN):
        print("\n".join(f"would remove {sentence(each)}" for each in leftovers))
    else:
        await _remove(cluster, leftovers)
    return ExitCode.DONE


def _refusal(run: FoundRun) -> ClusterError:
    """Why a run that was named stays."""
    if run.state is RunState.SERVING:
        what, hint = (
            "serves results that nobody has fetched",
            f"Fetch them: aiperf kube results {run.run_id} --cleanup.",
        )
    else:
        what, hint = f"is {run.state.value}", f"End it in order: aiperf kube cancel {run.run_id}."
    return ClusterError(f"run {run.run_id} {what}: it is not removed", f"{hint} To remove it as it is: --all.")


def sentence(leftover: Leftover) -> str:
    """`run 0123 in namespace perf: it is over`."""
    namespace = f"with namespace {leftover.namespace}" if leftover.owns_namespace else f"in {leftover.namespace}"
    return f"run {leftover.run_id} {namespace}: {leftover.why}"


async def _remove(cluster: Cluster, leftovers: Sequence[Leftover]) -> None:
    """All at once: a namespace takes its time. Raises: InfrastructureError, after all that can go are gone."""
    failures = [
        failure for failure in await asyncio.gather(*(_remove_one(cluster, each) for each in leftovers)) if failure
    ]
    if failures:
        raise InfrastructureError("\n".join(failures))


async def _remove_one(cluster: Cluster, leftover: Leftover) -> str:
    """What went wrong; empty if it is gone."""
    try:
        await remove_run(cluster, leftover.run_id, leftover.namespace, leftover.owns_namespace)
    except ClusterError as error:
        return f"run {leftover.run_id}: {error}"
    print(f"removed {sentence(leftover)}", flush=True)
    return ""
