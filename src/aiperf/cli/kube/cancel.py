"""`aiperf kube cancel`: the end of a run's load, ordered from afar.

Owns: the order, and waiting until the run is over. Does not own: what the controller does about it.
"""

import sys
from collections.abc import Sequence

from aiperf.api.client import ApiClient
from aiperf.cli.kube.frame import run_on_cluster
from aiperf.cli.kube.usage import ACCESS, CLUSTER_OPTIONS, Chosen, Option, Usage
from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.existing import is_namespace_of, read_run
from aiperf.deploy.kubernetes.names import LABEL_COMPONENT, Component, run_labels
from aiperf.deploy.kubernetes.reach import open_way
from aiperf.deploy.kubernetes.removal import remove_run
from aiperf.deploy.kubernetes.runs import FoundRun, RunState, find_run
from aiperf.errors import ExitCode
from aiperf.wire.messages import Notice, RunFinished

NOW = Option("--now", "Cut what is in flight at once, instead of giving it the grace period.")
USAGE = Usage(
    "cancel",
    "Ends a run's load early, and returns when the run is over.",
    (NOW, ACCESS, *CLUSTER_OPTIONS),
    "needed",
    "What was measured until then is processed and can be fetched. A run whose controller has not started yet is "
    "removed.",
)


def run(argv: Sequence[str]) -> int:
    return run_on_cluster(USAGE, argv, _cancel)


async def _cancel(cluster: Cluster, chosen: Chosen) -> int:
    found = await find_run(cluster, chosen.run_id, chosen.namespace)
    if found.state.is_final or found.state is RunState.SERVING:
        print(f"run {found.run_id} is over already")
    elif not await _has_controller(cluster, found):
        owns_namespace = await is_namespace_of(cluster, found.namespace, found.run_id)
        await remove_run(cluster, found.run_id, found.namespace, owns_namespace)
        print(f"run {found.run_id} had not begun; it was removed")
    else:
        finished, was_over = await _stop(cluster, found, chosen)
        if was_over:
            print(f"run {found.run_id} is over already")
            return ExitCode.DONE
        where = f"aiperf kube results {found.run_id} --namespace {found.namespace}"
        results = f"; its results so far: {where}" if finished.summary_path else ""
        print(f"run {found.run_id} is over ({finished.reason or finished.outcome}){results}")
    return ExitCode.DONE


async def _has_controller(cluster: Cluster, found: FoundRun) -> bool:
    labels = {**run_labels(found.run_id), LABEL_COMPONENT: Component.CONTROLLER.value}
    pods = await cluster.list("Pod", found.namespace, labels)
    return any(pod.get("status", {}).get("phase") == "Running" for pod in pods)


async def _stop(cluster: Cluster, found: FoundRun, chosen: Chosen) -> tuple[RunFinished, bool]:
    """How the run ended, and whether it had before."""
    existing = await read_run(cluster, found, chosen.text(ACCESS))
    async with open_way(cluster, existing.entrance) as address, ApiClient(address) as client:
        if (over := (await client.run_info()).finished) is not None:
            return over, True
        await client.stop(now=chosen.has(NOW))
        how = "what is in flight is cut" if chosen.has(NOW) else "requests in flight are waited for"
        print(f"stopping: {how}", file=sys.stderr)
        async for told in client.follow():
            match told:
                case RunFinished():
                    return told, False
                case Notice(text):
                    print(text, file=sys.stderr)
                case _:
                    pass
    raise AssertionError("the client tells the end, or raises")
